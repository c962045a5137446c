"""Makes can_signals.tsv: random signals of random frames as cantools, a library that is not ours, reads them. By the Python of tests/support/python:
    $(tests/support/python) tests/property/source/can_signals.py > tests/property/source/can_signals.tsv
Columns: start bit, length, byte order, type, scale, offset, the frame's data in hex, the raw value, the scaled value. The seed is fixed.
"""
import random

from cantools.database.can import Message, Signal
from cantools.database.conversion import BaseConversion

SCALES = (1, 0.1, 0.125, 0.01, 2, 0.0039063, 1e-07, 10, -1, 0.25)
OFFSETS = (0, 0, -40, 0.5, 100, -273.15)


def fits(start, length, order, size):
    if order == "little_endian":
        return start + length <= 8 * size
    at = 8 * (start // 8) + 7 - start % 8  # in the order in which bits are sent
    return at + length <= 8 * size


def main():
    chance = random.Random(20261128)
    for number in range(900):
        size = chance.choice((1, 2, 8, 8, 8, 8, 12, 64))
        kind = chance.choice(("unsigned", "unsigned", "signed", "signed", "float"))
        while True:
            length = chance.choice((32, 64)) if kind == "float" else chance.choice((1, 8, 16, 32, 64, chance.randint(1, 64), chance.randint(1, 12)))
            start, order = chance.randrange(8 * size), chance.choice(("little_endian", "big_endian"))
            if fits(start, length, order, size):
                break
            size = max(size, 8)
        scale, offset = chance.choice(SCALES), chance.choice(OFFSETS)
        signal = Signal("s", start, length, order, kind == "signed", conversion=BaseConversion.factory(scale, offset, None, kind == "float"))
        message = Message(0x100, "m", size, [signal], is_fd=size > 8)
        data = bytes(chance.choice((0, 255, chance.randrange(256))) for _ in range(size))
        raw = message.decode(data, scaling=False)["s"]
        scaled = message.decode(data)["s"]
        print(start, length, "intel" if order == "little_endian" else "motorola", kind, scale, offset, data.hex(), repr(raw), repr(scaled), sep="\t")


main()
