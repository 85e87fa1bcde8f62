"""Filters in the real kernel: installed in a child that then makes the call."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from wherry.linux import seccomp, syscall
from wherry.linux.seccomp import compiler
from wherry.linux.seccomp import profile as profiles

MACHINE = os.uname().machine
NUMBERS = compiler.tables().get(MACHINE, {})
libc = ctypes.CDLL(None, use_errno=True)

pytestmark = pytest.mark.needs("x86_64")


def child(action: Callable[[], Any]) -> tuple[int, str]:
    """(signal, "") when the child was killed, else (0, repr of the result or name of the errno)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = repr(action())
        except OSError as error:
            answer = errno.errorcode[error.errno or 0]
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    status = os.waitpid(pid, 0)[1]
    return (os.WTERMSIG(status), "") if os.WIFSIGNALED(status) else (0, text)


def raw(name: str, *arguments: int) -> int:
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *(ctypes.c_ulong(value) for value in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return int(result)


def filtered(profile: dict[str, Any], action: Callable[[], Any], flags: int | None = None) -> tuple[int, str]:
    ready = seccomp.prepare(seccomp.compile(profile))

    def steps() -> Any:
        syscall.call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        seccomp.install(ready, seccomp.flags_of(profile) if flags is None else flags)
        return action()

    return child(steps)


def one(action: str, **more: Any) -> dict[str, Any]:
    rule = {"names": ["getppid"], "action": action, **more}
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}


def test_every_action() -> None:
    parent = os.getpid()
    call = lambda: raw("getppid")  # noqa: E731
    assert filtered(one("SCMP_ACT_ALLOW"), call) == (0, str(parent))
    assert filtered(one("SCMP_ACT_LOG"), call) == (0, str(parent))
    assert filtered(one("SCMP_ACT_ERRNO"), call) == (0, "EPERM")
    assert filtered(one("SCMP_ACT_ERRNO", errnoRet=95), call) == (0, errno.errorcode[95])
    assert filtered(one("SCMP_ACT_TRACE", errnoRet=7), call) == (0, "ENOSYS")  # nobody traces
    assert filtered(one("SCMP_ACT_NOTIFY"), call) == (0, "ENOSYS")  # nobody listens
    assert filtered(one("SCMP_ACT_KILL"), call) == (signal.SIGSYS, "")
    assert filtered(one("SCMP_ACT_KILL_THREAD"), call) == (signal.SIGSYS, "")
    assert filtered(one("SCMP_ACT_KILL_PROCESS"), call) == (signal.SIGSYS, "")
    assert filtered(one("SCMP_ACT_TRAP"), call) == (signal.SIGSYS, "")


@pytest.mark.parametrize(
    ("operator", "allowed", "denied"),
    [
        ("EQ", [(1 << 32) + 5], [5, 1 << 32, (2 << 32) + 5]),
        ("NE", [5, 1 << 32], [(1 << 32) + 5]),
        ("GT", [(1 << 32) + 6, 2 << 32], [(1 << 32) + 5, 0xFFFFFFFF]),
        ("GE", [(1 << 32) + 5, 2 << 32], [(1 << 32) + 4, 0xFFFFFFFF]),
        ("LT", [(1 << 32) + 4, 0xFFFFFFFF], [(1 << 32) + 5, 2 << 32]),
        ("LE", [(1 << 32) + 5, 0xFFFFFFFF], [(1 << 32) + 6, 2 << 32]),
        ("MASKED_EQ", [(1 << 32) + 7], [7, 2 << 32]),
    ],
)
def test_every_operator(operator: str, allowed: list[int], denied: list[int]) -> None:
    """getppid ignores its arguments; the filter does not."""
    test = {"index": 1, "op": f"SCMP_CMP_{operator}", "value": (1 << 32) + 5}
    if operator == "MASKED_EQ":
        test |= {"value": 1 << 32, "valueTwo": 1 << 32}
    rules = [{"names": ["getppid"], "action": "SCMP_ACT_ALLOW", "args": [test]}]
    rules.append({"names": [name for name in NUMBERS if name != "getppid"], "action": "SCMP_ACT_ALLOW"})
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}

    def results() -> list[bool]:
        found = []
        for value in [*allowed, *denied]:
            try:
                raw("getppid", 0, value)
                found.append(True)
            except PermissionError:
                found.append(False)
        return found

    assert filtered(profile, results) == (0, repr([True] * len(allowed) + [False] * len(denied)))


def test_docker_default() -> None:
    """What a container may not do fails as under Docker, and Python still works."""
    profile = profiles.docker_default(["CAP_CHOWN", "CAP_NET_RAW"])

    def outcomes() -> dict[str, str]:
        found = {}
        tries: dict[str, tuple[int, ...]] = {
            "mount": (0, 0, 0, 0, 0),
            "unshare": (0x10000000,),
            "clone3": (0, 0),
            "clone": (0x10000000 | 17, 0, 0, 0, 0),  # CLONE_NEWUSER
            "keyctl": (0, 0, 0, 0, 0),
            "bpf": (0, 0, 0),
            "io_uring_setup": (1, 0),
            "personality": (0x0040000,),  # ADDR_NO_RANDOMIZE
            "socket": (40, 1, 0),  # AF_VSOCK
            "listns": (0, 0, 0, 0),  # newer than the profile
        }
        for name, arguments in tries.items():
            try:
                raw(name, *arguments)
                found[name] = "done"
            except OSError as error:
                found[name] = errno.errorcode[error.errno or 0]
        os.listdir("/")
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        return found

    status, text = filtered(profile, outcomes)
    assert status == 0
    found = eval(text)
    assert found.pop("clone3") == "ENOSYS"
    assert found.pop("listns") == "ENOSYS"
    assert set(found.values()) == {"EPERM"}


@pytest.mark.needs("busybox")
def test_filter_survives_execve() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30}],
    }

    def steps() -> int:
        pid = os.posix_spawnp("busybox", ["busybox", "mkdir", "/tmp/never-made"], {"PATH": "/bin:/usr/bin"})
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert filtered(profile, steps) == (0, "1")
    assert not os.path.exists("/tmp/never-made")


def test_needs_no_new_privs_or_privilege() -> None:
    ready = seccomp.prepare(seccomp.compile(one("SCMP_ACT_ERRNO")))

    def steps() -> int:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresuid(65534, 65534, 65534)
        return seccomp.install(ready)

    assert child(steps) == (0, "EACCES")


def test_flags_reach_the_kernel() -> None:
    assert filtered(one("SCMP_ACT_ERRNO"), lambda: raw("getppid"), seccomp.FLAG_LOG | seccomp.FLAG_TSYNC) == (
        0,
        "EPERM",
    )
    assert filtered(one("SCMP_ACT_ERRNO"), lambda: 0, 1 << 20) == (0, "EINVAL")
    profile = one("SCMP_ACT_NOTIFY")
    ready = seccomp.prepare(seccomp.compile(profile))

    def steps() -> bool:
        syscall.call("prctl", 38, 1, 0, 0, 0)
        return seccomp.install(ready, seccomp.FLAG_NEW_LISTENER) > 2

    assert child(steps) == (0, "True")


def test_garbage_is_refused() -> None:
    for content in (b"", b"1234567", b"\0" * 8 * 4097):
        with pytest.raises(ValueError, match="not a seccomp filter"):
            seccomp.prepare(content)

    def steps() -> int:
        syscall.call("prctl", 38, 1, 0, 0, 0)
        return seccomp.install(b"\xff" * 16)

    assert child(steps) == (0, "EINVAL")
