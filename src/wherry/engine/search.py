"""``docker search``."""

from __future__ import annotations

from wherry.engine.registries import registry_config
from wherry.errors import InvalidArgument
from wherry.registry import search as registries
from wherry.registry.client import Client
from wherry.registry.search import Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry.engine.engine import Engine

_MOST = 100


def search(
    engine: Engine, term: str, *, limit: int = 25, filters: Mapping[str, Sequence[str]] | None = None
) -> tuple[Result, ...]:
    """Repositories of Docker Hub, or of the registry that stands before the first slash of ``term``.

    ``filters`` are ``stars`` (at least so many) and ``is-official``.  Raises `InvalidArgument`, `NotSupported`,
    `Unauthorized`, `Unavailable`.
    """
    if not 1 <= limit <= _MOST:
        raise InvalidArgument(f"invalid limit {limit}: it is 1 to {_MOST}")
    host, name = registries.split(term)
    stars, official = 0, None
    for key, values in (filters or {}).items():
        if key == "stars" and values[-1].isdecimal():
            stars = int(values[-1])
        elif key == "is-official" and values[-1].lower() in ("true", "false", "1", "0"):
            official = values[-1].lower() in ("true", "1")
        elif key in ("stars", "is-official"):
            raise InvalidArgument(f"invalid filter '{key}={values[-1]}'")
        else:
            raise InvalidArgument(f"invalid filter '{key}'")
    with Client(registry_config(engine)) as client:
        found = registries.search(client, host, name, limit)
    return tuple(one for one in found if one.stars >= stars and official in (None, one.official))
