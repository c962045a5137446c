#!/usr/bin/env python3
"""The agent under the system-call filter of its unit: it does all of its work, and asks for no call that is refused.

sandbox_test.py check PROGRAM: an agent with a source of each kind that the unit lets in alone, and the demo with its in-process Kafka.
sandbox_test.py self-test PROGRAM: the filter refuses what it is there for, and a unit that refuses what the agent needs is noticed.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from syscall_filter import Sandbox, can_be_asked

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNIT = (ROOT / "packaging" / "rivulet.service").read_text()
DEMO = (ROOT / "config" / "demo.yaml").read_text()
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from rig import Mosquitto, free_port  # noqa: E402

NOBODY = 65534
SECONDS = 20
STOPS_IN_S = 5
CONFIG = """agent: {id: sandboxed, state: FOLDER/state, commit_interval: 50ms}
kafka: {brokers: ["localhost:9"]}
status: {listen: "127.0.0.1:STATUS"}
sources:
  lines: {tcp: {listen: "127.0.0.1:TCP", acknowledge: true}, key: kind}
  posts: {http: {listen: "127.0.0.1:HTTP"}, key: kind}
  packets: {udp: {listen: "127.0.0.1:UDP"}, decode: {raw: {pattern: "^a (?<kind>[a-z]+)$"}}, key: kind}
  local: {unix: {path: FOLDER/local.sock}, key: kind}
  log: {file: {path: "FOLDER/*.log", poll: 20ms}, key: kind}
  packed: {file: {path: "FOLDER/*.gz", compression: gzip, poll: 20ms}, key: kind}
  command: {exec: {command: [sh, -c, "echo '{\\"kind\\": \\"command\\"}'"], interval: 1h}, key: kind}
  ended: {exec: {command: [sh, -c, "trap '' TERM; sleep 60"], interval: 300ms, timeout: 50ms, kill_after: 50ms}, key: kind}
  topic: {kafka: {topic: more}, key: kind}
  broker: {mqtt: {url: "mqtt://localhost:MQTT", topics: [a]}, key: kind}
  nobody: {mqtt: {url: "mqtt://localhost:9", topics: [a]}, key: kind}
  meter: {modbus: {url: "tcp://localhost:MODBUS", groups: {g: {interval: 1s, registers: {x: {register: input, address: 1}}}}}, key: "'modbus'"}
  gone: {modbus: {url: "tcp://localhost:9", groups: {g: {interval: 1s, registers: {x: {register: input, address: 1}}}}}, key: "'modbus'"}
  secret: {tcp: {listen: "127.0.0.1:TLS", acknowledge: true, tls: {certificate: FOLDER/own.pem, key: FOLDER/own.key}}, key: kind}
  climate: {iio: {root: FOLDER/sys, device: bme280, interval: 1s, fields: {t: {channel: in_temp}, board: {path: class/temp}}}, key: "'iio'"}
pipelines:
  seen:
    from: [lines, posts, packets, local, log, packed, command, ended, topic, broker, nobody, meter, gone, secret, climate]
    steps: [{aggregate: {select: {n: "count(*)"}, emit: every-change}}]
    to: [seen, {file: {path: FOLDER/seen.jsonl, record: whole}}]
"""
HARMLESS = {"socket of family 16"}  # getaddrinfo of glibc asks the kernel which addresses there are (AF_NETLINK), and goes on without an answer
KINDS = {"tcp", "http", "udp", "unix", "file", "gzip", "command", "mqtt", "modbus", "tls", "iio"}
SYSFS = {"bus/iio/devices/iio:device0/name": "bme280", "bus/iio/devices/iio:device0/in_temp_raw": "2150", "bus/iio/devices/iio:device0/in_temp_scale": "10", "class/temp": "41000"}


class Slave(socketserver.StreamRequestHandler):
    """A Modbus slave over TCP whose registers are all 0. (pymodbus is not where the agent's user may read.)"""

    def handle(self):
        while len(asked := self.rfile.read(12)) == 12:
            (registers,) = struct.unpack(">H", asked[10:])
            self.wfile.write(asked[:4] + struct.pack(">HBBB", 3 + 2 * registers, asked[6], asked[7], 2 * registers) + bytes(2 * registers))


def as_the_agents_user(*paths):
    """Not root, as in the unit, for the rest of this process; what it still needs is given away."""
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, NOBODY, NOBODY)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


