"""State that survives the device, against a real Kafka: numbered records in a file, windowed and unwindowed aggregates with a changelog, the
agent killed and its state folder wiped, `rivulet restore`, on. One fact a function; restore_scenarios.py --rivulet PROGRAM NAME."""
import inspect
import json
import os
import random
import shutil
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import facts  # noqa: E402
from rig import Mosquitto, MqttPublisher, Proxy, fault_points, wait_for  # noqa: E402
from stage import Stage  # noqa: E402

KEYS, WINDOW_MS, STEP_MS = 7, 1000, 10
BASE_MS = int(time.time()) // 10 * 10_000  # brokers delete old event times
LAST = 10 ** 9  # the number of the record that closes every window
PIPELINES = """
  copy: {from: in, to: t-copy, changelog: t-state}
  sums:
    from: in
    steps: [{aggregate: {window: {tumbling: 1s}, select: {c: count(*), s: sum(n)}, emit: closed}}]
    to: t-sums
    changelog: t-state
  totals:
    from: in
    steps: [{where: "n < 1000000000"}, {aggregate: {select: {c: count(*), s: sum(n)}, emit: updates}}]
    to: t-totals
    changelog: t-state
"""


def source(stage):
    return f"  in: {{file: {{path: {stage.path('in.log')}, poll: 20ms}}, key: k, timestamp: {{field: ts, unit: ms}}}}\n"


def line(number, ts=None):
    return json.dumps({"n": number, "k": f"k{number % KEYS}", "ts": BASE_MS + number * STEP_MS if ts is None else ts}) + "\n"


def put(stage, numbers, name="in.log"):
    with open(stage.path(name), "a") as file:
        file.writelines(line(n) for n in numbers)


class Writer(threading.Thread):
    """Numbered records at the end of a file that outlives the device."""

    def __init__(self, path, rate=2000):
        super().__init__(daemon=True)
        self.path, self.rate, self.count, self.ending = path, rate, 0, threading.Event()
        open(path, "a").close()

    def run(self):
        with open(self.path, "a") as file:
            while not self.ending.is_set():
                file.writelines(line(self.count + i) for i in range(20))
                file.flush()
                self.count += 20
                time.sleep(20 / self.rate)

    def finish(self):
        self.ending.set()
        self.join()
        with open(self.path, "a") as file:
            file.write(line(LAST, BASE_MS + (self.count + 1000) * STEP_MS))
        return self.count


def expected(count):
    """Windows and totals by an independent computation."""
    windows, totals = {}, {}
    for n in range(count):
        key, start = f"k{n % KEYS}", (BASE_MS + n * STEP_MS) // WINDOW_MS * WINDOW_MS
        for table, at in ((windows, (key, start)), (totals, key)):
            c, s = table.get(at, (0, 0))
            table[at] = (c + 1, s + n)
    return windows, totals


def judge(stage, count):
    """(missing, twice or wrong) over all three topics."""
    windows, totals = expected(count)
    missing, wrong = [], []
    seen = {}
    for _, _, value in stage.read("t-copy"):
        n = json.loads(value)["n"]
        seen[n] = seen.get(n, 0) + 1
    for n in [*range(count), LAST]:
        if n not in seen:
            missing.append(("copy", n))
    wrong += [("copy", n, times) for n, times in seen.items() if times != 1]
    found = {}
    for _, key, value in stage.read("t-sums"):
        row = json.loads(value)
        found.setdefault((key, row["window_start"]), []).append((row["c"], row["s"]))
    missing += [("window", at) for at in windows if at not in found]
    wrong += [("window", at, got, windows.get(at)) for at, got in found.items() if got != [windows.get(at)]]
    last = {}
    for _, key, value in stage.read("t-totals"):
        row = json.loads(value)
        if key in last and row["c"] <= last[key][0]:
            wrong.append(("total goes back", key, last[key], row))
        last[key] = (row["c"], row["s"])
    missing += [("total", key) for key in totals if key not in last]
    wrong += [("total", key, got, totals[key]) for key, got in last.items() if got != totals[key]]
    return missing, wrong


def begin(program, agent="", pipelines=PIPELINES):
    stage = Stage(program)
    try:
        stage.configure(source(stage), pipelines, agent=agent)
        stage.make_topics()
    except BaseException:
        stage.close()
        raise
    return stage


