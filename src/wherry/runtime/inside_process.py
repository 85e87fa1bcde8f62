"""What the container's process does to itself: names, limits, privileges, user, standard streams."""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import stat
from _struct import pack

from wherry.linux import capabilities as caps
from wherry.linux import namespaces, openat2, prctl, pty, syscall
from wherry.linux.mount import DEVPTS_MAGIC, PROC_MAGIC, filesystem_type, set_propagation
from wherry.linux.openat2 import BENEATH, IN_ROOT, NO_SYMLINKS, NO_XDEV
from wherry.linux.syscall import failed
from wherry.runtime import channel, ops
from wherry.runtime.inside import Inside, Refusal, keep_host_procfs, write_once

_NO_WAIT = os.O_NONBLOCK | os.O_NOCTTY


def join_cgroup(inside: Inside, _op: ops.JoinCgroup) -> None:
    """Join the v1 hierarchies by writing oneself: no wait for an RCU grace period."""
    for descriptor in inside.prepared.joins:
        write_once(descriptor, b"0")
        os.close(descriptor)


def unshare(inside: Inside, op: ops.Unshare) -> None:
    """unshare(2); then give the parent those that it wants."""
    flags = 0
    for name in op.new:
        flags |= namespaces.FLAGS[name]
    namespaces.unshare(flags)
    kept = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in inside.prepared.keep]
    if kept:
        inside.channel.send(channel.NAMESPACES, b"", kept)
        for descriptor in kept:
            os.close(descriptor)


def become_root(inside: Inside, op: ops.BecomeRoot) -> None:
    """Wait for the maps, then be root in them."""
    if op.wait:
        body, _ = inside.channel.expect(channel.MAPPED)
        inside.pid = body.decode()
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def new_session(_inside: Inside, op: ops.NewSession) -> None:
    """setsid(2), and a keyring."""
    os.setsid()
    if op.keyring:
        prctl.new_session_keyring(op.keyring)


def propagation(_inside: Inside, op: ops.SetPropagation) -> None:
    """Set the propagation of the copied mount tree."""
    set_propagation("/", op.propagation & ~0x4000, recursive=True)


def hostname(_inside: Inside, op: ops.SetHostname) -> None:
    """sethostname(2), setdomainname(2)."""
    for call, name in (("sethostname", op.hostname), ("setdomainname", op.domainname)):
        if name:
            encoded = name.encode()
            syscall.call(call, encoded, len(encoded))


_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def raise_loopback(_inside: Inside, _op: ops.RaiseLoopback) -> None:
    """SIOCSIFFLAGS (netdevice(7)) on ``lo``."""
    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
    try:
        fcntl.ioctl(control.fileno(), _SIOCSIFFLAGS, pack("16sH22x", b"lo", _IFF_UP))
    except OSError as error:
        raise failed("ioctl", error.errno or 0) from None
    finally:
        control.close()


def sysctls(inside: Inside, op: ops.WriteSysctl) -> None:
    """Write kernel parameters, through a procfs known to be one (CVE-2025-52881)."""
    keep_host_procfs(inside)
    procfs = _procfs(inside)
    for name, value in op.values:
        try:
            resolve = BENEATH | NO_XDEV | NO_SYMLINKS
            descriptor = openat2.open_in(procfs, f"sys/{name}", os.O_WRONLY, resolve)
        except OSError as error:
            words = f"open sysctl {name.replace('/', '.')} file: {os.strerror(error.errno or 0).lower()}"
            raise Refusal("openat2", error.errno or 0, words) from None
        try:
            write_once(descriptor, value.encode())
        except OSError as error:
            words = f"write sysctl {name.replace('/', '.')}={value}: {os.strerror(error.errno or 0).lower()}"
            raise Refusal("write", error.errno or 0, words) from None
        finally:
            os.close(descriptor)