class Service:
    """What systemd starts: in a folder of its own, under the filter, with a socket on which it says that it is ready."""

    def __init__(self, program, unit):
        self.sandbox = Sandbox(unit)
        self.folder = tempfile.TemporaryDirectory(prefix="rivulet-sandbox-")
        self.root = pathlib.Path(self.folder.name)
        self.program = program
        self.ports = {name: free_port() for name in ("STATUS", "TCP", "HTTP", "UDP", "TLS")}
        self.agent = None

    def __enter__(self):
        for path, text in SYSFS.items():
            (self.root / "sys" / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / "sys" / path).write_text(text + "\n")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", self.root / "own.key", "-out", self.root / "own.pem"], check=True, capture_output=True)
        (self.root / "broker").mkdir()
        self.mosquitto = Mosquitto(str(self.root / "broker"))
        self.slave = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Slave)
        self.slave.daemon_threads, self.slave.block_on_close = True, False
        threading.Thread(target=self.slave.serve_forever, daemon=True).start()
        self.text = CONFIG.replace("FOLDER", str(self.root))
        for name, port in {**self.ports, "MQTT": self.mosquitto.port, "MODBUS": self.slave.server_address[1]}.items():
            self.text = self.text.replace(f":{name}\"", f":{port}\"")
        (self.root / "rivulet.yaml").write_text(self.text)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(self.root / "notify.sock"))
        self.notified.setblocking(False)
        return self

    def __exit__(self, *_):
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait(SECONDS)
        self.slave.shutdown()
        self.slave.server_close()
        self.mosquitto.stop(kill=True)
        self.notified.close()
        self.folder.cleanup()

    def start(self):
        with open(self.root / "log", "w") as log:
            self.agent = self.sandbox.start([self.program, "run", "-c", str(self.root / "rivulet.yaml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.root, env={**os.environ, "NOTIFY_SOCKET": str(self.root / "notify.sock")})
        self.wait_until("it is ready", lambda: self.says("READY=1"))

    def says(self, word):
        with contextlib.suppress(BlockingIOError):
            return self.notified.recv(4096).decode().startswith(word)
        return False

    def wait_until(self, what, holds):
        """A call that is refused ends the wait: what it was for may never come."""
        until = time.monotonic() + SECONDS
        while not holds():
            self.nothing_is_refused(f"before {what}")
            assert self.agent.poll() is None, f"the agent ended with {self.agent.returncode} before {what}: {self.log()}"
            assert time.monotonic() < until, f"not within {SECONDS} s: {what}: {self.log()}"
            time.sleep(0.01)

    def nothing_is_refused(self, when):
        missed = sorted(self.sandbox.refused - HARMLESS)
        assert not missed, f"{', '.join(missed)} was refused {when}: {self.log()}"

    def log(self):
        return (self.root / "log").read_text()[-2000:]

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['STATUS']}{path}", timeout=SECONDS) as answer:
            return answer.read().decode()

    def kinds(self):
        """The kinds of records that have gone all the way to the file."""
        path = self.root / "seen.jsonl"
        return {json.loads(line)["key"] for line in path.read_text().splitlines()} if path.exists() else set()


def takes_records(service):
    """From each source, through a step with state, to a file."""
    with socket.create_connection(("127.0.0.1", service.ports["TCP"]), SECONDS) as client:
        client.sendall(b'{"kind": "tcp"}\n')
        assert client.makefile().readline() == "1\n", "no acknowledgement"
    with socket.create_connection(("127.0.0.1", service.ports["TLS"]), SECONDS) as client, ssl.create_default_context(cafile=service.root / "own.pem").wrap_socket(client, server_hostname="localhost") as client:
        client.sendall(b'{"kind": "tls"}\n')
        assert client.makefile().readline() == "1\n", "no acknowledgement over TLS"
    subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(service.mosquitto.port), "-q", "1", "-r", "-t", "a", "-m", '{"kind": "mqtt"}'], check=True, timeout=SECONDS)
    posted = urllib.request.Request(f"http://127.0.0.1:{service.ports['HTTP']}/", data=b'{"kind": "http"}\n')
    with urllib.request.urlopen(posted, timeout=SECONDS) as answer:
        assert json.loads(answer.read()) == {"records": 1}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"a udp", ("127.0.0.1", service.ports["UDP"]))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(service.root / "local.sock"))
        client.sendall(b'{"kind": "unix"}\n')
    (service.root / "a.log").write_text('{"kind": "file"}\n')
    subprocess.run(["gzip"], input=b'{"kind": "gzip"}\n', stdout=open(service.root / "a.gz.part", "wb"), check=True)
    os.rename(service.root / "a.gz.part", service.root / "a.gz")
    service.wait_until(f"records of {sorted(KINDS)} are in the file", lambda: service.kinds() == KINDS)


def answers(service):
    assert service.get("/healthz") == "ok\n", service.get("/healthz")
    status = json.loads(service.get("/status"))
    assert status["totals"]["in"] >= len(KINDS) and status["forward"]["link"] != "up", status


