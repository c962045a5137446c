#!/usr/bin/env python3
"""Commands that need no broker, through the real command line: commands.py --rivulet PROGRAM [NAME...]. `--list` prints the names."""
import argparse
import ctypes
import inspect
import json
import os
import pathlib
import select
import sqlite3
import subprocess
import tempfile
import time

import jsonschema
import yaml

SECONDS = 20
CONFIGURATIONS = pathlib.Path(__file__).parents[2] / "config"
SCRAM_SINCE = 0x020601FF
CONFIG = """agent: {id: e2e-commands, state: STATE}
sources:
  machines: {stdin: {}, key: device}
pipelines:
  hot:
    from: machines
    steps:
      - where: temperature > 30
      - set: {fahrenheit: "temperature * 1.8 + 32", unit: "'F'"}
      - rename: {device: machine}
      - drop: [temperature, raw]
      - log: seen
  out: {from: hot, to: {topic: hot-machines, key: machine}}
"""


class Files:
    """A folder with a configuration, gone afterwards."""

    def __init__(self, program, text=CONFIG):
        self.program, self.text = program, text

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="rivulet-commands-")
        self.config = os.path.join(self.folder.name, "rivulet.yaml")
        with open(self.config, "w") as file:
            file.write(self.text.replace("STATE", os.path.join(self.folder.name, "state")))
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def run(self, *arguments, given=""):
        return subprocess.run([self.program, *arguments], input=given, capture_output=True, text=True, timeout=SECONDS)


def line(number):
    return json.dumps({"source": "machines", "key": f"d{number}", "value": {"device": f"d{number}", "temperature": 31 + number}, "ts": number}) + "\n"


def read_lines(stream, count):
    """`count` lines from a pipe that stays open; an error after SECONDS."""
    until, got = time.monotonic() + SECONDS, b""
    while got.count(b"\n") < count:
        ready, _, _ = select.select([stream], [], [], max(0, until - time.monotonic()))
        assert ready, f"{got.count(bytes([10]))} lines instead of {count} after {SECONDS} s"
        part = os.read(stream.fileno(), 65536)
        assert part, "the output ended early"
        got += part
    return got.decode().splitlines()


