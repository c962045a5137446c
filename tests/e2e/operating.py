#!/usr/bin/env python3
"""What an operator and systemd see of a running agent, without a broker: operating.py --rivulet PROGRAM [NAME...]. `--list` prints the names."""
import contextlib
import fcntl
import inspect
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from commands import CONFIG, SECONDS, Files, main  # noqa: E402
from rig import free_port, wait_for  # noqa: E402


def a_state_folder_that_cannot_be_written_is_said_and_systemd_tries_again(program):
    """Read-only, or somebody else's: a message that says what to do, and an exit code that is no success."""
    with Files(program) as files:
        state = os.path.join(files.folder.name, "state")
        os.mkdir(state, 0o755)
        os.chmod(files.folder.name, 0o755)
        mount = f"mount -t tmpfs -o ro none {state} && exec {program} run -c {files.config}"
        if os.geteuid() == 0 and shutil.which("unshare") and subprocess.run(["unshare", "--mount", "sh", "-c", f"mount -t tmpfs -o ro none {state}"], capture_output=True).returncode == 0:
            done = subprocess.run(["unshare", "--mount", "sh", "-c", mount], input="", capture_output=True, text=True, timeout=SECONDS)
            assert done.returncode == 2 and "mounted read-only" in done.stdout and "agent.state" in done.stdout and "ReadWritePaths" in done.stdout, done
        if os.geteuid() == 0:
            other = shutil.copy(program, files.folder.name)  # the folder of the build may be closed to others, as /root is
            done = subprocess.run([other, "run", "-c", files.config], input="", capture_output=True, text=True, timeout=SECONDS, user=65534)
            assert done.returncode == 2 and f"cannot write in {state}" in done.stdout and "agent's user" in done.stdout, done
        done = files.run("run", "-c", files.config)
        assert done.returncode == 0, f"it is writable again: {done}"


def root_leaves_no_files_in_the_folder_of_the_agents_user(program):
    if os.geteuid() != 0:
        return
    counts = "agent: {id: e2e, state: STATE}\nsources: {machines: {stdin: {}, key: device}}\npipelines:\n  n: {from: machines, CHANGELOG steps: [aggregate: {select: {n: count(*)}}], to: t}\n"
    with Files(program, counts.replace("CHANGELOG", "")) as files:
        state = os.path.join(files.folder.name, "state")
        assert files.run("run", "-c", files.config, given='{"device": "d1"}\n').returncode == 0
        with open(files.config, "w") as file:
            file.write(counts.replace("STATE", state).replace("CHANGELOG", "changelog: c,") + 'kafka: {brokers: ["127.0.0.1:9"]}\n')
        for name in [".", *os.listdir(state)]:
            os.chown(os.path.join(state, name), 65534, 65534)
        for words in (["run"], ["adopt"], ["state", "reset", "n", "aggregate"], ["quarantine", "retry"], ["quarantine", "drop", "1"]):
            done = files.run(*words, "-c", files.config)
            assert done.returncode == 2 and "sudo -u nobody" in done.stdout + done.stderr, done
        for name in os.listdir(state):
            assert os.stat(os.path.join(state, name)).st_uid == 65534, name
            os.remove(os.path.join(state, name))
        done = files.run("restore", "-c", files.config)
        assert done.returncode == 2 and "sudo -u nobody" in done.stderr and not os.listdir(state), done


def check_holds_the_steps_against_the_state_that_is_there(program):
    """Else an upgrade would restart a working agent into a configuration that no start takes."""
    text = "agent: {id: e2e, state: STATE}\nsources: {machines: {stdin: {}, key: device}}\npipelines:\n  n: {from: machines, steps: [aggregate: {window: {tumbling: 10s}, select: {n: count(*)}}], to: t}\n"
    with Files(program, text) as files:
        assert files.run("check", "-c", files.config).returncode == 0, "without a store"
        assert files.run("run", "-c", files.config, given='{"device": "d1"}\n').returncode == 0
        assert files.run("check", "-c", files.config).returncode == 0
        with open(files.config, "w") as file:
            file.write(text.replace("STATE", os.path.join(files.folder.name, "state")).replace("10s", "20s"))
        assert files.run("run", "-c", files.config).returncode == 2
        done = files.run("check", "-c", files.config)
        assert done.returncode == 1 and "another definition" in done.stderr and "n aggregate" in done.stderr, done


