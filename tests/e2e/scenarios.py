#!/usr/bin/env python3
"""One fact of the whole agent a function, against a real Kafka: scenarios.py --rivulet PROGRAM NAME. `--list` prints the names."""
import collections
import ctypes
import http.client
import inspect
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import facts  # noqa: E402
from rig import Rig, free_port, wait_for  # noqa: E402
from stage import Stage  # noqa: E402

FILE = "  file: {{file: {{path: {folder}/in.log, poll: 20ms}}, key: k}}\n"
TO = "  p: {from: file, to: t}\n"


def file_source(stage):
    return FILE.format(folder=stage.folder)


def a_missing_topic_holds_its_stream_alone(program):
    """The other stream goes on; the held one is named in the status and drains when its topic is there."""
    with Stage(program) as stage:
        stage.configure(file_source(stage), "  good: {from: file, to: t-good}\n")
        stage.make_topics()
        stage.configure(file_source(stage), "  good: {from: file, to: t-good}\n  bad: {from: file, to: t-missing}\n")
        stage.agent.start()
        stage.lines("in.log", range(500))
        stage.wait_forwarded_only(500)
        wait_for("the status to name the held topic", lambda: [held["topic"] for held in stage.agent.status_now()["forward"]["held"]] == ["t-missing"])
        assert stage.agent.log_tail(400).count("t-missing") < 5, "one clear message, not one each time"
        stage.expect_exactly("t-good", range(500))
        stage.make_topics()
        wait_for("the held stream to drain", stage.agent.drained, 90)
        stage.expect_exactly("t-missing", range(500))


def a_held_stream_fills_half_of_the_store_and_stops_its_own_source_only(program):
    """The other source goes on; the waiting one reads on when its topic is there, and nothing is lost."""
    with Stage(program) as stage:
        sources = "".join(f"  {name}: {{file: {{path: {stage.folder}/{name}.log}}, decode: json, key: k}}\n" for name in ("good", "bad"))
        stage.configure(sources, "  fine: {from: good, to: t-good}\n", agent=", storage: {max: 16MiB}")
        stage.make_topics()
        stage.configure(sources, "  fine: {from: good, to: t-good}\n  held: {from: bad, to: t-missing}\n", agent=", storage: {max: 16MiB}")
        stage.agent.start()
        total = 8_000
        with open(stage.path("bad.log"), "a") as file:
            file.writelines(json.dumps({"n": n, "k": f"k{n % 5}", "pad": os.urandom(1000).hex()}) + "\n" for n in range(total))
        status = {}

        def half_is_full():
            status.update(stage.agent.status() or {})
            return status and status["store"]["held_full"] and [each["name"] for each in status["sources"] if each["waiting"]] == ["bad"]
        wait_for("the held stream to fill its half and its source to wait", half_is_full, 60)
        assert any("t-missing" in problem for problem in status["problems"]), status["problems"]
        stage.lines("good.log", range(500))
        stage.wait_forwarded_only(500)
        stage.expect_exactly("t-good", range(500))
        stage.make_topics()
        stage.wait_forwarded(500 + total, 150)
        stage.expect_exactly("t-missing", range(total))


def a_record_that_kafka_refuses_is_quarantined(program):
    """It leaves a gap record; every other record is there once; the operator finds it by `rivulet quarantine`, and when the topic takes it, sends it again."""
    with Stage(program) as stage:
        stage.configure(file_source(stage), TO)
        stage.broker.create_topic("t", 3, {"max.message.bytes": 60_000})
        stage.make_topics()
        stage.lines("in.log", range(300))
        with open(stage.path("in.log"), "a") as file:  # random: it does not compress below the limit
            file.write(json.dumps({"n": 300, "k": "k0", "pad": os.urandom(100_000).hex()}) + "\n")
        stage.lines("in.log", range(301, 600))
        stage.agent.start()
        wait_for("the outbox to drain", lambda: stage.agent.forwarded() >= 599 and stage.agent.drained(), 60)
        stage.expect_exactly("t", [n for n in range(600) if n != 300])
        gaps = [row for row in stage.read("t") if row[1] == "rivulet-gap"]
        assert len(gaps) == 1, f"{len(gaps)} gap records instead of 1"
        stage.agent.terminate()
        listed = stage.command("quarantine", "list", "-c", stage.agent.config)
        assert listed.returncode == 0 and len(listed.stdout.strip().splitlines()) == 1 and "t/forward" in listed.stdout, listed.stdout + listed.stderr
        stage.broker.alter_topic("t", {"max.message.bytes": 1_000_000})
        retried = stage.command("quarantine", "retry", "-c", stage.agent.config)
        assert retried.returncode == 0, retried
        stage.agent.start()
        wait_for("the outbox to drain", stage.agent.drained, 60)
        got = [json.loads(value)["n"] for _, key, value in stage.read("t") if key != "rivulet-gap"]
        assert sorted(got) == list(range(600)), f"{len(got)} records instead of 600"


