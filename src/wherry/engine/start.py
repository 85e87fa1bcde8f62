"""``docker start``: a container's record is given to its monitor, which makes a process of it."""

from __future__ import annotations

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
        from wherry.engine.life import load

        load(engine)

    return Monitor(own, load)


def start(engine: Engine, record: ContainerRecord, monitor: Monitor) -> None:
    """Hand a created container over; what becomes of it is told on the monitor's channel."""
    options = record.options
    log_path = f"{engine.layout.container(record.id)}/{record.id}-json.log"
    details = {"record": record.to_json(), "id_base": record.id_base}
    monitor.begin(Job(options.tty, options.open_stdin, log_path, details))
