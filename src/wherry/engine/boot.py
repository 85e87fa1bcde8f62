"""``wherry boot``: what a daemon does for Docker when the machine starts and when it goes down."""

from __future__ import annotations

from wherry.container.restart import starts_at_boot
from wherry.engine.containers import ALIVE, list_containers, load
from wherry.engine.start import start
from wherry.engine.stop import stop
from wherry.errors import WherryError
from wherry.linux.process import boot_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.engine.engine import Engine
    from wherry.store.containers import ContainerRow

    Outcome = tuple[str, WherryError | None]


def boot(engine: Engine) -> Iterator[Outcome]:
    """Start what its restart policy wants to run, oldest first: each name, with what kept it from starting.

    What was running when the machine went down is noted as ended first.  Asked again, it starts what does not run and
    nobody has stopped: nothing, as a rule.
    """
    now = boot_id()
    for row in reversed(list_containers(engine)):
        if row.status not in ALIVE and row.started_at and _is_wanted(row, now):
            try:
                start(engine, row.id)
            except WherryError as error:
                yield row.name, error
            else:
                yield row.name, None


def _is_wanted(row: ContainerRow, now: str) -> bool:
    try:
        options = load(row).options
    except WherryError:
        return False  # `wherry system check` tells of it
    return starts_at_boot(options, stopped=bool(row.stopped), same_boot=row.boot == now)


def shut_down(engine: Engine) -> Iterator[Outcome]:
    """Stop every container, all at once, each with its own signal and grace; `boot` starts them again."""
    names = {row.id: row.name for row in list_containers(engine) if row.status in ALIVE}
    for identity, error in stop(engine, list(names), shutdown=True):
        yield names[identity], error