def a_secret_that_only_the_service_has_is_needed_by_what_talks_to_kafka_only(program):
    with Files(program) as files:
        assert files.run("run", "-c", files.config, given='{"device": "d1", "temperature": 31}\n').returncode == 0
        login = 'kafka: {brokers: ["127.0.0.1:9"], sasl: {mechanism: PLAIN, username: u, password: "${file:/run/credentials/rivulet-test.service/absent}"}}\n'
        with open(files.config, "a") as file:
            file.write(login)
        done = files.run("check", "-c", files.config)
        assert done.returncode == 0 and "warning: kafka.sasl.password: cannot read" in done.stderr, done
        for words in (["status"], ["query", "SELECT seq FROM outbox"], ["state", "list"], ["quarantine", "retry"]):
            done = files.run(*words, "-c", files.config)
            assert done.returncode == 0, done
        for words, code in ((["run"], 1), (["topics"], 1), (["verify", "--topic", "hot-machines"], 2)):
            done = files.run(*words, "-c", files.config)
            assert done.returncode == code and "LoadCredential" in done.stdout + done.stderr, done
        with open(files.config, "w") as file:
            file.write(files.text + login.replace("/run/credentials", files.folder.name))
        assert files.run("check", "-c", files.config).returncode == 1, "a path that is wrong is an error"


OF_UNIT = "/run/credentials/rivulet.service"
LOADED = """agent: {id: e2e-secrets, state: STATE, commit_interval: 20ms}
status: {listen: "unix:STATE.sock"}
kafka: {brokers: ["127.0.0.1:9"], sasl: {mechanism: PLAIN, username: u, password: "${file:OF_UNIT/password}"}}
sources:
  posts: {http: {listen: "127.0.0.1:PORT", token: "${file:OF_UNIT/token}"}, key: id}
pipelines:
  all: {from: posts, to: posts}
"""


@contextlib.contextmanager
def as_with_load_credential(files, secrets):
    """The agent where its own /run has the secrets, as LoadCredential= leaves them; how one that runs has them replaced: systemd does so by a restart only."""
    commands = "".join(f" && printf '%s\\n' {text} >{OF_UNIT}/{name}" for name, text in secrets.items())
    command = f"mount -t tmpfs none /run && umask 0377 && mkdir -p -m 0700 {OF_UNIT}{commands} && umask 0077 && exec {files.program} run -c {files.config}"
    with open(os.path.join(files.folder.name, "agent.log"), "w+") as log, subprocess.Popen(["unshare", "--mount", "sh", "-c", command], stdout=log, stderr=log) as agent:
        try:
            yield agent, log
        finally:
            agent.kill()
            agent.wait(SECONDS)