def replay_shows_each_epoch_while_its_input_is_open(program):
    with Files(program) as files, subprocess.Popen([program, "replay", files.config, "--epoch", "2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                   stderr=subprocess.DEVNULL) as replay:
        try:
            for epoch in range(3):
                replay.stdin.write((line(2 * epoch) + line(2 * epoch + 1)).encode())
                replay.stdin.flush()
                found = [json.loads(text)["after"] for text in read_lines(replay.stdout, 2)]
                assert found == [2 * epoch, 2 * epoch + 1], found
            replay.stdin.write(line(6).encode())  # half an epoch: comes with the end of the input
            replay.stdin.close()
            last = [json.loads(text) for text in read_lines(replay.stdout, 2)]
            assert last[0]["after"] == 6 and last[1]["summary"]["out"] == 7, last
            assert replay.wait(SECONDS) == 0
        finally:
            replay.kill()


def replay_gives_the_same_whatever_the_epoch(program):
    with Files(program) as files:
        given = "".join(line(number) for number in range(50))
        outputs = {files.run("replay", files.config, *epoch, given=given).stdout for epoch in ((), ("--epoch", "1"), ("--epoch", "7"), ("--epoch=1000",))}
        assert len(outputs) == 1 and next(iter(outputs)).count("\n") == 51, outputs


def replay_refuses_an_epoch_that_is_no_number_of_lines(program):
    with Files(program) as files:
        for epoch in ("0", "-1", "two", "1.5", ""):
            done = files.run("replay", files.config, "--epoch", epoch)
            assert done.returncode == 2 and "--epoch" in done.stderr and not done.stdout, (epoch, done)


def check_warns_of_tables_and_certificates_that_no_source_could_begin_with(program):
    text = """agent: {id: e2e-commands, state: STATE}
sources:
  machines: {tcp: {listen: "127.0.0.1:5000", tls: {certificate: FOLDER/absent.pem, key: FOLDER/absent.key}}, key: device}
tables:
  sites: {file: {path: FOLDER/sites.csv, key: nothing}}
  owners: {sqlite: {path: FOLDER/owners.db, query: "DELETE FROM owners", key: id}}
pipelines:
  p:
    from: machines
    steps: [{join: {with: sites, kind: left, name: s}}, {join: {with: owners, kind: left, name: o}}]
    to: {stdout: {}}
"""
    with Files(program) as files:
        folder = os.path.dirname(files.config)
        with open(files.config, "w") as config, open(os.path.join(folder, "sites.csv"), "w") as sites:
            config.write(text.replace("FOLDER", folder).replace("STATE", folder))
            sites.write("id,name\n1,north\n")
        with sqlite3.connect(os.path.join(folder, "owners.db")) as owners:
            owners.execute("CREATE TABLE owners(id PRIMARY KEY, name)")
        done = files.run("check", "-c", files.config)
        assert done.returncode == 0 and "in order" in done.stdout, done
        for warning in (":3:13: warning: sources.machines.tcp.tls: tls: ", ":5:10: warning: tables.sites: ", ":6:11: warning: tables.owners: "):
            assert done.stderr.count(warning) == 1, (warning, done.stderr)
        assert done.stderr.count("no source is read") == 2, done.stderr


def check_tells_of_expressions_although_the_structure_has_problems(program):
    bad = CONFIG.replace("agent: {", "agent: {cuckoo: 1, ").replace("key: device}", "key: device +}").replace("temperature > 30", "(temperature + ) > 30").replace("\"'F'\"", "no_such(1)")
    with Files(program, bad) as files:
        done = files.run("check", "-c", files.config)
        assert done.returncode == 1, done
        for problem in (":1:9: agent.cuckoo: is not a known key", ":3:30: sources.machines.key: ends too early, something is missing after its last word",
                        ":8:16: pipelines.hot.steps[0].where: near \")\": syntax error", ":9:59: pipelines.hot.steps[1].set.unit: no such function: no_such"):
            assert done.stderr.count(problem) == 1, f"not once '{problem}' in\n{done.stderr}"
        places = [tuple(map(int, text.split(":")[1:3])) for text in done.stderr.splitlines() if text.startswith(files.config + ":") and text.count(":") > 3]
        assert places == sorted(places), done.stderr


def a_word_that_is_no_command_is_told_with_those_that_there_are(program):
    for words, told in ((["foo"], "'foo' is no command of rivulet, expected one of: run, check, "), (["quarantine", "lst", "-c", "x"], "'lst' is no command of rivulet quarantine, expected one of: list, show, ")):
        done = subprocess.run([program, *words], capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 2 and done.stderr.startswith(told) and not done.stdout, done
    for number in ("-5", "0", "x"):
        done = subprocess.run([program, "quarantine", "drop", "--", number], capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 2 and "FIRST" in done.stderr and len(done.stderr) < 200, done


def status_says_how_many_records_are_in_quarantine(program):
    with Files(program) as files:
        ran = subprocess.run([program, "run", "-c", files.config, "--drain-timeout", "0"], input="{broken\n" * 3, capture_output=True, text=True, timeout=SECONDS)
        log = ran.stdout + ran.stderr
        assert ran.returncode == 0 and log.count("quarantine: source machines, decode: a record was put there: ") == 1, log
        assert log.count("quarantine: source machines, decode: 2 more records were put there since; `rivulet quarantine list`") == 1, log
        text, as_json = files.run("status", "-c", files.config), files.run("status", "--json", "-c", files.config)
        assert "3 records are in quarantine: `rivulet quarantine list`" in text.stdout, text
        assert json.loads(as_json.stdout)["quarantine_records"] == 3, as_json


def explain_prints_each_step_as_configured(program):
    with Files(program) as files:
        done = files.run("explain", "-c", files.config)
        assert done.returncode == 0, done.stderr
        for step in ("where temperature > 30", "set fahrenheit = temperature * 1.8 + 32, unit = 'F'", "rename device to machine", "drop temperature raw", "log seen"):
            assert f"\n  {step}\n" in done.stdout, f"no line '{step}' in\n{done.stdout}"
        assert done.stdout.index("where temp") < done.stdout.index("rename device"), "the steps are in another order"
        assert "to topic hot-machines, key machine" in done.stdout, done.stdout


def scram_with_a_librdkafka_that_cannot_is_warned_of(program):
    """As Debian 12 has it: check and run say so, and what to do; where it works nothing is said."""
    version = ctypes.CDLL("librdkafka.so.1").rd_kafka_version()
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"):
        kafka = f"kafka:\n  brokers: [127.0.0.1:1]\n  sasl: {{mechanism: {mechanism}, username: u, password: hidden-one}}\n"
        with Files(program, CONFIG + kafka) as files:
            expected = mechanism != "PLAIN" and version < SCRAM_SINCE
            checked, ran = files.run("check", "-c", files.config), files.run("run", "-c", files.config, "--drain-timeout", "0")
            for done in (checked, ran):
                said = done.stdout + done.stderr
                assert done.returncode == 0, said
                lines = [text for text in said.splitlines() if "kafka.sasl.mechanism" in text]
                assert len(lines) == (1 if expected else 0), said
                assert not expected or all(word in lines[0] for word in ("rivulet.yaml:", mechanism, "2.6.1", "PLAIN", "Debian 13")), lines
                assert "hidden-one" not in said, "the password is shown"


QUERIED = """agent: {id: e2e-query, state: STATE, commit_interval: 20ms}
sources:
  machines: {stdin: {}, key: device}
pipelines:
  by-device: {from: machines, steps: [{aggregate: {select: {n: "count(*)"}}}]}
  all: {from: machines, steps: [{aggregate: {by: "'all'", select: {n: "count(*)"}}}]}
"""
COUNTS = 'SELECT (SELECT ifnull(sum(n), 0) FROM "by-device") AS by_device, (SELECT ifnull(max(n), 0) FROM "all") AS whole'


def counts(files):
    done = files.run("query", "-c", files.config, "--json", COUNTS)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["by_device"] == found["whole"], f"two tables of one query are of different commits: {found}"
    return found["whole"]


def query_sees_one_commit_while_the_agent_runs_and_after_it_is_killed(program):
    with Files(program, QUERIED) as files:
        taken = 0
        for _ in range(3):
            with subprocess.Popen([program, "run", "-c", files.config], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as agent:
                try:
                    until, before = time.monotonic() + SECONDS, taken
                    sent = 0
                    while taken < before + 500:
                        assert time.monotonic() < until, f"{taken} records after {SECONDS} s"
                        if sent < 2000:
                            agent.stdin.write("".join(json.dumps({"device": f"d{n % 17}"}) + "\n" for n in range(50)).encode())
                            agent.stdin.flush()
                            sent += 50
                        if taken == 0 and files.run("query", "-c", files.config, "SELECT 1").returncode != 0:
                            continue  # the store is being made
                        now = counts(files)
                        assert now >= taken, f"{now} records after {taken}"
                        taken = now
                finally:
                    agent.kill()
                    agent.wait(SECONDS)
            now = counts(files)
            assert now >= taken, f"{now} records after the kill, {taken} before it"
            taken = now
        listed = files.run("query", "-c", files.config)
        assert listed.returncode == 0 and '"by-device"' in listed.stdout and '"key", n, ts' in listed.stdout, listed
        one = files.run("query", "-c", files.config, 'SELECT "key" FROM "by-device" WHERE "key" = \'d3\'')
        assert one.stdout == "key\n---\nd3\n", one
        for sql, said in (("SELECT * FROM nowhere", '"by-device"'), ("DELETE FROM \"all\"", "only SELECT")):
            done = files.run("query", "-c", files.config, sql)
            assert done.returncode == 2 and said in done.stderr and not done.stdout, done


RETRIED = """agent: {id: e2e-commands, state: STATE, commit_interval: 20ms, memory: 4MiB}
kafka: {brokers: ["127.0.0.1:1"], progress_topic: progress}
sources:
  in: {stdin: {}, key: k}
pipelines:
  scaled: {from: in, steps: [{set: {x: "n * FACTOR"}}]}
  copies: {from: scaled, to: t-copies}
  sums:
    from: scaled
    steps: [{aggregate: {name: sums, select: {c: "count(*)", s: "sum(x)"}, emit: every-change}}]
    to: t-sums
"""


def a_retried_record_goes_on_once_whenever_the_command_is_killed(program):
    """Records that failed go on after the configuration was put right; kill -9 at each point of a commit; results, state and quarantine agree."""
    total = 3000
    with Files(program, RETRIED.replace("FACTOR", "9e999")) as files:
        rows = "".join(json.dumps({"k": f"k{n % 7}", "n": n, "pad": "x" * 400}) + "\n" for n in range(1, total + 1))
        done = subprocess.run([program, "run", "-c", files.config, "--drain-timeout", "0"], input=rows, capture_output=True, text=True, timeout=60)
        listed = files.run("quarantine", "list", "-c", files.config, "--limit", "5000")
        assert done.returncode == 0 and len(listed.stdout.splitlines()) == total and "scaled/set" in listed.stdout, (done, listed.stdout[-500:])
        shown = files.run("quarantine", "show", "-c", files.config, "1")
        assert "goes on   steps\n" in shown.stdout, shown
        with open(files.config) as file:
            text = file.read().replace("9e999", "2")
        with open(files.config, "w") as file:
            file.write(text)
        refused = files.run("quarantine", "retry", "-c", files.config, "99999")
        assert refused.returncode == 1 and "no record with this id" in refused.stdout, refused
        for turn, point in enumerate(2 * ["store.before_commit", "store.after_commit", "agent.epoch_handed_over", "agent.epoch_durable"], 1):
            killed = subprocess.run([program, "quarantine", "retry", "-c", files.config, "1", str(300 * turn)], env={**os.environ, "RIVULET_KILL_AT": point},
                                    capture_output=True, text=True, timeout=SECONDS)
            assert killed.returncode == -9, f"not killed at {point}: {killed}"
        for _ in range(2):
            rest = files.run("quarantine", "retry", "-c", files.config)
            assert rest.returncode == 0, rest
        assert "quarantine is empty" in rest.stdout, rest

        def ask(sql):
            done = files.run("query", "-c", files.config, "--json", sql)
            assert done.returncode == 0, done
            return [json.loads(row) for row in done.stdout.splitlines()]
        assert ask("SELECT count(*) AS n, count(DISTINCT value->>'n') AS d, sum(value->>'x') AS s FROM outbox WHERE topic = 't-copies'") == [{"n": total, "d": total, "s": total * (total + 1)}]
        assert ask("SELECT count(*) AS n FROM outbox WHERE topic = 't-sums'") == [{"n": total}]
        assert ask("SELECT sum(c) AS c, sum(s) AS s FROM sums") == [{"c": total, "s": total * (total + 1)}]


CSV = """agent: {id: e2e-commands, state: STATE, commit_interval: 50ms}
sources:
  meters: {file: {path: "FOLDER/*.csv", poll: 20ms}, decode: {csv: {separator: ";"}}, key: meter}
pipelines:
  sums:
    from: meters
    steps:
      - aggregate: {name: sums, select: {n: "count(*)", s: "sum(v)"}}
"""


def a_csv_header_is_known_after_each_kill(program):
    """Two files with their columns in another order, rotated while the agent is down; each row counts once, in its own columns."""
    with Files(program, CSV) as files:
        with open(files.config) as file:
            text = file.read().replace("FOLDER", files.folder.name)
        with open(files.config, "w") as file:
            file.write(text)
        headers = {"a.csv": "meter;v\n", "b.csv": "v;meter\n"}
        rows = {"a.csv": "a;{v}\n", "b.csv": "{v};b\n"}
        written = 0
        for turn in range(4):
            for name, row in rows.items():
                path = os.path.join(files.folder.name, name)
                if turn == 2:
                    os.rename(path, path.replace(".csv", "-old.csv"))
                new = not os.path.exists(path)
                with open(path, "a") as file:
                    file.write((headers[name] if new else "") + "".join(row.format(v=v) for v in range(written, written + 10)))
            written += 10
            with subprocess.Popen([program, "run", "-c", files.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as agent:
                try:
                    until, found = time.monotonic() + SECONDS, None
                    wanted = [{"key": key, "n": written, "s": sum(range(written))} for key in "ab"]
                    while found != wanted:
                        assert time.monotonic() < until, f"{found} instead of {wanted} after {SECONDS} s"
                        done = files.run("query", "-c", files.config, "--json", 'SELECT "key", n, s FROM sums ORDER BY "key"')
                        found = [json.loads(row) for row in done.stdout.splitlines()] if done.returncode == 0 else None
                finally:
                    agent.kill()
                    agent.wait(SECONDS)


def each_example_does_its_job(program):
    """config/NAME.yaml gives of examples/NAME.in.jsonl what examples/NAME.out.jsonl says. (examples.py: through its own source, by a running agent.)"""
    here, examples = pathlib.Path(__file__).parent / "examples", 0
    for config in sorted(CONFIGURATIONS.glob("*.yaml")):
        if config.name in ("rivulet.yaml", "demo.yaml"):  # the package's own; packaging/demo runs the other
            continue
        with open(here / f"{config.stem}.in.jsonl") as given:
            done = subprocess.run([program, "replay", str(config)], stdin=given, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, f"{config.name}: {done.stderr}"
        wanted = (here / f"{config.stem}.out.jsonl").read_text()
        assert done.stdout == wanted, f"{config.name} gives\n{done.stdout}instead of\n{wanted}"
        examples += 1
    assert examples >= 6, examples


# Configurations, as YAML, and whether they are in order.
FORMS = [
    ("{sources: {a: {stdin: null}}, pipelines: {p: {from: a}}}", True),
    ("{sources: {a: {mqtt: {url: mqtt://h, topics: t, version: 5}}}, pipelines: {p: {from: [a], steps: [{where: x > 1}, {set: {y: 2}}, {log: }]}}}", True),
    ("{sources: {a: {tcp: {listen: '127.0.0.1:1', max_clients: '7', max_frame: 4096, tls: {certificate: c, key: k}}, decode: {csv: {columns: [a, b]}}}}, pipelines: {p: {from: a}}}", True),
    ("{sources: {a: {simulate: {rate: 5/s}, time: {idle: never, future: 1h}}}, pipelines: {p: {from: a, steps: [{aggregate: {window: {hopping: {size: 2s, advance: 1s}}, "
     "select: {n: count(*)}, emit: closed, late: {topic: l}}}], to: {topic: t, key: n}}}}", True),
    ("{sources: {a: {exec: {command: [df, -h], interval: 10s, environment: {LANG: C, N: 1}}}, b: {exec: {command: uptime, restart: 1s}}}, pipelines: {p: {from: [a, b]}}}", True),
    ("{sources: {a: {serial: {device: /dev/ttyS0, baud: 9600, framing: fixed, length: 8, start: '\\x02', idle_gap: never, poll: {send: '\\r'}}, decode: raw}}, pipelines: {p: {from: a}}}", True),
    ("{sources: {a: {iio: {device: bme280, fields: {t: {channel: in_temp, scale: 0.001}, c: {path: class/x, offset: '-40'}}}}}, pipelines: {p: {from: a}}}", True),
    ("{sources: {a: {iio: {device: bme280}}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {exec: {command: []}}}, pipelines: {p: {from: a}}}", None),  # a schema cannot tell an empty list
    ("{sources: {a: {exec: {interval: 10s}}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {serial: {device: /dev/ttyS0, baud: 9601}}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {serial: {device: /dev/ttyS0, poll: {interval: 1s}}}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {modbus: {url: tcp://h, groups: {g: {interval: 1s, registers: {x: {register: input, address: 0x10, scale: 0.1, unit: 7}}}}}}}, pipelines: {p: {from: a}}}", True),
    ("{sources: {a: {modbus: {rtu: {device: /dev/ttyS0, baud: 9600}, slaves: {b: {unit: 1}}, groups: {g: {interval: 1s, slaves: b, registers: {x: {register: coil, address: '1'}}}}}}}, "
     "pipelines: {p: {from: a}}}", True),
    ("{sources: {a: {can: {interface: can0, filters: [{id: 0x100, mask: 0x7F0}], messages: {m: {id: 0x123, signals: {s: {start: 0, length: 8, offset: -40}}}}}}}, pipelines: {p: {from: a}}}", True),
    ("{agent: {commit_interval: '${env:HOME_OF_NOTHING_AT_ALL}x'}}", None),  # only the machine can tell
    ("{agnt: {}}", False),
    ("{agent: {memory: much}}", False),
    ("{agent: {commit_interval: 5}}", False),
    ("{agent: {storage: {when_full: wait}}}", False),
    ("{kafka: {delivery: exactly-once}}", False),
    ("{sources: {a: {decode: json}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {stdin: {}, file: {path: x}}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {mqtt: {url: mqtt://h, topics: t, qos: 3}}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {modbus: {url: tcp://h, groups: {g: {interval: 1s, registers: {x: {register: inputs, address: 1}}}}}}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {modbus: {url: tcp://h, groups: {g: {interval: 1s, registers: {x: {register: input}}}}}}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {can: {interface: can0, messages: {m: {id: 0x123, signals: {s: {start: 0, length: 65}}}}}}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {can: {interface: can0, messages: {m: {id: 0x123, signals: {s: {start: 0, length: 8, scale: much}}}}}}}, pipelines: {p: {from: a}}}", False),
    ("{sources: {a: {stdin: {}}}, pipelines: {p: {from: a, steps: [{wher: x}]}}}", False),
    ("{sources: {a: {stdin: {}}}, pipelines: {p: {from: a, steps: {where: x}}}}", False),
    ("{sources: {a: {stdin: {}}}, pipelines: {p: {from: a, to: 'two words'}}}", False),
]


def the_json_schema_takes_what_check_takes(program):
    schema = json.loads(subprocess.run([program, "check", "--schema"], check=True, capture_output=True, text=True).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in sorted(CONFIGURATIONS.glob("*.yaml")):
        problems = [error.message[:200] for error in validator.iter_errors(yaml.safe_load(path.read_text()))]
        assert not problems, f"{path.name}: {problems}"
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "form.yaml"
        for text, wanted in FORMS:
            found = validator.is_valid(yaml.safe_load(text))
            assert found == (wanted is not False), f"the schema says {found} of {text}"
            if wanted is None:
                continue
            file.write_text(text)
            done = subprocess.run([program, "check", "-c", str(file)], capture_output=True, text=True)
            assert (done.returncode == 0) == wanted, f"check says of {text}: {done.stderr}"


FACTS = {name: what for name, what in globals().items() if inspect.isfunction(what) and list(inspect.signature(what).parameters) == ["program"]}


def main(facts, about):
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rivulet")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("name", nargs="*", choices=[*sorted(facts), []])
    given = parser.parse_args()
    if given.list:
        print("\n".join(facts))
        return
    for name in given.name or facts:
        facts[name](given.rivulet)
        print(f"{name}: ok", flush=True)


if __name__ == "__main__":
    main(FACTS, __doc__)
