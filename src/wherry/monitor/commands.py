"""What a client may tell a monitor to do with its container; loaded with the first command."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]

from wherry.errors import Conflict, NotSupported, WherryError
from wherry.monitor.protocol import describe_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.monitor.main import AnyProcess, Owner
    from wherry.monitor.supervise import Supervisor

_DONE = {"done": True}
SHUTDOWN = -1
"""In the place of a signal: it ends because the machine goes down, and is wanted again when that is up."""


def obey(message: dict[str, Any], process: AnyProcess, owner: Owner, supervisor: Supervisor) -> dict[str, Any]:
    """Carry out a command; gives the answer.  One that is not known comes from a client of another version.

    Raises ValueError, TypeError, KeyError or OverflowError for one that is malformed.
    """
    try:
        if "signal" in message:
            _signal_it(int(message["signal"]), process, owner, supervisor)
        elif "resize" in message:
            _resize(process, owner, *message["resize"])
        elif "stop" in message:
            _stop(message["stop"], process, owner, supervisor)
        elif "pause" in message:
            _pause(process, owner)
            supervisor.holder = message["client"] if message.get("hold") else -1
        elif message.get("hold") and supervisor.holder != message["client"]:
            return _DONE  # somebody has ended that pause, and it is another one that may be in force
        elif "unpause" in message:
            if not owner.is_paused:
                raise Conflict("the container is not paused")
            _thaw(process, owner, supervisor)
        elif "changed" in message and message["changed"] in supervisor.changes:
            supervisor.changes[message["changed"]]()
        elif "update" in message:
            _update(message["update"], process, owner)
        else:
            raise NotSupported("the container's monitor does not know this command")
    except WherryError as error:
        return describe_error(error)
    return _DONE


def obey_waiting(message: dict[str, Any], owner: Owner, give_up: Callable[[], None]) -> dict[str, Any]:
    """Carry out a command of a container between two lives; ``give_up`` says that there will not be another one.

    A signal that ends a container's life ends its waiting for the next one as well.
    """
    try:
        if "signal" in message or "stop" in message:
            asked = message.get("stop", {})
            number = SHUTDOWN if asked.get("shutdown") else int(message.get("signal", 0))
            if owner.stopping(number, keep=bool(asked.get("keep"))):
                give_up()
        elif "update" in message:
            owner.updated(str(message["update"]["record"]))
        elif "resize" not in message:
            raise Conflict("the container is restarting, wait until the container is running")
    except WherryError as error:
        return describe_error(error)
    return _DONE


def _signal_it(number: int, process: AnyProcess, owner: Owner, supervisor: Supervisor) -> None:
    owner.stopping(number)
    _send(number, process, owner)
    if number == _signal.SIGKILL:
        _thaw(process, owner, supervisor)


def _stop(request: dict[str, Any], process: AnyProcess, owner: Owner, supervisor: Supervisor) -> None:
    """Ask it to end, and see to it that it does.  One that is frozen has to go on for that."""
    number, timeout = int(request["signal"]), float(request["timeout"])
    owner.stopping(SHUTDOWN if request.get("shutdown") else 0, keep=bool(request.get("keep")))
    _send(number, process, owner)
    _thaw(process, owner, supervisor)
    if timeout >= 0 and number != _signal.SIGKILL:
        from functools import partial

        supervisor.later(timeout, partial(_send, _signal.SIGKILL, process, owner))  # a monitor that rests keeps it


def _send(number: int, process: AnyProcess, owner: Owner) -> None:
    process.kill(number)
    owner.note("kill", signal=str(number))


def _update(request: dict[str, Any], process: AnyProcess, owner: Owner) -> None:
    resources = request["resources"]
    if resources:
        if process.cgroup is None or not process.cgroup.path:
            raise NotSupported(
                "limits need a control group, which this container does not have",
                hint="delegate a subtree of cgroup v2 to this user (systemd does), or run containers as root",
            )
        process.cgroup.update(resources)
    owner.updated(str(request["record"]))


def _pause(process: AnyProcess, owner: Owner) -> None:
    group = process.cgroup
    if group is None or not group.path:
        raise NotSupported(
            "pausing needs a control group, which this container does not have",
            hint="delegate a subtree of cgroup v2 to this user (systemd does), or run containers as root",
        )
    if owner.is_paused:
        raise Conflict("the container is already paused")
    group.freeze()
    try:
        owner.paused(True)
    except BaseException:
        group.thaw()
        raise


def _thaw(process: AnyProcess, owner: Owner, supervisor: Supervisor) -> None:
    supervisor.holder = -1
    if owner.is_paused and process.cgroup is not None:
        process.cgroup.thaw()
        owner.paused(False)


def _resize(process: AnyProcess, owner: Owner, rows: int, columns: int) -> None:
    if not (0 <= int(rows) < 1 << 16 and 0 <= int(columns) < 1 << 16):
        raise ValueError("no terminal has that size")
    if process.console is None:
        return
    import fcntl
    import termios
    from _struct import pack

    try:
        fcntl.ioctl(process.console, termios.TIOCSWINSZ, pack("HHHH", int(rows), int(columns), 0, 0))
    except OSError:
        return  # the terminal has gone with its last process
    owner.note("resize", height=str(int(rows)), width=str(int(columns)))