def takes_its_configuration_anew(service):
    (service.root / "rivulet.yaml").write_text(service.text.replace("/*.log", "/*.text"))
    (service.root / "b.text").write_text('{"kind": "again"}\n')
    service.agent.send_signal(signal.SIGHUP)
    service.wait_until("it says that it takes its configuration anew", lambda: service.says("RELOADING=1"))
    service.wait_until("it is ready again", lambda: service.says("READY=1"))
    service.wait_until("the other files are read", lambda: "again" in service.kinds())
    with open(service.root / "checked", "w+") as said:  # the unit's ExecReload= is under the filter, too
        check = service.sandbox.start([service.program, "check", "-c", str(service.root / "rivulet.yaml")], stdout=said, stderr=said)
        assert check.wait(SECONDS) == 0, (service.root / "checked").read_text()


def ends(service):
    begin = time.monotonic()
    service.agent.terminate()
    code = service.agent.wait(SECONDS)
    assert code == 0 and time.monotonic() - begin < STOPS_IN_S, f"ended with {code} after {time.monotonic() - begin:.1f} s: {service.log()}"


def works(program, unit):
    with Service(program, unit) as service:
        service.start()
        for step in (takes_records, answers, takes_its_configuration_anew, ends, Service.start, answers_again, ends):
            step(service)
        service.nothing_is_refused("until its end")


def answers_again(service):
    """After a start on a store that is there."""
    assert service.get("/healthz") == "ok\n"


def forwards(program):
    """Transactions of an exactly-once producer, over a link that is cut, as `rivulet demo` has them."""
    with Service(program, UNIT) as service:
        config = service.root / "demo.yaml"
        config.write_text(DEMO)
        with open(service.root / "log", "w") as log:
            service.agent = service.sandbox.start([service.program, "demo", "--seconds", "2", "-c", str(config)], stdout=log, stderr=log, cwd=service.root)
        assert service.agent.wait(6 * SECONDS) == 0, service.log()
        assert "missing                0\n" in service.log(), service.log()
        service.nothing_is_refused("in the demo")


def check(program):
    works(program, UNIT)
    forwards(program)
    print("the agent works under the unit's filter, and no call is refused")


HOSTILE = """
import ctypes, mmap, os, socket, time
def refused(call, *words):
    try: call(*words)
    except OSError as error: return error.errno
print(refused(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)), refused(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
      refused(os.chown, ".", 0, 0), refused(time.clock_settime, time.CLOCK_REALTIME, 0), refused(os.sched_setaffinity, 0, {0}),
      ctypes.CDLL(None).ptrace(0, 0, 0, 0), ctypes.CDLL(None).unshare(0x40000000))
"""


def refuses_what_it_is_there_for():
    """The control of the filter itself: a program that asks for what the unit forbids is told EPERM, of a socket EAFNOSUPPORT."""
    sandbox = Sandbox(UNIT)
    with sandbox.start([sys.executable, "-c", HOSTILE], stdout=subprocess.PIPE, text=True) as program:
        said = program.communicate(timeout=SECONDS)[0]
    assert said.split() == ["1", "97", "1", "1", "1", "-1", "-1"], said
    assert sandbox.refused == {"mmap", "socket of family 16", "chown", "clock_settime", "sched_setaffinity", "ptrace", "unshare"}, sandbox.refused


def self_test(program):
    refuses_what_it_is_there_for()
    cases = {
        "clock_adjtime was": ("SystemCallFilter=adjtimex clock_adjtime clock_adjtime64\n", ""),
        "socket of family": ("~@privileged @resources", "~@privileged @resources @network-io"),
        "eventfd|epoll|p?poll|p?select": ("~@privileged @resources", "~@privileged @resources @io-event"),
        "f(data)?sync": ("~@privileged @resources", "~@privileged @resources @sync"),
        "timerfd": ("~@privileged @resources", "~@privileged @resources @timer"),
        "socket of family 1 was": ("AF_INET AF_INET6 AF_UNIX", "AF_INET AF_INET6"),
    }
    for needed, change in cases.items():
        unit = UNIT.replace(*change)
        assert unit != UNIT, change
        try:
            works(program, unit)
        except AssertionError as noticed:
            assert re.match(needed, str(noticed)), (needed, str(noticed))
        else:
            raise AssertionError(f"nobody noticed that {change[0]} was made {change[1] or 'nothing'}")
    print(f"each of {len(cases)} units that refuse what the agent needs is noticed")


if __name__ == "__main__":
    if not can_be_asked():
        print("skipped: this kernel has no seccomp filter that asks another process (SECCOMP_RET_USER_NOTIF, Linux 5.0)")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="rivulet-sandbox-") as folder:
        copy = shutil.copy(sys.argv[2], folder)  # the folder of the build may be closed to the agent's user
        as_the_agents_user(folder, copy)
        {"check": check, "self-test": self_test}[sys.argv[1]](copy)
