#!/usr/bin/env python3
"""Is the linked agent hardened? Reads the binary, not the build's flags: a flag that got lost on the way is noticed.

hardening_test.py BINARY [--without RULE,...]: one line a rule that does not hold, exit status 1 if there is any.
hardening_test.py self-test COMPILER: builds a tiny program once with everything, and once for each rule without what it asks for.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

ENDBR64 = b"\xf3\x0f\x1e\xfa"     # -fcf-protection: where an indirect call may land
PACIASP = b"\x3f\x23\x03\xd5"     # -mbranch-protection: the return address is signed
PROBE = re.compile(rb"\x48\x83\x0c\x24\x00|\x48\x83\x8c\x24....\x00", re.DOTALL)  # orq $0,(%rsp): -fstack-clash-protection touches each page
FEW = 3  # the C runtime's own start-up code has one or two endbr64

PROGRAM = r"""
#include <stdio.h>
#include <string.h>
int use(char* text);
__attribute__((noinline)) int small(const char* text) { char copy[64]; strcpy(copy, text); return use(copy); }
__attribute__((noinline)) int big(const char* text) { char copy[20000]; strcpy(copy, text); return use(copy); }
__attribute__((noinline)) int use(char* text) { return puts(text); }
__attribute__((noinline)) int third(const char* text) { return small(text) + 1; }
int main(int argc, char** argv) { return small(argv[0]) + big(argv[argc - 1]) + third(argv[0]); }
"""
BASE = ["-fPIE", "-pie", "-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong", "-fstack-clash-protection",
        "-Wl,-z,relro,-z,now,-z,noexecstack"]
OF_MACHINE = {"X86-64": ["-fcf-protection=full"], "AArch64": ["-mbranch-protection=standard"]}
# Flags that take one protection away; each must be noticed as that rule, and as no other.
OFFENCES = {
    "pie": ["-fno-pie", "-no-pie"],
    "relro": ["-Wl,-z,norelro"],
    "now": ["-Wl,-z,lazy"],
    "stack": ["-Wl,-z,execstack"],
    "protector": ["-fno-stack-protector"],
    "fortify": ["-U_FORTIFY_SOURCE"],
    "clash": ["-fno-stack-clash-protection"],
    "branch": {"X86-64": ["-fcf-protection=none"], "AArch64": ["-mbranch-protection=none"]},
    "rpath": ["-Wl,-rpath,/somewhere"],
}


def readelf(binary, *options):
    done = subprocess.run(["readelf", "--wide", *options, binary], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode != 0:
        sys.exit(f"readelf {binary}: {done.stderr.strip()}")
    return done.stdout


def text_of(binary):
    found = re.search(r"\s\.text\s+PROGBITS\s+\S+\s+([0-9a-f]+)\s+([0-9a-f]+)", readelf(binary, "--section-headers"))
    if not found:
        sys.exit(f"{binary}: has no .text")
    with open(binary, "rb") as file:
        file.seek(int(found[1], 16))
        return file.read(int(found[2], 16))


def machine_of(binary):
    return "X86-64" if "X86-64" in (header := readelf(binary, "--file-header")) else "AArch64" if "AArch64" in header else "other"


def offences(binary):
    """(rule, what is wrong) of each rule that does not hold."""
    header, segments = readelf(binary, "--file-header"), readelf(binary, "--program-headers")
    dynamic, symbols, code = readelf(binary, "--dynamic"), readelf(binary, "--dyn-syms"), text_of(binary)
    if not re.search(r"Type:\s+DYN", header) or not re.search(r"FLAGS_1.*\bPIE\b", dynamic):
        yield "pie", "is no position independent executable (-fPIE -pie)"
    if "GNU_RELRO" not in segments:
        yield "relro", "its relocations stay writable (-Wl,-z,relro)"
    if not re.search(r"BIND_NOW|FLAGS_1.*\bNOW\b", dynamic):
        yield "now", "binds its symbols at the first call, so its table of them stays writable (-Wl,-z,now)"
    stack = re.search(r"GNU_STACK\s+(?:0x\S+\s+){5}([RWE ]{3})", segments)
    if not stack or "E" in stack[1]:
        yield "stack", "has an executable stack (-Wl,-z,noexecstack)"
    if re.search(r"LOAD\s+(?:0x\S+\s+){5}RWE", segments) or "TEXTREL" in dynamic:
        yield "code", "has memory that is writable and executable"
    if "__stack_chk_fail" not in symbols:
        yield "protector", "has no stack protector (-fstack-protector-strong)"
    if not re.search(r"\b__(?!stack)\w+_chk\b", symbols):
        yield "fortify", "checks no buffer's size at run time (-D_FORTIFY_SOURCE=2 and optimisation)"
    machine = machine_of(binary)
    if machine == "X86-64" and not PROBE.search(code):
        yield "clash", "does not touch each page of a large frame (-fstack-clash-protection)"
    mark = {"X86-64": ENDBR64, "AArch64": PACIASP}.get(machine)
    if mark and code.count(mark) < FEW:
        yield "branch", "indirect branches and returns go anywhere (-fcf-protection, -mbranch-protection=standard)"
    if re.search(r"\((RPATH|RUNPATH)\)", dynamic):
        yield "rpath", "looks for libraries in a folder of its own (no RPATH)"


def self_test(compiler):
    with tempfile.TemporaryDirectory() as folder:
        source, binary = os.path.join(folder, "tiny.c"), os.path.join(folder, "tiny")
        with open(source, "w") as file:
            file.write(PROGRAM)

        def build(flags):
            subprocess.run([*compiler.split(), "-x", "c", "-w", *flags, source, "-o", binary], check=True)
            return sorted({rule for rule, _ in offences(binary)})
        build(BASE)
        machine = machine_of(binary)
        full = BASE + OF_MACHINE.get(machine, [])
        assert build(full) == [], f"a hardened program offends: {build(full)}"
        tried = 0
        for rule, without in OFFENCES.items():
            flags = without.get(machine) if isinstance(without, dict) else without
            if flags is None or (rule == "clash" and machine != "X86-64"):
                continue
            found = build(full + flags)
            assert found == [rule], f"without {rule} ({' '.join(flags)}) the test says {found}"
            tried += 1
        assert tried >= 7, tried
        print(f"each of {tried} missing protections is noticed")


def main():
    if sys.argv[1:2] == ["self-test"]:
        self_test(sys.argv[2] if len(sys.argv) > 2 else "c++")
        return 0
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--without", default="", help="rules that this build cannot keep, by comma: fortify without optimisation")
    arguments = parser.parse_args()
    allowed = set(filter(None, arguments.without.split(",")))
    found = [(rule, text) for rule, text in offences(arguments.binary) if rule not in allowed]
    for rule, text in found:
        print(f"{arguments.binary}: {rule}: {text}")
    if not found:
        print(f"{os.path.basename(arguments.binary)} is hardened")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
