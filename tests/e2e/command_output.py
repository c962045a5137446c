#!/usr/bin/env python3
"""What commands print, and to where: closed and full outputs, no Kafka in the configuration, no broker that answers, the version, adopt."""
import contextlib
import inspect
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from commands import CONFIG, CONFIGURATIONS, SECONDS, Files, line, main  # noqa: E402


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


def status_says_that_something_is_wrong_when_nobody_answers(program):
    with Files(program, CONFIG + "status: {listen: \"unix:STATE.sock\"}\n") as files:
        with subprocess.Popen([program, "run", "-c", files.config], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
            try:
                while "runs as agent" not in agent.stdout.readline():
                    assert agent.poll() is None
                assert files.run("status", "-c", files.config).returncode == 0
                agent.send_signal(signal.SIGSTOP)
                hangs = files.run("status", "-c", files.config, "--json")
                assert hangs.returncode == 1 and "does not answer in time" in hangs.stderr and "running" not in json.loads(hangs.stdout), hangs
            finally:
                agent.kill()
        gone = files.run("status", "-c", files.config, "--json")
        assert gone.returncode == 1 and "is the agent running?" in gone.stderr and json.loads(gone.stdout)["running"] is False, gone
        assert "from the store in" in files.run("status", "-c", files.config).stdout


def status_without_a_listener_looks_at_the_store_and_does_not_say_who_runs(program):
    with Files(program) as files:
        with subprocess.Popen([program, "run", "-c", files.config], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as agent:
            try:
                while "runs as agent" not in agent.stdout.readline():
                    assert agent.poll() is None
                runs = files.run("status", "-c", files.config, "--json")
            finally:
                agent.kill()
        gone = files.run("status", "-c", files.config, "--json")
        for done in (runs, gone):
            assert done.returncode == 0 and "has no status.listen" in done.stderr and "running" not in json.loads(done.stdout), done


HOSTILE = """agent: {id: e2e-output, state: STATE}
sources: {lines: {stdin: {}}}
pipelines: {2fast: {from: lines, steps: [table: {}]}}
"""


def text_of_others_moves_no_cursor(program):
    """C1 controls as UTF-8: some terminals take U+009B as they take ESC [."""
    with Files(program, HOSTILE) as files:
        ran = files.run("run", "-c", files.config, "--drain-timeout", "0", given="bad \u009b2J \u00e9 \x1b[2J\n" * 2)
        listed, shown = files.run("quarantine", "list", "-c", files.config), files.run("quarantine", "show", "1", "-c", files.config)
        for done in (ran, listed, shown):
            assert done.returncode == 0 and "\u009b" not in done.stdout + done.stderr and "\x1b" not in done.stdout + done.stderr, done
        assert "bad \\xc2\\x9b2J \u00e9 \\x1b[2J" in shown.stdout, shown
        for limit in ("-1", "0"):
            refused = files.run("quarantine", "list", "--limit", limit, "-c", files.config)
            assert refused.returncode == 2 and "--limit" in refused.stderr, refused
        assert "bad " in files.run("quarantine", "list", "--limit", "9223372036854775807", "-c", files.config).stdout
        beyond = files.run("quarantine", "list", "--limit", "18446744073709551615", "-c", files.config)  # CLI11 2.4 refuses it, the one before takes what it can
        assert "bad " in beyond.stdout or (beyond.returncode == 2 and "--limit" in beyond.stderr and not beyond.stdout), beyond
        assert "... and more" in files.run("quarantine", "list", "--limit", "1", "-c", files.config).stdout


def input_that_cannot_be_read_is_no_success(program):
    with Files(program) as files:
        no_input = os.open(files.folder.name, os.O_RDONLY)
        ran = subprocess.run([program, "run", "-c", files.config, "--drain-timeout", "0"], stdin=no_input, capture_output=True, text=True, timeout=SECONDS)
        os.close(no_input)
        assert ran.returncode == 2 and "cannot be read: Is a directory" in ran.stdout and "before its end" in ran.stdout, ran


def names_of_tables_are_printed_as_sql_takes_them(program):
    with Files(program, HOSTILE) as files:
        files.run("run", "-c", files.config, "--drain-timeout", "0", given='{"a":1}\n')
        listed = files.run("query", "-c", files.config).stdout
        assert '"2fast"' in listed and "outbox" in listed and '"outbox"' not in listed, listed


def commands_that_reach_no_broker_say_what_they_wait_for_and_what_is_needed(program):
    with Files(program, CONFIG + "kafka: {brokers: [\"127.0.0.1:1\"]}\n") as files:
        topics = files.run("topics", "-c", files.config)
        assert topics.returncode == 2 and "127.0.0.1:1" in topics.stderr, topics
        assert "  hot-machines\n" in topics.stdout and "(progress topic)\n" in topics.stdout and "transactional id rivulet-e2e-commands" in topics.stdout, topics
        with subprocess.Popen([program, "verify", "--brokers", "127.0.0.1:1", "--topic", "t"], stderr=subprocess.PIPE, text=True) as verify:
            assert verify.stderr.readline() == "waiting for an answer of 127.0.0.1:1\n"
            verify.kill()


def the_version_is_that_of_the_sources_everywhere(program):
    version = re.search(r"^project\(rivulet VERSION (\S+)", (CONFIGURATIONS.parent / "CMakeLists.txt").read_text(), re.MULTILINE)[1]
    told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=SECONDS)
    assert (told.returncode, told.stdout, told.stderr) == (0, f"rivulet {version}\n", ""), told
    packed = (CONFIGURATIONS.parent / "packaging" / "debian" / "changelog").read_text().split("\n")[0]
    assert packed.startswith(f"rivulet ({version})"), packed
    with Files(program) as files:
        ran = files.run("run", "-c", files.config, given=json.dumps({"device": "d1"}))
        assert f"rivulet {version} runs as agent e2e-commands" in ran.stdout, ran


def adopt_shows_what_is_known_and_does_nothing_without_yes(program):
    with Files(program, CONFIG + "kafka: {brokers: [\"127.0.0.1:1\"]}\n") as files:
        nothing = files.run("adopt", "--yes", "-c", files.config)
        assert nothing.returncode == 2 and "no store at" in nothing.stderr and not nothing.stdout and os.listdir(files.folder.name) == ["rivulet.yaml"], nothing
        with subprocess.Popen([program, "run", "-c", files.config, "--drain-timeout", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
            try:
                while "runs as agent" not in agent.stdout.readline():
                    assert agent.poll() is None
                running = files.run("adopt", "--yes", "-c", files.config)
                assert running.returncode == 2 and "is in use by another rivulet" in running.stderr and not running.stdout, running
            finally:
                agent.communicate(json.dumps({"device": "d1", "temperature": 31}) + "\n", timeout=SECONDS)
        asked = files.run("adopt", "-c", files.config)
        assert asked.returncode == 1 and asked.stdout.startswith("agent e2e-commands, incarnation ") and ", 1 records wait\nlast acknowledged: nothing yet\nunder way: nothing\n" in asked.stdout, asked
        assert "`rivulet adopt --yes`" in asked.stdout and "no other agent uses the id 'e2e-commands'" in asked.stdout, asked
        assert not decided(files), "it was asked only"
        done = files.run("adopt", "--yes", "-c", files.config)
        assert done.returncode == 0 and done.stdout.endswith("\nadopted; start the agent now\n") and not done.stderr, done
        assert decided(files)


def decided(files):
    """What the next start finds."""
    with contextlib.closing(sqlite3.connect(os.path.join(files.folder.name, "state", "rivulet.db"))) as store:
        return store.execute("SELECT count(*) FROM facts WHERE name = 'adopt'").fetchone() == (1,)


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
