#!/usr/bin/env python3
"""What MQTT promises at each QoS, with a real mosquitto and a real Kafka: mqtt_scenarios.py --rivulet PROGRAM NAME.

Numbers in Kafka are compared with when they were published and when something was killed, so that a loss or a double outside
the window that is allowed fails the test, and not only their count.
"""
import collections
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import facts  # noqa: E402
import rig as rig_  # noqa: E402
from rig import MqttPublisher, Rig, wait_for  # noqa: E402

KILLS = 4
COMMIT_SECONDS = 0.05  # agent.commit_interval of the rig
SLACK_SECONDS = 0.3    # scheduling of a busy machine
UNSAVED = 60           # published after mosquitto saved, before it is killed
UNACKNOWLEDGED = 20    # what mosquitto sends before it is acknowledged: its max_inflight_messages for 3.1.1, for 5 set by `receive_maximum`
VERSIONS = (f'"5", receive_maximum: {UNACKNOWLEDGED}', '"3.1.1"')

# How many records all lives up to it had stored, when it was asked for, when the agent was dead, and when the next one had subscribed.
Kill = collections.namedtuple("Kill", "stored asked dead subscribed")


class TimedPublisher(MqttPublisher):
    """Remembers when each number was given to paho and, at QoS 0, when it was written. `before`: the publisher whose numbers it goes on with."""

    def __init__(self, port, rate, qos, before=None):
        self.life = before.life + 1 if before else 0
        super().__init__(port, rate, qos, name=f"mqtt-{self.life}")
        self.sent_at = before.sent_at if before else []
        self.written_at = []
        self.first = self.count = before.count if before else 0

    def on_publish(self, *_):
        self.written_at.append(time.monotonic())
        super().on_publish()

    def finish(self):
        self.ending.set()
        self.join()
        self.count -= self.first  # what it has to wait for is only its own
        super().finish()
        self.count += self.first

    def abandon(self):
        """Its broker is dead: what is still in its hands is nobody's promise."""
        self.ending.set()
        self.join()
        self.client.loop_stop()

    def run(self):
        while not self.ending.is_set():
            self.sent_at.append(time.monotonic())
            self.client.publish("plant/" + self.name_, rig_.record(self.name_, self.count), qos=self.qos)
            self.count += 1
            time.sleep(1 / self.rate)


def subscribed(rig):
    """A condition: the agent has subscribed once more than at this call."""
    with open(rig.agent.log_path) as log:
        before = log.read().count("subscribed at")
    return lambda: open(rig.agent.log_path).read().count("subscribed at") > before


def start(rig):
    is_subscribed = subscribed(rig) if os.path.exists(rig.agent.log_path) else lambda: "subscribed at" in rig.agent.log_tail(200)
    rig.agent.start()
    wait_for("the agent to subscribe", is_subscribed, 20)
    return time.monotonic()


def drain(rig, publisher, all_come=True):
    """Waits for each number or, when some may be lost, for the last one; and then until nothing changes. Missing and doubled ones (a number that is there
    three times is doubled twice)."""
    publisher.finish()
    wanted = set(range(0 if all_come else publisher.count - 1, publisher.count))
    until = time.monotonic() + 60
    while wanted - {number for _, number in rig.read("t-mqtt")} and time.monotonic() < until:
        time.sleep(0.3)
    last = [-1, 0]

    def still():
        status = rig.agent.status()
        now = status["totals"]["in"] if status else -1
        last[:] = [now, last[1] + 1 if now == last[0] and rig.agent.drained() else 0]
        return last[1] >= 10
    wait_for("the outbox to drain", still, 60, every=0.1)
    numbers = [number for _, number in rig.read("t-mqtt")]
    missing = sorted(set(range(publisher.count)) - set(numbers))
    doubled = sorted((collections.Counter(numbers) - collections.Counter(set(numbers))).elements())
    print(f"published {publisher.count}, in Kafka {len(numbers)}, missing {len(missing)}, doubled {len(doubled)}", flush=True)
    return missing, doubled


def runs(numbers):
    """Sorted numbers as [first, last] of those that follow each other."""
    found = []
    for n in numbers:
        if found and n == found[-1][1] + 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    return found


def kills(program, qos, version):
    """KILLS kill -9 while records come in: missing, doubled, the publisher, and each Kill."""
    found, stored = [], 0
    with Rig(program, qos=qos, version=version) as rig:
        start(rig)
        publisher = TimedPublisher(rig.mosquitto.port, 200, qos)
        publisher.start()
        for _ in range(KILLS):
            time.sleep(0.7)
            stored += rig.agent.status_now()["totals"]["stored"]
            asked = time.monotonic()
            rig.agent.kill()
            dead = time.monotonic()
            found.append(Kill(stored, asked, dead, start(rig)))
        time.sleep(0.5)
        missing, doubled = drain(rig, publisher, all_come=qos > 0)
    return missing, doubled, publisher, found


def qos2_is_exactly_once(program):
    for version in ('"5"', '"3.1.1"'):
        missing, doubled, _, _ = kills(program, 2, version)
        assert not missing and not doubled, f"MQTT {version}: missing {missing[:5]}, doubled {doubled[:5]}"


