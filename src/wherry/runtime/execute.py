"""The last step inside: finding the command and becoming it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import fcntl
import os
import stat

from wherry.linux import prctl
from wherry.runtime import ops
from wherry.runtime.inside import Inside, Refusal

_DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def execute(inside: Inside, op: ops.Execute) -> None:
    """Become the command, directly, through the shield, or as the child of an init."""
    prepared = inside.prepared
    environment = prepared.environment or {}
    path = find(op.args[0], environment.get(b"PATH", _DEFAULT_PATH))
    prctl.close_on_exec_from(3 + len(prepared.extra))
    if op.init:
        from wherry.runtime import reaper

        reaper.run(inside, path, op.args, environment)
    ignore_nothing()
    become(inside, path, op.args, environment)


def ignore_nothing() -> None:
    """What this process ignores its command does not: Python's SIGPIPE and SIGXFSZ, and whatever the caller ignored, as
    under nohup(1) or behind a shell's ``&``.  execve(2) would hand it on, and a shell cannot trap it then."""
    for number in range(1, _signal.NSIG):
        if _signal.getsignal(number) == _signal.SIG_IGN:
            _signal.signal(number, _signal.SIG_DFL)
    prctl.default_reserved_signals()


def become(inside: Inside, path: bytes, args: tuple[str, ...], environment: dict[bytes, bytes]) -> None:
    """execve(2); raises Refusal with Docker's words when it fails."""
    try:
        if inside.prepared.shield >= 0:
            _through_shield(inside, path, args, environment)
        else:
            os.execve(path, [os.fsencode(one) for one in args], environment)
    except OSError as error:
        code = error.errno or 0
        raise Refusal("execve", code, exec_words(os.fsdecode(path), code)) from None


def exec_words(path: str, code: int) -> str:
    """What a failed execve(2) of a file that is there is called."""
    reason = "exec format error" if code == errno.ENOEXEC else os.strerror(code).lower()
    return f"exec {path}: {reason}"


def find(name: str, search: bytes) -> bytes:
    """The file to execute.  Raises Refusal with the words and codes of Go's exec.LookPath, as Docker shows them."""
    encoded = os.fsencode(name)
    if b"/" in encoded:
        code = _usable(encoded)
        if code:
            raise Refusal("stat", code, f'exec: "{name}": {_reason(name, code)}')
        return encoded
    if name:
        for directory in search.split(b":"):
            candidate = (directory or b".") + b"/" + encoded
            if not _usable(candidate):
                return candidate
    raise Refusal("stat", errno.ENOENT, f'exec: "{name}": executable file not found in $PATH')


def _usable(path: bytes) -> int:
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            return errno.EISDIR
        if not os.access(path, os.X_OK, effective_ids=False):
            return errno.EACCES
        if not found.st_mode & 0o111:
            return errno.EACCES
    except OSError as error:
        return error.errno or errno.ENOENT
    return 0


def _reason(name: str, code: int) -> str:
    text = os.strerror(code).lower()
    return text if code in (errno.EACCES, errno.EISDIR) else f"stat {name}: {text}"


def _through_shield(inside: Inside, path: bytes, args: tuple[str, ...], environment: dict[bytes, bytes]) -> None:
    """Run the sealed stub, which runs the command: ``/proc/self/exe`` is then never the interpreter."""
    shield = inside.prepared.shield
    link = shield_link(inside.prepared.extra)
    if inside.procfs >= 0:
        inside.procfs = fcntl.fcntl(inside.procfs, fcntl.F_DUPFD_CLOEXEC, link + 1)
    os.dup2(inside.channel.descriptor, link)
    os.set_inheritable(link, True)
    argv = [path, *(os.fsencode(one) for one in args)]
    try:
        os.execve(shield, argv, environment)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise
    # a filter may forbid execveat(2); a path to the descriptor is as good where /proc is the real one
    if inside.procfs >= 0 and _same("/proc", inside.procfs):
        os.execve(f"/proc/self/fd/{shield}", argv, environment)
    raise Refusal("execveat", errno.EPERM, "the seccomp profile forbids execveat(2), which is needed here")


def shield_link(extra: tuple[int, ...]) -> int:
    """The number of the descriptor that the shield reports to."""
    return 3 + len(extra)


def _same(path: str, descriptor: int) -> bool:
    return os.path.samestat(os.stat(path), os.stat(descriptor))
