#!/usr/bin/env python3
"""The shape of the tree as a test: includes go downward only, the top level holds what the README lists, no file is too long.

Prints every offence as file:line: what is wrong, and ends with 1 if there is any. `structure_test.py self-test` proves on a
made-up tree that each rule can fail.
"""
import os
import re
import subprocess
import sys
import tempfile

# A room includes itself and what stands here (and what that includes). Nothing else.
BELOW = {
    "base": [], "record": ["base"], "config": ["base"], "kafka": ["base"], "store": ["base"],
    "codec": ["record"], "net": ["config"], "mqtt": ["net"], "source": ["record", "codec", "kafka", "mqtt"], "sink": ["record", "codec", "store", "mqtt"],
    "pipeline": ["record", "codec", "store", "config"], "forward": ["store", "kafka"],
    "app": ["source", "sink", "pipeline", "forward", "config"],
}
# A library's headers stay in the rooms that own it: the others talk to the room.
ONLY_IN = {"librdkafka/": ["kafka"], "spdlog/": ["base", "app"], "simdjson": ["codec", "forward"], "pcre2": ["codec"], "cbor.h": ["codec"], "zlib.h": ["codec"], "modbus/": ["source"], "yaml-cpp/": ["config"], "CLI/": ["app"], "boost/beast": ["app", "source"]}
THREADS = {"thread", "mutex", "shared_mutex", "condition_variable", "future"}
ONE_THREAD = {"record", "codec", "config", "pipeline", "mqtt"}  # their tests do not run under TSan: tests/CMakeLists.txt
TOP = {"CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", "agent", "store", "toolchains", "config", "packaging", "tests"}
MAX_LINES = 450
SOURCE = (".cpp", ".h", ".py", ".cmake", ".sh")
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def allowed(room):
    found, todo = {room}, [room]
    while todo:
        for below in BELOW[todo.pop()]:
            if below not in found:
                found.add(below)
                todo.append(below)
    return found


def room_of(path):
    parts = path.split("/")
    if parts[0] == "store":
        return "store"
    return parts[1] if parts[0] == "agent" and len(parts) > 2 else None


def files_of(root):
    """What git knows or would add: build folders do not count."""
    done = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True)
    if done.returncode == 0:
        names = [name for name in done.stdout.decode().split("\0") if name]
    else:  # a tree without git: a source archive
        names = [os.path.relpath(os.path.join(base, name), root) for base, _, files in os.walk(root) for name in files]
        names = [name for name in names if not name.startswith(("build/", ".git/"))]
    return sorted(name for name in set(names) if os.path.isfile(os.path.join(root, name)))


def offences_of_include(path, number, kind, target, root):
    room = room_of(path)
    if kind == '"' and not os.path.exists(os.path.join(root, target)):
        yield f'{path}:{number}: includes "{target}", which is no file from the project root'
    if room is None:
        return
    if room not in BELOW:
        yield f"{path}:{number}: the room '{room}' is not in tests/structure/structure_test.py"
        return
    if kind == '"':
        other = room_of(target)
        if other is not None and other not in allowed(room):
            yield f"{path}:{number}: {room} includes {other} ({target}); it may include {', '.join(sorted(allowed(room) - {room})) or 'nothing'}"
        if target.startswith("tests/"):
            yield f"{path}:{number}: {room} includes the tests ({target})"
    if kind == "<" and target in THREADS and room in ONE_THREAD:
        yield f"{path}:{number}: {room} includes <{target}>; it knows of one thread, and tests/CMakeLists.txt leaves it out under TSan"
    for prefix, owners in ONLY_IN.items():
        if kind == "<" and target.startswith(prefix) and room not in owners:
            yield f"{path}:{number}: {room} includes <{target}>; only {', '.join(owners)} may"


def offences(root):
    names = files_of(root)
    for top in sorted({name.split("/")[0] for name in names}):
        if not top.startswith(".") and top not in TOP:
            yield f"{top}: does not belong at the top level"
    for name in names:
        if os.path.splitext(os.path.basename(name))[0] in VAGUE:
            yield f"{name}: a file's name says what is in it"
        with open(os.path.join(root, name), "rb") as file:
            head = file.read(2)
        if not (name.endswith(SOURCE) or head == b"#!"):
            continue
        with open(os.path.join(root, name), errors="replace") as file:
            lines = file.read().splitlines()
        if len(lines) > MAX_LINES:
            yield f"{name}: {len(lines)} lines, at most {MAX_LINES}"
        if name.endswith((".cpp", ".h")):
            for number, line in enumerate(lines, 1):
                found = INCLUDE.match(line)
                if found:
                    yield from offences_of_include(name, number, found[1], found[2], root)


def self_test():
    with tempfile.TemporaryDirectory() as root:
        def write(name, text):
            os.makedirs(os.path.dirname(os.path.join(root, name)) or root, exist_ok=True)
            with open(os.path.join(root, name), "w") as file:
                file.write(text)
        write("agent/base/a.h", "")
        write("agent/forward/f.h", '#include "agent/base/a.h"\n')
        clean = list(offences(root))
        assert not clean, clean
        cases = {
            "agent/base/up.h": ('#include "agent/forward/f.h"\n', "base includes forward"),
            "store/rd.cpp": ("#include <librdkafka/rdkafka.h>\n", "only kafka may"),
            "agent/codec/two.h": ("#include <mutex>\n", "knows of one thread"),
            "agent/base/lost.h": ('#include "agent/base/none.h"\n', "no file from the project root"),
            "agent/base/long.cpp": ("\n" * (MAX_LINES + 1), f"at most {MAX_LINES}"),
            "agent/base/utils.h": ("", "a file's name says"),
            "stray/x.txt": ("", "top level"),
            "agent/unheard/x.h": ('#include "agent/base/a.h"\n', "is not in tests/structure"),
        }
        for name, (text, expected) in cases.items():
            write(name, text)
            found = list(offences(root))
            assert len(found) == 1 and expected in found[0], (name, found)
            os.remove(os.path.join(root, name))
    print(f"each of {len(cases)} offences is noticed")


if __name__ == "__main__":
    if sys.argv[1:] == ["self-test"]:
        self_test()
        sys.exit(0)
    problems = list(offences(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))
    print("\n".join(problems) or "includes go downward, the top level and the lengths are in order")
    sys.exit(1 if problems else 0)
