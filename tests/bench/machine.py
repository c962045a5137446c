"""What sits at a machine, for tests/bench/sources: a Modbus slave, the frames of a CAN bus, a sysfs of sensors. Each as cheap as it can be, for it is the agent that is measured."""
import json
import os
import socket
import struct
import threading
import time

NAMES = ["temperature", "humidity", "pressure", "voltage", "current", "power", "energy", "frequency"]
MODBUS_GROUPS, IIO_SOURCES, INTERVAL = 64, 40, "10ms"  # as many and as often as the configuration allows; of iio as many as give a steady figure
BUS_FRAMES_A_MS = 8  # a bus of 1 Mbit/s that is never silent: 8 bytes and 29 bits of id are about 125 bits


class ModbusSlave:
    """Modbus TCP, one client, floats in its input registers: the answers are there before they are asked for."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.registers = b"".join(struct.pack(">f", 20 + number * 7919 % 1000 / 10) for number in range(MODBUS_GROUPS * len(NAMES)))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client = self.listener.accept()[0]
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request := client.recv(260):  # 12 bytes, one at a time: the agent waits for each answer
            address, count = struct.unpack(">HH", request[8:12])
            data = self.registers[2 * address:2 * (address + count)]
            client.sendall(request[:4] + struct.pack(">HBBB", 3 + len(data), request[6], request[7], len(data)) + data)

    def configuration(self):
        def group(number):
            first = 2 * len(NAMES) * number
            return {"interval": INTERVAL, "registers": {name: {"register": "input", "address": first + 2 * at, "type": "f32"} for at, name in enumerate(NAMES)}}
        return "modbus: " + json.dumps({"url": f"tcp://127.0.0.1:{self.port}", "groups": {f"group-{number}": group(number) for number in range(MODBUS_GROUPS)}})


def can_configuration():
    signals = {"rpm": {"start": 24, "length": 16, "scale": 0.125}, "temperature": {"start": 40, "length": 8, "offset": -40}, "torque": {"start": 16, "length": 8, "offset": -125},
               "load": {"start": 48, "length": 8, "scale": 0.4}}
    return "can: " + json.dumps({"interface": "can0", "messages": {"eec1": {"id": 0x0CF00400, "signals": signals}}})


def send_frames(path, count, a_ms=None):
    """struct can_frame by struct can_frame to the socket that stands for the bus; `a_ms`: no faster than so many a millisecond."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bus:
        bus.connect(path)
        begin = time.monotonic()
        for number in range(count):
            bus.send(struct.pack("=IB3x8s", 0x0CF00400 | 1 << 31, 8, struct.pack("<BBBHBBB", 0, 0, number % 250, number % 65536, number % 200, number % 250, 0)))
            if a_ms and number % a_ms == 0:
                time.sleep(max(0.0, begin + number / a_ms / 1000 - time.monotonic()))


def iio_configurations(root):
    """A device of three channels and two files of hwmon, in `root`; several sources that all read them."""
    def put(path, text):
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w") as file:
            file.write(text + "\n")
    device = "bus/iio/devices/iio:device0/"
    for name, text in (("name", "bme280"), ("in_temp_raw", "2301"), ("in_temp_scale", "10"), ("in_humidityrelative_raw", "51234"), ("in_humidityrelative_scale", "0.97656"),
                       ("in_pressure_raw", "101325"), ("in_pressure_scale", "0.001")):
        put(device + name, text)
    put("class/hwmon/hwmon3/temp1_input", "45250")
    put("class/thermal/thermal_zone0/temp", "51750")
    fields = {"temperature": {"channel": "in_temp", "scale": 0.001}, "humidity": {"channel": "in_humidityrelative", "scale": 0.001}, "pressure": {"channel": "in_pressure"},
              "board": {"path": "class/hwmon/hwmon*/temp1_input", "scale": 0.001}, "cpu": {"path": "class/thermal/thermal_zone0/temp", "scale": 0.001}}
    return ["iio: " + json.dumps({"root": root, "device": "bme280", "interval": INTERVAL, "fields": fields})] * IIO_SOURCES
