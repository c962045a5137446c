"""One real Apache Kafka broker (KRaft, one node) in a folder of its own, on loopback.

Kafka comes from Maven Central once, into ~/.cache/rivulet (XDG_CACHE_HOME). Beside its jars is kept what each start would make again: an empty formatted
storage, and its classes as this JVM has them in memory. With both a broker takes 2.8 s of CPU to start, without 7.

Everything that is started is stopped by its process id, which is kept in the folder, so that another process can stop it too.
"""
import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

VERSION = "4.3.1"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>rivulet</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{VERSION}</version></dependency>
  </dependencies>
</project>
"""


PORTS = range(20_000, 32_000)  # below those that the kernel gives to whoever binds 0 or connects
_locks = []  # of the ports of this process; they go with it


def free_port():
    """A port that nobody else gets here until this process ends, however late it is bound."""
    folder = os.path.join(tempfile.gettempdir(), f"rivulet-ports-{os.getuid()}")
    os.makedirs(folder, exist_ok=True)
    for port in random.SystemRandom().sample(PORTS, 1000):
        lock = open(os.path.join(folder, str(port)), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:  # another test's, or another program's
            lock.close()
            continue
        _locks.append(lock)
        return port
    raise RuntimeError("no free port")


def fetch():
    """The folder of Kafka's jars. Two that fetch at the same time wait for each other."""
    base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "rivulet")
    libs = os.path.join(base, f"kafka-{VERSION}")
    if os.path.exists(os.path.join(libs, ".complete")):
        return libs
    os.makedirs(base, exist_ok=True)
    with open(os.path.join(base, "kafka.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(libs, ".complete")):
            return libs
        shutil.rmtree(libs, ignore_errors=True)
        os.makedirs(libs)
        with open(os.path.join(libs, "pom.xml"), "w") as pom:
            pom.write(POM)
        for attempt in range(3):
            done = subprocess.run(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=" + libs], cwd=libs, capture_output=True, text=True)
            if done.returncode == 0:
                break
            time.sleep(2 * (attempt + 1))
        else:
            raise RuntimeError("kafka: Maven could not fetch Apache Kafka:\n" + done.stdout[-2000:] + done.stderr[-2000:])
        open(os.path.join(libs, ".complete"), "w").close()
    return libs


JAVA = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


def _kept(name, make):
    """What `make` wrote to the path that it was given, once for all; two that want it at the same time wait for each other."""
    path = os.path.join(fetch(), name)
    if not os.path.exists(path):
        with open(path + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(path):
                shutil.rmtree(path + ".new", ignore_errors=True)
                make(path + ".new")
                os.rename(path + ".new", path)
    return path


def _formatted(arguments):
    """A folder as the storage tool leaves it: the cluster's id, and what `arguments` ask for (users)."""
    def make(path):
        os.makedirs(path)
        with tempfile.NamedTemporaryFile("w", prefix="rivulet-kafka-", suffix=".properties") as config:
            config.write("process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\nlisteners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\n"
                         f"controller.listener.names=CONTROLLER\nlog.dirs={path}\n")
            config.flush()
            done = subprocess.run([*JAVA, "-cp", fetch() + "/*", "kafka.tools.StorageTool", "format", "-t", "cmV2dWxldC10ZXN0cy0wMQ", "-c", config.name, *arguments],
                                  capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError("kafka: formatting its storage failed: " + done.stdout[-1500:] + done.stderr[-1500:])
    return _kept("formatted-" + hashlib.sha256("\0".join(arguments).encode()).hexdigest()[:16], make)


def class_archive():
    """The file of -XX:SharedArchiveFile; a JVM takes it if it fits and does without if not."""
    java = os.path.realpath(shutil.which("java") or "java")
    jvm = hashlib.sha256(f"{java} {os.stat(java).st_mtime_ns}".encode()).hexdigest()[:16]

    def make(path):
        with tempfile.TemporaryDirectory(prefix="rivulet-kafka-") as folder:
            broker = Broker(folder)
            broker.start(options=["-XX:ArchiveClassesAtExit=" + path])
            broker.create_topic("a", 1, {})  # a client's requests, too
            broker.stop(patience_s=120)
        if not os.path.exists(path):
            open(path, "w").close()
    return _kept(f"classes-{jvm}.jsa", make)


class Broker:
    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.process = None
        self.port = 0
        self.state = os.path.join(self.folder, "broker.json")
        if os.path.exists(self.state):
            with open(self.state) as file:
                known = json.load(file)
            self.port, self.pid = known["port"], known["pid"]
        else:
            self.pid = 0

    def start(self, port=0, advertise=0, extra=None, format_arguments=(), options=None):
        """`extra`: more server.properties; a listener of its own replaces the plain one. `options`: the JVM's."""
        os.makedirs(self.folder, exist_ok=True)
        self.port = port or free_port()
        controller = free_port()
        properties = {
            "process.roles": "broker,controller", "node.id": "1", "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{advertise or self.port}",
            "controller.listener.names": "CONTROLLER", "log.dirs": os.path.join(self.folder, "data"),
            "offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4", "offsets.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0", "auto.create.topics.enable": "false",
            "log.retention.ms": "-1",  # records of tests may be years old by their own time, which would have them deleted within minutes
        }
        properties.update({key: str(value).replace("{port}", str(self.port)).replace("{controller}", str(controller)) for key, value in (extra or {}).items()})
        config = os.path.join(self.folder, "server.properties")
        with open(config, "w") as file:
            file.writelines(f"{key}={value}\n" for key, value in properties.items())
        shutil.copytree(_formatted(format_arguments), os.path.join(self.folder, "data"))
        self._run(options)

    def _run(self, options=None):
        options = ["-XX:SharedArchiveFile=" + class_archive()] if options is None else options
        log = open(os.path.join(self.folder, "broker.log"), "a")
        self.process = subprocess.Popen(
            [*JAVA, *options, "-cp", fetch() + "/*", "kafka.Kafka", os.path.join(self.folder, "server.properties")],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.pid = self.process.pid
        with open(self.state, "w") as file:
            json.dump({"port": self.port, "pid": self.pid}, file)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError("kafka: the broker ended at its start; see " + os.path.join(self.folder, "broker.log"))
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("kafka: the broker did not listen within 60 s")

    def create_topic(self, name, partitions, settings):
        """With settings that `rivulet topics --create` does not know; a JVM each time (2 s). Bypasses a proxy."""
        config = [word for key, value in settings.items() for word in ("--config", f"{key}={value}")]
        self._topic_command(name, "--create", "--partitions", str(partitions), *config)

    def alter_topic(self, name, settings):
        self._topic_command(name, "--alter", "--add-config", ",".join(f"{key}={value}" for key, value in settings.items()), tool="kafka.admin.ConfigCommand")

    def delete_topic(self, name):
        self._topic_command(name, "--delete")

    def delete_records(self, ends):
        """As retention does: {(topic, partition): the first offset that stays}."""
        path = os.path.join(self.folder, "delete_records.json")
        with open(path, "w") as file:
            json.dump({"version": 1, "partitions": [{"topic": topic, "partition": partition, "offset": end} for (topic, partition), end in ends.items()]}, file)
        self._command("org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", path)

    def _topic_command(self, name, *arguments, tool="org.apache.kafka.tools.TopicCommand"):
        self._command(tool, "--topic", name, *arguments)

    def _command(self, tool, *arguments):
        done = subprocess.run(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", fetch() + "/*", tool, "--bootstrap-server", f"127.0.0.1:{self.port}", *arguments],
                              capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"kafka: {tool} {' '.join(arguments)}: " + done.stdout[-1500:] + done.stderr[-1500:])

    def restart(self):
        self._run()

    def stop(self, kill=False, patience_s=20):
        if self.pid == 0:
            return
        try:
            os.kill(self.pid, signal.SIGKILL if kill else signal.SIGTERM)
        except ProcessLookupError:
            pass
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if self.process is not None:
                if self.process.poll() is not None:
                    break
            elif not os.path.exists(f"/proc/{self.pid}"):
                break
            time.sleep(0.05)
        else:
            os.kill(self.pid, signal.SIGKILL)
            if self.process is not None:
                self.process.wait()
        self.pid = 0
        if os.path.exists(self.state):
            with open(self.state, "w") as file:
                json.dump({"port": self.port, "pid": 0}, file)