def wipe(stage):
    stage.agent.kill()
    shutil.rmtree(stage.path("state"), ignore_errors=True)


def restore(stage, **environment):
    os.environ.update(environment)
    try:
        done = stage.command("restore", "-c", stage.agent.config, seconds=120)
    finally:
        for name in environment:
            del os.environ[name]
    return done


def must_restore(stage):
    done = restore(stage)
    assert done.returncode == 0, f"rivulet restore: {done.returncode} {done.stdout} {done.stderr}"


def wait_for_last(stage, seconds=120):
    """The record that closes every window is in Kafka, and nothing waits."""
    wait_for("everything to be in Kafka", lambda: any(json.loads(value)["n"] == LAST for _, _, value in stage.read("t-copy")) and stage.agent.drained(), seconds, every=0.5)


def verify(stage):
    for topic in ("t-copy", "t-sums", "t-totals"):
        done = stage.command("verify", "--brokers", f"127.0.0.1:{stage.port}", "--topic", topic)
        assert done.returncode == 0, done.stdout + done.stderr


def nothing_in(stage, topic):
    return ", 0 streams, 0 records" in stage.command("verify", "--brokers", f"127.0.0.1:{stage.port}", "--topic", topic).stdout


def expect_clean(stage, count):
    missing, wrong = judge(stage, count)
    assert not missing and not wrong, f"missing {len(missing)}: {missing[:5]}; twice or wrong {len(wrong)}: {wrong[:5]}"
    verify(stage)


def lives(stage, rounds, dice, environment=None, points=None):
    """Kills at named points and at random; after most of them the state folder is wiped and restored, sometimes in two attempts."""
    environment = environment or {}
    points = points or [point for point in fault_points() if point.startswith(("forward.", "store.", "agent."))] + ["random"] * 8
    restored = 0
    for number in range(rounds):
        point = dice.choice(points)
        extra = {} if point == "random" else {"RIVULET_KILL_AT": f"{point}:{dice.randrange(1, 4)}"}
        stage.agent.start(**environment, **extra)
        cut = dice.random() < 0.3
        deadline = time.monotonic() + (dice.uniform(0.3, 1.5) if point == "random" else 3)
        while stage.agent.running() and time.monotonic() < deadline:
            if cut and deadline - time.monotonic() < 0.4:
                stage.proxy.cut()  # what is stored from here on is lost with the device
                cut = False
            time.sleep(0.005)
        stage.agent.kill()
        stage.proxy.restore()
        if dice.random() < 0.7:
            wipe(stage)
            if dice.random() < 0.4:
                again = restore(stage, RIVULET_KILL_AT=dice.choice(["restore.fenced", "restore.batch", "restore.before_end"]))
                assert again.returncode == -9, f"it was to be killed: {again.returncode} {again.stderr}"
                refused = stage.command("run", "-c", stage.agent.config)
                assert refused.returncode != 0 and "not finished" in refused.stdout + refused.stderr, "an agent started on a half restored store"
            must_restore(stage)
            restored += 1
        print(f"life {number + 1}: {point}", flush=True)
    return restored


