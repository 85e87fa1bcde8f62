"""Commands in containers that have an id, so that whoever knows it can start them, and ask how they are.

A row of the database is what was asked; the monitor of a command that runs holds a lock and listens in a directory of
its own in the run root, and writes the exit status down at the end.  So nobody needs to live as long as the command.
"""

from __future__ import annotations

import os
import time

from wherry.errors import Conflict, WherryError
from wherry.record import Record
from wherry.store import execs
from wherry.store.execs import ExecRow
from wherry.store.locks import is_held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.engine.engine import Engine

__all__ = ["Exec", "any_of", "create", "find", "resize", "sweep", "unended"]

KILLED = 137  # exit code of a command whose monitor was killed: 128 + SIGKILL
_END = "ended"  # file in a command's directory of the run root


class Exec(Record):
    """One command: what was asked, as `wherry.container.exec_options.ExecOptions` has it and with ``detach_keys``;
    whether it was ``started``, and the ``exit_code`` once it has ended.  ``pid`` is 0 when it does not run."""

    id: str
    container_id: str
    asked: dict[str, Any]
    started: bool = False
    exit_code: int | None = None
    pid: int = 0


def create(engine: Engine, name: str, asked: dict[str, Any]) -> str:
    """``POST /containers/{name}/exec``; the id.  Raises `NotFound`, `Conflict`."""
    from wherry.engine.containers import load
    from wherry.engine.events import of_container
    from wherry.engine.exec import find_running
    from wherry.fastjson import dumps

    row = find_running(engine, name)
    identity = os.urandom(32).hex()
    with engine.db.transaction():
        execs.insert(engine.db, ExecRow(identity, row.id, dumps(asked)), int(time.time()))
        of_container(engine.db, load(row), f"exec_create: {command(asked['cmd'])}", execID=identity)
    return identity


def command(words: list[str] | tuple[str, ...]) -> str:
    """A command as Docker's events have it."""
    return f"{words[0]} {' '.join(words[1:])}"


def find(engine: Engine, identity: str) -> Exec:
    """Raises `NotFound`."""
    from wherry.fastjson import loads

    row = execs.get(engine.db, identity)
    pid = 0
    if row.started and row.exit_code is None:
        if is_held(engine.layout.exec_lock(identity)):
            pid = _pid(engine, identity)
        else:
            row = _ended(engine, row)
    asked = {name: tuple(value) if isinstance(value, list) else value for name, value in loads(row.asked).items()}
    return Exec(row.id, row.container_id, asked, bool(row.started), row.exit_code, pid)


def _ended(engine: Engine, row: ExecRow) -> ExecRow:
    """Its monitor has gone: having written down how it ended, unless it was killed, and the command with it."""
    row = execs.get(engine.db, row.id)
    if row.exit_code is None:
        row = row.replace(exit_code=_noted(engine, row.id))
        _settle(engine, row.id)
    return row


def note_end(engine: Engine, identity: str, exit_code: int) -> None:
    """Write down beside the database how a command ended, if there is room here."""
    try:
        with open(f"{engine.layout.exec(identity)}/{_END}", "w") as file:
            file.write(str(exit_code))
    except OSError:
        return


def _noted(engine: Engine, identity: str) -> int:
    try:
        with open(f"{engine.layout.exec(identity)}/{_END}") as file:
            return int(file.read())
    except (OSError, ValueError):
        return KILLED


def _pid(engine: Engine, identity: str) -> int:
    from wherry.monitor.call import Call, connect

    channel = connect(engine.layout.exec(identity))
    if channel is None:
        return 0
    with Call(channel) as call:
        call.say({"wait": True})
        return int((call.hear() or {}).get("started", 0))


def resize(engine: Engine, identity: str, rows: int, columns: int) -> None:
    """Change the size of a command's terminal.  Raises `NotFound`, `Conflict` when it does not run."""
    from wherry.monitor.call import Call, connect
    from wherry.monitor.protocol import raise_error

    execs.get(engine.db, identity)
    channel = connect(engine.layout.exec(identity))
    if channel is None:
        raise Conflict(f"exec command {identity} is not running")
    with Call(channel) as call:
        call.say({"resize": [rows, columns]})
        answer = call.hear() or {}
        if "error" in answer:
            raise_error(answer)


def unended(engine: Engine, container_id: str) -> list[str]:
    """The ids of a container's commands that have not ended: those that run, and those that were not started."""
    found = execs.unended(engine.db, container_id)
    return [row.id for row in found if not row.started or is_held(engine.layout.exec_lock(row.id))]


def any_of(engine: Engine, container_id: str) -> bool:
    """Whether a container has commands of which the database does not say that they have ended."""
    return bool(execs.unended(engine.db, container_id))


def sweep(engine: Engine) -> None:
    """Remove what monitors that were killed have left in the run root, or could not write down."""
    try:
        names = os.listdir(engine.layout.execs)
    except FileNotFoundError:
        return
    for name in names:
        if not is_held(engine.layout.exec_lock(name)):
            _settle(engine, name)


def _settle(engine: Engine, identity: str) -> None:
    """What a monitor has left of its command goes, when the database has it."""
    from wherry.engine.clean import remove_tree

    if os.path.exists(f"{engine.layout.exec(identity)}/{_END}"):
        try:
            execs.end(engine.db, identity, _noted(engine, identity), int(time.time()))
        except WherryError:
            return
    remove_tree(engine.layout.exec(identity))
