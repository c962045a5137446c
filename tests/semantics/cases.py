"""Seeded random cases in the oracle's format, over every kind of step.

Times are drawn from what decides: the step's own lengths and their sums, hit exactly and missed by one, after the newest record or any
earlier one. By hand: cases.py KIND N SEED prints N cases.
"""
import json
import random
import sys

TYPES = ("tumbling", "hopping", "sliding", "session")
EMITS = ("update", "close", "suppress")
KINDS = [f"{window}_{emit}" for window in TYPES for emit in EMITS] + [
    "filter", "map", "agg", "suppress_time", "table_group_agg", "fk_join_inner", "fk_join_left",
    "stream_stream_inner", "stream_stream_left", "stream_stream_outer",
    "stream_table_plain", "stream_table_versioned", "stream_table_grace",
    "table_table_inner", "table_table_left", "table_table_outer", "table_table_versioned"]
FUNCTIONS = ("count", "sum", "min", "max", "avg", "first", "last", "collect")
# In UTF-8 the emoji follows the full-width sign, in UTF-16 it precedes it; "a" is a prefix of "ab"; the empty key is a key.
KEYS = ("a", "ab", "b", "Z", "ä", "€", "\uffe6", "\U0001f600", "")
EPOCH_MS = 1_700_000_000_000


class Maker:
    def __init__(self, kind, random_source):
        self.kind, self.random = kind, random_source
        self.scale = self.random.choice((1, 1, 1, 1, 7, 1000, 60_000))
        self.lengths = [0, 1, self.scale]

    def length(self, low, high):
        """A parameter in ms, remembered as one that decides."""
        value = self.random.randint(low, high) * self.scale
        value += self.random.choice((0, 0, 0, 1)) if value > 0 else 0
        self.lengths.append(abs(value))
        return value

    def grace(self):
        if self.random.random() < 0.15:
            return 10_000_000  # ample
        return self.length(0, self.random.choice((0, 4, 15)))

    def window(self, kind):
        if kind == "session":
            return {"type": kind, "gap": self.length(1, 10)}
        if kind == "sliding":
            return {"type": kind, "diff": self.length(0 if self.random.random() < 0.05 else 1, 10)}
        size = self.length(1, 12)
        if kind == "tumbling":
            return {"type": kind, "size": size}
        advance = max(1, size // self.random.randint(1, 4) - self.random.choice((0, 0, 1)))
        self.lengths.append(advance)
        return {"type": kind, "size": size, "advance": advance}

    def op(self):
        kind, pick = self.kind, self.random.choice
        first, _, last = kind.rpartition("_")
        if first in TYPES:
            return {"kind": "window_agg", "window": self.window(first), "grace": self.grace(), "agg": pick(FUNCTIONS), "emit": last}
        if kind == "filter":
            return {"kind": kind, "min": self.random.randint(-5, 5)}
        if kind == "map":
            return {"kind": kind, "mul": self.random.randint(-3, 3)}
        if kind == "agg":
            return {"kind": kind, "agg": pick(FUNCTIONS)}
        if kind == "suppress_time":
            return {"kind": kind, "agg": pick(("count", "sum")), "limit": self.length(0, 12)}
        if kind == "table_group_agg":
            return {"kind": kind, "agg": pick(("count", "sum"))}
        if first == "fk_join":
            return {"kind": first, "join": last}
        if first == "stream_stream":
            before, after = self.length(0, 8), self.length(0, 8)
            if self.random.random() < 0.15:
                before = -self.random.randint(0, after)
            elif self.random.random() < 0.18:
                after = -self.random.randint(0, before)
            self.lengths += [abs(before), abs(after)]
            return {"kind": "stream_stream_join", "join": last, "before": before, "after": after, "grace": self.grace()}
        if first == "stream_table":
            op = {"kind": "stream_table_join", "join": pick(("inner", "left"))}
            if last != "plain":
                op["versioned"] = {"history": self.length(1, 20)}
            if last == "grace":
                op["grace"] = self.random.randint(0, op["versioned"]["history"])
                self.lengths.append(op["grace"])
            return op
        op = {"kind": "table_table_join", "join": last, "materialize": pick((True, False))}
        if last == "versioned":
            op["join"] = pick(("inner", "left", "outer"))
            sides = pick((("left",), ("right",), ("left", "right")))
            op.update({side + "_versioned": {"history": self.length(1, 20)} for side in sides})
        return op

    def times(self, count):
        source = self.random
        base = source.choice((0, 0, 0, source.randint(0, 50) * self.scale, EPOCH_MS, EPOCH_MS + source.randint(0, 10 ** 6)))
        disorder = source.choice((0, 0, 0.15, 0.4, 0.8))
        seen = [base + source.choice((0, 0, 1, source.choice(self.lengths)))]
        while len(seen) < count:
            step = source.choice(self.lengths) + source.choice((0, 0, 0, source.choice(self.lengths))) + source.choice((0, 0, 0, -1, 1))
            if source.random() < 0.5:
                step = source.randint(0, 3) * self.scale
            late = source.random() < disorder
            ts = (source.choice(seen) if late else max(seen)) + (-step if late and source.random() < 0.7 else max(step, 0))
            if source.random() > 0.01:
                ts = max(ts, 0)
            seen.append(ts)
        return seen

    def value(self, stream):
        source = self.random
        if source.random() < (0.2 if "join" in self.kind or "table" in self.kind else 0.08):
            return None
        number = source.choice((source.randint(-9, 9), source.randint(-9, 9), source.randint(-40, 40) / 4, source.randint(-2 ** 40, 2 ** 40)))
        if self.kind == "map":
            return int(number)
        if self.kind == "table_group_agg":
            return {"g": source.choice((None,) + KEYS[:4]) if source.random() < 0.9 else None, "v": number}
        if self.kind.startswith("fk_join") and stream == "a":
            return {"fk": source.choice(self.foreign) if source.random() < 0.9 else None, "v": number}
        if self.kind.endswith(EMITS) or self.kind in ("agg", "filter"):
            return source.choice((number, number, number, number, {"v": number}, "text")) if self.mixed else number
        return source.choice((number, number, number, "text", {"x": number})) if self.mixed else number

    def make(self, name):
        source = self.random
        op = self.op()
        # Where both kinds of store do the same. In memory, closed sessions go by key within an end, and joins expire and count otherwise.
        op["store"] = "rocksdb" if self.kind == "session_close" or "stream_stream" in self.kind else source.choice(("rocksdb", "in_memory", "in_memory"))
        two = op["kind"].endswith("_join")
        keys = source.sample(KEYS, source.choice((1, 1, 2, 3, 4)))
        self.foreign = source.sample(KEYS, source.choice((1, 2, 3)))
        self.mixed = source.random() < 0.15
        nulls = source.choice((0, 0, 0.05))
        inputs = []
        for ts in self.times(source.choice((3, 8, 15, 25, 40))):
            stream = source.choice("ab") if two else "a"
            # A right row's key is what left rows refer to.
            key = source.choice(self.foreign if op["kind"] == "fk_join" and stream == "b" else keys)
            inputs.append({"stream": stream, "key": None if source.random() < nulls else key, "value": self.value(stream), "ts": ts})
        return {"name": name, "op": op, "inputs": inputs}


def make(kind, count, seed):
    return [Maker(kind, random.Random(f"{seed}/{kind}/{index}")).make(f"{kind}-{seed}-{index}") for index in range(count)]


if __name__ == "__main__":
    for case in make(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])):
        print(json.dumps(case, ensure_ascii=False))
