#!/usr/bin/env python3
"""Kills the agent again and again, at every named point of the code and at random, cuts and black-holes the link, kills the
Kafka broker, drops EndTxn replies, while numbered records come in over MQTT QoS 2, a file and TCP. Then reads everything back
read_committed and counts what is missing, duplicated, out of order. Exit status 0 only if that is nothing.

--broken NAME breaks the protocol on purpose (a negative control): then 0 only if the same count is NOT clean.
The seed is printed and taken back by RIVULET_SEED.
"""
import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig import Rig, fault_points, wait_for  # noqa: E402


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
    elif kind == "lost EndTxn reply":
        rig.proxy.drop_end_txn_reply()
    elif kind == "broker kill":
        rig.broker.stop(kill=True)
        rig.broker.restart()
        rig.proxy.target = rig.broker.port


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet", required=True)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--broker-kills", type=int, default=2)
    parser.add_argument("--points", default="", help="only these named points, comma-separated, and no link trouble")
    parser.add_argument("--broken", default="")
    given = parser.parse_args()
    seed = int(os.environ.get("RIVULET_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"RIVULET_SEED={seed}", flush=True)
    dice = random.Random(seed)
    points = given.points.split(",") if given.points else fault_points()
    troubles = [] if given.points else ["cut", "black hole", "delay", "lost EndTxn reply", ""]
    broker_kills = set() if given.points else set(dice.sample(range(given.kills), min(given.broker_kills, given.kills)))
    environment = {"RIVULET_BREAK": given.broken} if given.broken else {}
    begin = time.monotonic()
    reached = {}
    with Rig(given.rivulet) as rig:
        rig.start_senders()
        wait_for("the first records in Kafka", lambda: rig.agent.forwarded() > 0, 40)
        rig.agent.kill()
        for number in range(given.kills):
            # Every point gets its turn before the rest is left to chance.
            at_random = not given.points and number >= len(points) and dice.random() < 0.3
            point = "random" if at_random else points[number % len(points)]
            count = 1 if number < len(points) else dice.randrange(1, 4)
            trouble = "broker kill" if number in broker_kills else dice.choice(troubles) if troubles else ""
            extra = dict(environment) if at_random else dict(environment, RIVULET_KILL_AT=f"{point}:{count}")
            rig.agent.start(**extra)
            if trouble:
                time.sleep(dice.uniform(0, 0.4))
                disturb(rig, trouble)
            deadline = time.monotonic() + (dice.uniform(0.1, 1.5) if at_random else 3.0)
            while rig.agent.running() and time.monotonic() < deadline:
                time.sleep(0.005)
            by_itself = not rig.agent.running()
            if by_itself and rig.agent.process.returncode != -9:
                raise AssertionError(f"the agent ended by itself with {rig.agent.process.returncode}")
            rig.agent.kill()
            reached[point] = reached.get(point, 0) + by_itself
            print(f"kill {number + 1}: {point}{'' if by_itself or at_random else ' (not reached, killed anyway)'}{', ' + trouble if trouble else ''}", flush=True)
        rig.agent.start(**environment)
        sent = rig.finish()
        missing, duplicates, disorder = rig.judge(sent)
        verified = rig.verify()
        never = sorted(point for point in points if reached.get(point, 0) == 0)
        print(f"{given.kills} kills in {time.monotonic() - begin:.0f} s, {rig.proxy.dropped} EndTxn replies dropped; points never reached: {', '.join(never) or 'none'}")
        print(f"missing {missing}, duplicates {duplicates}, out of order {disorder}; rivulet verify: {'ok' if verified == 0 else 'not in order'}", flush=True)
        clean = missing == 0 and duplicates == 0 and disorder == 0 and verified == 0
        if given.broken:
            print("the harness " + ("did NOT notice" if clean else "noticed") + f" that '{given.broken}' is broken", flush=True)
            return 1 if clean else 0
        rig.keep = not clean
        return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
