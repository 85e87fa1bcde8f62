"""What the engine does as a container lives: the monitor tells, the database remembers."""

from __future__ import annotations

import os
import time

from wherry.container.record import ContainerRecord
from wherry.engine.containers import monitor_lock
from wherry.errors import Conflict, WherryError
from wherry.fastjson import dumps
from wherry.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.oci.mount import Mount
    from wherry.oci.runtime_spec import Spec
    from wherry.runtime.create import Process, Stdio
    from wherry.runtime.external import ExternalProcess

NOT_STARTED = 128  # exit code of a container that could not be started, where the error has none of its own


def load(engine: Engine) -> None:
    """Import and look up what the making of any container needs, while there is nothing else to do."""
    from wherry.container import spec  # noqa: F401
    from wherry.engine import facts  # noqa: F401
    from wherry.linux import seccomp  # noqa: F401
    from wherry.monitor import log, protocol, supervise  # noqa: F401
    from wherry.runtime import create  # noqa: F401

    _ = engine.host
    engine.db.row("PRAGMA user_version")


class Life:
    """The `wherry.monitor.main.Owner` of one container; lives in its monitor."""

    def __init__(self, engine: Engine, details: dict[str, Any]) -> None:
        self._engine = engine
        self._record = ContainerRecord.from_json(details["record"]).replace(id_base=details["id_base"])
        self._lock = monitor_lock(engine, self._record.id)

    def create(self, stdio: Stdio) -> Process | ExternalProcess:
        """With our own runtime, or the program that ``--runtime`` names."""
        engine, record = self._engine, self._record
        if not self._lock.try_acquire():
            raise Conflict(f"container {record.short_id} is already running")
        rootfs = engine.snapshotter.mounts(
            record.diff_ids, record.id, idmap=bool(record.id_base), userxattr=engine.rootless
        )
        spec = runtime_spec(engine, record, rootfs)
        bundle = write_bundle(engine, record, spec)
        if record.runtime == "wherry":
            from wherry.runtime.create import create

            return create(
                spec,
                host=engine.host,
                rootfs=rootfs,
                stdio=stdio,
                container_id=record.id,
                bundle=bundle,
                cache=engine.layout.cache,
            )
        from wherry.runtime.external import create_external

        return create_external(
            spec,
            program=record.runtime,
            host=engine.host,
            bundle=bundle,
            container_id=record.id,
            rootfs=rootfs,
            stdio=stdio,
        )

    def started(self, pid: int) -> None:
        """The container is running."""
        containers.update(
            self._engine.db,
            self._record.id,
            status="running",
            pid=pid,
            started_at=time.time_ns(),
            exit_code=0,
            error="",
            oom_killed=0,
        )

    def failed(self, error: BaseException) -> None:
        """It stays as it was created, with the exit code that Docker's clients see; ``--rm`` removes it."""
        code = error.exit_code if isinstance(error, WherryError) else NOT_STARTED
        if self._record.options.auto_remove:
            containers.delete(self._engine.db, self._record.id)
        else:
            containers.update(self._engine.db, self._record.id, exit_code=code, pid=0, error=str(error))

    def exited(self, exit_code: int, oom_killed: bool) -> None:
        """It has ended; with ``--rm`` it is gone as soon as whoever waits is told."""
        if self._record.options.auto_remove:
            containers.delete(self._engine.db, self._record.id)
        else:
            containers.update(
                self._engine.db,
                self._record.id,
                status="exited",
                pid=0,
                exit_code=exit_code,
                oom_killed=int(oom_killed),
                finished_at=time.time_ns(),
            )

    def cleanup(self) -> None:
        """Remove the directories of a container that has gone; keep what a stopped one may be started with.

        What others left behind is swept as well: here nobody waits for it.
        """
        from wherry import precompiled
        from wherry.engine.clean import remove_container_files, remove_tree
        from wherry.engine.sweep import sweep

        if self._record.options.auto_remove:
            remove_container_files(self._engine, self._record)
        else:
            remove_tree(self._engine.layout.run_container(self._record.id))
        self._lock.release(remove=True)
        sweep(self._engine)
        precompiled.refresh()


def runtime_spec(engine: Engine, record: ContainerRecord, rootfs: Mount) -> Spec:
    """The OCI runtime spec of a container on this host.  Raises what it can be refused for."""
    from wherry.container.spec import build
    from wherry.engine.facts import gather

    spec = build(record, gather(engine, record, rootfs))
    if any(mount.relabel for mount in record.mounts):
        from wherry.container.relabel import relabel

        relabel(record.mounts, spec["linux"].get("mountLabel", ""))
    return spec


def write_bundle(engine: Engine, record: ContainerRecord, spec: Spec) -> str:
    """Write ``config.json`` where runtimes, and the sweep after a crash, find it; gives the directory."""
    bundle = engine.layout.run_container(record.id)
    os.makedirs(bundle, 0o700, exist_ok=True)
    with open(f"{bundle}/config.json", "w", opener=_private) as file:
        file.write(dumps(spec))
    return bundle


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