def posted(port, token):
    """The status of a POST with this token; 0: nobody listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", data=b'{"id": 1}', headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def secrets_of_load_credential_are_read_at_the_start_and_by_a_reload_and_never_shown(program):
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        return
    port, secrets = free_port(), {"password": "hidden-password", "token": "hidden-first"}
    with Files(program, LOADED.replace("PORT", str(port)).replace("OF_UNIT", OF_UNIT)) as files, as_with_load_credential(files, secrets) as (agent, log):
        wait_for("the right token to be taken", lambda: posted(port, "hidden-first") == 200, SECONDS)
        assert posted(port, "hidden-second") == 401
        of_agent = f"/proc/{agent.pid}/root{OF_UNIT}/token"
        with open(of_agent, "w") as file:
            file.write("hidden-second")  # without a line's end
        agent.send_signal(signal.SIGHUP)
        wait_for("the next token to be taken", lambda: posted(port, "hidden-second") == 200, SECONDS)
        assert posted(port, "hidden-first") == 401
        os.remove(of_agent)
        agent.send_signal(signal.SIGHUP)
        wait_for("the reload to be refused", lambda: "reload: refused" in said(log), SECONDS)
        assert "LoadCredential" in said(log) and posted(port, "hidden-second") == 200, said(log)
        shown = [said(log), *(done.stdout + done.stderr for done in (files.run(*words, "-c", files.config) for words in (["status"], ["status", "--json"], ["explain"], ["check"])))]
        assert all("posts" in text for text in shown[:-1]) and not any("hidden" in text for text in shown), shown
        agent.terminate()
        assert agent.wait(SECONDS) == 0 and "hidden" not in said(log), said(log)


def said(log):
    with open(log.name) as file:
        return file.read()


class Systemd:
    """The receiving end of sd_notify, and an agent that talks to it. `with Systemd(files, watchdog_s=...) as systemd:`"""

    def __init__(self, files, watchdog_s=0.0, **environment):
        self.files, self.environment = files, environment
        self.path = os.path.join(files.folder.name, "notify.sock")
        self.environment["NOTIFY_SOCKET"] = self.path
        if watchdog_s:
            self.environment["WATCHDOG_USEC"] = str(int(watchdog_s * 1_000_000))

    def __enter__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.log = open(os.path.join(self.files.folder.name, "agent.log"), "w+")
        self.agent = subprocess.Popen([self.files.program, "run", "-c", self.files.config], stdin=subprocess.PIPE, stdout=self.log, env=dict(os.environ, **self.environment))
        self.wait_for("READY=1")
        return self

    def __exit__(self, *_):
        self.agent.kill()
        self.agent.wait(SECONDS)
        self.log.close()
        self.socket.close()
        os.unlink(self.path)

    def receive(self, seconds):
        self.socket.settimeout(max(seconds, 0.001))
        try:
            return self.socket.recv(4096).decode()
        except TimeoutError:
            return None

    def wait_for(self, begin):
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            said = self.receive(0.1)
            if said is not None and said.startswith(begin):
                return said
        raise AssertionError(f"waited in vain for {begin}")

    def fed(self, seconds):
        count, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            count += self.receive(until - time.monotonic()) == "WATCHDOG=1"
        return count

    def said(self):
        with open(self.log.name) as file:
            return file.read()


def systemd_is_told_of_each_reload(program):
    """RELOADING=1 with the time, then READY=1, whether it was taken or refused; and the log says which."""
    with Files(program) as files, Systemd(files) as systemd:
        for number, (text, said) in enumerate(((files.text, "reload: done"), ("sources: {", "reload: refused"), (files.text, "reload: done"))):
            with open(files.config, "w") as file:
                file.write(text.replace("STATE", os.path.join(files.folder.name, "state")))
            before = time.clock_gettime(time.CLOCK_MONOTONIC)
            systemd.agent.send_signal(signal.SIGHUP)
            told = systemd.wait_for("RELOADING=1\nMONOTONIC_USEC=")
            at = int(told.split("=")[-1]) / 1e6
            assert before <= at <= time.clock_gettime(time.CLOCK_MONOTONIC), (before, at)
            systemd.wait_for("READY=1")
            assert systemd.said().count(said) == 1 + (number == 2), systemd.said()
        assert systemd.agent.poll() is None


def the_watchdog_is_fed_without_a_link_and_not_once_a_thread_is_stuck(program):
    unreachable = CONFIG + "kafka: {brokers: ['127.0.0.1:1']}\n"
    with Files(program, unreachable) as files, Systemd(files, watchdog_s=6.0) as systemd:
        for _ in range(3):
            systemd.agent.stdin.write(b'{"device":"d","temperature":50}\n')
            systemd.agent.stdin.flush()
            assert systemd.fed(2.0) >= 1, "a dead link is no hang"
    for thread, point in (("store", "store.before_commit"), ("io", "agent.epoch_durable")):
        with Files(program, unreachable) as files, Systemd(files, watchdog_s=6.0, RIVULET_HANG_AT=point) as systemd:
            assert systemd.fed(2.0) >= 1
            systemd.agent.stdin.write(b'{"device":"d","temperature":50}\n')
            systemd.agent.stdin.flush()
            until = time.monotonic() + SECONDS
            while f"the {thread} thread is stuck" not in systemd.said():
                assert time.monotonic() < until, f"nobody noticed that the {thread} thread hangs: {systemd.said()}"
                systemd.receive(0.05)
            while select.select([systemd.socket], [], [], 0)[0]:  # sent before it was noticed
                systemd.receive(0)
            assert systemd.fed(3.0) == 0, f"fed although the {thread} thread hangs"
            assert systemd.agent.poll() is None, "it is systemd that ends it"


SILENT = """agent: {id: e2e-names, state: STATE}
sources:
  m: {mqtt: {url: "mqtt://broker.example.com:1883", topics: [t]}}
