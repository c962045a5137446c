#!/usr/bin/env python3
"""The Debian package in a minimal Debian: installed, configured, upgraded with a backlog, removed, purged. Needs root (else it is skipped: 77).

deb_test.py --rivulet BINARY: the package is made of that binary; the next version is the same with another number and another default
configuration.
"""
import argparse
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time

from chroot import Chroot

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Of the build that is tested, which keeps what nobody calls: about 1 MB more than what `packaging/deb` ships (bar on Debian 12: 16).
# Debian 13's libraries alone are 7 MB larger: libssl3t64 by 2, and librdkafka1 needs libcurl4t64 with all that needs.
MOST_INSTALLED_MB = 18 if platform.freedesktop_os_release().get("VERSION_CODENAME") == "bookworm" else 25
KEEP = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
OF_ADMIN = """# of the administrator
agent: {id: gateway-7, commit_interval: 50ms}
kafka: {brokers: ["127.0.0.1:9"]}
status: {listen: "unix:/var/lib/rivulet/status.sock"}
sources:
  machines: {simulate: {devices: 5, rate: 500/s, seed: 1}, key: device}
pipelines:
  all: {from: machines, to: machines}
"""
DEADLINE_S = 60


def build(binary, folder):
    """Paths of the package and of the next version of it."""
    environment = {**os.environ, "RIVULET_BINARY": binary, "RIVULET_PACKAGES": folder, "SOURCE_DATE_EPOCH": "1800000000"}
    subprocess.run([os.path.join(ROOT, "packaging", "deb")], check=True, env=environment, stdout=subprocess.DEVNULL)
    deb = next(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".deb"))
    tree, after = os.path.join(folder, "tree"), os.path.join(folder, "next.deb")
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    with open(os.path.join(tree, "DEBIAN", "control")) as file:
        control = file.read()
    with open(os.path.join(tree, "DEBIAN", "control"), "w") as file:
        file.write(re.sub(r"^(Version: .*)$", r"\1+next", control, flags=re.MULTILINE))
    with open(os.path.join(tree, "etc", "rivulet", "rivulet.yaml"), "a") as file:
        file.write("# the next version's default\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, after], check=True, stdout=subprocess.DEVNULL)
    return deb, after


class Agent:
    """`rivulet run` in the chroot, as the service's user."""

    def __init__(self, chroot):
        self.chroot = chroot
        self.process = chroot.start("rivulet", "run", user="rivulet")

    def status_when(self, holds, what):
        deadline, status = time.monotonic() + DEADLINE_S, None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the agent ended: {self.process.stdout.read()[-3000:]}"
            said = self.chroot.run("rivulet", "status", "--json", check=False).stdout
            status = json.loads(said) if said.startswith("{") else None
            if status and "store" in status and holds(status):
                return status
            time.sleep(0.05)
        raise AssertionError(f"not within {DEADLINE_S} s: {what}; the status is {status}")

    def stop(self):
        self.process.terminate()
        said, _ = self.process.communicate(timeout=DEADLINE_S)
        assert self.process.returncode == 0, said[-3000:]
        return int(re.search(r"(\d+) records stay in the store", said)[1])


def apt(chroot, *words, check=True):
    return chroot.run("apt-get", "-y", "-q", "--no-install-recommends", *words, check=check)


def installs(chroot, deb):
    apt(chroot, "update")
    said = apt(chroot, "install", deb).stdout
    assert not [line for line in chroot.asked_of_systemd() if re.search(r"\b(start|restart|enable|try-restart)\b", line)], "the installation starts or enables the service"
    more = re.search(r"After this operation, ([0-9.,]+) ([kM])B", said)
    more_mb = float(more[1].replace(",", "")) / (1000 if more[2] == "k" else 1)
    assert more_mb <= MOST_INSTALLED_MB, f"{more_mb} MB more on a minimal Debian, at most {MOST_INSTALLED_MB}"
    print(f"installed size with all that a minimal Debian lacks: {more_mb} MB")
    user = chroot.run("getent", "passwd", "rivulet").stdout.strip().split(":")
    assert user[5:] == ["/var/lib/rivulet", "/usr/sbin/nologin"], user
    state = os.stat(chroot.path("/var/lib/rivulet"))
    assert stat.S_IMODE(state.st_mode) == 0o700 and state.st_uid == int(user[2]), state
    assert chroot.run("rivulet", "check").stdout, "the default configuration is in order"
    assert chroot.run("dpkg", "--verify", "rivulet").stdout == ""
    assert not chroot.exists("/etc/systemd/system/multi-user.target.wants/rivulet.service")


def names_files_that_are_there(chroot):
    """What the installed texts send a reader to is on the device, not in the repository."""
    texts = chroot.run("find", "/etc/rivulet", "/usr/share/doc/rivulet/examples", "-name", "*.yaml", "-o", "-name", "*.conf").stdout.split()
    assert len(texts) > 10, texts
    for text in texts:
        for name in re.findall(r"[\w./-]*/[\w.-]+\.(?:md|conf|yaml)\b", chroot.read(text)):
            assert chroot.exists("/" + name.lstrip("/")), f"{text} names {name}"


def keeps_a_configuration_that_was_there(chroot, deb):
    chroot.write("/etc/rivulet/rivulet.yaml", OF_ADMIN)
    apt(chroot, *KEEP, "install", "--reinstall", deb)
    assert chroot.read("/etc/rivulet/rivulet.yaml") == OF_ADMIN


def upgrades_with_a_backlog(chroot, after):
    agent = Agent(chroot)
    before = agent.status_when(lambda status: status["store"]["outbox_records"] > 500, "500 records in the store without a Kafka")
    backlog = agent.stop()
    chroot.asked_of_systemd()
    apt(chroot, *KEEP, "install", after)
    assert chroot.asked_of_systemd() == ["--system daemon-reload", "show --property=ActiveState --value rivulet.service"], "an agent that does not run is not started"
    assert chroot.read("/etc/rivulet/rivulet.yaml") == OF_ADMIN, "an upgrade keeps the administrator's configuration"
    assert "the next version's default" in chroot.read("/etc/rivulet/rivulet.yaml.dpkg-dist")
    agent = Agent(chroot)
    status = agent.status_when(lambda status: True, "a status after the upgrade")
    assert status["incarnation"] == before["incarnation"], (before, status)
    assert status["store"]["outbox_records"] >= backlog > 500, (backlog, status)
    assert agent.stop() >= backlog
    print(f"{backlog} records of the version before are in the store of the next")


def restarts_an_agent_that_runs(chroot, after):
    chroot.asked_of_systemd()
    for state in ("activating", "reloading", "active"):  # activating: it may restore its state for minutes
        chroot.write("/run/agent-state", state + "\n")
        apt(chroot, *KEEP, "install", "--reinstall", after)
        asked = chroot.asked_of_systemd()
        assert asked[-1:] == ["try-restart rivulet.service"] and not any(re.search(r"\bstop\b", line) for line in asked), (state, asked)
    chroot.write("/etc/rivulet/rivulet.yaml", OF_ADMIN + "sauces: {}\n")
    done = apt(chroot, *KEEP, "install", "--reinstall", after)
    assert "sauces" in done.stderr and "goes on" in done.stderr, done.stderr
    assert not any("restart" in line for line in chroot.asked_of_systemd()), "an agent is restarted into a configuration that is refused"
    chroot.write("/etc/rivulet/rivulet.yaml", OF_ADMIN)


def starts_again_after_a_removal_that_dpkg_takes_back(chroot):
    chroot.asked_of_systemd()
    for enabled in (False, True):
        if enabled:
            chroot.write("/run/agent-is-enabled", "")
        chroot.run("/var/lib/dpkg/info/rivulet.prerm", "remove")
        assert "stop rivulet.service" in chroot.asked_of_systemd()
        chroot.run("/var/lib/dpkg/info/rivulet.postinst", "abort-remove")
        starts = [line for line in chroot.asked_of_systemd() if re.search(r"\bstart rivulet.service", line)]
        assert len(starts) == int(enabled), (enabled, starts)


def removes_and_purges(chroot):
    os.makedirs(chroot.path("/etc/systemd/system/multi-user.target.wants"), exist_ok=True)
    link = "/etc/systemd/system/multi-user.target.wants/rivulet.service"
    os.symlink("/usr/lib/systemd/system/rivulet.service", chroot.path(link))  # systemctl enable
    apt(chroot, "remove", "rivulet")
    assert "stop rivulet.service" in chroot.asked_of_systemd()
    assert not chroot.exists("/usr/bin/rivulet")
    assert chroot.read("/etc/rivulet/rivulet.yaml") == OF_ADMIN and chroot.exists("/var/lib/rivulet/rivulet.db"), "removing keeps configuration and store"
    chroot.write("/etc/rivulet/pipelines.d/own.yaml", "pipelines: {}\n")
    shutil.copy(chroot.path("/var/lib/dpkg/info/rivulet.postrm"), chroot.path("/postrm"))
    apt(chroot, "purge", "rivulet")
    left = chroot.run("find", "/etc", "/usr", "/var/lib", "-xdev", "-name", "*rivulet*").stdout.split()
    left = [name for name in left if not name.startswith("/var/lib/apt/")]
    assert left == ["/etc/rivulet"] and chroot.exists("/etc/rivulet/pipelines.d/own.yaml"), f"purging leaves {left}"


def purges_what_is_mounted(chroot):
    """A state folder on a disk of its own, or with one in it: what is in the folder goes, the mount point stays, and purging is done."""
    script = 'mkdir -p "$1"; mount -t tmpfs tmpfs "$1"; mkdir /var/lib/rivulet/deep; touch /var/lib/rivulet/.hidden /var/lib/rivulet/deep/x; /postrm purge >&2; find /var/lib/rivulet'
    for mounted, stays in (("/var/lib/rivulet", ["/var/lib/rivulet"]), ("/var/lib/rivulet/disk", ["/var/lib/rivulet", "/var/lib/rivulet/disk"])):
        done = chroot.run("sh", "-ec", script, "sh", mounted)
        assert done.stdout.split() == stays and "/var/lib/rivulet stays" in done.stderr, (mounted, done)
        shutil.rmtree(chroot.path("/var/lib/rivulet"))


def lintian(*debs):
    for deb in debs:
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", deb], capture_output=True, text=True)
        assert done.returncode == 0, f"lintian {deb}:\n{done.stdout}{done.stderr}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivulet", required=True)
    binary = os.path.abspath(parser.parse_args().rivulet)
    if os.geteuid() != 0 or not all(map(shutil.which, ("mmdebstrap", "lintian", "unshare"))):
        print("skipped: needs root, mmdebstrap and lintian")
        return 77
    if subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True).returncode != 0:
        print("skipped: no mounts of its own here: in a chroot / has to be a mount point (before entering it: mount --bind DIR DIR)")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        deb, after = build(binary, folder)
        lintian(deb)
        with Chroot() as chroot:
            for path, name in ((deb, "/now.deb"), (after, "/next.deb")):
                shutil.copy(path, chroot.path(name))
            for name, test in (("installs", lambda: installs(chroot, "/now.deb")),
                               ("names", lambda: names_files_that_are_there(chroot)),
                               ("keeps", lambda: keeps_a_configuration_that_was_there(chroot, "/now.deb")),
                               ("upgrades", lambda: upgrades_with_a_backlog(chroot, "/next.deb")),
                               ("restarts", lambda: restarts_an_agent_that_runs(chroot, "/next.deb")),
                               ("starts again", lambda: starts_again_after_a_removal_that_dpkg_takes_back(chroot)),
                               ("removes", lambda: removes_and_purges(chroot)),
                               ("purges", lambda: purges_what_is_mounted(chroot))):
                begin = time.monotonic()
                test()
                print(f"{name}: {time.monotonic() - begin:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
