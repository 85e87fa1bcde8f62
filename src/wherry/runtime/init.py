"""The process that becomes the container: walks its plan, reports the first failure, executes the command.

It is a fork of the process that asked.  It imports nothing, logs nothing and takes no lock; whatever goes wrong
travels back as (operation, call, errno, words).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import os

from wherry.errors import WherryError
from wherry.linux import prctl
from wherry.runtime import channel, inside_process, ops
from wherry.runtime import execute as execution
from wherry.runtime.inside import Inside, Prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from wherry.runtime.channel import Channel
    from wherry.runtime.ops import Op


def wait_for_hooks(inside: Inside, _op: ops.WaitForHooks) -> None:
    """Let the parent run hooks, and go on when it says so."""
    inside.channel.send(channel.HOOKS)
    inside.channel.expect(channel.HOOKED)


def run_hooks(inside: Inside, op: ops.RunHooks) -> None:
    """Run hooks from in here."""
    from wherry.runtime import hooks

    hooks.run(op.stage, op.hooks, inside.state())


def await_start(inside: Inside, _op: ops.AwaitStart) -> None:
    """Say that all is ready; go on when told to.

    From here on the process is killed when its creator ends (PR_SET_PDEATHSIG, prctl(2)): nobody else looks after it.
    A change of user would clear that, so it comes last; a creator that has ended before is noticed by the channel.
    """
    prctl.set_parent_death_signal(_signal.SIGKILL)
    inside.channel.send(channel.READY)
    inside.channel.expect(channel.START)


_ACTIONS: dict[type[Op], Callable[[Inside, Any], None]] = {
    ops.JoinCgroup: inside_process.join_cgroup,
    ops.BecomeRoot: inside_process.become_root,
    ops.Unshare: inside_process.unshare,
    ops.NewSession: inside_process.new_session,
    ops.SetPropagation: inside_process.propagation,
    ops.WaitForHooks: wait_for_hooks,
    ops.RunHooks: run_hooks,
    ops.SetHostname: inside_process.hostname,
    ops.RaiseLoopback: inside_process.raise_loopback,
    ops.WriteSysctl: inside_process.sysctls,
    ops.SetSecurityLabel: inside_process.security_label,
    ops.SetPersonality: inside_process.set_personality,
    ops.SetPriority: inside_process.set_priority,
    ops.SetOwnLimit: inside_process.set_own_limit,
    ops.SetOwnOomScore: inside_process.set_own_oom_score,
    ops.LookAround: inside_process.look_around,
    ops.SetStdio: inside_process.stdio,
    ops.Protect: inside_process.protect,
    ops.LimitBounding: inside_process.limit_bounding,
    ops.NoNewPrivileges: inside_process.no_new_privileges,
    ops.Seccomp: inside_process.seccomp,
    ops.SetUser: inside_process.set_user,
    ops.ChangeDirectory: inside_process.change_directory,
    ops.AwaitStart: await_start,
    ops.Execute: execution.execute,
}


def load(operations: tuple[Op, ...]) -> None:
    """Import what `run` will need of what a process in namespaces that exist does not; it imports nothing itself."""
    if any(not one.outside and type(one) not in _ACTIONS for one in operations):
        from wherry.runtime import inside_mounts  # noqa: F401


def _of_mounts(kind: type[Op]) -> Callable[[Inside, Any], None]:
    from wherry.runtime.inside_mounts import ACTIONS

    return ACTIONS[kind]


def run(operations: tuple[Op, ...], link: Channel, prepared: Prepared) -> NoReturn:
    """Walk the inner operations of a plan; never returns.  Exit status 1 when something failed and was reported."""
    number = -1
    try:
        gc.disable()
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        inside = Inside(link, prepared)
        for number, operation in enumerate(operations):  # noqa: B007 - the number names what failed
            if not operation.outside:
                action = _ACTIONS.get(type(operation)) or _of_mounts(type(operation))
                action(inside, operation)
    except channel.Closed:
        pass
    except BaseException as error:
        _report(link, number, error)
    finally:
        os._exit(1)


def _report(link: Channel, number: int, error: BaseException) -> None:
    call, errno, words = "", 0, ""
    if isinstance(error, OSError):
        call = getattr(error, "call", "")
        errno = error.errno or 0
        words = getattr(error, "message", "")
    elif isinstance(error, WherryError):
        call = getattr(error, "call", "")
        errno = getattr(error, "errno", 0)
        words = error.message
    else:
        words = f"{type(error).__name__}: {error}"
    try:
        link.send(channel.FAILED, channel.encode_failure(number, call, errno, words))
    except (channel.Closed, OSError):
        pass
