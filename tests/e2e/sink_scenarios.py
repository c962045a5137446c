#!/usr/bin/env python3
"""Local outputs of the whole program: sink_scenarios.py --rivulet PROGRAM NAME. No Kafka; a real mosquitto where MQTT is meant.

Numbered records come from a file that outlives the agent, so that what should be in the outputs is known to the record.
"""
import contextlib
import glob
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import facts  # noqa: E402
from rig import Agent, Mosquitto, ROOT, wait_for, wait_for_count  # noqa: E402

CONFIG = """
agent: {{id: e2e-sinks, state: {folder}/state, commit_interval: 20ms, memory: 8MiB}}
status: {{listen: "unix:{folder}/status.sock"}}
sources:
  in: {{file: {{path: {folder}/in.log, poll: 10ms}}}}
pipelines:
{pipelines}
"""
ROTATED = "  copy: {{from: in, to: {{file: {{path: {folder}/out/x.json, rotate: {{size: 16KiB}}}}}}}}\n"


def points():
    """The kill points of agent/sink, and those of the store."""
    found = set()
    for folder in ("agent/sink", "store"):
        for base, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in files:
                if name.endswith(".cpp"):
                    with open(os.path.join(base, name)) as file:
                        found.update(re.findall(r'fault_point\("([^"]+)"\)', file.read()))
    return sorted(found)


class Stage:
    def __init__(self, program, pipelines, more=None):
        self.folder = tempfile.mkdtemp(prefix="rivulet-sinks-")
        os.makedirs(self.path("out"))
        self.count = 0
        self.agent = Agent(program, self.folder, CONFIG.format(folder=self.folder, pipelines=pipelines.format(folder=self.folder, **(more or {}))))

    def path(self, name):
        return os.path.join(self.folder, name)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.agent.running():
            self.agent.kill()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept for a look: {self.folder}\n--- the agent's last lines:\n{self.agent.log_tail()}", flush=True)

    def put(self, count):
        with open(self.path("in.log"), "a") as file:
            file.writelines(json.dumps({"n": self.count + i, "pad": "x" * 40}) + "\n" for i in range(count))
        self.count += count

    def sink(self, kind):
        status = self.agent.status()
        found = [one for one in status["sinks"] if one["destination"].startswith(kind)] if status else []
        return found[0] if found else None

    def drain(self, files):
        """The last record is in one of the files (a pattern), which have them in order, and nothing waits."""
        wait_for_count("the last record in " + files, lambda: max(map(last_number, glob.glob(self.path(files))), default=-1), self.count - 1, 60, every=0.2)
        wait_for("everything to be delivered", self.agent.drained, 60, every=0.05)


class Feeder(threading.Thread):
    """Records at a rate while the agent lives and dies."""

    def __init__(self, stage, rate=2000):
        super().__init__(daemon=True)
        self.stage, self.rate, self.ending = stage, rate, threading.Event()

    def run(self):
        while not self.ending.wait(20 / self.rate):
            self.stage.put(20)

    def finish(self):
        self.ending.set()
        self.join()


def numbers_in(paths):
    """All numbers in the files; a line that is not whole fails."""
    numbers = []
    for path in paths:
        with open(path) as file:
            numbers += [json.loads(line)["n"] for line in file]
    return numbers


