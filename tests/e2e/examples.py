#!/usr/bin/env python3
"""The examples of config/ through their own sources: examples.py --rivulet PROGRAM [NAME...]. `--list` prints the names.

A running agent has the file as it is; only agent.state and commit_interval, addresses, paths and devices are others. What it reads comes from a real slave, port, client, server or
file, and what it made of it waits in its outbox for a Kafka that is not there. (config/can-vehicle.yaml needs a kernel with CAN: unit/source/can_test.cpp.)
"""
import contextlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from commands import CONFIGURATIONS, main  # noqa: E402
from rig import Agent, Mosquitto, free_port, wait_for  # noqa: E402
from machines import modbus_slave, serial_cable  # noqa: E402

SECONDS = 30
READ_ELSEWHERE = {"can-vehicle", "rivulet", "demo"}  # the last two are the package's own; packaging/demo runs one of them


class Example:
    """config/NAME.yaml run by an agent in a folder of its own."""

    def __init__(self, program, name):
        self.program, self.name = program, name

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="rivulet-examples-")
        self.agent = None
        return self

    def __exit__(self, kind, *_):
        if self.agent is not None and self.agent.running():
            self.agent.kill()
        if kind is not None and self.agent is not None:
            print(f"--- the agent's last lines:\n{self.agent.log_tail()}", flush=True)
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def start(self, until, **replaced):
        """`replaced`: what stands in the file once -> what is here. `until`: a part of what the source says of itself once it takes records in."""
        text = (CONFIGURATIONS / f"{self.name}.yaml").read_text()
        here = {"agent: {id: gateway-042}": f"agent: {{id: gateway-042, state: {self.path('state')}, commit_interval: 50ms}}",
                '["kafka-1:9092", "kafka-2:9092"]': '["127.0.0.1:1"]', "status: {listen: 127.0.0.1:8686}": f"status: {{listen: \"unix:{self.path('status.sock')}\"}}", **replaced}
        for there, other in here.items():
            assert text.count(there) == 1, f"{self.name}: {there} is there {text.count(there)} times"
            text = text.replace(there, other)
        self.agent = Agent(self.program, self.folder.name, text)
        self.agent.start()
        wait_for(f"the source of {self.name} to be {until}", lambda: until in self.state(), SECONDS)

    def state(self):
        status = self.agent.status()
        return status["sources"][0]["state"] if status else ""

    def ask(self, sql):
        done = subprocess.run([self.program, "query", "-c", self.agent.config, "--json", sql], capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        return [json.loads(row) for row in done.stdout.splitlines()]

    def expect(self, sql, wanted):
        """What is asked for is `wanted` in the end."""
        until, found = time.monotonic() + SECONDS, None
        while (found := self.ask(sql)) != wanted:
            assert time.monotonic() < until, f"{self.name}: {sql} gives\n{found}\ninstead of\n{wanted}"
            time.sleep(0.05)

    def expect_topics(self, wanted):
        """The records for each topic, in their order: (key, value) or, where the record's time comes from what was read, (key, value, ts)."""
        def found():
            topics = {}
            for row in self.ask("SELECT topic, key, value, ts FROM outbox ORDER BY topic, seq"):
                expected = wanted.get(row["topic"], [()])
                whole = (row["key"], value_of(row["value"]), row["ts"])
                topics.setdefault(row["topic"], []).append(whole[:len(expected[0])] or whole)
            return topics
        until = time.monotonic() + SECONDS
        while (topics := found()) != wanted:
            assert time.monotonic() < until, f"{self.name} made\n{topics}\ninstead of\n{wanted}"
            time.sleep(0.05)


def value_of(text):
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return text


def log_tail(program):
    """Lines of a file that is rotated by rename; those that do not fit go to their own topic."""
    with Example(program, "log-tail") as example:
        os.mkdir(example.path("pump"))
        log = example.path("pump/pump.log")
        with open(log, "w") as file:
            file.write("2024-11-24T10:15:02.123Z ERROR pump: pressure lost\n  at line 3\n2024-11-24T10:15:03Z INFO pump: fine\n")
        example.start("following", **{"/var/log/pump/*.log": example.path("pump/*.log")})
        problem = ("pump", {"level": "ERROR", "component": "pump", "text": "pressure lost", "file": log}, 1732443302123)
        example.expect_topics({"pump-log-problems": [problem], "pump-log-other-lines": [(None, "  at line 3")]})
        os.rename(log, log + ".1")
        with open(log, "w") as file:
            file.write("2024-11-24T10:16:20Z WARN valve: slow: 3 s\n")
        minute = {"level": "ERROR", "n": 1, "window_start": 1732443300000, "window_end": 1732443360000}
        example.expect_topics({"pump-log-problems": [problem, ("valve", {"level": "WARN", "component": "valve", "text": "slow: 3 s", "file": log}, 1732443380000)],
                               "pump-log-other-lines": [(None, "  at line 3")], "pump-log-problems-a-minute": [("ERROR", minute, 1732443302123)]})


def http_intake(program):
    """Readings that curl posts; the same again with the same key is taken once."""
    with Example(program, "http-intake") as example:
        port = free_port()
        example.start("listening", **{"listen: 0.0.0.0:8080": f"listen: \"127.0.0.1:{port}\""})

        def post(key, *readings):
            done = subprocess.run(["curl", "-sS", "--max-time", "20", "-H", f"Idempotency-Key: {key}", "-H", "Content-Type: application/x-ndjson", "--data-binary", "@-",
                                   f"http://127.0.0.1:{port}/readings"], input="\n".join(map(json.dumps, readings)), capture_output=True, text=True, timeout=SECONDS)
            assert json.loads(done.stdout) == {"records": len(readings)}, done
        first, second, last = ({"meter": "m-1", "time": f"2024-11-24T10:0{minute}:05Z", "kwh": kwh} for minute, kwh in ((0, 100.5), (4, 101.75), (6, 102.5)))
        post("7f3a", first, {"meter": "m-1", "time": "2024-11-24T10:01:05Z", "error": "no signal"}, second)
        post("7f3a", first, {"meter": "m-1", "time": "2024-11-24T10:01:05Z", "error": "no signal"}, second)
        post("7f3b", last)
        begin = 1732442400000  # 10:00
        used = {"used": 1.25, "readings": 2, "window_start": begin, "window_end": begin + 300_000}
        example.expect_topics({"meter-readings": [("m-1", first, begin + 5000), ("m-1", second, begin + 245_000), ("m-1", last, begin + 365_000)],
                               "meter-five-minutes": [("m-1", used, begin + 245_000)]})


def vibration_mqtt(program):
    """What accelerometers publish at a mosquitto: summaries, alarms, who fell silent; what another topic has is nobody's."""
    with Example(program, "vibration-mqtt") as example:
        mosquitto = Mosquitto(example.folder.name)
        try:
            example.start("subscribed", **{"mqtt://localhost:1883": f"mqtt://127.0.0.1:{mosquitto.port}"})
            begin = 1_700_000_000_000

            def publish(topic, payload):
                subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(mosquitto.port), "-q", "2", "-t", topic, "-m", payload], check=True, timeout=SECONDS)

            def reading(machine, at_ms, rms):
                return {"machine": machine, "ts": begin + at_ms, "rms": rms}
            publish("plant/hall-2/pump-7/temperature", json.dumps(reading("pump-7", 500, 99.5)))
            sent = [reading("pump-7", 1000, 2.4), reading("pump-7", 2000, 4.6), reading("pump-8", 13_000, 3.1), reading("pump-8", 70_000, 1.5)]
            for each in sent:
                publish(f"plant/hall-2/{each['machine']}/vibration", json.dumps(each))
            publish("plant/hall-2/pump-9/vibration", "no number")

            def summary(machine, mean, peak, n, at):
                return machine, {"machine": machine, "mean": mean, "peak": peak, "n": n, "window_start": begin + at, "window_end": begin + at + 10_000}
            example.expect_topics({
                "vibration-summary": [summary("pump-7", 3.5, 4.6, 2, 0), summary("pump-8", 3.1, 3.1, 1, 10_000)],
                "vibration-alarms": [("pump-7", {**sent[1], "severity": "unacceptable"}, begin + 2000), ("pump-8", {**sent[2], "severity": "unsatisfactory"}, begin + 13_000)],
                "vibration-silent": [("pump-7", {"absent": True, "last": begin + 2000}, begin + 62_000)], "vibration-undecodable": [(None, "no number")]})
        finally:
            mosquitto.stop(kill=True)


