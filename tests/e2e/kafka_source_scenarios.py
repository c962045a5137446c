#!/usr/bin/env python3
"""The kafka source against a real Kafka: what one agent forwards another one reads. One fact a function;
kafka_source_scenarios.py --rivulet PROGRAM NAME."""
import contextlib
import inspect
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import facts  # noqa: E402
from rig import Agent, wait_for  # noqa: E402
from stage import Stage  # noqa: E402

COUNT = """
  copy: {from: in, to: out}
  totals:
    from: in
    steps: [{aggregate: {select: {c: count(*), s: sum(n)}, emit: updates}}]
    to: totals
"""
SITES = """
  site-of: {from: sites, steps: [table: {}]}
  named:
    from: machines
    steps: [{join: {with: site-of, kind: left, select: {n: left.n, site: right.name}}}]
    to: named
"""


def produce(stage, topic, rows):
    """By kcat; a value of None is a tombstone."""
    text = "".join(f"{key}\t{'' if value is None else json.dumps(value)}\n" for key, value in rows)
    done = subprocess.run(["kcat", "-b", f"127.0.0.1:{stage.broker.port}", "-P", "-t", topic, "-K", "\t", "-Z", "-X", "partitioner=murmur2_random"], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def forwards_to_in(stage):
    """Another agent, not yet started: the lines of in.log go to the topic `in`, which is made, in transactions."""
    writer = Agent(stage.program, stage.folder, f"agent: {{id: writer, state: {stage.folder}/writer, commit_interval: 50ms}}\n"
                   f"kafka:\n  brokers: [\"127.0.0.1:{stage.broker.port}\"]\n  transaction: {{interval: 50ms, timeout: 20s}}\n"
                   f"status: {{listen: \"unix:{stage.folder}/writer.sock\"}}\n"
                   f"sources:\n  lines: {{file: {{path: {stage.path('in.log')}, poll: 20ms}}, key: k}}\npipelines:\n  sent: {{from: lines, to: in}}\n", "writer.yaml")
    made = stage.command("topics", "--create", "-c", writer.config)
    assert made.returncode == 0, made.stdout + made.stderr
    try:
        yield writer
    finally:
        if writer.running():
            writer.kill()


def sites_source(stage, bootstrap=True):
    return f"  sites: {{kafka: {{topic: sites, bootstrap: {str(bootstrap).lower()}}}}}\n  machines: {{file: {{path: {stage.path('in.log')}, poll: 20ms}}, key: k}}\n"


def named(stage):
    return {json.loads(value)["n"]: json.loads(value)["site"] for _, _, value in stage.read("named")}


def each_committed_record_comes_once(program):
    """A forwarding agent is killed within its transactions, so that the topic has aborted ones; the reading one is killed all the time."""
    seed = int(os.environ.get("RIVULET_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"RIVULET_SEED={seed}", flush=True)
    dice = random.Random(seed)
    with Stage(program) as stage, forwards_to_in(stage) as writer:
        stage.configure("  in: {kafka: {topic: in}}\n", COUNT)
        stage.make_topics()
        sent = 0
        for life in range(10):
            aborts = life < 3  # however slow the machine is
            writer.start(RIVULET_KILL_AT=f"forward.before_commit:{1 if aborts else dice.randrange(1, 4)}")
            point = dice.choice(["store.before_commit", "store.after_commit", "forward.after_commit", "forward.before_commit", "agent.epoch_durable", "random", "random"])
            stage.agent.start(**({} if point == "random" else {"RIVULET_KILL_AT": f"{point}:{dice.randrange(1, 6)}"}))
            for _ in range(10):
                stage.lines("in.log", range(sent, sent + 100))
                sent += 100
                time.sleep(dice.uniform(0.02, 0.15))
            if aborts:
                wait_for("the writer to be killed in its transaction", lambda: not writer.running(), 30)
            else:
                writer.kill()
            stage.agent.kill()
            print(f"life {life + 1}: {point}", flush=True)
        writer.start()
        stage.agent.start()

        def last_totals():
            last = {}
            for _, key, value in stage.read("totals"):
                row = json.loads(value)
                last[key] = (row["c"], row["s"])
            return last
        wait_for("every record", lambda: sum(c for c, _ in last_totals().values()) >= sent and stage.agent.drained(), 60, every=0.5)
        assert writer.terminate()[0] == 0 and stage.agent.terminate()[0] == 0
        stage.expect_exactly("out", range(sent))
        expected = {f"k{k}": (len(range(k, sent, 5)), sum(range(k, sent, 5))) for k in range(5)}
        assert last_totals() == expected, f"{last_totals()} instead of {expected}"
        all_in = len(stage.read("in"))
        assert all_in == sent, all_in
        with_aborted = subprocess.run(["kcat", "-b", f"127.0.0.1:{stage.broker.port}", "-C", "-t", "in", "-e", "-q", "-o", "beginning", "-X", "isolation.level=read_uncommitted", "-f", "%o\n"],
                                      capture_output=True, text=True, timeout=60).stdout.split()
        assert len(with_aborted) > sent, "no transaction was aborted, so this proves little"
        print(f"{sent} records, {len(with_aborted) - sent} more in aborted transactions")


def a_table_is_there_before_the_first_record(program):
    """No record is joined before the topic was read to its end; after that also without a broker; a change reaches the records after it."""
    with Stage(program) as stage:
        stage.configure(sites_source(stage), SITES)
        stage.make_topics()
        produce(stage, "sites", [(f"k{i}", {"name": "old"}) for i in range(3000)])
        produce(stage, "sites", [(f"k{i}", {"name": f"site-{i}"}) for i in range(5)] + [("k3", None)])
        stage.lines("in.log", range(0, 500))
        stage.agent.start()
        stage.wait_forwarded(500)
        want = {n: None if n % 5 == 3 else f"site-{n % 5}" for n in range(500)}
        assert named(stage) == want, [(n, site, want[n]) for n, site in named(stage).items() if site != want[n]][:5]
        stage.agent.kill()

        stage.proxy.cut()
        stage.lines("in.log", range(500, 600))
        stage.agent.start()
        stage.wait_stored(100)
        stage.proxy.restore()
        stage.wait_forwarded(100)
        assert [named(stage)[n] for n in (500, 503)] == ["site-0", None]

        produce(stage, "sites", [("k3", {"name": "new"}), ("k4", None)])
        number = [600]

        def seen():
            stage.lines("in.log", range(number[0], number[0] + 5))
            number[0] += 5
            found = named(stage)
            return found.get(number[0] - 7) == "new" and found.get(number[0] - 6, "") is None
        wait_for("the changed rows", seen, 60, every=0.3)
        wait_for("every row", lambda: len(stage.read("named")) >= number[0], 60, every=0.3)
        stage.expect_exactly("named", range(number[0]))


def without_a_broker_a_table_is_waited_for(program):
    """The first start offline: nothing is taken in, the status says what is waited for, SIGTERM ends it."""
    with Stage(program) as stage:
        stage.configure(sites_source(stage), SITES)
        stage.make_topics()
        produce(stage, "sites", [("k0", {"name": "zero"})])
        stage.proxy.cut()
        stage.lines("in.log", range(0, 10))
        stage.agent.start()
        wait_for("the source to say so", lambda: any("sites" in (source["state"] or "") and source["name"] == "sites" for source in (stage.agent.status() or {"sources": []})["sources"]), 20)
        time.sleep(1)
        status = stage.agent.status_now()
        assert status["totals"]["in"] == 0, status["totals"]
        code, seconds = stage.agent.terminate()
        assert code == 0 and seconds < 5, (code, seconds)
        stage.proxy.restore()
        stage.agent.start()
        stage.wait_forwarded(10)
        assert named(stage)[0] == "zero" and named(stage)[1] is None


def a_topic_made_anew_is_noticed(program):
    """A table is read again from its beginning; a stream stops and says the way out."""
    with Stage(program) as stage:
        stage.configure(sites_source(stage), SITES)
        stage.make_topics()
        produce(stage, "sites", [(f"k{i}", {"name": "before"}) for i in range(5)] * 20)
        stage.lines("in.log", range(0, 5))
        stage.agent.start()
        stage.wait_forwarded(5)
        stage.agent.terminate()
        stage.broker.delete_topic("sites")
        stage.broker.create_topic("sites", 3, {"cleanup.policy": "compact"})
        produce(stage, "sites", [("k1", {"name": "after"})])
        stage.agent.start()
        number = [5]

        def seen():
            stage.lines("in.log", range(number[0], number[0] + 5))
            number[0] += 5
            return named(stage).get(number[0] - 9) == "after"
        wait_for("the new table", seen, 90, every=0.5)
        assert "read again from its beginning" in stage.agent.log_tail(400)
        stage.agent.terminate()

        stage.configure(sites_source(stage, bootstrap=False), SITES)
        stage.broker.delete_topic("sites")
        stage.broker.create_topic("sites", 3, {"cleanup.policy": "compact"})
        stage.agent.start()
        wait_for("the alarm", lambda: any("give the source another name" in source["state"] for source in (stage.agent.status() or {"sources": []})["sources"]), 60)
        stage.agent.kill()


def what_was_read_and_then_deleted_is_not_missed(program):
    """A topic's last record is behind it when retention has deleted all, and so is the mark of its transaction, which is no record."""
    with Stage(program) as stage, forwards_to_in(stage) as writer:
        stage.configure("  in: {kafka: {topic: in}}\n", "  copy: {from: in, to: out}\n")
        stage.make_topics()
        stage.lines("in.log", range(0, 50))
        writer.start()
        stage.agent.start()
        stage.wait_forwarded(50)

        def read_up_to():
            with contextlib.closing(sqlite3.connect(f"file:{stage.path('state')}/rivulet.db?mode=ro", uri=True)) as store:
                rows = store.execute("SELECT CAST(key AS TEXT), CAST(value AS TEXT) FROM positions WHERE source = 'in'").fetchall()
            return {("in", int(key.split("/")[2])): int(value) for key, value in rows}
        offsets = subprocess.run(["kcat", "-b", f"127.0.0.1:{stage.broker.port}", "-C", "-t", "in", "-e", "-q", "-o", "beginning", "-f", "%p %o\n"], capture_output=True, text=True, timeout=60).stdout
        last = {("in", int(partition)): int(offset) for partition, offset in (line.split() for line in offsets.splitlines())}
        assert len(last) > 1 and len(offsets.splitlines()) == 50, offsets
        # One more than the record behind the last: the mark. It is looked at each minute.
        wait_for("the marks of the transactions to be behind", lambda: read_up_to() == {where: offset + 2 for where, offset in last.items()}, 90, every=1)
        assert stage.agent.terminate()[0] == 0
        stage.broker.delete_records(read_up_to())
        stage.agent.start()
        stage.lines("in.log", range(50, 60))
        stage.wait_forwarded(10)
        assert "no longer there" not in stage.agent.log_tail(400)
        stage.expect_exactly("out", range(60))


def a_wiped_device_reads_on_from_its_changelog(program):
    """The offsets are in the changelog, with the results: after `rivulet restore` each record's effect is there once."""
    pipelines = COUNT.replace("to: out}", "to: out, changelog: state}").replace("    to: totals\n", "    to: totals\n    changelog: state\n")
    with Stage(program) as stage:
        stage.configure("  in: {kafka: {topic: in}}\n", pipelines)
        stage.make_topics()
        sent = 0
        for _ in range(3):
            for _ in range(5):
                produce(stage, "in", [(f"k{n % 5}", {"n": n}) for n in range(sent, sent + 500)])
                sent += 500
                if not stage.agent.running():
                    stage.agent.start()
                wait_for("some of it", lambda: stage.agent.forwarded() > 0, 30)
            stage.agent.kill()
            shutil.rmtree(stage.path("state"))
            restored = stage.command("restore", "-c", stage.agent.config, seconds=120)
            assert restored.returncode == 0, restored.stdout + restored.stderr
        stage.agent.start()
        totals = {}

        def all_there():
            for _, key, value in stage.read("totals"):
                totals[key] = json.loads(value)
            return sum(row["c"] for row in totals.values()) >= sent and stage.agent.drained()
        wait_for("every record", all_there, 60, every=0.5)
        assert {key: (row["c"], row["s"]) for key, row in totals.items()} == {f"k{k}": (len(range(k, sent, 5)), sum(range(k, sent, 5))) for k in range(5)}, totals
        stage.expect_exactly("out", range(sent))


SCENARIOS = {name: fact for name, fact in globals().items() if inspect.isfunction(fact) and list(inspect.signature(fact).parameters) == ["program"]}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
