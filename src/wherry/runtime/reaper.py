"""Wherry's own init (``--init``): pid 1 forwards signals to the command, reaps zombies and ends as it ends."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from wherry.linux import prctl
from wherry.runtime import channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from wherry.runtime.inside import Inside

#: Signals that mean an error of this process itself; they are not forwarded.
_OWN = {
    _signal.SIGFPE,
    _signal.SIGILL,
    _signal.SIGSEGV,
    _signal.SIGBUS,
    _signal.SIGABRT,
    _signal.SIGTRAP,
    _signal.SIGSYS,
    _signal.SIGTTIN,
    _signal.SIGTTOU,
}


def run(inside: Inside, path: bytes, args: tuple[str, ...], environment: dict[bytes, bytes]) -> NoReturn:
    """Start the command as a child in a process group of its own and be its init until it ends."""
    reserved = range(32, _signal.SIGRTMIN)  # the C library's own
    handled = set(range(1, _signal.NSIG)) - _OWN - {_signal.SIGKILL, _signal.SIGSTOP} - set(reserved)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, handled)
    command = os.fork()
    if command == 0:
        _be_command(inside, path, args, environment)
    prctl.set_name("init")
    prctl.close_from(3)  # the channel too: the parent sees the command's execve(2), not ours
    for number in (_signal.SIGTTIN, _signal.SIGTTOU):
        _signal.signal(number, _signal.SIG_IGN)
    while True:
        number = _signal.sigwaitinfo(handled).si_signo
        if number == _signal.SIGCHLD:
            _reap(command)
        else:
            try:
                os.kill(command, number)
            except OSError:
                pass


def _be_command(inside: Inside, path: bytes, args: tuple[str, ...], environment: dict[bytes, bytes]) -> NoReturn:
    from wherry.runtime import execute
    from wherry.runtime.inside import Refusal

    try:
        os.setpgid(0, 0)
        try:
            _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
        except OSError:
            pass  # no terminal
        execute.ignore_nothing()
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        execute.become(inside, path, args, environment)
    except Refusal as error:
        failure = channel.encode_failure(-1, error.call, error.errno, error.message)
        inside.channel.send(channel.FAILED, failure)
    finally:
        os._exit(127)


def _reap(command: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            os._exit(0)
        if pid == 0:
            return
        if pid == command:
            os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