pipelines: {p: {from: m, to: {mqtt: {url: "mqtt://other.example.com:1883", topic: t}}}}
"""


def a_silent_name_server_does_not_hold_up_the_end(program):
    """In a mount namespace of its own, with an /etc/resolv.conf that leads to a socket which never answers."""
    with Files(program, SILENT) as files:
        if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0 or os.geteuid() != 0 or not os.path.exists("/etc/resolv.conf"):
            return print("skipped: it takes a mount namespace and port 53")
        resolver = os.path.join(files.folder.name, "resolv.conf")
        with open(resolver, "w") as file:
            file.write("nameserver 127.77.0.53\noptions timeout:30 attempts:1\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.77.0.53", 53))
            with subprocess.Popen(["unshare", "-rm", "sh", "-c", f"mount --bind {resolver} $(readlink -f /etc/resolv.conf) && exec {program} run -c {files.config}"], stdout=subprocess.PIPE, text=True) as agent:
                try:
                    while "runs as agent" not in agent.stdout.readline():
                        assert agent.poll() is None
                    server.settimeout(SECONDS)
                    assert b"example" in server.recv(512), "nobody was asked"
                    begin = time.monotonic()
                    agent.terminate()
                    assert agent.wait(SECONDS) == 0
                    assert time.monotonic() - begin < 5, f"it took {time.monotonic() - begin:.1f} s"
                finally:
                    agent.kill()


REPEATED = """agent: {id: e2e-log, state: STATE, commit_interval: 50ms}
status: {listen: "unix:STATE.sock"}
sources: {machines: {stdin: {}, key: device}}
pipelines:
  p: {from: machines, steps: [{log: seen}, {where: n = 3000}, {log: other}]}
"""


def lines_that_repeat_are_written_five_times_and_counted(program):
    """Whatever digits are in them. Another line is written meanwhile; how many were left out is said when their 10 s are over, and in the status at once."""
    total = 3000
    with Files(program, REPEATED) as files, Systemd(files, watchdog_s=6.0) as systemd:  # which looks after things each 0.75 s instead of 10
        systemd.agent.stdin.write("".join(json.dumps({"device": f"d{n}", "n": n}) + "\n" for n in range(1, total + 1)).encode())
        systemd.agent.stdin.flush()
        wait_for("the line of another kind", lambda: "pipeline p: other: key=d3000" in systemd.said(), SECONDS)
        lines = [text for text in systemd.said().splitlines() if "pipeline p: seen: " in text]
        assert len(lines) == 5, lines
        held = total - 5
        wait_for("their count in the status", lambda: json.loads(files.run("status", "-c", files.config, "--json").stdout or "{}").get("log_lines_suppressed") == held, SECONDS)
        wait_for("their count in the log", lambda: f"{held} more lines like this were not written: pipeline p: seen: key=d#" in systemd.said(), SECONDS, every=0.1)
        assert len(systemd.said().splitlines()) < 20, systemd.said()


PICTURED = """agent: {id: e2e-picture, state: STATE}
sources:
  machines: {stdin: {}, key: device, undecodable: bad-machines}
  orders: {tcp: {listen: "127.0.0.1:0"}, key: device}
pipelines:
  latest: {from: orders, steps: [{table: {}}]}
  hot:
    from: machines
    steps: [{where: temperature > 30}, {join: {with: latest, kind: left, select: {order: right.number}}}, {aggregate: {name: ten, window: {tumbling: 10s}, select: {n: count(*)}, late: {topic: late-ones}}}]
    to: hot-machines
"""
EDGES = {("machines", "bad-machines"), ("machines", "hot"), ("orders", "latest"), ("latest", "hot"), ("hot", "hot-machines"), ("hot", "late-ones")}


def explain_draws_the_topology_for_graphviz_and_mermaid(program):
    with Files(program, PICTURED) as files:
        done = files.run("explain", "-c", files.config, "--dot")
        assert done.returncode == 0, done.stderr
        drawn = subprocess.run(["dot", "-Tjson0"], input=done.stdout, capture_output=True, text=True, timeout=SECONDS)
        assert drawn.returncode == 0 and not drawn.stderr, drawn.stderr
        graph = json.loads(drawn.stdout)
        names = {node["_gvid"]: node["label"].replace("\n", "\\n").split("\\n")[0] for node in graph["objects"]}
        assert {(names[edge["tail"]], names[edge["head"]]) for edge in graph["edges"]} == EDGES, done.stdout
        assert subprocess.run(["dot", "-Tsvg"], input=done.stdout, capture_output=True, text=True, timeout=SECONDS).stdout.count("<svg") == 1
        done = files.run("explain", "-c", files.config, "--mermaid")
        assert done.returncode == 0 and done.stdout.startswith("flowchart LR\n"), done
        labels = dict(re.findall(r'^  (n\d+)[\[(>]+"([^"]*)"[\])]+$', done.stdout, re.M))
        edges = re.findall(r'^  (n\d+) (?:-->|-\.->)(?:\|"[^"]*"\|)? (n\d+)$', done.stdout, re.M)
        assert len(labels) + len(edges) + 1 == len(done.stdout.splitlines()), done.stdout
        assert {(labels[a].split("<br/>")[0], labels[b].split("<br/>")[0]) for a, b in edges} == EDGES, done.stdout
        assert files.run("explain", "-c", files.config, "--dot", "--mermaid").returncode == 2


WATCHED = """agent: {id: e2e-top, state: STATE, commit_interval: 50ms}
status: {listen: "unix:STATE.sock"}
sources:
  machines: {simulate: {devices: 5, rate: 200/s, seed: 1}, key: device}