def a_wiped_device_goes_on_from_its_changelog(program):
    """20 lives, most of them ended with the state folder: every result once and right, as computed apart, and verify says the same."""
    seed = int(os.environ.get("RIVULET_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"RIVULET_SEED={seed}", flush=True)
    with begin(program) as stage:
        writer = Writer(stage.path("in.log"))
        writer.start()
        stage.agent.start()
        wait_for("the first records in Kafka", lambda: stage.agent.forwarded() > 0, 40)
        stage.agent.kill()
        restored = lives(stage, 20, random.Random(seed))
        count = writer.finish()
        stage.agent.start()
        wait_for_last(stage)
        expect_clean(stage, count)
        print(f"{count} records, {restored} restores: nothing missing, nothing twice")
        assert restored >= 5, "too few restores to prove anything; another seed"


def what_mqtt_delivers_again_after_a_restore_is_known(program):
    """QoS 2 messages are in Kafka and the server was never told: it delivers all of them again, to a device that has only the changelog."""
    with Stage(program) as stage:
        mosquitto = Mosquitto(stage.folder, "max_inflight_messages 0\n")
        stage.others.append(mosquitto)
        link = Proxy(frames=False)
        link.target = mosquitto.port
        try:
            stage.configure(f"  in: {{mqtt: {{url: \"mqtt://127.0.0.1:{link.port}\", topics: [\"plant/#\"], qos: 2, receive_maximum: 300}}, key: k}}\n",
                            "  copy: {from: in, to: t-copy, changelog: t-state}\n")
            stage.make_topics()
            again = 0
            for life in range(3):
                stage.agent.start()
                wait_for("the agent to subscribe", lambda: stage.agent.log_tail(1000).count("subscribed at") == 2 * life + 1, 20)
                if life == 0:
                    publisher = MqttPublisher(mosquitto.port, 1000)
                    publisher.start()
                wait_for("messages in Kafka", lambda: stage.agent.forwarded() >= 100, 30)
                link.deaf()
                wait_for("the server to have no more room, and everything to be in Kafka", lambda: steady(lambda: (stage.agent.status() or {"totals": {"in": -1}})["totals"]["in"]) and stage.agent.drained(), 60)
                wipe(stage)
                link.deaf(False)
                must_restore(stage)
                stage.agent.start()
                wait_for("the agent to subscribe", lambda: stage.agent.log_tail(1000).count("subscribed at") == 2 * life + 2, 20)
                wait_for("what is delivered again", lambda: redelivered(stage) > 0, 20)
                wait_for("more of it", lambda: stage.agent.forwarded() >= 100, 30)
                again += redelivered(stage)
                stage.agent.kill()
            publisher.finish()
            stage.agent.start()
            wait_for("every message", lambda: len(stage.read("t-copy")) >= publisher.count and stage.agent.drained(), 60, every=0.5)
            print(f"{publisher.count} messages, {again} delivered again to a restored device")
            stage.expect_exactly("t-copy", range(publisher.count))
        finally:
            link.close()


def steady(measure, seconds=0.5):
    """It does not change for so long."""
    before = measure()
    time.sleep(seconds)
    return before == measure()


def redelivered(stage):
    return next((source["events"].get("redelivered", 0) for source in (stage.agent.status() or {"sources": []})["sources"]), 0)


def a_changelog_apart_from_its_results_is_noticed(program):
    """The negative control: changelog and results in transactions of their own. The same kills must show what is then wrong."""
    with begin(program) as stage:
        writer = Writer(stage.path("in.log"))
        writer.start()
        broken = {"RIVULET_BREAK": "changelog-apart"}
        stage.agent.start(**broken)
        wait_for("the first records in Kafka", lambda: stage.agent.forwarded() > 1000 and not nothing_in(stage, "t-state"), 40, every=0.2)
        stage.agent.kill()
        dice = random.Random(1)
        for number in range(6):
            stage.agent.start(**broken, RIVULET_KILL_AT=f"forward.settled:{dice.randrange(5, 20)}")
            wait_for("the agent to be killed", lambda: not stage.agent.running(), 60)
            wipe(stage)
            must_restore(stage)
        count = writer.finish()
        stage.agent.start(**broken)
        wait_for_last(stage)
        missing, wrong = judge(stage, count)
        print(f"missing {len(missing)}, twice or wrong {len(wrong)}")
        assert missing or wrong, "the harness did NOT notice that changelog and results are apart"


def the_device_before_cannot_go_on(program):
    """It was not dead: its store is stopped by an alarm, and nothing of it reaches Kafka."""
    with begin(program) as stage:
        put(stage, range(500))
        stage.agent.start()
        wait_for("records in Kafka", lambda: stage.agent.forwarded() >= 500 and stage.agent.drained(), 40)
        stage.proxy.cut()
        put(stage, range(500, 700))
        wait_for("records that wait", lambda: (stage.agent.status() or {"store": {"outbox_records": 0}})["store"]["outbox_records"] >= 200, 20)
        stage.agent.kill()
        stage.proxy.restore()
        os.rename(stage.path("state"), stage.path("state-before"))
        must_restore(stage)
        for _ in range(2):  # before and after the new device has forwarded anything
            shutil.copytree(stage.path("state"), stage.path("state-new"))
            shutil.rmtree(stage.path("state"))
            shutil.copytree(stage.path("state-before"), stage.path("state"))
            stage.agent.start()
            wait_for("the device before to be stopped", lambda: "another agent has forwarded" in ((stage.agent.status() or {}).get("forward") or {}).get("alarm", ""), 40)
            stage.agent.kill()
            shutil.rmtree(stage.path("state"))
            os.rename(stage.path("state-new"), stage.path("state"))
            stage.agent.start()
            wait_for("the new device to be through", lambda: len(stage.read("t-copy")) >= 700 and stage.agent.drained(), 60, every=0.5)
            assert stage.agent.terminate()[0] == 0
        with open(stage.path("in.log"), "a") as file:
            file.write(line(LAST, BASE_MS + 1700 * STEP_MS))
        stage.agent.start()
        wait_for_last(stage)
        expect_clean(stage, 700)


def agent_restore_fills_an_empty_folder_at_the_first_start(program):
    """A new agent begins from nothing, a wiped one from its changelog; without a broker it does not begin at all."""
    with begin(program, agent=", restore: true") as stage:
        put(stage, range(1000))
        stage.agent.start()
        wait_for("records in Kafka", lambda: stage.agent.forwarded() >= 1000 and stage.agent.drained(), 40)
        wipe(stage)
        put(stage, range(1000, 1500))
        with open(stage.path("in.log"), "a") as file:
            file.write(line(LAST, BASE_MS + 2500 * STEP_MS))
        stage.agent.start()
        wait_for_last(stage)
        expect_clean(stage, 1500)
        assert "restored from the changelogs" in stage.agent.log_tail(100)


def restore_refuses_what_would_be_wrong(program):
    """A store in use, another definition, an agent that Kafka does not know, a topic that is not there."""
    with begin(program) as stage:
        put(stage, range(200))
        unknown = restore(stage)
        assert unknown.returncode == 1 and "has ever forwarded" in unknown.stderr, unknown
        shutil.rmtree(stage.path("state"))
        stage.agent.start()
        wait_for("records in Kafka", lambda: stage.agent.forwarded() >= 200 and stage.agent.drained(), 40)
        running = restore(stage)
        assert running.returncode == 1 and "in use by another rivulet" in running.stderr, running
        stage.agent.kill()
        used = restore(stage)
        assert used.returncode == 1 and "is in use: it holds" in used.stderr, used
        wipe(stage)
        stage.configure(source(stage), PIPELINES.replace("tumbling: 1s", "tumbling: 2s"))
        changed = restore(stage)
        assert changed.returncode == 1 and "another definition" in changed.stderr and "sums" in changed.stderr, changed
        half = stage.command("run", "-c", stage.agent.config)
        assert half.returncode != 0 and "not finished" in half.stdout + half.stderr, half
        stage.configure(source(stage), PIPELINES)
        must_restore(stage)
        with open(stage.path("in.log"), "a") as file:
            file.write(line(LAST, BASE_MS + 1200 * STEP_MS))
        stage.agent.start()
        wait_for_last(stage)
        expect_clean(stage, 200)


def a_missing_topic_holds_its_whole_unit(program):
    """One of the results' topics is not there: nothing of the unit goes, another pipeline does; then everything goes."""
    other = "  apart: {from: other, to: t-other}\n"
    with Stage(program) as stage:
        more = f"  other: {{file: {{path: {stage.path('other.log')}, poll: 20ms}}, key: k}}\n"
        stage.configure(source(stage) + more, "  apart: {from: other, to: t-other}\n")
        stage.make_topics()
        stage.configure(source(stage) + more, PIPELINES.replace("t-sums", "t-late") + other)
        made = stage.command("topics", "-c", stage.agent.config)
        assert made.returncode == 1, made
        for topic in ("t-copy", "t-totals", "t-state"):
            stage.broker.create_topic(topic, 3, {"cleanup.policy": "compact"} if topic == "t-state" else {})
        put(stage, range(300))
        put(stage, range(100), "other.log")
        stage.agent.start()
        wait_for("the other pipeline's records", lambda: len(stage.read("t-other")) == 100, 40, every=0.5)
        wait_for("the unit to be held", lambda: "t-late" in json.dumps((stage.agent.status() or {}).get("forward")), 20)
        assert stage.read("t-copy") == [], "a part of the unit went alone"
        assert nothing_in(stage, "t-state"), "state went before its results"
        stage.make_topics()
        with open(stage.path("in.log"), "a") as file:
            file.write(line(LAST, BASE_MS + 1300 * STEP_MS))
        wait_for_last(stage, 180)
        assert len(stage.read("t-late")) > 0


SCENARIOS = {name: what for name, what in globals().items() if inspect.isfunction(what) and what.__module__ == __name__ and list(inspect.signature(what).parameters) == ["program"]}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