def _procfs(inside: Inside) -> int:
    if inside.procfs < 0 or filesystem_type(inside.procfs) != PROC_MAGIC:
        raise Refusal("openat2", errno.ENOENT, "there is no procfs to write to")
    return inside.procfs


def security_label(inside: Inside, op: ops.SetSecurityLabel) -> None:
    """Write the labels for the next execve(2), again only to a real procfs."""
    procfs = _procfs(inside)
    for path, text in (("apparmor/exec", op.apparmor and f"exec {op.apparmor}"), ("exec", op.selinux)):
        if not text:
            continue
        try:
            descriptor = openat2.open_in(procfs, f"self/attr/{path}", os.O_WRONLY, BENEATH | NO_XDEV)
        except OSError as error:
            if error.errno != errno.ENOENT or path == "exec":
                raise
            descriptor = openat2.open_in(procfs, "self/attr/exec", os.O_WRONLY, BENEATH | NO_XDEV)
        write_once(descriptor, text.encode())
        os.close(descriptor)


def set_personality(_inside: Inside, op: ops.SetPersonality) -> None:
    """personality(2)."""
    prctl.set_personality(op.domain)


def set_priority(_inside: Inside, op: ops.SetPriority) -> None:
    """Scheduling attributes."""
    if op.cpus:
        os.sched_setaffinity(0, op.cpus)
    if op.policy:
        prctl.set_scheduler(op.policy, op.flags, op.nice, op.priority, op.runtime, op.deadline, op.period)
    if op.io:
        prctl.set_io_priority(*op.io)


def stdio(inside: Inside, op: ops.SetStdio) -> None:
    """Put the descriptors in their places."""
    extra = inside.prepared.extra
    given = inside.prepared.stdio
    streams: list[int] = []
    if op.terminal:
        pty.make_controlling(inside.console)
        streams = [inside.console] * 3
        os.fchown(inside.console, op.uid, -1)
    elif given:
        streams = [_own_null(inside.root, descriptor) for descriptor in (given.stdin, given.stdout, given.stderr)]
    above = 3 + len(extra)
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for descriptor in (*streams, *extra)]
    if extra:  # what is still needed must not be where an extra descriptor goes
        inside.channel.move(above)
        inside.procfs, inside.root = _move(inside.procfs, above), _move(inside.root, above)
        shield = _move(inside.prepared.shield, above)
        inside.prepared = inside.prepared.replace(shield=shield)
    first = 0 if streams else 3
    for number, descriptor in enumerate(aside, first):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _own_null(root: int, descriptor: int) -> int:
    """The container's null device in place of the host's, whose mode and owner root inside could change."""
    null = os.makedev(1, 3)
    found = os.fstat(descriptor)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != null:
        return descriptor
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        own = openat2.open_in(root, "/dev/null", flags & os.O_ACCMODE | _NO_WAIT, IN_ROOT | NO_SYMLINKS)
    except OSError:
        return descriptor  # it has none
    found = os.fstat(own)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != null:
        os.close(own)
        return descriptor
    fcntl.fcntl(own, fcntl.F_SETFL, flags)
    return own


def _move(descriptor: int, above: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) if descriptor >= 0 else descriptor


def own_streams(uid: int, descriptors: tuple[int, ...]) -> None:
    """Give pipes to the container's user, so that it can open ``/dev/stdout`` again; files and terminals stay."""
    for descriptor in descriptors:
        found = os.fstat(descriptor)
        if stat.S_ISFIFO(found.st_mode) and found.st_uid != uid:
            try:
                os.fchown(descriptor, uid, -1)
            except OSError:
                pass


def set_own_limit(_inside: Inside, op: ops.SetOwnLimit) -> None:
    """prlimit(2) for oneself; a lenient limit is cut to what is allowed."""
    number = prctl.RESOURCES[op.name]
    try:
        prctl.set_limit(number, op.soft, op.hard)
    except OSError as error:
        most = prctl.hard_limit(number)
        if error.errno != errno.EPERM:
            raise
        if not op.lenient:
            words = f"the hard limit {op.hard} is above this host's {most}"
            raise Refusal("prlimit", errno.EPERM, words) from None
        prctl.set_limit(number, min(op.soft, most), most)


