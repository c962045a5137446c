"""What the end-to-end tests stand on: a real Kafka behind a proxy, a real mosquitto, numbered records from four sources, the
agent, and an independent read_committed reader (kcat). Everything lives in one temporary folder and is stopped by process id."""
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from kafka_broker import Broker, free_port  # noqa: E402
from proxy import Proxy  # noqa: E402


def wait_for(what, condition, seconds=30.0, every=0.02):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(every)
    raise AssertionError(f"waited {seconds} s in vain for: {what}")


def wait_for_count(what, count, wanted, seconds=30.0, every=0.02):
    """The deadline runs from the last growth: a busy machine may be slow, but it does not stand still."""
    most, deadline = None, 0.0
    while (now := count()) < wanted:
        if most is None or now > most:
            most, deadline = now, time.monotonic() + seconds
        elif time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for: {what}; {most} of {wanted}")
        time.sleep(every)


def fault_points():
    """Every fault_point("...") of the running agent's code: a new one is in the campaign by itself. (`rivulet restore`, reloads, local outputs
    and the http source have their own: restore_scenarios.py, reload_scenarios.py, sink_scenarios.py, http_scenarios.py.)"""
    found = set()
    for folder in ("agent", "store"):
        for base, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in files:
                if name.endswith(".cpp"):
                    with open(os.path.join(base, name)) as file:
                        found.update(re.findall(r'fault_point\("([^"]+)"\)', file.read()))
    return sorted(name for name in found if not name.startswith(("restore.", "sink.", "reload.", "http.")))


class Mosquitto:
    def __init__(self, folder, more=""):
        self.folder = folder
        self.port = free_port()
        self.config = os.path.join(folder, "mosquitto.conf")
        os.makedirs(os.path.join(folder, "mosquitto"), exist_ok=True)
        with open(self.config, "w") as file:
            file.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/mosquitto/\n"
                       f"autosave_interval 1\nmax_queued_messages 0\nset_tcp_nodelay true\nuser root\n{more}")
        self.start()

    def start(self):
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen([program, "-c", self.config], stdout=open(os.path.join(self.folder, "mosquitto.log"), "a"), stderr=subprocess.STDOUT)
        wait_for("mosquitto to listen", lambda: port_open(self.port), 10)

    def stop(self, kill=False):
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self.process.wait(10)


