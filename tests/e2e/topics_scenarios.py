#!/usr/bin/env python3
"""`rivulet topics` against a real Kafka: topics_scenarios.py --rivulet PROGRAM NAME. `--list` prints the names."""
import inspect
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import facts  # noqa: E402
from rig import free_port, wait_for  # noqa: E402
from stage import Stage  # noqa: E402
from kafka_broker import fetch  # noqa: E402

SOURCES = """  lines: {{file: {{path: {folder}/in.log, poll: 20ms}}, key: k}}
  more: {{kafka: {{topic: more}}, key: k}}
  orders: {{kafka: {{topic: orders, bootstrap: true}}}}
"""
PIPELINES = """  orders-by-key: {from: orders, steps: [table: {}]}
  copies: {from: more, to: copies}
  sums: {from: lines, changelog: sums-state, steps: [aggregate: {select: {n: count(*)}, emit: every-change}], to: [sums, {stdout: {}}]}
"""
PARTITIONS, PROGRESS_PARTITIONS = 4, 50
MADE = {"copies": "", "more": " (read by a source)", "orders": " (read by a source, as a table)", "rivulet-progress": " (progress topic)", "sums": "", "sums-state": " (changelog)"}
NEEDED = [("write, describe, read", "copies, sums, sums-state, rivulet-progress"), ("read, describe", "more"), ("read, describe", "orders"),
          ("idempotent write", "the cluster"), ("write, describe", "transactional id rivulet-e2e-agent")]


def permissions(text):
    """(operations, of what) as printed"""
    return re.findall(r"^  ([a-z, ]+): (.+)$", text.split("permissions that the agent's login needs\n")[1], re.MULTILINE)


def about(text):
    """{topic: the lines about it}"""
    return {topic: more for topic, more in re.findall(r"^  ([\w-]+): (.*\n(?:    .*\n)*)", text.split("permissions that")[0], re.MULTILINE)}


def topics_are_named_made_and_judged(program):
    """What is missing, what was made, what is risky, what cannot be; exit code 1 until all can be used."""
    with Stage(program, extra={"log.retention.ms": 3_600_000}) as stage:
        stage.configure(SOURCES.format(folder=stage.folder), PIPELINES)
        asked = stage.command("topics", "-c", stage.agent.config)
        assert asked.returncode == 1 and about(asked.stdout) == {topic: "missing\n" for topic in MADE}, asked
        assert permissions(asked.stdout) == NEEDED and asked.stdout.endswith("`rivulet topics --create` makes the missing ones\n"), asked.stdout
        made = stage.command("topics", "--create", "--partitions", str(PARTITIONS), "-c", stage.agent.config)
        partitions = {topic: PROGRESS_PARTITIONS if topic == "rivulet-progress" else PARTITIONS for topic in MADE}
        assert made.returncode == 0 and about(made.stdout) == {topic: f"missing\n    created with {partitions[topic]} partitions\n" for topic in MADE}, made
        wait_for("the topics to be known", lambda: stage.command("topics", "-c", stage.agent.config).returncode == 0, 30)
        there = stage.command("topics", "-c", stage.agent.config)
        assert there.returncode == 0 and "--create" not in there.stdout and "WRONG" not in there.stdout, there
        for topic, lines in about(there.stdout).items():
            assert lines.startswith(f"{partitions[topic]} partitions, 1 replica{MADE[topic]}\n"), (topic, lines)
            assert lines.count("    warning: 1 replica; 3 and min.insync.replicas 2 survive the loss of a broker\n") == 1, (topic, lines)
            short = "    warning: retention.ms is 1 h; after an outage longer than that, records are deleted on arrival"
            assert (short in lines) == (topic in ("copies", "sums")), f"of those that the agent writes records to: {topic}: {lines}"
        stage.broker.alter_topic("rivulet-progress", {"cleanup.policy": "delete"})
        for more in ([], ["--create"]):
            wrong = stage.command("topics", *more, "-c", stage.agent.config)
            assert wrong.returncode == 1 and "    WRONG: cleanup.policy is delete, it must be compact" in about(wrong.stdout)["rivulet-progress"], wrong
            assert "--create" not in wrong.stdout, f"nothing is missing: {wrong.stdout}"


