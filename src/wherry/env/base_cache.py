"""The bases that were chosen here before, for days without a network."""

from __future__ import annotations

import hashlib

from wherry.env import cache, lock_file
from wherry.env.debian.package import DebianBase
from wherry.env.lock import Lock
from wherry.env.spec import Spec
from wherry.errors import InvalidArgument, NotSupported, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.engine.engine import Engine


def debian(engine: Engine, spec: Spec, offline: bool, look_up: Callable[[], DebianBase]) -> tuple[DebianBase, bool]:
    """What ``look_up`` finds, which is kept; without a network what it found last, and True.

    Raises what ``look_up`` does; `Unavailable` with ``offline`` where nothing is kept.
    """
    asked = repr((spec.release, spec.system, spec.architectures))
    place = f"{cache.directory(engine)}/images/base-{hashlib.sha256(asked.encode()).hexdigest()}"
    try:
        if offline:
            raise Unavailable(
                f"the packages of {spec.base} have not been looked up here before", hint="do it once with a network"
            )
        found = look_up()
    except Unavailable:
        before = _read(place, spec)
        if before is None:
            raise
        return before, True
    lock = Lock(spec.python, spec.architectures, found, (), (), "")
    cache.write(place, lock_file.write(lock).encode())
    return found, False


def _read(place: str, spec: Spec) -> DebianBase | None:
    text = cache.read(place)
    if text is None:
        return None
    try:
        base = lock_file.read(text.decode(), place).base
    except (InvalidArgument, NotSupported, UnicodeDecodeError):
        return None
    return base if isinstance(base, DebianBase) and base.release == spec.release else None
