#!/usr/bin/env python3
"""Records that Kafka refuses for their times, with the whole batch that they are in. One fact a function; refused_scenarios.py --rivulet PROGRAM NAME."""
import inspect
import json
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import facts  # noqa: E402
from rig import wait_for  # noqa: E402
from stage import Stage  # noqa: E402


def a_device_with_a_wrong_clock_holds_up_nobody(program):
    """Two sources to two topics; every other record of one is 2.5 h ahead, which Kafka 4 refuses with its whole batch: all others arrive at once, those are in
    the quarantine with gap records, the link stays up."""
    with Stage(program) as stage:
        sources = "".join(f"  {name}: {{file: {{path: {stage.folder}/{name}.log, poll: 20ms}}, decode: json, key: k, timestamp: {{field: ts}}}}\n" for name in ("good", "mixed"))
        stage.configure(sources, "  fine: {from: good, to: t-good}\n  odd: {from: mixed, to: t-mixed}\n")
        stage.make_topics()
        written = 0

        def lines(count):
            nonlocal written
            now_ms = int(time.time() * 1000)
            for name in ("good", "mixed"):
                with open(stage.path(f"{name}.log"), "a") as file:
                    file.writelines(json.dumps({"n": n, "k": f"k{n // 2 % 5}", "ts": now_ms + (9_000_000 if name == "mixed" and n % 2 else 0)}) + "\n"
                                    for n in range(written, written + count))
            written += count

        def more():
            """20 a second of each."""
            lines(2)
            time.sleep(0.1)
            return stage.agent.status_now()

        def refused_before():
            status = more()
            return status["store"]["quarantine_records"] > 0 and status["forward"]["link"] == "up"

        def everything_is_in_its_place():
            status = stage.agent.status_now()
            store = status["store"]
            return status["totals"]["stored"] == 2 * written and store["outbox_records"] == 0 and store["quarantine_records"] == written // 2
        lines(200)
        stage.agent.start()
        begun = time.monotonic()
        wait_for("the first refused records in the quarantine and the link up", refused_before, 60)
        for _ in range(150):
            forward = more()["forward"]
            assert forward["link"] == "up", forward
        wait_for("everything in Kafka or in the quarantine", everything_is_in_its_place, 60)
        forward = stage.agent.status_now()["forward"]
        seconds = time.monotonic() - begun
        print(f"{written} records of each source in {seconds:.1f} s: {forward['transactions']} transactions, {forward['recoveries']} recoveries")
        assert forward["recoveries"] <= 3, f"{forward['recoveries']} recoveries: refused records cost one each"
        said = [line for line in stage.agent.log_tail(500).splitlines() if "message.timestamp.after.max.ms" in line]
        assert 1 <= len(said) <= 3 + seconds // 60 and "t-mixed" in said[0] and "timestamp.unit" in said[0], said
        assert stage.agent.terminate()[0] == 0
        stage.expect_exactly("t-good", range(written))
        stage.expect_exactly("t-mixed", range(0, written, 2))
        assert any(key == "rivulet-gap" for _, key, _ in stage.read("t-mixed")), "no gap record"
        listed = stage.command("quarantine", "list", "-c", stage.agent.config)
        assert listed.returncode == 0 and "message.timestamp.after.max.ms" in listed.stdout, listed.stdout + listed.stderr
        shown = listed.stdout.count("t-mixed/forward")
        print(listed.stdout.splitlines()[0][:300], f"({shown} lines)")


