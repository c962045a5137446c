#!/usr/bin/env python3
"""Reloads under load, against a real Kafka and a real mosquitto: reload_scenarios.py --rivulet PROGRAM NAME.

Numbered records come in over MQTT QoS 2, a file, gzip files and TCP with HELLO all the while; then everything is read back read_committed and
counted. The seed is printed and taken back by RIVULET_SEED.
"""
import argparse
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rig import ROOT, Rig, wait_for  # noqa: E402

RELOADS = 24
PAUSE_SECONDS = 1.0  # sources wait no longer for a good one with a link that is up; the median is far below
# What differs from the rig's configuration: (name, text, its replacement[, what is said of it]).
GOOD = [
    ("as it was", "", ""),
    ("one more pipeline", "  p-tcp: {from: tcp, to: t-tcp}\n", "  p-tcp: {from: tcp, to: t-tcp}\n  p-more: {from: [tcp, mqtt], to: t-more}\n"),
    ("another expression", "t * 1.8 + 32", "t + 273.15"),
    ("another tcp source", "acknowledge: true}", "acknowledge: true, max_clients: 5}"),
    ("another mqtt source", "plant/#\"],", "plant/#\"], keep_alive: 20s,"),
    ("other file sources", "poll: 20ms", "poll: 25ms"),
    ("another epoch", "commit_interval: 50ms, memory: 8MiB", "commit_interval: 80ms, memory: 6MiB, storage: {max: 128MiB}"),
    ("another transaction", "{interval: 100ms,", "{interval: 150ms, max: 1MiB,"),
]
BAD = [
    ("no YAML", "pipelines:\n", "pipelines: [\n", ":"),
    ("an unknown source", "from: tcp,", "from: tpc,", "tpc"),
    ("another agent", "id: e2e-agent", "id: another", "needs a restart: agent.id"),
    ("a bad expression", "n IS NOT NULL", "n IS NOT", "p-mqtt.steps[0].where"),
]


def reload_points():
    """Every fault_point("reload. ...") of the code: a new one is in the test by itself."""
    found = set()
    for base, _, files in os.walk(os.path.join(ROOT, "agent", "app")):
        for name in files:
            if name.endswith(".cpp"):
                with open(os.path.join(base, name)) as file:
                    found.update(re.findall(r'fault_point\("(reload\.[^"]+)"\)', file.read()))
    return sorted(found)


def write(rig, before, after):
    assert before in rig.text, before
    with open(rig.agent.config + ".new", "w") as file:
        file.write(rig.text.replace(before, after) if before else rig.text)
    os.rename(rig.agent.config + ".new", rig.agent.config)


def state(rig):
    status = rig.agent.status()
    return status["config"] if status else None


def reload(rig):
    """SIGHUP, and the answer: /status's `config` once the reload is over."""
    before = rig.agent.status_now()["config"]
    rig.agent.process.send_signal(signal.SIGHUP)

    def over():
        now = state(rig)
        return now is not None and not now["under_way"] and (now["reloads"], now["refused_ms"]) != (before["reloads"], before["refused_ms"])
    wait_for("the reload to be over", over, 30)
    return rig.agent.status_now()["config"]


def begin(program):
    rig = Rig(program)
    with open(rig.agent.config) as file:
        rig.text = file.read()
    write(rig, *GOOD[1][1:])  # its topic, too, is made before anything is sent
    return rig


