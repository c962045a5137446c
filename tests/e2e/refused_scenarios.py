#!/usr/bin/env python3
"""Records that Kafka refuses for their times, with the whole batch that they are in. One fact a function; refused_scenarios.py --rivulet PROGRAM NAME."""
import inspect
import json
import os
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
        lines(200)
        stage.agent.start()
        begun = time.monotonic()
        while written < 600:  # 20 a second of each
            lines(2)
            time.sleep(0.1)
            status = stage.agent.status()
            if status and time.monotonic() > begun + 10:
                assert status["forward"]["link"] == "up", status["forward"]
        wait_for("everything good in Kafka", lambda: stage.agent.drained() and stage.agent.forwarded() >= written, 60)
        seconds = time.monotonic() - begun
        forward = stage.agent.status()["forward"]
        print(f"{written} records of each source in {seconds:.1f} s: {forward['transactions']} transactions, {forward['recoveries']} recoveries")
        assert stage.agent.status()["store"]["quarantine_records"] == written // 2, stage.agent.status()["store"]
        assert forward["recoveries"] <= 3, f"{forward['recoveries']} recoveries: refused records cost one each"
        said = [line for line in stage.agent.log_tail(500).splitlines() if "message.timestamp.after.max.ms" in line]
        assert 1 <= len(said) <= 3 and "t-mixed" in said[0] and "timestamp.unit" in said[0], said
        assert stage.agent.terminate()[0] == 0
        stage.expect_exactly("t-good", range(written))
        stage.expect_exactly("t-mixed", range(0, written, 2))
        assert any(key == "rivulet-gap" for _, key, _ in stage.read("t-mixed")), "no gap record"
        listed = stage.command("quarantine", "list", "-c", stage.agent.config)
        assert listed.returncode == 0 and "message.timestamp.after.max.ms" in listed.stdout, listed.stdout + listed.stderr
        shown = listed.stdout.count("t-mixed/forward")
        print(listed.stdout.splitlines()[0][:300], f"({shown} lines)")


SCENARIOS = {name: fact for name, fact in globals().items() if inspect.isfunction(fact) and list(inspect.signature(fact).parameters) == ["program"]}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