def set_own_oom_score(inside: Inside, op: ops.SetOwnOomScore) -> None:
    """Write one's own oom_score_adj; no privilege is needed to raise it or to leave it."""
    descriptor = openat2.open_in(_procfs(inside), "self/oom_score_adj", os.O_RDONLY, BENEATH | NO_XDEV)
    current = int(os.read(descriptor, 16))
    os.close(descriptor)
    if current != op.score:
        descriptor = openat2.open_in(_procfs(inside), "self/oom_score_adj", os.O_WRONLY, BENEATH | NO_XDEV)
        write_once(descriptor, str(op.score).encode())
        os.close(descriptor)


def look_around(inside: Inside, _op: ops.LookAround) -> None:
    """In an entered mount namespace: what the container calls ``/``, ``/proc`` and ``/dev/pts``."""
    flags = os.O_PATH | os.O_DIRECTORY
    inside.root = os.open("/", flags | os.O_CLOEXEC)
    for path, magic in (("/proc", PROC_MAGIC), ("/dev/pts", DEVPTS_MAGIC)):
        try:
            found = openat2.open_in(inside.root, path, flags, IN_ROOT | NO_SYMLINKS)
        except OSError:
            continue
        if filesystem_type(found) != magic:
            os.close(found)
        elif magic == PROC_MAGIC:
            inside.procfs = found
        else:
            inside.devpts = found


def protect(_inside: Inside, _op: ops.Protect) -> None:
    """Hide this process's memory and files from processes inside."""
    prctl.set_dumpable(False)


def limit_bounding(_inside: Inside, op: ops.LimitBounding) -> None:
    """Shrink the bounding set."""
    caps.limit_bounding(op.keep)


def no_new_privileges(_inside: Inside, _op: ops.NoNewPrivileges) -> None:
    """Set no_new_privs."""
    prctl.set_no_new_privileges()


def seccomp(inside: Inside, _op: ops.Seccomp) -> None:
    """Install the compiled filter."""
    from wherry.linux import seccomp as filters

    filters.install(inside.prepared.filter, inside.prepared.filter_flags)


def set_user(_inside: Inside, op: ops.SetUser) -> None:
    """Change ids, then capabilities."""
    if not op.keep_groups:
        os.setgroups(op.groups)
    elif op.groups:
        raise Refusal("setgroups", errno.EPERM, "additional groups need a map of more than one group id")
    os.setresgid(op.gid, op.gid, op.gid)
    if op.uid:
        prctl.keep_capabilities(True)
    os.setresuid(op.uid, op.uid, op.uid)
    if op.uid:
        prctl.keep_capabilities(False)
    caps.set_own(op.effective, op.permitted, op.inheritable)
    caps.set_ambient(op.ambient)
    os.umask(0o022 if op.umask is None else op.umask)


def change_directory(inside: Inside, op: ops.ChangeDirectory) -> None:
    """Go to the working directory, which the root must hold: no magic link leads out of it (CVE-2024-21626)."""
    try:
        flags = os.O_PATH | os.O_DIRECTORY
        directory = openat2.open_in(inside.root, op.path, flags, IN_ROOT)
    except OSError as error:
        words = f"chdir to cwd ({op.path!r}) set in config.json failed: {os.strerror(error.errno or 0).lower()}"
        raise Refusal("openat2", error.errno or 0, words.replace("'", '"')) from None
    try:
        os.fchdir(directory)
    finally:
        os.close(directory)
    try:
        where = os.getcwd()
    except OSError:
        where = "(unreachable)"
    if not where.startswith("/"):
        words = "current working directory is outside of container mount namespace root -- possible container breakout"
        raise Refusal("getcwd", errno.EPERM, words)