def gateways_that_make_the_same_topics_at_once_all_succeed(program):
    """Who is told that a topic exists by now looks at it as at any other."""
    with Stage(program) as stage:
        for attempt in range(5):  # until one meets another
            stage.configure(SOURCES.format(folder=stage.folder), PIPELINES.replace("to: copies", f"to: copies-{attempt}"))
            at_once = [subprocess.Popen([program, "topics", "--create", "-c", stage.agent.config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
            told = [(*one.communicate(timeout=60), one.returncode) for one in at_once]
            assert all(code == 0 for _, _, code in told), told
            met = [lines for out, _, _ in told for lines in about(out).values() if "    there by now: " in lines]
            if met:
                break
        assert met, "none met another: this shows nothing"
        assert all(re.search(r"    there by now: (3|50) partitions, 1 replica( \(.+\))?\n    warning: 1 replica;", lines) for lines in met), met


def with_permissions(stage):
    """A broker that gives a login what it was given, and who comes without one everything. The port for those."""
    plain, stage.port = free_port(), free_port()
    stage.broker.start(port=stage.port, extra={
        "listeners": f"SASL_PLAINTEXT://127.0.0.1:{{port}},PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{{controller}}",
        "advertised.listeners": f"SASL_PLAINTEXT://127.0.0.1:{stage.port},PLAINTEXT://127.0.0.1:{plain}",
        "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": 'org.apache.kafka.common.security.plain.PlainLoginModule required user_gateway="right";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS"})
    return plain


def give(port, needed):
    """By Kafka's own tool, a JVM for each line, all at once."""
    tools = []
    for operations, what in needed:
        of = ["--cluster"] if what == "the cluster" else ["--transactional-id", what.split()[-1]] if what.startswith("transactional id ") else \
            [word for topic in what.split(", ") for word in ("--topic", topic)]
        words = [word for operation in operations.split(", ") for word in ("--operation", operation.title().replace(" ", ""))]
        tools.append(subprocess.Popen(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", fetch() + "/*", "org.apache.kafka.tools.AclCommand", "--bootstrap-server", f"127.0.0.1:{port}",
                                       "--add", "--allow-principal", "User:gateway", *words, *of], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    for tool in tools:
        said = tool.communicate(timeout=60)[0]
        assert tool.returncode == 0, said


def produce(port, topic, count):
    subprocess.run(["kcat", "-b", f"127.0.0.1:{port}", "-P", "-t", topic, "-K", "\t"], input="".join(f'k{n}\t{{"n": {n}, "k": "k{n}"}}\n' for n in range(count)), text=True, check=True, timeout=60)


def count(port, topic):
    done = subprocess.run(["kcat", "-b", f"127.0.0.1:{port}", "-C", "-t", topic, "-e", "-q", "-o", "beginning", "-X", "isolation.level=read_committed", "-f", "%o\n"],
                          capture_output=True, text=True, check=True, timeout=60)
    return len(done.stdout.splitlines())


def the_permissions_that_are_printed_are_enough(program):
    """A login that had none, is given these, and no more: it reads its topics, forwards exactly once, writes its changelog."""
    with Stage(program, kafka=False) as stage:
        plain = with_permissions(stage)
        login, stage.port = stage.port, plain
        stage.configure(SOURCES.format(folder=stage.folder), PIPELINES, name="anybody.yaml")
        stage.make_topics()
        for topic in ("more", "orders"):
            produce(plain, topic, 20)
        stage.port = login
        stage.configure(SOURCES.format(folder=stage.folder), PIPELINES, kafka="  sasl: {mechanism: PLAIN, username: gateway, password: right}\n")
        stage.lines("in.log", range(30))
        refused = stage.command("topics", "-c", stage.agent.config)
        assert refused.returncode == 1 and all("Topic authorization failed" in lines for lines in about(refused.stdout).values()), refused
        give(plain, permissions(refused.stdout))
        wait_for("the permissions to be known", lambda: stage.command("topics", "-c", stage.agent.config).returncode == 0, 30)
        stage.agent.start()
        wait_for("every result in Kafka", lambda: (count(plain, "copies"), count(plain, "sums")) == (20, 30), 60, every=0.2)
        assert count(plain, "sums-state") > 0
        assert stage.agent.terminate()[0] == 0


def topics_that_may_be_read_and_not_written_hold_their_streams_alone(program):
    """Kafka says so in the middle of a transaction only, and of other topics' records that they were not attempted: these go on, and each when it may be written."""
    denied = ["copies", *(f"copies-{n}" for n in range(6))]
    pipelines = PIPELINES.replace("to: copies", f"to: [{', '.join(denied)}]")
    with Stage(program, kafka=False) as stage:
        plain = with_permissions(stage)
        login, stage.port = stage.port, plain
        stage.configure(SOURCES.format(folder=stage.folder), pipelines, name="anybody.yaml")
        stage.make_topics()
        produce(plain, "more", 20)
        stage.port = login
        stage.configure(SOURCES.format(folder=stage.folder), pipelines, kafka="  sasl: {mechanism: PLAIN, username: gateway, password: right}\n")
        stage.lines("in.log", range(30))
        give(plain, [("write, describe, read", "sums, sums-state"), ("describe, read", "rivulet-progress"), ("read, describe", ", ".join(denied + ["more", "orders"])), *NEEDED[3:]])
        stage.agent.start()
        alarm = lambda: (stage.agent.status() or {"forward": {"alarm": ""}})["forward"]["alarm"]  # noqa: E731
        wait_for("the progress topic to be named", lambda: "progress topic rivulet-progress" in alarm() and "authorization" in alarm(), 60, every=0.2)
        give(plain, [("write", "rivulet-progress")])
        wait_for("the other stream's results in Kafka", lambda: count(plain, "sums") == 30, 60, every=0.2)
        wait_for("the streams to be held", lambda: sorted((held["topic"], "authorization" in held["reason"]) for held in stage.agent.status_now()["forward"]["held"]) == [(topic, True) for topic in denied], 30)
        assert alarm() == "" and not any(count(plain, topic) for topic in denied)
        stage.lines("in.log", range(30, 60))
        wait_for("the other stream's next results in Kafka", lambda: count(plain, "sums") == 60, 60, every=0.2)
        give(plain, [("write", ", ".join(denied))])
        wait_for("the held results in Kafka", lambda: all(count(plain, topic) == 20 for topic in denied), 150, every=0.5)
        assert stage.agent.terminate()[0] == 0
        for topic in (*denied, "sums"):
            assert stage.command("verify", "--brokers", f"127.0.0.1:{plain}", "--topic", topic).returncode == 0, topic


SCENARIOS = {name: what for name, what in globals().items() if inspect.isfunction(what) and what.__module__ == __name__ and list(inspect.signature(what).parameters) == ["program"]}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
