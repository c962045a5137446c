#!/usr/bin/env python3
"""The systemd unit: systemd reads it without a word, alone and with each drop-in, and its exposure stays below a bar.

unit_test.py check: exposure of packaging/rivulet.service at most 1.5, with any one drop-in at most 2.0 (systemd-analyze security).
unit_test.py self-test: a unit without its sandbox, a misspelt key and a value that systemd does not know are noticed.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNIT = os.path.join(ROOT, "packaging", "rivulet.service")
DROP_INS = os.path.join(ROOT, "packaging", "drop-ins")
BAR, BAR_WITH_DROP_IN = 1.5, 2.0
# systemd.service(5): what a unit without them does not keep.
NEEDED = ["Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "ExecReload=/usr/bin/rivulet check", "WatchdogSec=", "StateDirectory=rivulet", "StateDirectoryMode=0700", "Restart=always", "LimitNOFILE=16384", "TimeoutStartSec=infinity", "User=rivulet", "NoNewPrivileges=yes"]
# systemd.resource-control(5): a node that is not there when the unit starts, and a class whose driver is not loaded then, stay refused for good.
LATE_CLASSES = {"char-ttyUSB": "modprobe@usbserial.service", "char-ttyACM": "modprobe@cdc_acm.service"}


def analyze(*arguments):
    done = subprocess.run(["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    return done.returncode, done.stdout + done.stderr


def device_offences(text):
    """What keeps a device that is plugged in after the start from being allowed."""
    for device in re.findall(r"^DeviceAllow=(\S+)", text, re.MULTILINE):
        if device.startswith("/dev/"):
            yield f"allows {device} and not its class: refused for good when it is plugged in later"
        for word in ("Wants", "After"):
            module = LATE_CLASSES.get(device)
            if module and module not in " ".join(re.findall(f"^{word}=(.*)", text, re.MULTILINE)).split():
                yield f"allows {device} without {word}={module}: refused for good when its driver is loaded later"


def offences(unit_text, drop_in=None):
    """What is wrong with a unit of that text, with one drop-in (name, text) or none."""
    yield from device_offences(drop_in[1] if drop_in else unit_text)
    for line in NEEDED:
        if not re.search("^" + re.escape(line), unit_text, re.MULTILINE):
            yield f"has no {line}"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rivulet.service")
        program = os.path.join(folder, "rivulet")  # verify wants a program that is there
        shutil.copy("/bin/true", program)
        with open(path, "w") as file:
            file.write(unit_text.replace("=/usr/bin/rivulet ", f"={program} "))
        if drop_in:
            os.mkdir(path + ".d")
            with open(os.path.join(path + ".d", drop_in[0]), "w") as file:
                file.write(drop_in[1])
        code, text = analyze("verify", "--man=no", "--recursive-errors=no", path)
        said = [line for line in text.splitlines() if "rivulet" in line]
        if code != 0 or said:
            yield f"systemd-analyze verify: {' '.join(said) or text.strip()}"
        _, text = analyze("security", "--offline=true", path)
        found = re.search(r"exposure level for \S+: ([0-9.]+)", text)
        if not found:
            yield f"systemd-analyze security gives no level: {text.strip()[-300:]}"
        elif float(found[1]) > (BAR_WITH_DROP_IN if drop_in else BAR):
            yield f"its exposure is {found[1]}, at most {BAR_WITH_DROP_IN if drop_in else BAR}"
        else:
            print(f"{drop_in[0] if drop_in else 'rivulet.service'}: exposure {found[1]}")


def read(path):
    with open(path) as file:
        return file.read()


def check():
    unit = read(UNIT)
    found = [f"rivulet.service: {text}" for text in offences(unit)]
    names = sorted(os.listdir(DROP_INS))
    assert len(names) >= 3, names
    for name in names:
        found += [f"drop-ins/{name}: {text}" for text in offences(unit, (name, read(os.path.join(DROP_INS, name))))]
    print("\n".join(found) or "systemd takes the unit and every drop-in")
    return 1 if found else 0


def self_test():
    unit = read(UNIT)
    cases = {
        "its exposure is": (re.sub(r"^(Protect|Private|Restrict|SystemCall|Capability|Lock|MemoryDeny).*\n", "", unit, flags=re.MULTILINE), None),
        "verify": (unit.replace("WatchdogSec=60s", "WatchdogSec=60s\nWatchdogSecs=60s"), None),
        "has no WatchdogSec=": (unit.replace("WatchdogSec=60s\n", ""), None),
        "at most 2.0": (unit, ("open.conf", "[Service]\nNoNewPrivileges=no\nSystemCallFilter=\nCapabilityBoundingSet=~\nUser=root\nProtectSystem=no\n")),
        "AF_CANN": (unit, ("wrong.conf", "[Service]\nRestrictAddressFamilies=AF_CANN\n")),
        "allows /dev/ttyUSB0": (unit, ("node.conf", "[Service]\nDeviceAllow=/dev/ttyUSB0 rw\n")),
        "without After=modprobe@cdc_acm": (unit, ("late.conf", "[Unit]\nWants=modprobe@cdc_acm.service\n[Service]\nDeviceAllow=char-ttyACM rw\n")),
    }
    for expected, (text, drop_in) in cases.items():
        assert text != unit or drop_in
        found = list(offences(text, drop_in))
        assert any(expected in line for line in found), (expected, found)
    print(f"each of {len(cases)} offences is noticed")
    return 0


if __name__ == "__main__":
    sys.exit({"check": check, "self-test": self_test}[sys.argv[1] if len(sys.argv) > 1 else "check"]())