def port_open(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


class Agent:
    """`rivulet run` on one configuration; started and killed many times."""

    def __init__(self, program, folder, config_text, name="rivulet.yaml"):
        self.program = program
        self.folder = folder
        self.config = os.path.join(folder, name)
        self.log_path = os.path.join(folder, "agent.log")
        self.process = None
        with open(self.config, "w") as file:
            file.write(config_text)

    def start(self, stdin=subprocess.DEVNULL, **environment):
        env = dict(os.environ)
        env.update(environment)
        self.process = subprocess.Popen([self.program, "run", "-c", self.config], stdout=open(self.log_path, "a"), stderr=subprocess.STDOUT, env=env, stdin=stdin)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.running():
            self.process.kill()
        self.process.wait(10)

    def terminate(self, seconds=10):
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        return code, time.monotonic() - begin

    def status(self):
        """The status listener's answer on its unix socket, or None."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(3)
                client.connect(os.path.join(self.folder, "status.sock"))
                client.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = b""
                while True:
                    part = client.recv(65536)
                    if not part:
                        break
                    answer += part
            return json.loads(answer.split(b"\r\n\r\n", 1)[1])
        except (OSError, ValueError, IndexError):
            return None

    def status_now(self):
        """The same, waited for: one attempt may fail on a busy machine."""
        answers = [None]
        wait_for("the status listener to answer", lambda: answers.append(self.status()) or answers[-1] is not None, 30)
        return answers[-1]

    def forwarded(self):
        """Records that Kafka has, since this start."""
        status = self.status()
        return status["forward"]["forwarded_records"] if status and status["forward"] else 0

    def drained(self):
        """Nothing waits in the outbox."""
        status = self.status()
        return status is not None and status["store"]["outbox_records"] == 0

    def log_tail(self, lines=30):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, errors="replace") as file:
            return "".join(file.readlines()[-lines:])


class FileWriter(threading.Thread):
    """Numbered lines onto a growing file that is rotated by rename, as logrotate does it (log, log.1, log.2 ...). Some lines come
    in halves, so that a tail meets unfinished ones. `make(source, number)`: other records than `record()`."""

    LINES, KEPT = 250, 30

    def __init__(self, path, rate, make=None):
        super().__init__(daemon=True)
        self.path, self.rate, self.make, self.count, self.ending = path, rate, make or record, 0, threading.Event()
        open(path, "a").close()

    def rotate(self):
        for number in range(self.KEPT - 1, 0, -1):
            if os.path.exists(f"{self.path}.{number}"):
                os.rename(f"{self.path}.{number}", f"{self.path}.{number + 1}")
        os.rename(self.path, self.path + ".1")

    def run(self):
        while not self.ending.is_set():
            with open(self.path, "ab", buffering=0) as file:
                self.write(file)
            if not self.ending.is_set():
                self.rotate()

    def write(self, file):
        for _ in range(self.LINES):
            if self.ending.is_set():
                return
            line = self.make("file", self.count)
            if self.count % 10 == 0:
                file.write(line[:9])
                time.sleep(0.001)
                file.write(line[9:] + b"\n")
            else:
                file.write(line + b"\n")
            self.count += 1
            time.sleep(1 / self.rate)


class BatchWriter(threading.Thread):
    """Numbered lines in gzip files that are whole when they appear, renamed into place, some a second."""

    LINES, A_SECOND = 60, 2

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.count, self.files, self.ending = folder, 0, 0, threading.Event()
        os.makedirs(folder, exist_ok=True)

    def run(self):
        while not self.ending.wait(1 / self.A_SECOND):
            lines = b"".join(record("batch", self.count + i) + b"\n" for i in range(self.LINES))
            path = os.path.join(self.folder, f"{self.files:06}")
            with gzip.open(path + ".part", "wb") as file:
                file.write(lines)
            os.rename(path + ".part", path + ".gz")
            self.count += self.LINES
            self.files += 1


class TcpSender(threading.Thread):
    """Numbered frames with HELLO: goes on from RESUME, which counts what is committed."""

    def __init__(self, port, rate, make=None):
        super().__init__(daemon=True)
        self.port, self.rate, self.make, self.acknowledged, self.ending = port, rate, make or record, 0, threading.Event()
        self.target = None  # set at the end: send up to here
        self.resumes = 0

    def run(self):
        while not self.finished():
            try:
                self.session()
            except (OSError, ValueError):
                time.sleep(0.02)

    def finished(self):
        return self.target is not None and self.acknowledged >= self.target

    def session(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(b"HELLO e2e\n")
            answers = client.makefile("rb")
            first = answers.readline()
            if not first.startswith(b"RESUME "):
                raise ValueError(first)
            sent = int(first.split()[1])
            if sent < self.acknowledged:
                raise SystemExit(f"tcp: RESUME {sent} after {self.acknowledged} was acknowledged: an acknowledged frame is gone")
            self.acknowledged = sent
            self.resumes += 1
            client.settimeout(0.002)
            pending = b""
            while not self.finished():
                if self.ending.is_set() and self.target is None:
                    self.target = sent
                if self.target is None or sent < self.target:
                    client.settimeout(5)
                    client.sendall(self.make("tcp", sent) + b"\n")
                    sent += 1
                client.settimeout(1 / self.rate)
                try:
                    part = client.recv(65536)
                    if not part:
                        return
                    pending += part
                except TimeoutError:
                    continue
                lines = pending.split(b"\n")
                pending = lines.pop()
                if lines:
                    self.acknowledged = int(lines[-1])


class MqttPublisher(threading.Thread):
    """Numbered messages with paho (not ours), QoS as asked."""

    def __init__(self, port, rate, qos=2, name="mqtt"):
        super().__init__(daemon=True)
        import paho.mqtt.client as paho
        arguments = {"client_id": "e2e-publisher-" + name, "clean_session": False}
        if hasattr(paho, "CallbackAPIVersion"):
            arguments["callback_api_version"] = paho.CallbackAPIVersion.VERSION1
        self.client = paho.Client(**arguments)
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(15)  # above mosquitto's 20 it closes the connection, again at each resend
        self.client.reconnect_delay_set(1, 1)
        self.port, self.rate, self.qos, self.name_, self.count, self.ending = port, rate, qos, name, 0, threading.Event()
        self.delivered = 0
        self.client.on_publish = self.on_publish
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def on_publish(self, *_):
        self.delivered += 1

    def run(self):
        while not self.ending.is_set():
            self.client.publish("plant/" + self.name_, record(self.name_, self.count), qos=self.qos)
            self.count += 1
            time.sleep(1 / self.rate)

    def finish(self):
        self.ending.set()
        self.join()
        wait_for_count("the publisher's messages to reach mosquitto", lambda: self.delivered, self.count)
        self.client.disconnect()
        self.client.loop_stop()


def record(source, number):
    return json.dumps({"s": source, "n": number, "k": f"k{number % 7}", "t": 20 + number % 50, "pad": "x" * 60}).encode()


CONFIG = """
agent: {{id: e2e-agent, state: {folder}/state, commit_interval: 50ms, memory: 8MiB}}
kafka:
  brokers: ["127.0.0.1:{kafka}"]
  delivery: {delivery}
  transaction: {{interval: 100ms, timeout: 20s}}
status: {{listen: "unix:{folder}/status.sock"}}
sources:
  mqtt: {{mqtt: {{url: "mqtt://127.0.0.1:{mqtt}", topics: ["plant/#"], qos: {qos}, version: {version}}}, key: k}}
  file: {{file: {{path: {folder}/sensor.log, poll: 20ms}}, key: k}}
  batch: {{file: {{path: "{folder}/batches/*.gz", compression: gzip, poll: 20ms}}, key: k}}
  tcp: {{tcp: {{listen: "127.0.0.1:{tcp}", acknowledge: true}}, key: k}}
pipelines:
  p-mqtt: {{from: mqtt, steps: [{{where: n IS NOT NULL}}], to: t-mqtt}}
  p-file: {{from: file, steps: [{{where: n IS NOT NULL}}, {{set: {{f: "t * 1.8 + 32"}}}}], to: t-file}}
  p-batch: {{from: batch, to: t-batch}}
  p-tcp: {{from: tcp, to: t-tcp}}
"""

TOPICS = ("t-mqtt", "t-file", "t-batch", "t-tcp")


class Rig:
    """All of it. `with Rig(program) as rig:`"""

    def __init__(self, program, qos=2, delivery="exactly-once", rate=150, version="5"):
        self.folder = tempfile.mkdtemp(prefix="rivulet-e2e-")
        self.program = program
        self.proxy = Proxy()
        self.broker = Broker(os.path.join(self.folder, "kafka"))
        self.broker.start(advertise=self.proxy.port)
        self.proxy.target = self.broker.port
        self.mosquitto = Mosquitto(self.folder)
        self.tcp_port = free_port()
        self.agent = Agent(program, self.folder, CONFIG.format(folder=self.folder, kafka=self.proxy.port, mqtt=self.mosquitto.port, tcp=self.tcp_port, qos=qos, delivery=delivery, version=version))
        self.qos, self.rate = qos, rate
        self.keep = False

    def __enter__(self):
        made = subprocess.run([self.program, "topics", "--create", "-c", self.agent.config], capture_output=True, text=True, timeout=60)
        assert made.returncode == 0, "rivulet topics --create: " + made.stdout + made.stderr
        return self

    def __exit__(self, kind, *_):
        ended = f" (it ended with {self.agent.process.returncode})" if self.agent.process and not self.agent.running() else ""
        if self.agent.running():
            self.agent.kill()
        self.mosquitto.stop(kill=True)
        self.broker.stop(kill=True)
        self.proxy.close()
        if kind is None and not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"\nkept for a look: {self.folder}\n--- the agent's last lines{ended}:\n{self.agent.log_tail()}", flush=True)

    def start_senders(self):
        self.agent.start()
        wait_for("the agent to subscribe", lambda: "subscribed at" in self.agent.log_tail(200), 20)
        self.file = FileWriter(os.path.join(self.folder, "sensor.log"), self.rate)
        self.batch = BatchWriter(os.path.join(self.folder, "batches"))
        self.tcp = TcpSender(self.tcp_port, self.rate)
        self.mqtt = MqttPublisher(self.mosquitto.port, self.rate, self.qos)
        for sender in (self.file, self.batch, self.tcp, self.mqtt):
            sender.start()

    def finish(self, seconds=90):
        """The senders end, the agent (running) takes and forwards everything. What was sent, by topic."""
        self.file.ending.set()
        self.file.join()
        self.batch.ending.set()
        self.batch.join()
        self.tcp.ending.set()
        self.mqtt.finish()
        wait_for("every TCP frame to be acknowledged", self.tcp.finished, 30)
        sent = {"t-mqtt": self.mqtt.count, "t-file": self.file.count, "t-batch": self.batch.count, "t-tcp": self.tcp.target}
        stable = [None, 0]

        def settled():
            status = self.agent.status()
            if status is None or not self.agent.drained():
                stable[1] = 0
                return False
            now = status["totals"]["in"]
            stable[1] = stable[1] + 1 if now == stable[0] else 0
            stable[0] = now
            return stable[1] >= 10
        wait_for("the outbox to drain", settled, seconds, every=0.1)
        # On a busy machine a source may need longer than that second to begin: what comes late is not missing.
        late = time.monotonic() + 8
        while any(len({number for _, number in self.read(topic)}) < sent[topic] for topic in TOPICS) and time.monotonic() < late:
            time.sleep(0.5)
        stable[1] = 0
        wait_for("the outbox to drain", settled, seconds, every=0.1)
        return sent

    def read(self, topic):
        """(partition, number) of every record, read_committed, by kcat, in order of partition and offset."""
        done = subprocess.run(["kcat", "-b", f"127.0.0.1:{self.proxy.port}", "-C", "-t", topic, "-e", "-q", "-o", "beginning", "-X", "isolation.level=read_committed", "-f", "%p %s\\n"],
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        rows = []
        for line in done.stdout.splitlines():
            partition, value = line.split(" ", 1)
            if value:
                rows.append((int(partition), json.loads(value)["n"]))
        return rows

    def judge(self, sent):
        """missing, duplicated, out of order over all topics, and a line each."""
        totals = [0, 0, 0]
        for topic in TOPICS:
            rows = self.read(topic)
            numbers = [number for _, number in rows]
            gone = sorted(set(range(sent[topic])) - set(numbers))
            missing = len(gone)
            duplicates = len(numbers) - len(set(numbers))
            last, disorder = {}, 0
            for partition, number in rows:
                disorder += number < last.get(partition, -1)
                last[partition] = max(number, last.get(partition, -1))
            print(f"  {topic}: in {sent[topic]}, out {len(numbers)}, missing {missing}, duplicated {duplicates}, out of order {disorder}{f'; missing are {gone[0]} to {gone[-1]}' if gone else ''}", flush=True)
            for index, number in enumerate((missing, duplicates, disorder)):
                totals[index] += number
        return totals

    def verify(self, quiet=False):
        """`rivulet verify` on every topic: the worst exit code."""
        worst = 0
        for topic in TOPICS:
            done = subprocess.run([self.program, "verify", "--brokers", f"127.0.0.1:{self.proxy.port}", "--topic", topic], capture_output=True, text=True, timeout=120)
            if done.returncode != 0 and not quiet:
                print(done.stdout + done.stderr)
            worst = max(worst, done.returncode)
        return worst
