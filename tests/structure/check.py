#!/usr/bin/env python3
"""The house rules that a machine can hold: includes go downward only, the top level holds what it should, heavy headers stay in
their rooms, no file is a bag of everything. Prints every breach; exit status 1 if there is one."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A room may include itself, base, and what stands here.
ALLOWED = {
    "agent/base": set(),
    "agent/record": set(),
    "agent/codec": {"agent/record"},
    "agent/kafka": set(),
    "agent/config": set(),
    "agent/source": {"agent/record", "agent/codec", "agent/kafka", "agent/config"},
    "agent/pipeline": {"agent/record", "agent/codec", "agent/config", "store"},
    "agent/forward": {"agent/kafka", "store"},
    "agent/app": {"agent/record", "agent/codec", "agent/kafka", "agent/config", "agent/source", "agent/pipeline", "agent/forward", "store"},
    "store": set(),
}
ONLY_IN = {"librdkafka/": ("agent/kafka",), "sqlite3.h": ("store", "agent/pipeline"), "yaml-cpp/": ("agent/config",), "CLI/": ("agent/app",), "simdjson.h": ("agent/codec",)}
TOP = {"CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", "agent", "store", "toolchains", "config", "tests", "packaging"}
MAX_LINES = 450


def room_of(path):
    for room in sorted(ALLOWED, key=len, reverse=True):
        if path.startswith(room + "/"):
            return room
    return None


def main():
    breaches = []
    files = []
    for folder in ("agent", "store"):
        for base, _, names in os.walk(os.path.join(ROOT, folder)):
            files += [os.path.relpath(os.path.join(base, name), ROOT) for name in names if name.endswith((".h", ".cpp"))]
    if len(files) < 50:
        breaches.append(f"only {len(files)} source files were found: is this the project's root?")
    for path in files:
        room = room_of(path)
        with open(os.path.join(ROOT, path)) as file:
            lines = file.readlines()
        if len(lines) > MAX_LINES:
            breaches.append(f"{path}: {len(lines)} lines; more than {MAX_LINES} are two concepts")
        if re.search(r"(utils?|helpers?|common|misc)\.(h|cpp)$", path):
            breaches.append(f"{path}: a name that says nothing")
        for number, line in enumerate(lines, 1):
            included = re.match(r'\s*#\s*include\s*["<]([^">]+)[">]', line)
            if not included:
                continue
            target = included.group(1)
            other = room_of(target)
            if other and other != room and other != "agent/base" and other not in ALLOWED[room]:
                breaches.append(f"{path}:{number}: {room} may not include {other}")
            for header, rooms in ONLY_IN.items():
                if target.startswith(header) and room not in rooms:
                    breaches.append(f"{path}:{number}: <{header}> is for {', '.join(rooms)} only")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for entry in {line.split("/")[0] for line in listed.stdout.splitlines()}:
        if entry not in TOP and not entry.startswith("."):
            breaches.append(f"{entry}: has no place at the top level")
    print("\n".join(breaches) or f"{len(files)} files: includes go downward, names and sizes are in order")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
