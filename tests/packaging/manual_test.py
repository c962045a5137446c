#!/usr/bin/env python3
"""The manual and the completion say what the program has: every command, option and setting, and nothing that is not there.

manual_test.py check RIVULET: rivulet(1) and the completion against --help, rivulet.yaml(5) against `rivulet check --reference`, both pages without a
warning of groff, the completion in a bash.
manual_test.py self-test RIVULET: an option that the page lacks, one that the program lacks, and a broken page are noticed.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGING = os.path.join(ROOT, "packaging")


def commands_check(rivulet, packaging):
    done = subprocess.run([sys.executable, os.path.join(packaging, "man", "commands.py"), rivulet, "--check"], capture_output=True, text=True)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def reference_page(text):
    return subprocess.run([sys.executable, os.path.join(PACKAGING, "man", "reference.py"), "0"], input=text, capture_output=True, text=True, check=True).stdout


def warnings_of(page):
    """What groff has to say about a page."""
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", "-K", "utf8"], input=page, capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if "can't break line" not in line and "cannot break line" not in line and "adjust line" not in line]


def settings_check(rivulet):
    reference = subprocess.run([rivulet, "check", "--reference"], capture_output=True, text=True, check=True).stdout
    with open(os.path.join(ROOT, "config", "README.md")) as file:
        packaged = reference_page(file.read())
    if packaged != reference_page(reference):
        yield "rivulet.yaml(5), which is made from config/README.md, differs from `rivulet check --reference`"
    settings = re.findall(r"^\| `([^`]+)`", reference, re.MULTILINE)
    named = [name.replace("\\-", "-") for name in re.findall(r"^\.TP\n\\fB(.*)\\fR$", packaged, re.MULTILINE)]
    if settings != named:
        yield f"rivulet.yaml(5) has not these settings: {sorted(set(settings) ^ set(named))}"
    yield from warnings_of(packaged)


def completions(words, packaging=PACKAGING):
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rivulet; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-euc", script, "bash", os.path.join(packaging, "completion", "rivulet"), *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


def completion_check():
    for words, expected in ((["rivulet", "quar"], ["quarantine"]), (["rivulet", "-c", "x", "quarantine", "s"], ["show"]), (["rivulet", "state", "reset"], ["reset", "reset-time"]),
                            (["rivulet", "topics", "--pa"], ["--partitions"]), (["rivulet", "run", "--config", PACKAGING + "/stag"], [PACKAGING + "/stage"])):
        found = completions(words)
        if found != expected:
            yield f"completion of {words} is {found}, not {expected}"


def check(rivulet):
    with open(os.path.join(PACKAGING, "man", "rivulet.1")) as file:
        page = file.read()
    found = commands_check(rivulet, PACKAGING) + list(settings_check(rivulet)) + warnings_of(page) + list(completion_check())
    print("\n".join(found) or "the manual and the completion say what the program has")
    return 1 if found else 0


def self_test(rivulet):
    assert warnings_of(".TH X 1\n.SH NAME\nx\n.csv is no macro\n"), "a macro that is not there is noticed"
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "packaging")
        for path, old, new in (("man/rivulet.1", "\\fB\\-\\-create\\fR", "\\fB\\-\\-make\\fR"), ("completion/rivulet", " --epoch", ""), ("completion/rivulet", "--json", "--json --xml")):
            shutil.copytree(PACKAGING, copy)
            assert not commands_check(rivulet, copy)
            with open(os.path.join(copy, path)) as file:
                text = file.read()
            assert old in text, (path, old)
            with open(os.path.join(copy, path), "w") as file:
                file.write(text.replace(old, new, 1))
            assert commands_check(rivulet, copy), f"{path} with {new or 'nothing'} for {old} is not noticed"
            shutil.rmtree(copy)
    print("each of 4 offences is noticed")
    return 0


if __name__ == "__main__":
    sys.exit({"check": check, "self-test": self_test}[sys.argv[1]](os.path.abspath(sys.argv[2])))
