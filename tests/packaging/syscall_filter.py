"""The system-call filter that systemd makes of a unit's lines (systemd.exec(5)), without a systemd as process 1.

Of the unit: SystemCallFilter=, SystemCallErrorNumber=, RestrictAddressFamilies=, RestrictNamespaces=, MemoryDenyWriteExecute=. The calls of a group
are what `systemd-analyze syscall-filter` says. A refused call is answered as systemd has it answered, and written down: the kernel asks this process
(SECCOMP_RET_USER_NOTIF), so that nothing is missed for which a program has a way around. Other architectures' calls end a process.
"""
import ctypes
import errno
import os
import queue
import re
import select
import socket
import subprocess
import threading

ALLOW, REFUSE = 0x7FFF0000, 0x7FC00000  # seccomp.h of libseccomp: SCMP_ACT_ALLOW, SCMP_ACT_NOTIFY
UNKNOWN = 0x00050000 | errno.ENOSYS     # SCMP_ACT_ERRNO: a call that systemd does not know, for which a C library has a way around
LESS, EQUAL, GREATER, MASKED = 2, 4, 6, 7
WRITE, EXECUTE = 2, 4  # PROT_WRITE, PROT_EXEC
NAMESPACES = 0x7E020080  # CLONE_NEW* of clone(2)
FAMILIES = range(1, 46)  # of socket(2), AF_MAX of Linux 6


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp: an argument of the call against a number, or its bits in a mask against one."""
    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("first", ctypes.c_uint64), ("second", ctypes.c_uint64)]


class Asked(ctypes.Structure):
    """struct seccomp_notif"""
    _fields_ = [("id", ctypes.c_uint64), ("pid", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("call", ctypes.c_int), ("arch", ctypes.c_uint32),
                ("at", ctypes.c_uint64), ("arguments", ctypes.c_uint64 * 6)]


class Answer(ctypes.Structure):
    """struct seccomp_notif_resp"""
    _fields_ = [("id", ctypes.c_uint64), ("value", ctypes.c_int64), ("error", ctypes.c_int32), ("flags", ctypes.c_uint32)]


LIBRARY = ctypes.CDLL("libseccomp.so.2")
LIBRARY.seccomp_init.restype = ctypes.c_void_p
LIBRARY.seccomp_init.argtypes = [ctypes.c_uint32]
LIBRARY.seccomp_reset.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
LIBRARY.seccomp_release.argtypes = [ctypes.c_void_p]
LIBRARY.seccomp_load.argtypes = [ctypes.c_void_p]
LIBRARY.seccomp_notify_fd.argtypes = [ctypes.c_void_p]
LIBRARY.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Comparison)]


def can_be_asked():
    return LIBRARY.seccomp_api_get() >= 5


def number_of(call):
    """Negative: this architecture has no such call."""
    return LIBRARY.seccomp_syscall_resolve_name(call.encode())


def values(unit, key):
    return re.findall(f"^{key}=(.*)$", unit, re.MULTILINE)


def groups():
    """{"@group": its calls and the groups in it}"""
    said = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout
    found = {}
    for line in said.splitlines():
        if line.startswith("@"):
            found[line] = calls = set()
        elif line.startswith("    ") and not line.strip().startswith("#"):
            calls.add(line.strip())
    return found


def allowed_calls(unit, group):
    """As systemd reads the lines: the first says what alone is allowed, with what every program needs; each adds to it or (~) takes away."""
    def of(names):
        return set().union(*(of(group[name]) if name.startswith("@") else {name} for name in names))
    lines = values(unit, "SystemCallFilter")
    assert lines and not lines[0].startswith("~"), "the unit's filter is not a list of what is allowed"
    calls = of(["@default"])
    for line in lines:
        calls = calls - of(line[1:].split()) if line.startswith("~") else calls | of(line.split())
    return calls


def rules(unit):
    """(action, call, comparisons): at most one holds for a call of a program; none: the call is unknown."""
    group = groups()
    allowed = allowed_calls(unit, group)
    special = set()

    def when(action, call, *comparisons):
        special.add(call)
        return action if call in allowed else REFUSE, call, [Comparison(*each) for each in comparisons]
    families = {getattr(socket, name) for name in " ".join(values(unit, "RestrictAddressFamilies")).split()}
    if families:
        yield from (when(ALLOW if family in families else REFUSE, "socket", (0, EQUAL, family)) for family in FAMILIES)
        yield from (when(REFUSE, "socket", (0, LESS, FAMILIES[0])), when(REFUSE, "socket", (0, GREATER, FAMILIES[-1])))
    if values(unit, "MemoryDenyWriteExecute")[-1:] == ["yes"]:
        for call in ("mmap", "mmap2"):
            for protection in (0, WRITE, EXECUTE, WRITE | EXECUTE):
                yield when(REFUSE if protection == WRITE | EXECUTE else ALLOW, call, (2, MASKED, WRITE | EXECUTE, protection))
        for call in ("mprotect", "pkey_mprotect"):
            yield from (when(ALLOW, call, (2, MASKED, EXECUTE, 0)), when(REFUSE, call, (2, MASKED, EXECUTE, EXECUTE)))
    if values(unit, "RestrictNamespaces")[-1:] == ["yes"]:
        yield when(ALLOW, "clone", (0, MASKED, NAMESPACES, 0))
        yield from (when(REFUSE, "clone", (0, MASKED, 1 << bit, 1 << bit)) for bit in range(32) if NAMESPACES & 1 << bit)
        allowed -= {"unshare", "setns"}
        special.add("clone3")  # its flags are in memory, where no filter looks: unknown
    for call in sorted((group["@known"] | allowed) - special):
        yield ALLOW if call in allowed else REFUSE, call, []


class Sandbox:
    """What start() starts runs under the unit's filter, with all that it starts itself. `refused`: each call that was not let through."""

    def __init__(self, unit):
        self.rules = list(rules(unit))
        self.error = getattr(errno, values(unit, "SystemCallErrorNumber")[-1])
        self.refused = set()

    def start(self, command, **options):
        """As subprocess.Popen, which a thread with the filter calls: a filter is its thread's, and of all that this begins."""
        loaded, begun = queue.SimpleQueue(), queue.SimpleQueue()

        def begin():
            try:
                loaded.put(self._load())
                begun.put(subprocess.Popen(command, **options))
            except BaseException as error:
                for told in (loaded, begun):
                    told.put(error)
        threading.Thread(target=begin, daemon=True).start()
        asks = loaded.get()
        if isinstance(asks, BaseException):
            raise asks
        threading.Thread(target=self._answer, args=[asks], daemon=True).start()
        process = begun.get()
        if isinstance(process, BaseException):
            raise process
        return process

    def _load(self):
        """For the calling thread; the file on which the kernel asks. Whoever is asked about waits until it is answered."""
        LIBRARY.seccomp_reset(None, 0)  # libseccomp hands out one such file, and then again what it had
        filtering = LIBRARY.seccomp_init(UNKNOWN)
        for action, call, comparisons in self.rules:
            number = number_of(call)
            if number >= 0:
                failed = LIBRARY.seccomp_rule_add_array(filtering, action, number, len(comparisons), (Comparison * len(comparisons))(*comparisons))
                assert failed == 0, f"{call}: {os.strerror(-failed)}"
        failed = LIBRARY.seccomp_load(filtering)
        assert failed == 0, f"the kernel does not take the filter: {os.strerror(-failed)}"
        asks = os.dup(LIBRARY.seccomp_notify_fd(filtering))
        LIBRARY.seccomp_release(filtering)
        return asks

    def _answer(self, asks):
        """Until nobody is left who has the filter."""
        waiting = select.poll()
        waiting.register(asks, select.POLLIN)
        names = {number_of(call): call for _, call, _ in self.rules}
        while waiting.poll()[0][1] & select.POLLIN:
            asked = Asked()
            if LIBRARY.seccomp_notify_receive(asks, ctypes.byref(asked)) != 0:
                continue  # whoever it was has been killed meanwhile
            call = names[asked.call]
            self.refused.add(f"{call} of family {asked.arguments[0]}" if call == "socket" else call)
            error = errno.EAFNOSUPPORT if call == "socket" else self.error
            LIBRARY.seccomp_notify_respond(asks, ctypes.byref(Answer(asked.id, 0, -error, 0)))
        os.close(asks)
