"""A minimal Debian in a folder, in which packages are installed and run: what a bare gateway has, and no more.

systemd is not in it: a stand-in for systemctl writes down what it is asked for. The agent's state is what the test wrote into /run/agent-state, and
it is enabled if there is a /run/agent-is-enabled. Needs root.
"""
import os
import re
import shutil
import subprocess
import tempfile
import time

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "rivulet")
FRESH_S = 7 * 86400
SYSTEMCTL = """#!/bin/sh
echo "$@" >>/var/log/systemctl
case " $* " in
  *" is-active "*) grep -qsxE "active|reloading" /run/agent-state ;;
  *" --property=ActiveState --value "*) cat /run/agent-state 2>/dev/null || echo inactive ;;
  *" is-enabled "*) [ ! -e /run/agent-is-enabled ] || echo enabled ;;
esac
"""


def release():
    with open("/etc/os-release") as file:
        return os.environ.get("RIVULET_RELEASE") or re.search(r"VERSION_CODENAME=(\w+)", file.read())[1]


def mirror():
    found = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], capture_output=True, text=True, check=True)
    return os.environ.get("RIVULET_MIRROR") or found.stdout.split()[0]


def minimal_debian():
    """The archive of it, made if there is none or an old one."""
    arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    path = os.path.join(CACHE, f"minbase-{release()}-{arch}.tar")
    if not os.path.exists(path) or time.time() - os.path.getmtime(path) > FRESH_S:
        os.makedirs(CACHE, exist_ok=True)
        unfinished = f"{path}.{os.getpid()}.tar"
        for attempt in range(3):
            done = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", release(), unfinished, mirror()], capture_output=True, text=True)
            if done.returncode == 0:
                os.replace(unfinished, path)
                break
        else:
            raise SystemExit(f"chroot: mmdebstrap failed: {done.stderr[-2000:]}")
    return path


class Chroot:
    """Removed with all that is in it at the end of a `with`."""

    def __enter__(self):
        self.processes = []
        self.root = tempfile.mkdtemp(prefix="rivulet-chroot-")
        subprocess.run(["tar", "--extract", "--file", minimal_debian(), "--directory", self.root, "--numeric-owner", "--same-permissions"], check=True)
        self.write("/usr/bin/systemctl", SYSTEMCTL, 0o755)
        os.makedirs(self.path("/run/systemd/system"))
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.root)

    def path(self, name):
        return self.root + name

    def read(self, name):
        with open(self.path(name)) as file:
            return file.read()

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def exists(self, name):
        return os.path.lexists(self.path(name))

    def asked_of_systemd(self):
        """What systemctl was asked for since the last call."""
        if not self.exists("/var/log/systemctl"):
            return []
        lines = self.read("/var/log/systemctl").splitlines()
        os.remove(self.path("/var/log/systemctl"))
        return lines

    def command(self, *words, user=None):
        """For subprocess: /proc is there for that command alone, and goes with it."""
        enter = 'mount -t proc proc "$1/proc" && root=$1 && shift && exec chroot'
        if user:
            enter += f" --userspec={user}:{user}"
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", enter + ' "$root" "$@"', "sh", self.root, *words]

    def start(self, *words, user=None):
        """A process that ends with the chroot at the latest; its output is both of it."""
        self.processes.append(subprocess.Popen(self.command(*words, user=user), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return self.processes[-1]

    def run(self, *words, user=None, check=True, **options):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "HOME": "/"}
        done = subprocess.run(self.command(*words, user=user), capture_output=True, text=True, env=environment, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(words)}: exit status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done
