#!/usr/bin/env python3
"""The http source of a real agent, asked by a real curl: http_scenarios.py --rivulet PROGRAM [NAME...]. `--list` prints the names. No Kafka is needed."""
import argparse
import contextlib
import gzip
import inspect
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig import free_port, wait_for  # noqa: E402

SECONDS = 60
CONFIG = """agent: {id: e2e-http, state: STATE, commit_interval: 50ms}
sources:
  posts:
    http: {listen: "127.0.0.1:PORT", path: /records, token: "${file:TOKEN}"TLS, max_body: 256KiB}
    key: id
pipelines:
  seen: {from: posts, steps: [{aggregate: {select: {n: "count(*)"}}}]}
"""
BATCH = 5


class Site:
    """A folder, a configuration, an agent that can be killed, and a curl."""

    def __init__(self, program, tls=False, config=CONFIG):
        self.program, self.tls = program, tls
        self.folder = tempfile.TemporaryDirectory(prefix="rivulet-http-")
        self.root = pathlib.Path(self.folder.name)
        self.port = free_port()
        (self.root / "token").write_text("let-me-in\n")
        settings = ""
        if tls:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                            "-keyout", self.root / "key.pem", "-out", self.root / "cert.pem"], check=True, capture_output=True)
            settings = f", tls: {{certificate: {self.root}/cert.pem, key: {self.root}/key.pem}}"
        self.config = self.root / "rivulet.yaml"
        self.config.write_text(config.replace("FOLDER", str(self.root)).replace("STATE", str(self.root / "state")).replace("PORT", str(self.port)).replace("TOKEN", str(self.root / "token")).replace("TLS", settings))
        self.agent = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.folder.cleanup()

    def start(self, **environment):
        self.agent = subprocess.Popen([self.program, "run", "-c", self.config], env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            if self.agent.poll() is not None:
                return
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.01)
        raise AssertionError("the agent does not listen")

    def kill(self):
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait(SECONDS)

    def curl(self, *arguments, data=None, token="let-me-in", path="/records"):
        """The last status and what came with it; status 0: there was no answer."""
        url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{path}"
        trust = ["--cacert", str(self.root / "cert.pem")] if self.tls else []
        done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}", "-H", f"Authorization: Bearer {token}", *trust, *arguments, url],
                              input=data, capture_output=True, timeout=SECONDS)
        text, _, status = done.stdout.decode().rpartition("\n")
        return int(status or 0), text

    def counts(self):
        done = subprocess.run([self.program, "query", "-c", self.config, "--json", 'SELECT "key", n FROM seen'], capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        return {row["key"]: row["n"] for row in map(json.loads, done.stdout.splitlines())}


def batch(number):
    return "".join(json.dumps({"id": f"{number}-{i}"}) + "\n" for i in range(BATCH)).encode()


def post_until_answered(site, number, keyed=True, **environment):
    """Sends a batch until it is answered 200; the agent is started again whenever it is dead. How often it was sent."""
    until = time.monotonic() + SECONDS
    for attempt in range(1, 1000):
        assert time.monotonic() < until, f"no 200 for batch {number} after {SECONDS} s"
        if site.agent is None or site.agent.poll() is not None:
            site.start(**environment)
        status, text = site.curl(*(["-H", f"Idempotency-Key: batch-{number}"] if keyed else []), "--data-binary", "@-", data=batch(number))
        if status == 200:
            assert json.loads(text) == {"records": BATCH}, text
            return attempt
        assert status in (0, 503), (status, text)
        if status == 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                site.agent.wait(1)  # curl may be told before its end is seen here
        environment = {}  # it was killed: the next one lives


POINTS = ["http.accepted", "agent.epoch_handed_over", "store.before_commit", "store.after_commit", "agent.epoch_durable", "http.before_answer", "http.after_answer", "agent.acknowledged"]


def each_post_is_there_once_over_kills_at_every_point(program):
    with Site(program) as site:
        number = again = 0
        for point in POINTS:
            for nth in (1, 3):
                site.kill()
                site.agent = None
                kill = {"RIVULET_KILL_AT": f"{point}:{nth}"}
                for _ in range(4):
                    again += post_until_answered(site, number, **kill) - 1
                    kill, number = {}, number + 1
        for old in range(0, number, 7):  # a client that lost its memory
            assert post_until_answered(site, old) == 1
        site.kill()
        site.start()
        wanted = {f"{b}-{i}": 1 for b in range(number) for i in range(BATCH)}
        found = site.counts()
        assert found == wanted, {key: found.get(key) for key in wanted | found if found.get(key) != wanted.get(key)}
        assert again >= len(POINTS), f"only {again} of {number} batches were sent again: the kills did not come"


def without_a_key_a_post_that_was_not_answered_may_be_there_twice(program):
    """The control of the fact above: the same kill, no Idempotency-Key."""
    with Site(program) as site:
        assert post_until_answered(site, 0, keyed=False, RIVULET_KILL_AT="http.before_answer") == 2
        assert set(site.counts().values()) == {2}, site.counts()


def an_answer_before_the_commit_is_noticed(program):
    """The negative control: the agent answers before it stores, and is killed in between."""
    with Site(program) as site:
        site.start(RIVULET_BREAK="agent.acknowledge_before_commit", RIVULET_KILL_AT="http.after_answer")
        status, _ = site.curl("-H", "Idempotency-Key: k", "--data-binary", "@-", data=batch(0))
        assert status == 200, status
        assert site.agent.wait(SECONDS) == -9, "it was to be killed after its answer"
        site.start()
        assert site.counts() == {}, "what was answered too early is there: the control does not break anything"


def curl_speaks_all_of_it(program):
    for tls in (False, True):
        with Site(program, tls) as site:
            site.start()
            expected = {}

            def taken(name, *arguments, data, records=1):
                status, text = site.curl(*arguments, data=data)
                assert status == 200 and json.loads(text) == {"records": records}, (name, status, text)
                expected[name] = records

            def record(name):
                return json.dumps({"id": name}).encode() + b"\n"

            taken("plain", "--data-binary", "@-", data=record("plain"))
            taken("json", "-H", "Content-Type: application/json", "--data-binary", "@-", data=b'{\n  "id": "json"\n}\n')
            taken("gzip", "-H", "Content-Encoding: gzip", "--data-binary", "@-", data=gzip.compress(record("gzip") * 100), records=100)
            zstd = subprocess.run(["zstd", "-q", "-c"], input=record("zstd") * 100, capture_output=True, check=True).stdout
            taken("zstd", "-H", "Content-Encoding: zstd", "--data-binary", "@-", data=zstd, records=100)
            taken("chunked", "-H", "Transfer-Encoding: chunked", "-X", "POST", "-T", "-", data=record("chunked") * 1000, records=1000)
            taken("expect", "-H", "Expect: 100-continue", "--data-binary", "@-", data=record("expect") * 10_000, records=10_000)
            taken("old", "--http1.0", "--data-binary", "@-", data=record("old"))
            for status, arguments in ((405, ["-I"]), (405, ["-X", "GET"]), (413, ["--data-binary", "@-"]), (400, ["--data", '{"id": "x"}\n{"id": ']), (415, ["-H", "Content-Type: text/csv", "--data", "a,b"])):
                found, text = site.curl(*arguments, data=b"x" * 300_000)
                assert found == status, (arguments, found, text)
            assert site.curl("--data", "{}", token="let-me-i")[0] == 401
            assert site.counts() == expected, site.counts()
            site.agent.terminate()
            assert site.agent.wait(SECONDS) == 0


LINES = """agent: {id: e2e-http, state: STATE, commit_interval: 50ms}
sources:
  posts:
    http: {listen: "127.0.0.1:PORT", path: /telegraf, token: "${file:TOKEN}"}
    decode: influx
    key: host
    timestamp: {field: time, unit: ns}
pipelines:
  all: {from: posts, to: [{file: {path: FOLDER/out.jsonl, record: whole}}]}
"""
# Of a batch as telegraf's outputs.http serializes it (data_format = "influx", influx_uint_support): the lines, and what they are as records.
BATCH_OF_LINES = r"""cpu,cpu=cpu-total,host=gw\ 1 usage_idle=98.4,usage_user=1,n=-7i 1700000000123456789
disk,device=sda1,host=gw\ 1,label=a\=b,path=/mnt/left\,right free=18446744073709551615u,full=false 1700000001000000000
net\ card,host=gw2 up=true,rate=1.5e-07 1700000002999999999
syslog,host=gw2 message="said \"off, now\" in C:\\temp, twice
in two lines",severity=3i 1700000003000000001
"""
OF_BATCH = [
    {"key": "gw 1", "value": {"measurement": "cpu", "cpu": "cpu-total", "host": "gw 1", "usage_idle": 98.4, "usage_user": 1.0, "n": -7, "time": 1700000000123456789}, "ts": 1700000000123},
    {"key": "gw 1", "value": {"measurement": "disk", "device": "sda1", "host": "gw 1", "label": "a=b", "path": "/mnt/left,right", "free": 18446744073709551615, "full": False,
                              "time": 1700000001000000000}, "ts": 1700000001000},
    {"key": "gw2", "value": {"measurement": "net card", "host": "gw2", "up": True, "rate": 1.5e-07, "time": 1700000002999999999}, "ts": 1700000002999},
    {"key": "gw2", "value": {"measurement": "syslog", "host": "gw2", "message": "said \"off, now\" in C:\\temp, twice\nin two lines", "severity": 3, "time": 1700000003000000001},
     "ts": 1700000003000},
]


def lines_of_telegraf_are_records_and_a_bad_one_takes_its_batch_back(program):
    """As outputs.http posts them: plain, and with content_encoding = "gzip", of known length and in chunks."""
    with Site(program, config=LINES) as site:
        site.start()
        good, bad = BATCH_OF_LINES.encode(), BATCH_OF_LINES.replace("up=true", "up=maybe").encode()
        form = ["-H", "Content-Type: text/plain; charset=utf-8", "-H", "User-Agent: Telegraf/1.33.0 Go/1.23.3"]
        whole, chunked, packed = ["--data-binary", "@-"], ["-H", "Transfer-Encoding: chunked", "-X", "POST", "-T", "-"], ["-H", "Content-Encoding: gzip"]
        ways = [(whole, bytes), (whole + packed, gzip.compress), (chunked + packed, gzip.compress)]
        for arguments, wrapped in ways:
            status, text = site.curl(*form, *arguments, data=wrapped(bad), path="/telegraf")
            assert status == 400 and json.loads(text)["line"] == 3 and "'maybe'" in text, (arguments, status, text)
            status, text = site.curl(*form, *arguments, data=wrapped(good), path="/telegraf")
            assert status == 200 and json.loads(text) == {"records": len(OF_BATCH)}, (arguments, status, text)
        out = site.root / "out.jsonl"
        wait_for("the records in the file", lambda: out.exists() and len(out.read_text().splitlines()) >= len(ways) * len(OF_BATCH), SECONDS)
        site.agent.terminate()
        assert site.agent.wait(SECONDS) == 0
        found = [json.loads(line) for line in out.read_text().splitlines()]
        assert json.dumps(found) == json.dumps(len(ways) * OF_BATCH), found  # as texts: 1 is not 1.0


FACTS = {name: what for name, what in globals().items() if inspect.isfunction(what) and list(inspect.signature(what).parameters) == ["program"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("name", nargs="*", choices=[*sorted(FACTS), []])
    given = parser.parse_args()
    if given.list:
        print("\n".join(FACTS))
        return
    for name in given.name or FACTS:
        FACTS[name](os.path.abspath(given.rivulet))
        print(f"{name}: ok", flush=True)


if __name__ == "__main__":
    main()