def last_number(path):
    """What is written at this moment may end anywhere."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:  # it is just being renamed
        file.seek(max(0, os.path.getsize(path) - 4096))
        return max(map(int, re.findall(rb'"n": ?(\d+),', file.read())), default=-1)
    return -1


def judge(what, numbers, count):
    missing, doubled = count - len(set(numbers)), len(numbers) - len(set(numbers))
    print(f"{what}: in {count}, out {len(numbers)}, missing {missing}, doubled {doubled}, in order {numbers == sorted(numbers)}", flush=True)
    return missing, doubled


def kill_many(stage, kills, required=(), **environment):
    """Each life ends at a named point (when it is passed), or after a moment; one more for each required point that was not reached."""
    seed = int(os.environ.get("RIVULET_SEED", random.randrange(1 << 32)))
    print(f"RIVULET_SEED={seed}", flush=True)
    dice, named, reached = random.Random(seed), points(), set()

    def live(point, count, seconds):
        stage.agent.start(RIVULET_KILL_AT=f"{point}:{count}", **environment)
        deadline = time.monotonic() + seconds
        while stage.agent.running() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not stage.agent.running():
            reached.add(point)
        stage.agent.kill()
    for life in range(kills):
        live(named[life % len(named)], dice.randint(1, 3), dice.uniform(0.5, 1.5))
    for point in sorted(set(required) - reached):
        live(point, 1, 15.0)
    print(f"killed at {len(reached)} of {len(named)} points: {', '.join(sorted(reached))}", flush=True)
    return reached


def run_file_kills(program, kills, required=(), **environment):
    with Stage(program, ROTATED) as stage:
        feeder = Feeder(stage)
        feeder.start()
        reached = kill_many(stage, kills, required, **environment)
        feeder.finish()
        stage.agent.start(**environment)
        wait_for("the agent to answer", lambda: stage.agent.status() is not None, 30)
        stage.drain("out/x*.json")
        files = sorted(glob.glob(stage.path("out/x.0*.json"))) + [stage.path("out/x.json")]
        numbers = numbers_in(files)
        assert len(files) > 10, f"only {len(files)} files: nothing was rotated"
        return judge("file", numbers, stage.count), numbers == sorted(numbers), reached


def a_file_has_each_record_once_whatever_kills_the_agent(program):
    required = {"sink.write", "sink.written", "sink.acknowledged", "sink.renaming", "sink.renamed"}
    (missing, doubled), in_order, reached = run_file_kills(program, 40, required)
    assert not missing and not doubled and in_order
    assert required <= reached, reached


def the_kills_notice_a_file_that_is_not_cut(program):
    """The negative control: without the cut a restart doubles what was not acknowledged, or finds half a line."""
    try:
        (_, doubled), _, _ = run_file_kills(program, 24, RIVULET_BREAK="sink.no_truncate")
    except json.JSONDecodeError:
        return
    assert doubled > 0, "nothing was doubled although nothing was cut: the test does not test anything"


def mqtt_has_each_record_whatever_kills_the_agent(program):
    pipelines = '  copy: {{from: in, to: [{{mqtt: {{url: "mqtt://127.0.0.1:{port}", topic: out/x}}}}, {{file: {{path: {folder}/out/x.json}}}}]}}\n'
    folder = tempfile.mkdtemp(prefix="rivulet-sinks-mqtt-")
    mosquitto = Mosquitto(folder)
    try:
        with Stage(program, pipelines, {"port": mosquitto.port}) as stage:
            got = open(stage.path("subscriber"), "w")
            subscriber = subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", str(mosquitto.port), "-q", "1", "-t", "out/#", "-i", "e2e", "-c", "-d"], stdout=got, stderr=subprocess.STDOUT)
            try:
                wait_for("the subscription", lambda: "SUBACK" in open(stage.path("subscriber")).read(), 20)
                feeder = Feeder(stage)
                feeder.start()
                kill_many(stage, 30)
                feeder.finish()
                stage.agent.start()
                wait_for("the agent to answer", lambda: stage.agent.status() is not None, 30)
                stage.drain("out/x.json")

                def received():
                    with open(stage.path("subscriber")) as file:
                        return [json.loads(line)["n"] for line in file if line.startswith("{") and line.endswith("\n")]
                wait_for("the subscriber to have them", lambda: len(set(received())) >= stage.count, 60, every=0.2)
                missing, doubled = judge("mqtt", received(), stage.count)
                assert not missing
                assert doubled > 0, "nothing came twice: no kill fell between a PUBACK and its acknowledgement, so the test does not test anything"
                missing, doubled = judge("file beside it", numbers_in([stage.path("out/x.json")]), stage.count)
                assert not missing and not doubled
            finally:
                subscriber.kill()
                subscriber.wait(10)
    finally:
        mosquitto.stop(kill=True)
        shutil.rmtree(folder, ignore_errors=True)


def a_dead_output_holds_its_source_only_and_all_comes_when_it_is_back(program):
    pipelines = "  copy: {{from: in, to: {{file: {{path: {folder}/later/x.json}}}}}}\n  other: {{from: more, to: {{file: {{path: {folder}/out/y.csv, format: csv, columns: [n]}}}}}}\n"
    with Stage(program, pipelines) as stage:
        with open(stage.agent.config) as file:
            text = file.read()
        text = text.replace("memory: 8MiB}", "memory: 8MiB, storage: {max: 16MiB}, compression: none}")
        text = text.replace("pipelines:", f"  more: {{file: {{path: {stage.path('more.log')}, poll: 10ms}}}}\npipelines:")
        with open(stage.agent.config, "w") as file:
            file.write(text)
        stage.put(200_000)  # 14 MiB: more than the half that it may fill
        stage.agent.start()
        wait_for("the dead output to fill its half", lambda: (stage.agent.status() or {"store": {"held_full": False}})["store"]["held_full"], 60)
        status = stage.agent.status_now()
        assert status["healthy"] is False and "later/x.json" in "".join(status["problems"]), status["problems"]
        with open(stage.path("more.log"), "w") as file:
            file.writelines(f'{{"n":{n}}}\n' for n in range(1000))
        wait_for("the other output to go on", lambda: os.path.exists(stage.path("out/y.csv")) and open(stage.path("out/y.csv")).read().count("\n") == 1001, 30)
        os.makedirs(stage.path("later"))
        stage.drain("later/x.json")
        missing, doubled = judge("file", numbers_in([stage.path("later/x.json")]), stage.count)
        assert not missing and not doubled
        wait_for("it to be healthy again", lambda: stage.agent.status_now()["healthy"], 20)
        code, seconds = stage.agent.terminate()
        assert code == 0 and seconds < 5, (code, seconds)


def stdin_to_stdout_is_a_filter(program):
    """Finite input: the outputs are drained, then the program ends."""
    folder = tempfile.mkdtemp(prefix="rivulet-sinks-")
    try:
        with open(os.path.join(folder, "r.yaml"), "w") as file:
            file.write(f"agent: {{id: e2e, state: {folder}/state}}\nsources: {{in: {{stdin: {{}}}}}}\n"
                       "pipelines:\n  even: {from: in, steps: [{where: n % 2 = 0}], to: {stdout: {record: whole}, key: n}}\n")
        done = subprocess.run([program, "run", "-c", os.path.join(folder, "r.yaml")], input="".join(f'{{"n":{n}}}\n' for n in range(10_000)), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["value"]["n"] for row in rows] == list(range(0, 10_000, 2)), len(rows)
        assert rows[1]["key"] == "2" and rows[1]["ts"] > 0
        explained = subprocess.run([program, "explain", "-c", os.path.join(folder, "r.yaml")], capture_output=True, text=True, timeout=60).stdout
        assert "to the standard output" in explained and "at least once" in explained, explained
        replayed = subprocess.run([program, "replay", os.path.join(folder, "r.yaml")], input='{"source":"in","key":null,"value":{"n":2},"ts":5}\n', capture_output=True, text=True, timeout=60)
        assert json.loads(replayed.stdout.splitlines()[0]) == {"stdout": "even", "key": "2", "value": {"n": 2}, "ts": 5, "after": 0}, replayed.stdout
    finally:
        shutil.rmtree(folder, ignore_errors=True)


SCENARIOS = {what.__name__: what for what in (a_file_has_each_record_once_whatever_kills_the_agent, the_kills_notice_a_file_that_is_not_cut, mqtt_has_each_record_whatever_kills_the_agent,
                                              a_dead_output_holds_its_source_only_and_all_comes_when_it_is_back, stdin_to_stdout_is_a_filter)}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
