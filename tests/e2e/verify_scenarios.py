#!/usr/bin/env python3
"""What `rivulet verify` says where it cannot see everything. One fact a function; verify_scenarios.py --rivulet PROGRAM NAME."""
import inspect
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import facts  # noqa: E402
from rig import Agent, wait_for  # noqa: E402
from stage import Stage  # noqa: E402


def agents(stage):
    """Two that forward to `t`: the stage's own, lines of in.log by key, and another one with a single key, so in one partition."""
    stage.configure(f"  in: {{file: {{path: {stage.folder}/in.log, poll: 20ms}}, decode: json, key: k}}\n", "  p: {from: in, to: t}\n")
    other = Agent(stage.program, stage.folder, f"agent: {{id: other, state: {stage.folder}/other, commit_interval: 50ms}}\n"
                  f"kafka:\n  brokers: [\"127.0.0.1:{stage.port}\"]\n  transaction: {{interval: 100ms, timeout: 5m}}\n"
                  f"sources:\n  lines: {{file: {{path: {stage.folder}/other.log, poll: 20ms}}, decode: json, key: k}}\npipelines:\n  p: {{from: lines, to: t}}\n", "other.yaml")
    stage.make_topics()
    return stage.agent, other


def verify(stage):
    return stage.command("verify", "--brokers", f"127.0.0.1:{stage.port}", "--topic", "t", seconds=120)


def what_an_open_transaction_hides_is_not_missing(program):
    """An agent that died within a transaction keeps a partition from being read, and another one's records behind it."""
    with Stage(program) as stage:
        ours, other = agents(stage)
        ours.start()
        stage.lines("in.log", range(100))
        stage.wait_forwarded(100)
        other.start(RIVULET_KILL_AT="forward.before_commit:1")
        stage.lines("other.log", [0])
        wait_for("the other agent to die within its transaction", lambda: not other.running(), 30)
        stage.lines("in.log", range(100, 200))
        wait_for("a record of a partition that can be read", lambda: len(stage.read("t")) > 100, 60, every=0.5)
        hidden = verify(stage)
        print(hidden.stdout + hidden.stderr)
        assert hidden.returncode == 2 and "missing 0, duplicates 0, out of order 0\n" in hidden.stdout, hidden
        assert "open transaction in partition " in hidden.stdout and "  not checked: " in hidden.stdout and "may lie behind" in hidden.stderr, hidden
        assert "waiting for open transactions to end, at most 30 s\n" in hidden.stderr, hidden
        other.start()  # it resolves what it left
        wait_for("all of it to be readable", lambda: len(stage.read("t")) == 201, 60, every=0.5)
        other.kill()
        assert ours.terminate()[0] == 0
        seen = verify(stage)
        assert seen.returncode == 0 and "2 streams, 201 records: missing 0," in seen.stdout and "open" not in seen.stdout, seen


def what_retention_deleted_with_a_whole_partition_is_neither_missing_nor_in_order(program):
    with Stage(program) as stage:
        ours, _ = agents(stage)
        ours.start()
        stage.lines("in.log", range(100))
        stage.wait_forwarded(100)
        assert ours.terminate()[0] == 0
        gone = next(partition for partition, _, _ in stage.read("t"))
        stage.broker.delete_records({("t", gone): -1})
        left = stage.read("t")
        assert 0 < len(left) < 100 and not any(partition == gone for partition, _, _ in left), left
        seen = verify(stage)
        print(seen.stdout + seen.stderr)
        assert seen.returncode == 2 and "1 partitions begin after their first record" in seen.stdout and "missing 0, duplicates 0, out of order 0\n" in seen.stdout, seen
        assert "  not checked: " in seen.stdout and "it cannot be told" in seen.stderr, seen


SCENARIOS = {name: fact for name, fact in globals().items() if inspect.isfunction(fact) and list(inspect.signature(fact).parameters) == ["program"]}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
