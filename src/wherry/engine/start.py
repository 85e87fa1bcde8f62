"""``docker start``: from a container's record to a process under a monitor."""

from __future__ import annotations

import os

from wherry.monitor.main import Job, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.monitor.main import Owner


def new_monitor(engine: Engine) -> Monitor:
    """Fork the monitor of a container to come; it gets ready while the container is created."""

    def own(details: dict[str, Any]) -> Owner:
        from wherry.engine.life import Life

        return Life(engine, details)

    def load() -> None:
        from wherry.engine import life  # noqa: F401
        from wherry.monitor import log, protocol, supervise  # noqa: F401
        from wherry.runtime import create  # noqa: F401

        _ = engine.host

    return Monitor(own, load)


def start(engine: Engine, record: ContainerRecord, monitor: Monitor) -> None:
    """Have ``monitor`` start a created container; what becomes of it is told on the monitor's channel.

    Raises what the spec of a container can be refused for.
    """
    from wherry.container.spec import build
    from wherry.engine.facts import gather
    from wherry.fastjson import dumps

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
    monitor.begin(
        Job(
            terminal=record.options.tty,
            open_stdin=record.options.open_stdin,
            log_path=f"{engine.layout.container(record.id)}/{record.id}-json.log",
            details={"record": record.to_json(), "id_base": record.id_base, "spec": spec, "rootfs": rootfs.as_dict()},
        )
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
