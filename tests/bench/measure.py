"""What the benchmarks share: the programs, built with -O2 in build/bench, the input, and what a process has used so far."""
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

TICKS = os.sysconf("SC_CLK_TCK")
# Who a thread works for, by its name. Stages in the order of the data.
STAGES = [("sources, decode, pipeline (io)", ("rivulet",)), ("store: pack, commit, read", ("store",)), ("forward: transactions", ("forward",)), ("librdkafka's threads", ("rdk:",)), ("others", ("",))]


PROGRAMS = {"rivulet": "rivulet", "bench_bare_producer": "tests/bench_bare_producer", "bench_can_socket": "tests/libbench_can_socket.so"}  # targets, and where they are


def build(*targets):
    folder = os.path.join(ROOT, "build", "bench")
    environment = dict(os.environ, CCACHE_BASEDIR=ROOT, CCACHE_NOHASHDIR="1")
    environment.setdefault("CCACHE_DIR", os.path.expanduser("~/.cache/rivulet/ccache"))
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    for command in (["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", *launcher], ["cmake", "--build", folder, "--target", *targets]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout[-4000:] + done.stderr[-2000:])
    return [os.path.join(folder, PROGRAMS[target]) for target in targets]


def line(number, device=None, per_ms=1):
    text = {"device": f"sensor-{number % 100 if device is None else device}", "ts": 1700000000000 + number // per_ms, "temperature": round(20 + number * 7919 % 1000 / 100, 2), "humidity": round(40 + number * 104729 % 300 / 10, 1),
            "pressure": round(1000 + number * 1299709 % 2000 / 100, 2), "state": "warning" if number % 50 == 0 else "running", "line": f"plant-7/hall-2/line-{number % 5}", "sequence": number}
    body = json.dumps(text, separators=(",", ":"))
    return body[:-1] + ',"note":"' + "abcdefghij"[number % 10] * max(0, 199 - len(body) - 10) + '"}'


def threads_us(pid):
    """CPU of each thread so far, in us, by stage."""
    used = dict.fromkeys((name for name, _ in STAGES), 0.0)
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/stat") as file:
            name, rest = file.read().split("(", 1)[1].rsplit(")", 1)
        fields = rest.split()
        stage = next(stage for stage, starts in STAGES if name.startswith(starts))
        used[stage] += (int(fields[11]) + int(fields[12])) * 1e6 / TICKS
    return used


def process_us(pid):
    """The same of the whole process, threads that ended too (librdkafka starts some anew with each producer)."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / TICKS


def field(path, name):
    with open(path) as file:
        return next(int(text.split()[1]) for text in file if text.startswith(name))
