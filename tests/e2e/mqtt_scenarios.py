#!/usr/bin/env python3
"""What MQTT promises at each QoS, with a real mosquitto and a real Kafka: mqtt_scenarios.py --rivulet PROGRAM NAME.

Numbers in Kafka are compared with when they were published and when something was killed, so that a loss or a double outside
the window that is allowed fails the test, and not only their count.
"""
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
AUTOSAVE_SECONDS = 2.0  # what a killed mosquitto may forget: autosave_interval 1 saves every 2.0 s (measured: it compares whole seconds with <)


class TimedPublisher(MqttPublisher):
    """Remembers when each number was handed to the network. `before`: the publisher whose numbers it goes on with."""

    def __init__(self, port, rate, qos, before=None):
        self.life = before.life + 1 if before else 0
        super().__init__(port, rate, qos, name=f"mqtt-{self.life}")
        self.sent_at = before.sent_at if before else []
        self.first = self.count = before.count if before else 0

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
            self.client.publish("plant/" + self.name_, rig_.record(self.name_, self.count), qos=self.qos)
            self.sent_at.append(time.monotonic())
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


def drain(rig, publisher):
    publisher.finish()
    last = [-1, 0]

    def still():
        status = rig.agent.status()
        now = status["totals"]["in"] if status else -1
        last[:] = [now, last[1] + 1 if now == last[0] and rig.agent.drained() else 0]
        return last[1] >= 10
    wait_for("the outbox to drain", still, 60, every=0.1)
    numbers = [number for _, number in rig.read("t-mqtt")]
    missing = sorted(set(range(publisher.count)) - set(numbers))
    doubled = sorted({number for number in numbers if numbers.count(number) > 1}) if len(numbers) != len(set(numbers)) else []
    print(f"published {publisher.count}, in Kafka {len(numbers)}, missing {len(missing)}, doubled {len(doubled)}", flush=True)
    return missing, doubled


def outside(numbers, publisher, windows):
    return [n for n in numbers if not any(begin <= publisher.sent_at[n] <= end for begin, end in windows)]


def kills(program, qos, version):
    """KILLS kill -9 while records come in: missing, doubled, the publisher, and the times (kill, subscribed again)."""
    windows = []
    with Rig(program, qos=qos, version=version) as rig:
        start(rig)
        publisher = TimedPublisher(rig.mosquitto.port, 200, qos)
        publisher.start()
        for _ in range(KILLS):
            time.sleep(0.7)
            rig.agent.kill()
            killed = time.monotonic()
            windows.append((killed - COMMIT_SECONDS - SLACK_SECONDS, start(rig) + SLACK_SECONDS))
        time.sleep(0.5)
        missing, doubled = drain(rig, publisher)
    return missing, doubled, publisher, windows


def qos2_is_exactly_once(program):
    for version in ("5", "3.1.1"):
        missing, doubled, _, _ = kills(program, 2, f'"{version}"')
        assert not missing and not doubled, f"MQTT {version}: missing {missing[:5]}, doubled {doubled[:5]}"


def qos1_is_at_least_once(program):
    for version in ("5", "3.1.1"):
        missing, doubled, publisher, windows = kills(program, 1, f'"{version}"')
        assert not missing, f"MQTT {version}: missing {missing[:5]}"
        stray = outside(doubled, publisher, windows)
        assert not stray, f"MQTT {version}: doubled without a kill near: {stray[:5]}"


def qos0_loses_the_window_and_no_more(program):
    missing, doubled, publisher, windows = kills(program, 0, '"5"')
    stray = outside(missing, publisher, windows)
    assert not doubled, f"doubled {doubled[:5]}"
    assert not stray, f"missing outside the loss window: {stray[:5]}"
    assert missing, "nothing was lost although the agent was down: the test did not test anything"


def a_killed_mosquitto_costs_what_it_had_not_saved(program):
    """kill -9 of the MQTT broker: what it had saved arrives; a loss or a double is younger than its autosave interval."""
    windows = []
    with Rig(program) as rig:
        start(rig)
        publisher = TimedPublisher(rig.mosquitto.port, 200, 2)
        publisher.start()
        for _ in range(3):
            time.sleep(2.5)
            rig.mosquitto.stop(kill=True)
            killed = time.monotonic()
            publisher.abandon()  # paho would wait for ever for handshakes that mosquitto forgot
            is_subscribed = subscribed(rig)
            rig.mosquitto.start()
            wait_for("the agent to be back", is_subscribed, 20)
            windows.append((killed - AUTOSAVE_SECONDS - 2 * SLACK_SECONDS, time.monotonic()))
            publisher = TimedPublisher(rig.mosquitto.port, 200, 2, before=publisher)
            publisher.start()
        time.sleep(2.0)
        missing, doubled = drain(rig, publisher)
        assert rig.agent.running(), "the agent ended"
    for what, numbers in (("missing", missing), ("doubled", doubled)):
        stray = outside(numbers, publisher, windows)
        assert not stray, f"{what} although mosquitto had saved it: {stray[:5]}"


SCENARIOS = {what.__name__: what for what in (qos2_is_exactly_once, qos1_is_at_least_once, qos0_loses_the_window_and_no_more, a_killed_mosquitto_costs_what_it_had_not_saved)}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
