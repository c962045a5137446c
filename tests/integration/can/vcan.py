#!/usr/bin/env python3
"""Runs the can source's test over vcan in user-mode Linux, for machines whose kernel has no CAN: vcan.py UNIT_SOURCE.

Needs Debian's package user-mode-linux (amd64): a kernel that is a program, with the modules can_raw and vcan, on this machine's own files. Ends with 77 (skipped)
where it is not installed; a kernel that has vcan runs the same test without it, as a part of unit_source.
"""
import ctypes
import os
import pathlib
import subprocess
import sys
import tempfile

FACT = "can: over the kernel's vcan*"
MODULES = ("net/can/can", "net/can/can-raw", "drivers/net/can/dev/can-dev", "drivers/net/can/vcan")
FINIT_MODULE = 313  # of amd64
POWER_OFF = 0x4321FEDC
SECONDS = 100


def inside(program, result):
    """The first process of that kernel: root, on the files of this one."""
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    libc = ctypes.CDLL(None, use_errno=True)
    code = 1
    try:
        for kind, where in (("proc", "/proc"), ("sysfs", "/sys")):
            subprocess.run(["mount", "-t", kind, kind, where], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        modules = pathlib.Path("/usr/lib/uml/modules") / os.uname().release / "kernel"
        for name in MODULES:
            with open(modules / (name + ".ko"), "rb") as module:
                if libc.syscall(FINIT_MODULE, module.fileno(), b"", 0) != 0:
                    raise OSError(ctypes.get_errno(), f"module {name}: {os.strerror(ctypes.get_errno())}")
        done = subprocess.run([program, FACT], capture_output=True, text=True, timeout=SECONDS)
        print(done.stdout, done.stderr, flush=True)
        code = 1 if "skipped" in done.stdout else done.returncode
    finally:
        pathlib.Path(result).write_text(str(code))
        libc.reboot(POWER_OFF)


def main():
    if os.getpid() == 1:
        inside(*sys.argv[1:])
    kernel = pathlib.Path("/usr/bin/linux.uml")
    if not kernel.exists():
        print("skipped: the package user-mode-linux is not installed")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="rivulet-vcan-") as folder:
        start, result = pathlib.Path(folder) / "init", pathlib.Path(folder) / "result"
        start.write_text(f"#!/bin/sh\nexec /usr/bin/python3 '{pathlib.Path(__file__).resolve()}' '{pathlib.Path(sys.argv[1]).resolve()}' '{result}'\n")
        start.chmod(0o755)
        subprocess.run([kernel, "mem=256M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", f"init={start}", "con=null", "con0=fd:0,fd:1"],
                       stdin=subprocess.DEVNULL, timeout=SECONDS + 30, check=False)
        if not result.exists() or result.read_text() != "0":
            sys.exit("the test failed in that kernel, or the kernel did not come so far")


main()