def forward_in_one_life(stage, numbers):
    stage.lines("in.log", numbers)
    stage.agent.start()
    stage.wait_forwarded(len(numbers))
    assert stage.agent.terminate()[0] == 0


def a_backup_that_is_put_back_is_not_forwarded_before_adopt(program):
    """It stores and says why. After `adopt --yes` nothing is missing; what went since the backup, and its source gave once more, is there twice."""
    with Stage(program) as stage:
        stage.configure(file_source(stage), TO)
        stage.make_topics()
        forward_in_one_life(stage, range(100))
        shutil.copytree(stage.path("state"), stage.path("backup"))
        forward_in_one_life(stage, range(100, 200))
        shutil.rmtree(stage.path("state"))
        os.rename(stage.path("backup"), stage.path("state"))
        for before in (range(200, 300), []):  # a restart alone changes nothing
            stage.lines("in.log", before)
            stage.agent.start()
            wait_for("an alarm", lambda: "a restored backup" in ((stage.agent.status() or {"forward": {"alarm": ""}})["forward"]["alarm"]), 30)
            stage.wait_stored(200)
            assert "rivulet adopt" in str(stage.agent.status_now()["problems"]), stage.agent.status_now()
            assert stage.command("adopt", "--yes", "-c", stage.agent.config).returncode == 2, "while the agent runs"
            assert stage.agent.terminate()[0] == 0
        asked = stage.command("adopt", "-c", stage.agent.config)
        assert asked.returncode == 1 and "200 records wait\nlast acknowledged: transaction 1, " in asked.stdout, asked
        stage.expect_exactly("t", range(200))
        assert stage.command("adopt", "--yes", "-c", stage.agent.config).returncode == 0
        stage.agent.start()
        stage.wait_forwarded(200)
        assert stage.agent.terminate()[0] == 0
        found = collections.Counter(n for part in stage.numbers("t").values() for n in part)
        assert found == {n: 2 if n in range(100, 200) else 1 for n in range(300)}, found
        verified = stage.command("verify", "--brokers", f"127.0.0.1:{stage.port}", "--topic", "t")
        assert verified.returncode == 1 and "missing 0, duplicates 100," in verified.stdout, verified


LOGIN = "  tls: {{ca: {folder}/ca.pem}}\n  sasl: {{mechanism: {mechanism}, username: gateway, password: \"{password}\"}}\n"
# Before 2.6.1 librdkafka repeats the nonce in SCRAM's last message (its pull request 4895); Kafka from 4.0 on refuses that.
SCRAM_SINCE = 0x020601FF


def secured(stage):
    """A broker that wants TLS and a login; the plain listener beside it is for kcat and create_topic. Its port."""
    certificate(stage)
    plain, stage.port = free_port(), free_port()
    module, listener = "org.apache.kafka.common.security.", "listener.name.sasl_ssl."
    stage.broker.start(port=stage.port, format_arguments=["--add-scram", "SCRAM-SHA-512=[name=gateway,password=right]"], extra={
        "listeners": f"SASL_SSL://127.0.0.1:{{port}},PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{{controller}}",
        "advertised.listeners": f"SASL_SSL://127.0.0.1:{stage.port},PLAINTEXT://127.0.0.1:{plain}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        listener + "scram-sha-512.sasl.jaas.config": module + "scram.ScramLoginModule required;",
        listener + "plain.sasl.jaas.config": module + 'plain.PlainLoginModule required user_gateway="right";',
        "ssl.keystore.type": "PEM", "ssl.keystore.location": stage.path("broker.pem")})
    return plain


def log_in(stage, mechanism, password):
    stage.configure(file_source(stage), TO, kafka=LOGIN.format(folder=stage.folder, mechanism=mechanism, password=password))
    return stage.agent


def expect_refused_login(stage, waiting):
    """It goes on storing, says why, and keeps the password to itself."""
    stage.agent.start()
    stage.wait_stored(waiting)
    wait_for("the reason in the log", lambda: "uthentication" in stage.agent.log_tail(200))
    wait_for("the reason in the status", lambda: "uthentication" in ((stage.agent.status() or {"forward": {"last_error": ""}})["forward"]["last_error"]))
    forward = stage.agent.status_now()["forward"]
    print(f"the status says: {forward['link']}, {forward['phase']}: {forward['last_error']}; alarm: {forward['alarm']}")
    assert "not-this-one" not in json.dumps(stage.agent.status_now()), "the password is in the status"
    assert stage.agent.terminate()[0] == 0


