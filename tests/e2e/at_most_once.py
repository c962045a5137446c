#!/usr/bin/env python3
"""Sources that cannot ask again for what a crash takes: what explain says of them, shown. at_most_once.py --rivulet PROGRAM. No Kafka: what is committed
waits in the outbox.

One agent with all of them; in each of its lives each gives a batch of its own, which is taken in before the first commit. Life 1 is killed right after that
commit, life 2 right before it, life 3 when all is committed. (can needs a kernel that has it, mqtt at QoS 0 a server: mqtt_scenarios.py.)
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from commands import main  # noqa: E402
from rig import Agent, free_port, wait_for  # noqa: E402
from machines import modbus_slave, serial_cable  # noqa: E402

COMMIT_S = 10  # longer than all sources need to take their batch in
SOURCES = {
    "udp": 'udp: {listen: "127.0.0.1:UDP"}',
    "datagrams": "unix: {path: FOLDER/datagrams.sock, type: datagram}",
    "stream": "unix: {path: FOLDER/stream.sock}",
    "tcp": 'tcp: {listen: "127.0.0.1:TCP"}',
    "stdin": "stdin: {}",
    "serial": "serial: {device: FOLDER/port}",
    "exec": 'exec: {command: [sh, -c, "echo $$ > FOLDER/pid; cat FOLDER/printed; exec sleep 1000"]}',
    "modbus": 'modbus: {url: "tcp://127.0.0.1:MODBUS", groups: {g: {interval: 1h, registers: {n: {register: input, address: 0, type: f32}}}}}',
    "iio": "iio: {root: FOLDER/sys, interval: 1h, fields: {n: {path: class/n}}}",
}
POLLED = {"modbus", "iio"}  # one record a life
SENT = [name for name in SOURCES if name not in POLLED | {"exec"}]


def batch(source, life):
    return [100 * life] if source in POLLED else [100 * life + i for i in range(5)]


def lines(numbers):
    return b"".join(json.dumps({"n": number}).encode() + b"\n" for number in numbers)


class Machines:
    """The agent, and what its sources are given."""

    def __init__(self, program):
        self.program, self.folder = program, tempfile.mkdtemp(prefix="rivulet-at-most-once-")
        os.makedirs(self.path("sys/class"))
        self.ports = {name: free_port() for name in ("UDP", "TCP", "MODBUS")}
        self.open = contextlib.ExitStack()
        _, self.say = self.open.enter_context(serial_cable(self.folder))
        text = (f"agent: {{id: e2e-at-most-once, state: FOLDER/state, commit_interval: {COMMIT_S}s}}\nkafka: {{brokers: [\"127.0.0.1:1\"]}}\nstatus: {{listen: \"unix:FOLDER/status.sock\"}}\n"
                "sources:\n" + "".join(f"  {name}: {{{source}}}\n" for name, source in SOURCES.items()) +
                "pipelines:\n" + "".join(f"  from-{name}: {{from: {name}, steps: [{{select: {{n: CAST(n AS INTEGER)}}}}], to: {name}}}\n" for name in SOURCES))
        for name, port in self.ports.items():
            text = text.replace(f":{name}\"", f":{port}\"")
        self.agent = Agent(program, self.folder, text.replace("FOLDER", self.folder))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.agent.running():
            self.agent.kill()
        self.open.close()
        if kind is None:
            shutil.rmtree(self.folder)
        else:
            print(f"kept for a look: {self.folder}\n--- the agent's last lines:\n{self.agent.log_tail()}", flush=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def begin(self, life, **environment):
        """Starts the agent, gives each source its batch, and returns when it has taken all of that in."""
        with open(self.path("sys/class/n"), "w") as sensor:
            sensor.write(f"{100 * life}\n")
        with open(self.path("printed"), "wb") as printed:
            printed.write(lines(batch("exec", life)))
        with modbus_slave(self.ports["MODBUS"], {0: 100 * life}):
            self.agent.start(stdin=subprocess.PIPE, **environment)
            wait_for("all sources to be ready", lambda: all(self.source(name)["state"].startswith(("listening", "reading")) for name in SENT), 20)
            self.send({name: batch(name, life) for name in SENT})
            wait_for("all sources to take their batch in", lambda: all(self.source(name)["records"] == len(batch(name, life)) for name in SOURCES), COMMIT_S)
            return self

    def source(self, name):
        assert self.agent.running(), "the agent was killed before its sources had taken everything in"
        status = self.agent.status()
        return next(source for source in status["sources"] if source["name"] == name) if status else {"state": "", "records": 0}

    def send(self, batches):
        with contextlib.suppress(ConnectionRefusedError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", self.ports["UDP"]))
            for number in batches.get("udp", []):
                client.send(lines([number]))
        self.say(b"\n" + lines(batches.get("serial", [])))  # what comes first after the opening may be the end of a line
        if "datagrams" in batches:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                for number in batches["datagrams"]:
                    client.sendto(lines([number]), self.path("datagrams.sock"))
        for name, family, where in (("stream", socket.AF_UNIX, self.path("stream.sock")), ("tcp", socket.AF_INET, ("127.0.0.1", self.ports["TCP"]))):
            if name in batches:
                with socket.socket(family) as client:
                    client.connect(where)
                    client.sendall(lines(batches[name]))
        if "stdin" in batches:
            self.agent.process.stdin.write(lines(batches["stdin"]))
            self.agent.process.stdin.flush()

    def killed(self):
        assert self.agent.process.wait(20) == -signal.SIGKILL, self.agent.process.returncode
        with open(self.path("pid")) as file:
            command = file.read().strip()
        wait_for("its command to be gone with it", lambda: not lives(command), 10)

    def committed(self):
        done = subprocess.run([self.program, "query", "-c", self.agent.config, "--json", "SELECT topic, value->>'n' AS n FROM outbox ORDER BY topic, seq"], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        found = {name: [] for name in SOURCES}
        for row in map(json.loads, done.stdout.splitlines()):
            found[row["topic"]].append(row["n"])
        return found


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def of(*lives_):
    return {name: [number for life in lives_ for number in batch(name, life)] for name in SOURCES}


def a_crash_takes_the_open_epoch_and_nothing_else(program):
    with Machines(program) as machines:
        machines.begin(1, RIVULET_KILL_AT="store.after_commit").killed()
        assert machines.committed() == of(1), f"what is committed is there once: {machines.committed()}"
        machines.begin(2, RIVULET_KILL_AT="store.before_commit").killed()
        assert machines.committed() == of(1), f"the open epoch is gone, and nothing else: {machines.committed()}"
        machines.send({"udp": [1], "serial": [1]})  # nobody is there
        machines.begin(3)
        wait_for("the batch after the crashes to be committed", lambda: machines.committed() == of(1, 3), 20, every=0.1)
        machines.agent.kill()
        machines.killed()
        assert machines.committed() == of(1, 3), machines.committed()


def explain_says_so_of_each_of_them(program):
    with Machines(program) as machines:
        said = subprocess.run([program, "explain", "-c", machines.agent.config], capture_output=True, text=True, timeout=20).stdout
        told = dict(re.findall(r"^source (\S+) \(.*\)\n((?:  .*\n)+)", said, re.MULTILINE))
        assert set(told) == set(SOURCES), said
        for name, text in told.items():
            assert text.startswith("  at most once: ") and re.search(r"not yet committed \(up to agent.commit_interval\b.*killed", text), f"{name}: {text}"


FACTS = {what.__name__: what for what in (a_crash_takes_the_open_epoch_and_nothing_else, explain_says_so_of_each_of_them)}


if __name__ == "__main__":
    main(FACTS, __doc__)
