"""``wherry system check``: whether what the database says, what is on disk and what the kernel has agree.

Each check of `CHECKS` looks at one thing and gives the problems that it finds, with a function that mends each where
there is one.  None is found in a healthy store, whatever other commands are doing at the same time.
"""

from __future__ import annotations

import os
import time

from wherry.engine import check_content, check_digests, check_host
from wherry.engine.clean import remove_tree
from wherry.engine.containers import ALIVE, find, load, monitor_lock
from wherry.engine.problem import Problem
from wherry.engine.sweep import remove_remains
from wherry.errors import Conflict, Corrupt, NotFound, WherryError
from wherry.oci.digest import is_hex
from wherry.record import Record
from wherry.store import containers
from wherry.store.locks import is_held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wherry.engine.engine import Engine

    Check = Callable[[Engine], Iterator[Problem]]


class Finding(Record):
    """A problem as it is told.  ``outcome`` is what became of it: "" when nothing was tried, "mended", or why not."""

    what: str
    outcome: str = ""

    @property
    def is_left(self) -> bool:
        """Whether it still is one."""
        return self.outcome != MENDED


MENDED = "mended"


def check(engine: Engine, *, repair: bool = False, quick: bool = False) -> Iterator[Finding]:
    """Every problem, as it is found; with ``repair`` each is mended, where that can be.

    ``quick`` leaves out `READING`: it takes as long as reading everything.
    """
    damage = _damage(engine)
    if damage:
        if not repair:
            yield Finding(damage)
            return  # the others would only tell of its consequences
        yield Finding(damage, _try(_salvage, engine))
        if _damage(engine):
            return
    for one in CHECKS if quick else (*CHECKS, *READING):
        for problem in one(engine):
            if not repair:
                yield Finding(problem.what)
            elif problem.mend is None:
                yield Finding(problem.what, "cannot be mended")
            else:
                yield Finding(problem.what, _try(problem.mend, *problem.arguments))


def _try(mend: Callable[..., object], *arguments: object) -> str:
    try:
        mend(*arguments)
    except (WherryError, OSError) as error:
        return f"not mended: {error}"
    return MENDED


def _damage(engine: Engine) -> str:
    try:
        engine.db.check()
        engine.db.rows("SELECT count(*) FROM containers")
    except Corrupt as error:
        return error.message
    return ""


def _salvage(engine: Engine) -> None:
    """A new database with what can be read; what that does not know of any more is kept aside, not swept away."""
    from wherry.store.salvage import salvage

    layout = engine.layout
    for name in os.listdir(layout.locks):
        if is_hex(name):
            lock = monitor_lock(engine, name)
            if not lock.try_acquire():
                raise Conflict("containers are running", hint="they end with their monitors: kill those first")
            lock.release(remove=True)
    aside = f"{layout.root}/damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    os.makedirs(f"{aside}/containers", 0o700)
    engine.will_fork()  # closes it
    salvage(layout.db, aside)
    known = {row.id for row in containers.list_all(engine.db)}
    for name in os.listdir(layout.containers):
        if name not in known:
            os.rename(layout.container(name), f"{aside}/containers/{name}")


def _records(engine: Engine) -> Iterator[Problem]:
    """Containers whose description cannot be read."""
    for row in containers.list_all(engine.db):
        try:
            load(row)
        except WherryError as error:
            identity = row.id
            yield Problem(f"container {row.name}: {error.message}", _forget, (engine, identity))


def _forget(engine: Engine, identity: str) -> None:
    containers.delete(engine.db, identity)
    _remove_remains(engine, identity)


def _states(engine: Engine) -> Iterator[Problem]:
    """Containers that are said to run while nobody watches them."""
    for row in containers.list_all(engine.db):
        lock = monitor_lock(engine, row.id)
        if row.status in ALIVE and lock.try_acquire():
            try:
                still = containers.get(engine.db, row.id).status in ALIVE
            except NotFound:
                still = False
            lock.release(remove=True)
            if still:
                identity = row.id
                yield Problem(
                    f"container {row.name} is said to be {row.status}, but its monitor is gone",
                    find,
                    (engine, identity),
                )


def _files(engine: Engine) -> Iterator[Problem]:
    """Containers whose directories are gone."""
    for row in containers.list_all(engine.db):
        upper = f"{engine.layout.container(row.id)}/upper"
        if os.path.isdir(upper):
            continue
        lock = monitor_lock(engine, row.id)
        if not lock.try_acquire():
            continue
        try:
            gone = _is_there(engine, row.id) and time.time_ns() - row.created > _YOUNG
        finally:
            lock.release(remove=True)
        if gone:
            identity = row.id
            yield Problem(
                f"container {row.name} has lost its files; mended, it begins again from its image",
                _make_upper,
                (engine, identity),
            )


_YOUNG = 60_000_000_000  # nanoseconds that a container which is being created may be without them


def _is_there(engine: Engine, identity: str) -> bool:
    return any(row.id == identity for row in containers.list_all(engine.db))


def _make_upper(engine: Engine, identity: str) -> None:
    from wherry.engine.create import make_upper

    lock = monitor_lock(engine, identity)
    with lock:
        make_upper(engine, load(containers.get(engine.db, identity)))


def _remains(engine: Engine) -> Iterator[Problem]:
    """Directories of containers that are gone."""
    layout = engine.layout
    found = set(os.listdir(layout.containers)) | set(os.listdir(layout.run_containers))
    known = {row.id for row in containers.list_all(engine.db)}  # read after the directories
    for identity in sorted(found - known):
        lock = monitor_lock(engine, identity)
        if lock.try_acquire():
            directories = layout.containers, layout.run_containers  # whoever removes a container may have been at it
            left = any(os.path.lexists(f"{directory}/{identity}") for directory in directories)
            lock.release(remove=True)
            if left:
                yield Problem(f"files of a container that is gone: {identity}", _remove_remains, (engine, identity))


def _remove_remains(engine: Engine, identity: str) -> None:
    if not is_hex(identity):
        for directory in (engine.layout.containers, engine.layout.run_containers):
            remove_tree(f"{directory}/{identity}")
        return
    with monitor_lock(engine, identity):
        remove_remains(engine, identity, everything=True)


def _locks(engine: Engine) -> Iterator[Problem]:
    """Lock files that nobody holds and nobody will use."""
    known = {row.id for row in containers.list_all(engine.db)}
    for name in sorted(os.listdir(engine.layout.locks)):
        if is_hex(name) and len(name) == 64 and name not in known:
            path = engine.layout.lock(name)
            if not is_held(path) and os.path.lexists(path):
                yield Problem(f"a lock of a container that is gone: {name}", _unlock, (engine, name))


def _unlock(engine: Engine, name: str) -> None:
    lock = monitor_lock(engine, name)
    if lock.try_acquire():
        lock.release(remove=True)


CHECKS: tuple[Check, ...] = (
    _records,
    _states,
    _files,
    _remains,
    _locks,
    check_host.cgroups,
    check_host.mounts,
    check_host.ids,
    check_host.places,
    check_host.networks,
    check_content.volumes,
    check_content.half_made,
    check_content.layers,
    check_digests.missing,
)
"""In this order: what is mended first makes others go away."""

READING: tuple[Check, ...] = (check_digests.blobs, check_digests.recipes, check_digests.tars)
"""Those that read the whole content of images."""
