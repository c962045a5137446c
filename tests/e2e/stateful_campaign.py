#!/usr/bin/env python3
"""Windows, joins and tables under kill -9: a growing, rotated file and a TCP session, out of order within and beyond grace, while the agent is
killed at every named point and at random, links are cut, EndTxn replies dropped, Kafka killed. Then every result is read back read_committed
and held against a computation from the input alone (stateful_truth.py): key, value, timestamp, window headers; none missing, none
twice, in order for each key. Of `updates` the last of each key and window, and those before it are revisions, none again.

--broken NAME breaks something on purpose: then 0 only if the comparison shows it. The seed is printed and taken back by RIVULET_SEED.
"""
import argparse
import collections
import json
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from campaign import TROUBLES, Campaign  # noqa: E402
from rig import FileWriter, TcpSender, fault_points, free_port, wait_for  # noqa: E402
from stage import Stage  # noqa: E402
from stateful_input import PIPELINES, Input, sources  # noqa: E402
from stateful_truth import expected  # noqa: E402

# What must be seen when it is broken, and what must not. (`rivulet verify` sees nothing of state that is apart: the results are numbered well.)
SYMPTOM = {"no-resolve": ("twice", ("missing", "wrong")), "agent.state_apart": ("wrong", ("verify",))}
# While thousands of windows close at once, over several epochs.
LAST_KILLS = ("store.before_commit", "store.after_commit", "agent.epoch_durable", "forward.after_commit")
MARK = b"\n@@record@@ "


class Play:
    """The senders, and everything that they send."""

    def __init__(self, stage, given, rate, environment):
        self.stage, self.given, self.rate, self.environment, self.tcp_port = stage, given, rate, environment, free_port()
        stage.configure(sources(stage.folder, self.tcp_port), PIPELINES, agent=", memory: 4MiB")
        stage.make_topics()

    def start(self):
        self.stage.agent.start()
        self.file = FileWriter(self.stage.path("sensor.log"), self.rate, self.given.line)
        self.tcp = TcpSender(self.tcp_port, self.rate * 3, self.given.line)  # only while it is connected
        self.file.start()
        self.tcp.start()
        wait_for("the first records in Kafka", lambda: self.stage.agent.forwarded() > 0, 40)
        self.stage.agent.kill()

    def finish(self, kill_at, points):
        """Everything is taken in; then, under kills, every window closes; then nothing waits any more."""
        self.file.ending.set()
        self.file.join()
        self.tcp.ending.set()
        self.stage.agent.start(**self.environment)
        wait_for("every TCP frame to be acknowledged", self.tcp.finished, 60)
        self.given.totals.update(file=self.file.count, tcp=self.tcp.target)
        self.append(1)
        wait_for("the file to be read", lambda: "read" in self.marks(), 60, every=0.3)
        self.stage.agent.kill()
        self.append(3)
        end = TcpSender(self.tcp_port, self.rate, self.given.line)
        end.acknowledged, end.target = self.tcp.target, self.tcp.target + 2
        end.start()
        for number, point in enumerate(points):
            kill_at(point, number % 3 + 1)
        self.stage.agent.start(**self.environment)
        wait_for("the last TCP frame to be acknowledged", end.finished, 60)
        wait_for("the file's end to be read", lambda: "closed" in self.marks(), 60, every=0.3)
        stable = [0]

        def settled():
            stable[0] = stable[0] + 1 if self.stage.agent.drained() else 0
            return stable[0] >= 15
        wait_for("the outbox to drain", settled, 90, every=0.1)
        code, _ = self.stage.agent.terminate()
        assert code == 0, f"the agent ended with {code}"

    def append(self, count):
        with open(self.stage.path("sensor.log"), "ab") as file:
            for _ in range(count):
                file.write(self.given.line("file", self.file.count) + b"\n")
                self.file.count += 1

    def marks(self):
        return {json.loads(value)["mark"] for _, _, value in self.stage.read("t-marks")}


