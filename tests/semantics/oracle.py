#!/usr/bin/env python3
"""The oracle: case files through the real Kafka Streams. By hand: oracle.py OUT_DIR CASE_FILE.jsonl... (see README.md for the formats);
without arguments it is only built.

It is built by Maven once for each state of its sources, into ~/.cache/rivulet (XDG_CACHE_HOME); after that neither Maven nor a network is
needed. One JVM runs all files, two at a time.
"""
import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "oracle")
TEN_YEARS_MS = 315_360_000_000


def _files():
    found = [os.path.join(SOURCES, "pom.xml")]
    for base, _, names in os.walk(os.path.join(SOURCES, "src")):
        found += [os.path.join(base, name) for name in names if name.endswith(".java")]
    return sorted(found)


def build():
    """The folder with classes/ and lib/. Two that build at the same time wait for each other."""
    digest = hashlib.sha256()
    for path in _files():
        with open(path, "rb") as file:
            digest.update(os.path.relpath(path, SOURCES).encode() + b"\0" + file.read() + b"\0")
    base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "rivulet")
    built = os.path.join(base, "oracle-" + digest.hexdigest()[:16])
    os.makedirs(base, exist_ok=True)
    with open(os.path.join(base, "oracle.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(built, ".complete")):
            return os.path.join(built, "target")
        shutil.rmtree(built, ignore_errors=True)
        shutil.copytree(SOURCES, built, ignore=shutil.ignore_patterns("target"))
        for attempt in range(3):
            done = subprocess.run(["mvn", "-q", "-B", "-Dmaven.test.skip=true", "package"], cwd=built, capture_output=True, text=True)
            if done.returncode == 0:
                break
            time.sleep(2 * (attempt + 1))
        else:
            raise RuntimeError("oracle: Maven could not build it:\n" + done.stdout[-3000:] + done.stderr[-3000:])
        open(os.path.join(built, ".complete"), "w").close()
    return os.path.join(built, "target")


def run(out, files, store=None, threads=2, retention_ms=TEN_YEARS_MS):
    """Writes a file of the same name into `out` for each case file. Without a retention windows have Kafka Streams' default, size and grace."""
    target = build()
    command = ["java", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dthreads={threads}"]
    if retention_ms is not None:
        command.append(f"-Dretention={retention_ms}")
    if store:
        command.append(f"-Dstore={store}")
    command += ["-cp", os.path.join(target, "classes") + ":" + os.path.join(target, "lib", "*"), "rivulet.oracle.Main", out, *files]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"oracle: ended with {done.returncode}:\n" + done.stdout[-3000:] + done.stderr[-3000:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", help="folder for the results")
    parser.add_argument("files", nargs="*", help="case files, one JSON case a line")
    parser.add_argument("--store", choices=["rocksdb", "in_memory"], help="instead of the cases' own")
    given = parser.parse_args()
    if given.out is None:
        build()
    elif not given.files:
        parser.error("which case files?")
    else:
        run(given.out, given.files, given.store)


if __name__ == "__main__":
    sys.exit(main())