def dice():
    seed = int(os.environ.get("RIVULET_SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed}", flush=True)
    return random.Random(seed)


def judge(rig):
    wait_for("records enough to tell", lambda: min(rig.mqtt.count, rig.file.count, rig.batch.count, rig.tcp.acknowledged) > 100, 30)
    sent = rig.finish()
    totals = rig.judge(sent)
    assert totals == [0, 0, 0], f"missing, duplicated, out of order: {totals}"
    assert rig.verify() == 0, "rivulet verify"
    more = rig.agent.program, "verify", "--brokers", f"127.0.0.1:{rig.proxy.port}", "--topic", "t-more"
    assert subprocess.run(more, capture_output=True, timeout=120).returncode == 0, "rivulet verify of the pipeline that comes and goes"


def reloads_lose_and_double_nothing(program):
    """Good and bad ones in turn, all under load; what does not change keeps its connections."""
    chance, pauses = dice(), []
    with begin(program) as rig:
        rig.start_senders()
        write(rig, "", "")
        for number in range(RELOADS):
            if number % 4 == 3:
                name, before, after, said = BAD[number // 4 % len(BAD)]
                write(rig, before, after)
                taken = rig.agent.status_now()["config"]["taken_ms"]
                answer = reload(rig)
                assert not answer["last_reload_successful"] and said in answer["problem"] and answer["taken_ms"] == taken, (name, answer)
                shown = subprocess.run([rig.program, "status", "-c", rig.agent.config], capture_output=True, text=True, timeout=20).stdout
                readable = name != "no YAML"  # else nothing says where the agent listens
                assert not readable or "CONFIGURATION the last reload" in shown and answer["problem"] in shown, shown
            else:
                name, before, after = GOOD[(number - number // 4) % len(GOOD)]
                write(rig, before, after)
                cut = number % 5 == 4
                if cut:
                    rig.proxy.cut()
                answer = reload(rig)
                if cut:
                    rig.proxy.restore()
                assert answer["last_reload_successful"] and not answer["problem"], (name, answer)
                pauses.append(answer["last_pause_ms"])
            print(f"reload {number + 1}: {name}: sources waited {answer['last_pause_ms']} ms", flush=True)
            time.sleep(chance.uniform(0, 0.5))  # so that it meets the traffic anywhere
        pauses.sort()
        print(f"{len(pauses)} good ones: sources waited {pauses[len(pauses) // 2]} ms (median), {pauses[-1]} ms at most", flush=True)
        assert pauses[-1] < 1000 * PAUSE_SECONDS, pauses
        log = rig.agent.log_tail(10_000)
        assert "rivulet.yaml:" in log and "needs a restart: agent.id" in log, "the problems are not in the log"
        judge(rig)


def unchanged_sources_keep_their_connections(program):
    """A pipeline more or less costs no client its connection."""
    with begin(program) as rig:
        rig.start_senders()
        wait_for("TCP to be resumed", lambda: rig.tcp.resumes == 1)
        for _, before, after in (GOOD[1], GOOD[0], GOOD[2], GOOD[6], GOOD[7], GOOD[0]):
            write(rig, before, after)
            assert reload(rig)["last_reload_successful"]
        assert rig.tcp.resumes == 1, f"the TCP client had to connect {rig.tcp.resumes} times"
        events = {source["name"]: source["events"] for source in rig.agent.status_now()["sources"]}
        assert events["mqtt"].get("connections") == 1, events
        judge(rig)


def kills_during_reloads_lose_and_double_nothing(program):
    """kill -9 at each named point of a reload, and anywhere in it."""
    chance = dice()
    points = reload_points()
    with begin(program) as rig:
        rig.start_senders()
        write(rig, "", "")
        for number, point in enumerate(points * 3 + ["random"] * 6):
            rig.agent.kill()
            rig.agent.start(**({} if point == "random" else {"RIVULET_KILL_AT": f"{point}:1"}))
            wait_for("the agent to be up", lambda: state(rig) is not None)
            write(rig, *GOOD[(1, 3, 4, 5, 6, 7)[number % 6]][1:])
            if point == "reload.forwarder_ended":
                write(rig, *GOOD[7][1:] if number % 2 else ("interval: 100ms,", "interval: 120ms,"))
            time.sleep(chance.uniform(0, 0.3))
            rig.agent.process.send_signal(signal.SIGHUP)
            if point == "random":
                time.sleep(chance.uniform(0, 0.15))
                continue
            wait_for(f"the kill at {point}", lambda: not rig.agent.running(), 20)
            assert rig.agent.process.returncode == -9, rig.agent.process.returncode
            print(f"killed at {point}", flush=True)
        rig.agent.kill()
        rig.agent.start()
        judge(rig)


def sigterm_during_a_reload_ends_in_time(program):
    with begin(program) as rig:
        rig.start_senders()
        wait_for("records to be forwarded", lambda: rig.agent.forwarded() > 0)
        rig.proxy.black_hole()  # the forwarder takes all the time that it may
        write(rig, *GOOD[7][1:])
        rig.agent.process.send_signal(signal.SIGHUP)
        code, seconds = rig.agent.terminate()
        assert code == 0 and seconds < 5, (code, seconds)
        rig.proxy.black_hole(False)
        rig.agent.start()
        judge(rig)


def a_link_that_goes_during_recovery_holds_up_no_reload(program):
    """The forwarder ends in its time also where it asks the broker what became of the last transaction."""
    chance = dice()
    with begin(program) as rig:
        rig.start_senders()
        slowest = 0.0
        for number in range(16):
            write(rig, *GOOD[7 if number % 2 else 0][1:])
            time.sleep(chance.uniform(0, 1))  # the one before began anew when the link came back
            rig.proxy.cut()
            begun = time.monotonic()
            answer = reload(rig)
            slowest = max(slowest, time.monotonic() - begun)
            rig.proxy.restore()
            assert answer["last_reload_successful"], answer
        print(f"the slowest took {slowest:.1f} s", flush=True)
        assert slowest < 9, slowest  # 2 s for the transaction, 5 s for a record that was being read
        judge(rig)


def a_stuck_forward_thread_is_noticed_and_a_dead_link_is_not(program):
    """systemd's watchdog is fed while there is no link, and not once the forward thread hangs."""
    with begin(program) as rig, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(os.path.join(rig.folder, "notify.sock"))
        systemd.settimeout(0.05)

        def fed(seconds):
            count, until = 0, time.monotonic() + seconds
            while time.monotonic() < until:
                try:
                    count += systemd.recv(4096) == b"WATCHDOG=1"
                except TimeoutError:
                    pass
            return count

        environment = {"NOTIFY_SOCKET": os.path.join(rig.folder, "notify.sock"), "WATCHDOG_USEC": str(6_000_000)}
        rig.proxy.cut()
        rig.agent.start(**environment)
        wait_for("the status listener", lambda: state(rig) is not None)
        assert fed(8) >= 4, "a dead link is no hang"
        rig.agent.kill()
        rig.proxy.restore()
        rig.agent.start(RIVULET_HANG_AT="forward.init", **environment)
        wait_for("the watchdog to say so", lambda: fed(0.2) >= 0 and "the forward thread is stuck" in rig.agent.log_tail(), 30)
        while select.select([systemd], [], [], 0)[0]:  # sent before it was noticed
            systemd.recv(4096)
        assert fed(4) == 0, "it is fed although the forward thread hangs"
        assert rig.agent.running()


SCENARIOS = {what.__name__: what for what in (reloads_lose_and_double_nothing, unchanged_sources_keep_their_connections, kills_during_reloads_lose_and_double_nothing,
                                              sigterm_during_a_reload_ends_in_time, a_link_that_goes_during_recovery_holds_up_no_reload, a_stuck_forward_thread_is_noticed_and_a_dead_link_is_not)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet", required=True)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("name", nargs="?", choices=sorted(SCENARIOS))
    given = parser.parse_args()
    if given.list or given.name is None:
        print("\n".join(sorted(SCENARIOS)))
        return
    SCENARIOS[given.name](given.rivulet)
    print("ok")


if __name__ == "__main__":
    main()