def read(stage, topic):
    """(key, value, timestamp, window) of every record, read_committed, by kcat; the window is the headers'."""
    form = MARK.decode().replace("\n", "\\n") + "%T %K %k %S %s %h"
    done = subprocess.run(["kcat", "-b", f"127.0.0.1:{stage.port}", "-C", "-t", topic, "-e", "-q", "-o", "beginning", "-X", "isolation.level=read_committed", "-f", form],
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = []
    for text in done.stdout.split(MARK)[1:]:
        ts, length, rest = text.split(b" ", 2)
        length = int(length)
        key, rest = rest[:max(length, 0)].decode() if length >= 0 else None, rest[max(length, 0):]
        size, rest = rest[1:].split(b" ", 1)
        value = json.loads(rest[:int(size)]) if int(size) >= 0 else None
        bounds = re.findall(rb"window\.(start|end)=(-?\d+)", rest[max(int(size), 0):])
        assert not bounds or [name for name, _ in bounds] == [b"start", b"end"], f"{topic}: window headers {bounds}"
        rows.append((key, value, int(ts), tuple(int(number) for _, number in bounds) or None))
    return rows


class Verdict(collections.Counter):
    """How much is missing, twice, wrong (no result of this input), out of order."""

    def judge(self, topic, mode, wanted, got):
        before = collections.Counter(self)
        headers = sum(1 for one in got if one[3])
        for _, value, _, window in got:  # said apart, although every window is also compared with the computation's
            if value and "window_start" in value and (value["window_start"], value["window_end"]) != window:
                self["headers"] += 1
        (self.judge_last if mode == "last" else self.judge_rows)(mode, wanted, got)
        bad = {name: self[name] - before[name] for name in self if self[name] != before[name]}
        print(f"  {topic}: {len(wanted)} {'keys and windows' if mode == 'last' else 'results'}, {len(got)} records ({headers} with window headers): {bad or 'equal'}", flush=True)

    def judge_rows(self, mode, wanted, got):
        want, have = (collections.Counter(map(frozen, rows)) for rows in (wanted, got))
        self["missing"] += sum((want - have).values())
        for one, times in (have - want).items():
            self["twice" if one in want else "wrong"] += times
            self.example(one)
        if mode == "ordered" and want == have:
            for key in {one[0] for one in got} - {None}:  # records without a key may be in any partition
                pairs = zip((one for one in wanted if one[0] == key), (one for one in got if one[0] == key))
                self["out of order"] += sum(one != other for one, other in pairs)

    def judge_last(self, _, wanted, got):
        came = {}
        for one in got:
            name = one[0], one[3]
            revisions = wanted.get(name, [])
            if one not in revisions:
                self["wrong"] += 1
                self.example(one)
                continue
            at, before = revisions.index(one), came.setdefault(name, [])  # their counts grow: each is there once
            if at in before:
                self["twice"] += 1
            elif before and at < before[-1]:
                self["out of order"] += 1
            before.append(at)
        for name, revisions in wanted.items():
            last = len(revisions) - 1
            if last not in came.get(name, []):
                self["missing"] += 1
            elif came[name][-1] != last:
                self["out of order"] += 1

    def example(self, one):
        if self["examples"] < 5:
            self["examples"] += 1
            print(f"    not expected, or not again: {one}")

    def bad(self):
        return {name: count for name, count in self.items() if count and name != "examples"}


def frozen(row):
    return row[0], json.dumps(row[1], sort_keys=True), row[2], row[3]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivulet", required=True, help="the program")
    parser.add_argument("--kills", type=int, default=30, help="beside those while the last windows close")
    parser.add_argument("--broker-kills", type=int, default=1)
    parser.add_argument("--rate", type=int, default=150, help="records a second, of each source")
    parser.add_argument("--points", default="", help="only these named points, comma-separated, and no link trouble")
    parser.add_argument("--broken", default="", choices=["", *SYMPTOM])
    given = parser.parse_args()
    seed = int(os.environ.get("RIVULET_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"RIVULET_SEED={seed}", flush=True)
    points = given.points.split(",") if given.points else [point for point in fault_points() if not point.startswith(("mqtt.", "file.batch"))]
    environment = {"RIVULET_BREAK": given.broken} if given.broken else {}
    begin = time.monotonic()
    with Stage(given.rivulet) as stage:
        play = Play(stage, Input(seed, int(time.time() - 5 * 3600) // 10 * 10_000), given.rate, environment)
        play.start()
        campaign = Campaign(stage, random.Random(seed), points, environment, patience=8.0)  # many partitions: after a broker's death resolving takes 3 to 7 s
        campaign.run(given.kills, 0 if given.points else given.broker_kills, [] if given.points else TROUBLES)
        play.finish(campaign.kill_at, [point for point in LAST_KILLS if point in points])
        verdict = Verdict()
        truth = expected(play.given)
        for topic, (mode, wanted) in truth.items():
            verdict.judge(topic, mode, wanted, read(stage, topic))
        refused = [topic for topic in truth if stage.command("verify", "--brokers", f"127.0.0.1:{stage.port}", "--topic", topic).returncode != 0]
        never = campaign.never_reached()
        print(f"\n{campaign.kills} kills in {time.monotonic() - begin:.0f} s, {sum(play.given.totals.values())} records, {stage.proxy.dropped} EndTxn replies dropped, {stage.proxy.held} held up; "
              f"points never reached: {', '.join(never) or 'none'}")
        print(f"results that differ: {verdict.bad() or 'none'}; rivulet verify: {'refuses ' + ', '.join(refused) if refused else 'ok'}", flush=True)
        if given.broken:
            verdict["verify"] = len(refused)
            symptom, others = SYMPTOM[given.broken]
            seen = verdict[symptom] > 0 and not any(verdict[other] for other in others) and not never
            print(f"the harness {'noticed' if seen else 'did NOT notice'} that '{given.broken}' is broken ({symptom}, not {' or '.join(others)})", flush=True)
            return 0 if seen else 1
        assert not verdict.bad() and not refused, "results differ from the computation"
        assert not never or given.kills < len(points), "a named point was never reached"
        return 0


if __name__ == "__main__":
    sys.exit(main())
