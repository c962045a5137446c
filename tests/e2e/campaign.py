#!/usr/bin/env python3
"""Kills the agent again and again, at every named point of the code and at random, cuts and black-holes the link, kills the
Kafka broker, drops EndTxn replies, while numbered records come in over MQTT QoS 2, a file, compressed
files and TCP. Then reads everything back read_committed and counts what is missing, duplicated, out of order. Exit status 0 only if that is nothing, the kills
took no longer than --within and, when there are kills enough, every named point was reached.

--broken NAME breaks the protocol on purpose (a negative control): then 0 only if the count shows just what NAME must cause.
The seed is printed and taken back by RIVULET_SEED.
"""
import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig import Rig, fault_points, wait_for  # noqa: E402

TROUBLES = ["cut", "black hole", "delay", "late EndTxn", "lost EndTxn reply", ""]
# What must be seen when it is broken, and so nothing else passes for it.
SYMPTOM = {"no-resolve": "duplicated", "trim-before-commit": "missing", "mqtt-ack-before-commit": "missing"}


def disturb(rig, kind):
    """One trouble with the link or the broker, for a moment."""
    if kind == "cut":
        rig.proxy.cut()
        time.sleep(0.2)
        rig.proxy.restore()
    elif kind == "black hole":
        rig.proxy.black_hole()
        time.sleep(0.3)
        rig.proxy.black_hole(False)
    elif kind == "delay":
        rig.proxy.delay(0.05)
        time.sleep(0.3)
        rig.proxy.restore()
    elif kind == "late EndTxn":
        rig.proxy.hold_end_txn(1.0)
    elif kind == "lost EndTxn reply":
        rig.proxy.drop_end_txn_reply()
    elif kind == "broker kill":
        rig.broker.stop(kill=True)
        rig.broker.restart()


class Campaign:
    def __init__(self, rig, dice, points, environment, patience=3.0):
        self.rig, self.dice, self.points, self.environment, self.patience = rig, dice, points, environment, patience
        self.reached = dict.fromkeys(points, 0)
        self.kills = 0

    def kill_at(self, point, count=1, trouble="", seconds=3.0):
        """The agent runs until it comes to the point for the count-th time; `seconds` later it is killed wherever it is."""
        at_random = point == "random"
        if trouble == "late EndTxn" and at_random:
            seconds = 5.0
        extra = dict(self.environment) if at_random else dict(self.environment, RIVULET_KILL_AT=f"{point}:{count}")
        held = self.rig.proxy.held
        self.rig.agent.start(**extra)
        if trouble:
            time.sleep(self.dice.uniform(0, 0.4))
            disturb(self.rig, trouble)
        deadline = time.monotonic() + seconds
        while self.rig.agent.running() and time.monotonic() < deadline:
            if at_random and self.rig.proxy.held > held:
                break  # its EndTxn is on the way: killed now, the commit arrives when the next agent is at work
            time.sleep(0.005)
        by_itself = not self.rig.agent.running()
        if by_itself and (at_random or self.rig.agent.process.returncode != -9):
            raise AssertionError(f"the agent ended by itself with {self.rig.agent.process.returncode}, not at {point} ({trouble})")
        self.rig.agent.kill()
        self.kills += 1
        if by_itself:
            self.reached[point] += 1
        note = "" if by_itself or at_random else " (not reached)"
        print(f"{self.kills}: {point}{note}{', ' + trouble if trouble else ''}", end="\n" if self.kills % 8 == 0 else "; ", flush=True)

    def run(self, kills, broker_kills, troubles):
        kafka_dies = set(self.dice.sample(range(kills), min(broker_kills, kills)))
        for number in range(kills):
            # Every point gets its turn before the rest is left to chance.
            first_turn = number < len(self.points)
            point = self.points[number % len(self.points)]
            if troubles and not first_turn and self.dice.random() < 0.3:
                point = "random"
            trouble = "broker kill" if number in kafka_dies else self.dice.choice(troubles) if troubles else ""
            self.kill_at(point, 1 if first_turn else self.dice.randrange(1, 4), trouble, self.dice.uniform(0.1, 1.5) if point == "random" else self.patience)
        if kills < len(self.points):
            return
        for point in self.never_reached() * 3:  # a trouble was in the way: again without one
            if self.reached[point]:
                continue
            if point == "forward.resolved" and "forward.after_prepared" in self.reached:
                self.kill_at("forward.after_prepared", seconds=15.0)  # so that there is something to resolve
            self.kill_at(point, seconds=15.0)

    def never_reached(self):
        return sorted(point for point, count in self.reached.items() if count == 0)


def noticed(broken, totals):
    """A control is noticed by what it must cause and by nothing else."""
    missing, duplicates, _ = totals
    return missing > 0 and duplicates == 0 if SYMPTOM[broken] == "missing" else duplicates > 0 and missing == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivulet", required=True, help="the program")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--broker-kills", type=int, default=2)
    parser.add_argument("--points", default="", help="only these named points, comma-separated, and no link trouble")
    parser.add_argument("--within", type=float, default=float("inf"), metavar="SECONDS", help="the kills may take: without what starts before them, drains and is read back after them")
    parser.add_argument("--broken", default="", choices=["", *SYMPTOM])
    given = parser.parse_args()
    seed = int(os.environ.get("RIVULET_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"RIVULET_SEED={seed}", flush=True)
    points = given.points.split(",") if given.points else fault_points()
    environment = {"RIVULET_BREAK": given.broken} if given.broken else {}
    with Rig(given.rivulet) as rig:
        rig.start_senders()
        wait_for("the first records in Kafka", lambda: rig.agent.forwarded() > 0, 40)
        rig.agent.kill()
        campaign = Campaign(rig, random.Random(seed), points, environment)
        begin = time.monotonic()
        campaign.run(given.kills, 0 if given.points else given.broker_kills, [] if given.points else TROUBLES)
        seconds = time.monotonic() - begin
        print(flush=True)
        rig.agent.start(**environment)
        totals = rig.judge(rig.finish())
        verified = rig.verify(quiet=bool(given.broken))
        never = campaign.never_reached()
        print(f"{campaign.kills} kills in {seconds:.0f} s{'' if seconds <= given.within else f' instead of {given.within:.0f} s'}, {rig.proxy.dropped} EndTxn replies dropped, {rig.proxy.held} EndTxn held up; points never reached: {', '.join(never) or 'none'}")
        print(f"missing {totals[0]}, duplicates {totals[1]}, out of order {totals[2]}; rivulet verify: {'ok' if verified == 0 else f'exit code {verified}'}", flush=True)
        if given.broken:
            seen = noticed(given.broken, totals) and not never
            print(f"the harness {'noticed' if seen else 'did NOT notice'} that '{given.broken}' is broken ({SYMPTOM[given.broken]})", flush=True)
            return 0 if seen else 1
        clean = totals == [0, 0, 0] and verified == 0 and (not never or given.kills < len(points)) and seconds <= given.within
        rig.keep = not clean
        return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
