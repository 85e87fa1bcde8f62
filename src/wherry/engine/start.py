"""``docker start``: from a container's record to a process under a monitor."""

from __future__ import annotations

import os

from wherry.container.spec import build
from wherry.engine.containers import monitor_lock
from wherry.engine.facts import gather
from wherry.engine.life import Life
from wherry.errors import Conflict
from wherry.fastjson import dumps
from wherry.monitor.main import Job, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from contextlib import ExitStack

    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine


def start(engine: Engine, record: ContainerRecord, undo: ExitStack) -> _socket.socket:
    """Start a created container under a monitor of its own; gives the channel of the monitor's first client.

    Raises `Conflict` when it runs already, and what the spec of a container can be refused for.
    """
    lock = monitor_lock(engine, record.id)
    if not lock.try_acquire():
        raise Conflict(f"container {record.short_id} is already running")
    undo.callback(lock.release)
    rootfs = engine.snapshotter.mounts(
        record.diff_ids, record.id, idmap=bool(record.id_base), userxattr=engine.rootless
    )
    spec = build(record, gather(engine, record, rootfs))
    if any(mount.relabel for mount in record.mounts):
        from wherry.container.relabel import relabel

        relabel(record.mounts, spec["linux"].get("mountLabel", ""))
    bundle = engine.layout.run_container(record.id)
    os.makedirs(bundle, 0o700, exist_ok=True)
    with open(f"{bundle}/config.json", "w", opener=_private) as file:
        file.write(dumps(spec))
    log_path = f"{engine.layout.container(record.id)}/{record.id}-json.log"
    job = Job(terminal=record.options.tty, open_stdin=record.options.open_stdin, log_path=log_path)
    channel = spawn(job, Life(engine, record, spec, rootfs, lock))
    lock.release()  # the monitor, forked with it open, holds it on
    return channel


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
