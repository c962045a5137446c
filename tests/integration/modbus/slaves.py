"""Modbus slaves by pymodbus: slaves.py tcp [PORT] | slaves.py serial DEVICE | slaves.py floats PORT ADDRESS=VALUE... Prints the port (or the device) once it
listens, runs until it is killed. Run by the Python of tests/support/python.

tcp, serial (pymodbus_test.cpp): unit 1 holds a value of each type; unit 2 answers after two seconds; unit 3 refuses with exception 4; unit 77 is silent.
floats (support/machines.py): unit 1 holds what is given, two registers each, and nothing else.
"""
import asyncio
import logging
import sys

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

BITS = [SimData(0, values=[n % 3 == 0 for n in range(2016)], datatype=DataType.BITS)]


def typed():
    """From register 0 on, as pymodbus encodes them."""
    at, all_data = 0, []
    for datatype, values, registers in (
        (DataType.UINT16, [65535, 2301], 2), (DataType.INT16, [-32768], 1), (DataType.UINT32, [4294967295], 2), (DataType.INT32, [-2147483648], 2),
        (DataType.UINT64, [18446744073709551615], 4), (DataType.INT64, [-9223372036854775808], 4), (DataType.FLOAT32, [230.1, float("nan")], 4),
        (DataType.FLOAT64, [0.1], 4), (DataType.STRING, ["meter-7x"], 4)):
        all_data.append(SimData(at, values=values, datatype=datatype))
        at += registers
    all_data.append(SimData(at, values=list(range(at, 300)), datatype=DataType.REGISTERS))  # each holds its address
    return all_data


async def late(*_):
    await asyncio.sleep(2)


async def never(*_):
    await asyncio.sleep(3600)


async def refuse(*_):
    return ExcCodes.DEVICE_FAILURE


def given(pairs):
    return [SimData(int(address), values=float(value), datatype=DataType.FLOAT32) for address, value in (pair.split("=") for pair in pairs)]


def device(number, action=None):
    return SimDevice(id=number, simdata=(BITS, BITS, typed(), typed()), action=action)


async def main():
    logging.disable()
    if sys.argv[1] == "floats":
        devices = [SimDevice(id=1, simdata=(BITS, BITS, given(sys.argv[3:]), given(sys.argv[3:])))]
    else:
        devices = [device(1), device(2, late), device(3, refuse), device(77, never)]
    if sys.argv[1] != "serial":
        server = ModbusTcpServer(devices, address=("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    else:
        server = ModbusSerialServer(devices, framer=FramerType.RTU, port=sys.argv[2], baudrate=115200, parity="N")
    await server.serve_forever(background=True)
    print(server.transport.sockets[0].getsockname()[1] if sys.argv[1] != "serial" else sys.argv[2], flush=True)
    await server.serving


asyncio.run(main())