def serial_scale(program):
    """A scale's lines at a serial port: settled weights with a load, and the open minute's."""
    with Example(program, "serial-scale") as example, serial_cable(example.folder.name) as (port, say):
        # A pseudo terminal has 8 data bits and no parity.
        example.start("reading", **{"/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0": port, "data_bits: 7, parity: even": "data_bits: 8, parity: none"})
        say(b"\r\n")  # before it the end of another line may have been
        for line in ("ST,GS,+0000.00 kg", "US,GS,+0007.35 kg", "ST,GS,+0012.50 kg", "ST,NT,-  0.25 kg", "S?,GS,+0012.5", "OL,GS,+9999.99 kg"):
            say(line.encode() + b"\r\n")
        example.expect_topics({"scale-weights": [("scale-1", {"weight": 12.5, "unit": "kg", "kind": "GS"})], "scale-other-lines": [(None, "S?,GS,+0012.5")]})
        example.expect('SELECT min(least) AS least, max(most) AS most, sum(n) AS n FROM "a-minute"', [{"least": -0.25, "most": 12.5, "n": 3}])


def modbus_meter(program):
    """Two energy meters by pymodbus, one with a phase that is too low: its alarms, each meter's energy, and the open quarter of an hour."""
    meters = {"hall-1": {0: 230.1, 2: 229.8, 4: 231.0, 52: 1200.0, 72: 10234.5, 74: 0.0}, "hall-2": {0: 230.1, 2: 206.9, 4: 231.0, 52: 800.5, 72: 7.25, 74: 1.5}}
    with Example(program, "modbus-meter") as example, contextlib.ExitStack() as slaves:
        ports = {name: free_port() for name in meters}
        for name, floats in meters.items():
            slaves.enter_context(modbus_slave(ports[name], floats))
        example.start("2 of 2 slaves answer", **{"tcp://192.168.10.21": f"tcp://127.0.0.1:{ports['hall-1']}", "tcp://192.168.10.22": f"tcp://127.0.0.1:{ports['hall-2']}"})
        records = [("meter-energy", "hall-1", '{"meter":"hall-1","kwh_in":10234.5,"kwh_out":0.0}'), ("meter-energy", "hall-2", '{"meter":"hall-2","kwh_in":7.25,"kwh_out":1.5}'),
                   ("meter-voltage-alarms", "hall-2", '{"meter":"hall-2","lowest":206.9,"highest":231.0}')]
        example.expect("SELECT DISTINCT topic, key, value FROM outbox ORDER BY topic, key, value", [dict(zip(("topic", "key", "value"), record)) for record in records])
        example.expect('SELECT DISTINCT meter, peak_w FROM "quarter-hours" ORDER BY meter', [{"meter": "hall-1", "peak_w": 1200.0}, {"meter": "hall-2", "peak_w": 800.5}])


FACTS = {name: what for name, what in globals().items() if inspect.isfunction(what) and list(inspect.signature(what).parameters) == ["program"] and what.__module__ == __name__}


def each_example_is_here(program):
    assert program
    there = {path.stem for path in CONFIGURATIONS.glob("*.yaml")} - READ_ELSEWHERE
    assert there == {name.replace("_", "-") for name in FACTS}, there


if __name__ == "__main__":
    main({**FACTS, each_example_is_here.__name__: each_example_is_here}, __doc__)