def qos1_is_at_least_once(program):
    """Doubled is what the agent had taken and mosquitto had no acknowledgement of: nothing sent after the kill, and not much before the last that the agent had."""
    for version in VERSIONS:
        missing, doubled, publisher, killed = kills(program, 1, version)
        assert not missing, f"MQTT {version}: missing {missing[:5]}"
        oldest = [kill.stored - len(doubled) - UNACKNOWLEDGED for kill in killed]
        stray = [n for n in doubled if not any(n >= first and publisher.sent_at[n] <= kill.dead for first, kill in zip(oldest, killed))]
        assert not stray, f"MQTT {version}: doubled without a kill near: {stray[:5]}"
        assert len(doubled) <= KILLS * UNACKNOWLEDGED, f"MQTT {version}: {len(doubled)} doubled"


def qos0_loses_the_window_and_no_more(program):
    """One gap a kill at most: from what was not stored yet up to the new subscription."""
    missing, doubled, publisher, killed = kills(program, 0, '"5"')
    assert not doubled, f"doubled {doubled[:5]}"
    assert missing, "nothing was lost although the agent was down: the test did not test anything"
    left, in_time, lost = list(killed), 0, 0
    for first, last in runs(missing):
        said = f"{first} to {last} are missing"
        near = next((kill for kill in left if publisher.sent_at[last] <= kill.subscribed), None)
        assert near, f"{said}: published while the agent was subscribed, or a second gap of one kill"
        begin = near.asked - COMMIT_SECONDS - SLACK_SECONDS
        assert publisher.written_at[last] >= begin, f"{said}: long before the kill"
        assert first - lost >= near.stored, f"{said}: {first - lost} before them are there, but {near.stored} were in the store"
        in_time += publisher.written_at[first] >= begin
        lost += last - first + 1
        left = [kill for kill in left if kill.asked > near.asked]
    # A disk that is slow for a moment makes one of the windows longer, not most of them.
    assert in_time * 2 >= len(runs(missing)), f"only {in_time} of {len(runs(missing))} gaps began within the commit interval before a kill"


def broker_kills(program, qos, version):
    """Three kill -9 of the MQTT broker while records come in: missing, doubled (by number), when each was sent, and the windows: from what mosquitto saved last
    (at QoS 0, of which it saves nothing, from the kill) to the new subscription."""
    windows = []
    with Rig(program, qos=qos, version=version) as rig:
        def saved():
            """When mosquitto wrote its state last."""
            path = os.path.join(rig.folder, "mosquitto", "mosquitto.db")
            return os.stat(path).st_mtime - time.time() + time.monotonic() if os.path.exists(path) else 0.0

        start(rig)
        publisher = TimedPublisher(rig.mosquitto.port, 200, qos)
        publisher.start()
        for _ in range(3):
            begun = time.monotonic()
            time.sleep(2.0)
            wait_for("mosquitto to save", lambda: saved() > begun)
            unsaved = publisher.count + UNSAVED
            wait_for("some records after it", lambda: publisher.count >= unsaved)
            asked = time.monotonic()
            rig.mosquitto.stop(kill=True)
            begin = (saved() if qos > 0 else asked) - SLACK_SECONDS
            publisher.abandon()  # paho would wait for ever for handshakes that mosquitto forgot
            is_subscribed = subscribed(rig)
            rig.mosquitto.start()
            publisher = TimedPublisher(rig.mosquitto.port, 200, qos, before=publisher)  # before the agent is back
            publisher.start()
            wait_for("the agent to be back", is_subscribed, 20)
            windows.append((begin, time.monotonic()))
        time.sleep(2.0)
        missing, doubled = drain(rig, publisher, all_come=False)
        assert rig.agent.running(), "the agent ended"
    return missing, doubled, publisher.sent_at, windows


def outside(numbers, sent_at, windows):
    return [n for n in numbers if not any(begin <= sent_at[n] <= end for begin, end in windows)]


def a_killed_mosquitto_costs_at_qos2_what_it_had_not_saved(program):
    """Expected of either version: what mosquitto had saved is there once; missing or doubled is only what was published after its last save and before the agent was back."""
    for version in ('"5"', '"3.1.1"'):
        missing, doubled, sent_at, windows = broker_kills(program, 2, version)
        for what, numbers in (("missing", missing), ("doubled", doubled)):
            stray = outside(numbers, sent_at, windows)
            assert not stray, f"MQTT {version}: {what} although mosquitto had saved it: {stray[:5]}"


def a_killed_mosquitto_costs_at_qos1_what_it_had_not_saved(program):
    """Expected: nothing that mosquitto had saved is missing; doubled is only what was not yet acknowledged when it saved, and what came after."""
    missing, doubled, sent_at, windows = broker_kills(program, 1, VERSIONS[0])
    for what, numbers in (("missing", missing), ("doubled", doubled)):
        stray = outside(numbers, sent_at, windows)
        assert not stray, f"{what} although mosquitto had saved it: {stray[:5]}"


def a_killed_mosquitto_costs_at_qos0_what_is_published_until_the_next_subscription(program):
    """Expected: nothing is doubled, for nothing is sent again; missing is only what was published between the kill and the new subscription, for no queue keeps it."""
    missing, doubled, sent_at, windows = broker_kills(program, 0, '"5"')
    assert not doubled, f"doubled {doubled[:5]}"
    assert missing, "nothing was lost although mosquitto was down: the test did not test anything"
    stray = outside(missing, sent_at, windows)
    assert not stray, f"missing although the agent was subscribed: {stray[:5]}"


SCENARIOS = {what.__name__: what for what in (qos2_is_exactly_once, qos1_is_at_least_once, qos0_loses_the_window_and_no_more, a_killed_mosquitto_costs_at_qos2_what_it_had_not_saved,
                                              a_killed_mosquitto_costs_at_qos1_what_it_had_not_saved, a_killed_mosquitto_costs_at_qos0_what_is_published_until_the_next_subscription)}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
