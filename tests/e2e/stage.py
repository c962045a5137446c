"""A smaller stage than the campaign's rig: one real Kafka behind a proxy, one agent with a configuration of the test's own, a folder.

`with Stage(program) as stage:` stops everything by process id; the folder is kept for a look when the test failed.
"""
import json
import os
import shutil
import subprocess
import tempfile

from rig import Agent, wait_for
from kafka_broker import Broker
from proxy import Proxy


class Stage:
    def __init__(self, program, kafka=True, **start):
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="rivulet-e2e-")
        self.proxy = Proxy()
        self.broker = Broker(os.path.join(self.folder, "kafka"))
        self.port = self.proxy.port  # what the agent is told; TLS goes to the broker itself: the proxy reads frames
        self.agent = None
        self.others = []  # more to stop: anything with stop(kill=True)
        try:
            if kafka:
                self.broker.start(advertise=self.proxy.port, **start)
                self.proxy.target = self.broker.port
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        tail = self.agent.log_tail() if self.agent and kind else ""
        self.close()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept for a look: {self.folder}\n--- the agent's last lines:\n{tail}", flush=True)

    def close(self):
        if self.agent and self.agent.running():
            self.agent.kill()
        for other in self.others:
            other.stop(kill=True)
        self.broker.stop(kill=True)
        self.proxy.close()

    def path(self, name):
        return os.path.join(self.folder, name)

    def configure(self, sources, pipelines, kafka="", agent="", name="rivulet.yaml"):
        """The agent's configuration: what differs between tests is given, the rest is the same for all."""
        text = (f"agent: {{id: e2e-agent, state: {self.folder}/state, commit_interval: 50ms{agent}}}\n"
                f"kafka:\n  brokers: [\"127.0.0.1:{self.port}\"]\n  transaction: {{interval: 100ms, timeout: 20s}}\n{kafka}"
                f"status: {{listen: \"unix:{self.folder}/status.sock\"}}\nsources:\n{sources}pipelines:\n{pipelines}")
        self.agent = Agent(self.program, self.folder, text, name)
        return self.agent

    def command(self, *arguments, seconds=60):
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=seconds)

    def make_topics(self):
        made = self.command("topics", "--create", "-c", self.agent.config)
        assert made.returncode == 0, "rivulet topics --create: " + made.stdout + made.stderr

    def lines(self, name, numbers, pad=100, key="k"):
        """Numbered JSON lines at the end of a file."""
        with open(self.path(name), "a") as file:
            file.writelines(json.dumps({"n": n, "k": f"{key}{n % 5}", "pad": "x" * pad}) + "\n" for n in numbers)

    def wait_stored(self, count, seconds=30):
        wait_for(f"{count} records in the outbox", lambda: (self.agent.status() or {"store": {"outbox_records": -1}})["store"]["outbox_records"] == count, seconds)

    def wait_forwarded(self, count, seconds=60):
        wait_for(f"{count} records in Kafka", lambda: self.agent.forwarded() >= count and self.agent.drained(), seconds)

    def wait_forwarded_only(self, count, seconds=60):
        """As wait_forwarded, but something else may still wait in the outbox."""
        wait_for(f"{count} records in Kafka", lambda: self.agent.forwarded() >= count, seconds)

    def read(self, topic, port=0):
        """(partition, key, value) of every record, read_committed, by kcat: not ours."""
        done = subprocess.run(["kcat", "-b", f"127.0.0.1:{port or self.port}", "-C", "-t", topic, "-e", "-q", "-o", "beginning",
                               "-X", "isolation.level=read_committed", "-f", "%p\\t%k\\t%s\\n"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        rows = [line.split("\t", 2) for line in done.stdout.splitlines()]
        return [(int(partition), key, value) for partition, key, value in rows]

    def numbers(self, topic, port=0):
        """The numbers of the topic's records by partition, in order; gap records are left out."""
        found = {}
        for partition, key, value in self.read(topic, port):
            if key != "rivulet-gap":
                found.setdefault(partition, []).append(json.loads(value)["n"])
        return found

    def expect_exactly(self, topic, numbers, port=0):
        """Each number once, in order in its partition, and `rivulet verify` says the same."""
        found = self.numbers(topic, port)
        got = sorted(n for part in found.values() for n in part)
        assert got == sorted(numbers), f"{topic}: {len(got)} records instead of {len(list(numbers))}; missing {sorted(set(numbers) - set(got))[:10]}"
        for partition, part in found.items():
            assert part == sorted(part), f"{topic}: partition {partition} is out of order"
        assert len(found) > 1 or len(got) < 10, f"{topic}: everything is in one partition, so order proves nothing"
        verified = self.command("verify", "--brokers", f"127.0.0.1:{port or self.port}", "--topic", topic)
        assert verified.returncode == 0, verified.stdout + verified.stderr

    def peak_kib(self):
        with open(f"/proc/{self.agent.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