def a_unit_with_a_changelog_goes_on_whatever_its_times(program):
    """Results and a changelog that belong together, while one key's records are 2.5 h ahead: its results are in the quarantine, the others arrive, and
    after an outage longer than the changelog's topic takes old records the changelog goes out all the same. A wiped device goes on from it."""
    with Stage(program) as stage:
        stage.configure(f"  in: {{file: {{path: {stage.folder}/in.log, poll: 20ms}}, decode: json, key: k, timestamp: {{field: ts}}}}\n",
                        "  copy: {from: in, to: t-copy, changelog: t-state}\n"
                        "  totals: {from: in, steps: [{aggregate: {select: {c: count(*), s: sum(n)}, emit: updates}}], to: t-totals, changelog: t-state}\n")
        stage.broker.create_topic("t-state", 3, {"cleanup.policy": "compact", "message.timestamp.before.max.ms": 8_000})
        stage.make_topics()
        ahead = []  # which records are, by number

        def lines(count):
            now_ms = int(time.time() * 1000)
            with open(stage.path("in.log"), "a") as file:
                for n in range(len(ahead), len(ahead) + count):
                    ahead.append(n % 5 == 4)
                    file.write(json.dumps({"n": n, "k": f"k{n % 5}", "ts": now_ms + (9_000_000 if ahead[-1] else 0)}) + "\n")

        def settled():
            """All copies that are ahead are in the quarantine, and some totals: an epoch has one of a key."""
            wait_for("everything in Kafka or in the quarantine", lambda: stage.agent.drained() and stage.agent.status_now()["store"]["quarantine_records"] > sum(ahead), 60)

        def last_totals():
            return {key: (row["c"], row["s"]) for _, key, value in stage.read("t-totals") if key != "rivulet-gap" for row in [json.loads(value)]}

        def expected_totals():
            return {f"k{key}": (len(of_key), sum(of_key)) for key in range(4) for of_key in [range(key, len(ahead), 5)]}
        lines(300)
        stage.agent.start()
        settled()
        stage.proxy.cut()
        stored = stage.agent.status_now()["store"]["outbox_records"]
        lines(300)
        wait_for("records in the outbox", lambda: stage.agent.status_now()["store"]["outbox_records"] >= stored + 300, 30)
        time.sleep(12)  # the changelog's records are older now than its topic takes
        stage.proxy.restore()
        settled()
        forward = stage.agent.status_now()["forward"]
        assert forward["recoveries"] <= 4, f"{forward['recoveries']} recoveries: refused records cost one each"
        stage.agent.kill()
        shutil.rmtree(stage.path("state"))
        restored = stage.command("restore", "-c", stage.agent.config, seconds=120)
        assert restored.returncode == 0, restored.stdout + restored.stderr
        stage.agent.start()
        lines(30)
        wait_for("the last totals in Kafka", lambda: last_totals() == expected_totals() and stage.agent.drained(), 60, every=0.5)
        assert stage.agent.terminate()[0] == 0
        stage.expect_exactly("t-copy", [n for n, refused in enumerate(ahead) if not refused])


def a_changelog_that_is_refused_holds_its_unit_and_names_the_setting(program):
    """A record of state that is larger than its topic takes cannot be left out: its unit waits, others go on, the log names the setting; when it is raised, everything arrives."""
    with Stage(program) as stage:
        stage.configure("".join(f"  {name}: {{file: {{path: {stage.folder}/{name}.log, poll: 20ms}}, decode: json, key: k}}\n" for name in ("good", "large")),
                        "  fine: {from: good, to: t-good}\n"
                        "  totals: {from: large, steps: [{aggregate: {select: {c: count(*)}, emit: updates}}], to: t-totals, changelog: t-state}\n")
        stage.broker.create_topic("t-state", 3, {"cleanup.policy": "compact", "max.message.bytes": 20_000})
        stage.make_topics()
        with open(stage.path("large.log"), "a") as file:
            file.write(json.dumps({"k": os.urandom(30_000).hex()}) + "\n")  # random: it does not compress
        stage.agent.start()
        wait_for("the reason in the log", lambda: "max.message.bytes" in stage.agent.log_tail(500), 30)
        said = next(line for line in stage.agent.log_tail(500).splitlines() if "max.message.bytes" in line)
        assert "t-state" in said and "changelog" in said, said
        stage.lines("good.log", range(100))
        wait_for("what has another topic", lambda: sum(map(len, stage.numbers("t-good").values())) >= 100, 30, every=0.5)
        stage.expect_exactly("t-good", range(100))
        assert stage.agent.status_now()["store"]["quarantine_records"] == 0 and not stage.read("t-totals"), "a result without its state"
        stage.broker.alter_topic("t-state", {"max.message.bytes": 1_000_000})
        wait_for("everything in Kafka", lambda: len(stage.read("t-totals")) == 1 and stage.agent.drained(), 150, every=0.5)
        assert stage.agent.terminate()[0] == 0


SCENARIOS = {name: fact for name, fact in globals().items() if inspect.isfunction(fact) and list(inspect.signature(fact).parameters) == ["program"]}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
