#!/usr/bin/env python3
"""What commands print, and to where: closed and full outputs, no Kafka in the configuration, no broker that answers."""
import inspect
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from commands import CONFIG, SECONDS, Files, line, main  # noqa: E402


def output_that_cannot_be_written_is_no_success(program):
    with Files(program) as files, open("/dev/full", "w") as full:
        for command in (("replay", files.config), ("check", "-c", files.config), ("check", "--reference"), ("explain", "-c", files.config), ("--help",)):
            done = subprocess.run([program, *command], input=line(1), stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS)
            assert done.returncode == 2 and "No space left on device" in done.stderr, (command, done)


def query_lists_its_tables_in_the_format_that_is_asked_for(program):
    with Files(program) as files:
        rows = [json.loads(row) for row in files.run("query", "--json", "-c", files.config).stdout.splitlines()]
        assert [row["name"] for row in rows] == ["outbox", "quarantine"] and "seq" in rows[0]["columns"], rows
        assert files.run("query", "--csv", "-c", files.config).stdout.startswith("name,also,what,columns\noutbox,")
        assert "\n  stream, topic, seq" in files.run("query", "-c", files.config).stdout


def commands_that_reach_no_broker_say_what_they_wait_for_and_what_is_needed(program):
    with Files(program, CONFIG + "kafka: {brokers: [\"127.0.0.1:1\"]}\n") as files:
        topics = files.run("topics", "-c", files.config)
        assert topics.returncode == 2 and "127.0.0.1:1" in topics.stderr, topics
        assert "  hot-machines\n" in topics.stdout and "(progress topic)\n" in topics.stdout and "transactional id rivulet-e2e-commands" in topics.stdout, topics
        with subprocess.Popen([program, "verify", "--brokers", "127.0.0.1:1", "--topic", "t"], stderr=subprocess.PIPE, text=True) as verify:
            assert verify.stderr.readline() == "waiting for an answer of 127.0.0.1:1\n"
            verify.kill()


LOCAL = """
agent: {id: test, state: STATE}
sources: {in: {stdin: {}, decode: json}}
pipelines:
  p: {from: in, to: [{stdout: {}}, {file: {path: OUT}}]}
"""


def without_kafka_no_word_is_of_kafka(program):
    with Files(program) as files:
        with open(files.config, "w") as file:
            file.write(LOCAL.replace("STATE", os.path.join(files.folder.name, "state")).replace("OUT", os.path.join(files.folder.name, "none", "out.json")))
        assert "(1 sources, 1 pipelines, 0 topics, 2 local outputs)" in files.run("check", "-c", files.config).stdout
        with subprocess.Popen([program, "run", "-c", files.config], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:
            print('{"a":1}', file=agent.stdin)
            agent.stdin.close()
            agent.stdin = None
            log = agent.stderr.readline()
            while "the outbox sent on" not in log:
                log += agent.stderr.readline()
            for _ in range(3):
                agent.send_signal(signal.SIGTERM)
            log += agent.communicate(timeout=SECONDS)[1]
        assert agent.returncode == 0 and "Kafka" not in log and log.count("SIGTERM: ") <= 1, log
        status = files.run("status", "-c", files.config)
        assert "1 of them wait" in status.stdout and "Kafka" not in status.stdout, status


def closed_standard_files_are_empty_ones(program):
    with Files(program) as files:
        for closed, given in (("<&-", ""), (">&-", line(1)), (">&- 2>&-", line(1)), ("<&- >&- 2>&-", "")):
            ran = subprocess.run(["/bin/sh", "-c", f'exec "$0" run -c "$1" --drain-timeout 0 {closed}', program, files.config], input=given, capture_output=True, text=True, timeout=SECONDS)
            assert ran.returncode == 0 and (">&-" in closed or "every source is at its end" in ran.stdout + ran.stderr), (closed, ran)


FACTS = {name: what for name, what in globals().items() if inspect.isfunction(what) and list(inspect.signature(what).parameters) == ["program"]}

if __name__ == "__main__":
    main(FACTS, __doc__)