def works_with_the_right_password_only(program, mechanism):
    with Stage(program, kafka=False) as stage:
        plain = secured(stage)
        log_in(stage, mechanism, "right")
        stage.make_topics()
        stage.lines("in.log", range(300))
        stage.agent.start()
        stage.wait_forwarded(300)
        stage.agent.terminate()
        log_in(stage, mechanism, "not-this-one")
        stage.lines("in.log", range(300, 400))
        expect_refused_login(stage, 100)
        with open(stage.agent.log_path) as log:
            assert "not-this-one" not in log.read(), "the password is in the log"
        log_in(stage, mechanism, "right").start()
        stage.wait_forwarded(100)
        stage.expect_exactly("t", range(400), port=plain)


def tls_and_plain(program):
    """TLS and SASL PLAIN: it works with the right password; with a wrong one it stores, says why, and goes on when it is put right."""
    works_with_the_right_password_only(program, "PLAIN")


def tls_and_scram(program):
    """The same with SCRAM-SHA-512. With a librdkafka that cannot (Debian 12) against Kafka 4: refused, and nothing is lost."""
    version = ctypes.CDLL("librdkafka.so.1").rd_kafka_version()
    if version >= SCRAM_SINCE:
        return works_with_the_right_password_only(program, "SCRAM-SHA-512")
    print(f"librdkafka {version:#010x} cannot log in to Kafka 4 by SCRAM (2.6.1 can): expecting that, and that the records wait")
    with Stage(program, kafka=False) as stage:
        plain = secured(stage)
        log_in(stage, "PLAIN", "right")
        stage.make_topics()
        log_in(stage, "SCRAM-SHA-512", "right")
        stage.lines("in.log", range(300))
        expect_refused_login(stage, 300)
        log_in(stage, "PLAIN", "right").start()
        stage.wait_forwarded(300)
        stage.expect_exactly("t", range(300), port=plain)


