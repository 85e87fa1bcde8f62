"""``docker rename``."""

from __future__ import annotations

from wherry.container.names import check_name
from wherry.engine import events
from wherry.engine.containers import find, load
from wherry.errors import Conflict, InvalidArgument
from wherry.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine


def rename(engine: Engine, name: str, new: str) -> None:
    """Raises `NotFound`, `InvalidArgument` for a name that cannot be, `Conflict` for one that is taken."""
    new = new.removeprefix("/")
    if not name or not new:
        raise InvalidArgument("Neither old nor new names may be empty")
    row = find(engine, name)
    if row.name == new:
        raise InvalidArgument("Renaming a container with the same name as its current name")
    try:
        with engine.db.transaction():
            containers.update(engine.db, row.id, name=check_name(new))
            events.of_container(engine.db, load(row), "rename", oldName=f"/{row.name}")
    except (Conflict, InvalidArgument) as error:
        raise type(error)(f"Error when allocating new name: {error.message}", hint=error.hint) from None