pipelines:
  hot: {from: machines, to: hot-machines}
"""


class Pty:
    """`rivulet top` in a terminal of `rows` x `columns`; what it wrote so far is in `text`."""

    def __init__(self, files, rows=24, columns=80, **environment):
        self.main, self.other = os.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.other)
        self.process = subprocess.Popen([files.program, "top", "-c", files.config, "--interval", "1"], stdin=self.other, stdout=self.other, stderr=self.other, start_new_session=True,
                                        env={**os.environ, "TERM": "vt100", **environment}, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.text = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, wanted):
        until = time.monotonic() + SECONDS
        while wanted not in self.text:
            ready, _, _ = select.select([self.main], [], [], max(0, until - time.monotonic()))
            assert ready, f"waited for {wanted!r} in vain: {self.text[-3000:]!r}"
            self.text += os.read(self.main, 65536).decode(errors="replace")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)
        os.close(self.main)
        os.close(self.other)


def frames(text):
    """What stood on the screen after each drawing, line by line, without colours."""
    return [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frame).replace("\r", "").split("\n") for frame in text.split("\x1b[H")[1:] if "\x1b[J" in frame]


def top_shows_the_running_agent_and_gives_the_terminal_back(program):
    with Files(program, WATCHED) as files, subprocess.Popen([program, "run", "-c", files.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as agent:
        try:
            sock = os.path.join(files.folder.name, "state.sock")
            until = time.monotonic() + SECONDS
            while not os.path.exists(sock):
                assert time.monotonic() < until, "no listener"
                time.sleep(0.02)
            for end in (b"\x03", b"q", signal.SIGTERM):
                top = Pty(files)
                try:
                    top.read_until("machines")
                    top.text = ""
                    top.read_until(" in 20")  # 200/s, about
                    shown = frames(top.text)
                    assert all(len(frame) <= 24 and all(len(line) <= 80 for line in frame) for frame in shown), shown
                    top.resize(10, 40)
                    top.text = ""
                    top.process.send_signal(signal.SIGWINCH)
                    top.read_until("\x1b[H")
                    top.text = top.text[top.text.index("\x1b[H"):]  # what stands before it is the end of a drawing that is not whole
                    top.read_until("\x1b[J")
                    narrow = frames(top.text)[0]
                    assert any("machines" in line for line in narrow), narrow
                    assert len(narrow) <= 10 and all(len(line) <= 40 for line in narrow), narrow
                    if isinstance(end, bytes):
                        os.write(top.main, end)
                    else:
                        top.process.send_signal(end)
                    top.read_until("\x1b[?1049l")
                    assert top.process.wait(SECONDS) == 0
                    assert "\x1b[?25h" in top.text and "\x1b[?7h" in top.text, "the cursor is still hidden"
                    assert termios.tcgetattr(top.other) == top.before, "the terminal's modes are not what they were"
                finally:
                    top.close()
            once = files.run("top", "-c", files.config)
            assert once.returncode == 0 and "\x1b" not in once.stdout and "machines" in once.stdout and re.search(r" in [12]\d\d/s", once.stdout), once
            as_text, as_json = files.run("status", "-c", files.config), files.run("status", "-c", files.config, "--json")
            assert as_text.returncode == 0 and "healthy" in as_text.stdout and "hot-machines" in as_text.stdout and "last errors" in as_text.stdout, as_text
            found = json.loads(as_json.stdout)
            assert found["streams"][0]["topic"] == "hot-machines" and found["last_errors"][0]["level"] == "warning", found
            waiting = files.run("query", "-c", files.config, "--json", "SELECT count(*) AS n, max(seq) AS last FROM outbox")
            counted = json.loads(waiting.stdout)
            assert counted["n"] == counted["last"] > 0, waiting
        finally:
            agent.terminate()
            agent.wait(SECONDS)
        gone = files.run("top", "-c", files.config)
        assert gone.returncode == 2 and "is the agent running?" in gone.stderr, gone


FACTS = {name: what for name, what in globals().items() if inspect.isfunction(what) and list(inspect.signature(what).parameters) == ["program"]}


if __name__ == "__main__":
    main(FACTS, __doc__)