def certificate(stage):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=stage.folder)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test ca")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=127.0.0.1")
    with open(stage.path("names"), "w") as file:
        file.write("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "broker.crt")
    with open(stage.path("broker.pem"), "w") as out:
        for name in ("broker.key", "broker.crt"):
            with open(stage.path(name)) as part:
                out.write(part.read())


def memory_is_bounded_whatever_the_backlog(program):
    """400,000 records wait and then drain: the process stays small at memory: 8MiB, and what it needs does not grow with the backlog."""
    with Stage(program) as stage:
        stage.configure(file_source(stage), TO, agent=", memory: 8MiB")
        stage.make_topics()
        stage.proxy.cut()
        stage.agent.start()
        peaks = []
        for thousand in (100, 400):
            stage.lines("in.log", range((thousand - 100) * 1000 if thousand == 100 else 100_000, thousand * 1000), pad=150)
            stage.wait_stored(thousand * 1000, 90)
            peaks.append(stage.peak_kib())
        stage.proxy.restore()
        stage.wait_forwarded(400_000, 120)
        peaks.append(stage.peak_kib())
        print(f"peak resident: {peaks[0] // 1024} MiB with 100,000 waiting, {peaks[1] // 1024} MiB with 400,000, {peaks[2] // 1024} MiB after the drain")
        assert peaks[1] - peaks[0] < 4096, "memory grew with the backlog"
        assert peaks[2] < 48 * 1024, "more than 48 MiB resident"
        stage.expect_exactly("t", range(400_000))


def at_least_once_loses_nothing(program):
    """delivery: at-least-once through kills of the agent and cut links: doubles are allowed, a loss is not."""
    with Rig(program, delivery="at-least-once") as rig:
        rig.start_senders()
        for number in range(6):
            time.sleep(0.7)
            if number % 2 == 0:
                rig.proxy.cut()
                time.sleep(0.2)
                rig.proxy.restore()
            rig.agent.kill()
            rig.agent.start()
        missing = rig.judge(rig.finish())[0]
        assert missing == 0, f"{missing} records are missing"


def files_rotated_while_the_agent_is_down_are_all_read(program):
    """Two rotations unseen, the oldest file deleted each time: names and inodes of files that are gone mean nothing for new ones."""
    with Stage(program, kafka=False) as stage:
        stage.configure(file_source(stage), TO)
        log, written = stage.path("in.log"), 0

        def rotate():
            for number in (2, 1):
                if os.path.exists(f"{log}.{number}"):
                    os.rename(f"{log}.{number}", f"{log}.{number + 1}")
            os.rename(log, log + ".1")
        stage.agent.start()
        for _ in range(4):
            stage.lines("in.log", range(written, written + 10))
            written += 10
            stage.wait_stored(written)
            seen = stage.agent.log_tail(200).count("in.log is now")
            rotate()
            wait_for("the agent to see the rotation", lambda: stage.agent.log_tail(200).count("in.log is now") > seen)
        assert stage.agent.terminate()[0] == 0
        for _ in range(2):
            stage.lines("in.log", range(written, written + 10))
            written += 10
            rotate()
        stage.lines("in.log", range(written, written + 10))
        stage.agent.start()
        stage.wait_stored(written + 10, 15)


def ask(listen, path, method="GET"):
    """One request to a status listener, HOST:PORT or unix:PATH: the code, the content type, the body."""
    connection = http.client.HTTPConnection("localhost" if listen.startswith("unix:") else listen, timeout=5)
    if listen.startswith("unix:"):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(5)
        connection.sock.connect(listen[5:])
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()
    finally:
        connection.close()


def samples(page):
    """The values of a Prometheus page by their name with labels; every line must be a comment or a sample."""
    found = {}
    for line in page.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert re.fullmatch(r'(rivulet|process)_[a-z_]+(\{([a-z_]+="[^"]*",?)+\})?', name) and name not in found, line
            found[name] = float(value)
    return found


def the_status_listener_says_how_the_agent_is(program):
    """/healthz, /metrics and /status on a loopback port and on a unix socket; /healthz is red while a full store refuses records, and green again."""
    with Stage(program) as stage:
        stage.configure(file_source(stage), TO, agent=", memory: 4MiB, storage: {max: 16MiB}, compression: none")
        unix = f"unix:{stage.folder}/status.sock"
        with open(stage.agent.config) as file:
            text = file.read()
        stage.make_topics()
        for listen in (unix, f"127.0.0.1:{free_port()}"):
            with open(stage.agent.config, "w") as file:
                file.write(text.replace(unix, listen))
            begun = sum(1 for _ in open(stage.path("in.log"))) if os.path.exists(stage.path("in.log")) else 0
            stage.proxy.restore()
            stage.agent.start()
            wait_for("the listener to answer", lambda: listening(listen))
            assert ask(listen, "/healthz")[::2] == (200, "ok\n"), ask(listen, "/healthz")
            stage.lines("in.log", range(begun, begun + 100))
            wait_for("100 records in Kafka", lambda: json.loads(ask(listen, "/status")[2])["forward"]["forwarded_records"] >= 100, 60)
            code, kind, page = ask(listen, "/metrics")
            found = samples(page)
            assert code == 200 and kind.startswith("text/plain; version=0.0.4") and found["rivulet_healthy"] == 1, page
            assert found['rivulet_source_records_total{source="file"}'] == 100 and found["rivulet_forward_records_total"] >= 100, page
            code, kind, body = ask(listen, "/status")
            assert (code, kind) == (200, "application/json") and json.loads(body)["sources"][0]["records"] == 100, body
            assert ask(listen, "/nothing")[0] == 404 and ask(listen, "/status", "POST")[0] == 405
            stage.proxy.cut()
            stage.lines("in.log", range(begun + 100, begun + 30_100), pad=1000)  # 30 MB: more than the store may hold
            wait_for("/healthz to be red", lambda: ask(listen, "/healthz")[0] == 503, 60)
            assert "agent.storage.max" in ask(listen, "/healthz")[2], ask(listen, "/healthz")
            assert samples(ask(listen, "/metrics")[2])["rivulet_healthy"] == 0 and not json.loads(ask(listen, "/status")[2])["healthy"]
            stage.proxy.restore()
            wait_for("the store to drain", lambda: json.loads(ask(listen, "/status")[2])["forward"]["forwarded_records"] >= 30_100, 90)
            wait_for("/healthz to be green", lambda: ask(listen, "/healthz")[0] == 200)
            assert stage.agent.terminate()[0] == 0
        assert not os.path.exists(unix[5:]), "the socket file is left"
        stage.expect_exactly("t", range(2 * 30_100))


def listening(listen):
    try:
        return ask(listen, "/healthz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


SCENARIOS = {name: what for name, what in globals().items() if inspect.isfunction(what) and what.__module__ == __name__ and list(inspect.signature(what).parameters) == ["program"]}


if __name__ == "__main__":
    facts.run(SCENARIOS, __doc__)
