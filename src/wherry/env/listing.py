"""The images that are environments."""

from __future__ import annotations

from wherry.engine.images import list_images
from wherry.env import diff, lock_file
from wherry.env.assemble import LOCK_LABEL
from wherry.errors import WherryError
from wherry.oci import platform as platforms
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine


class Environment(Record):
    """An image that carries a lock.  ``size`` is bytes unpacked, ``containers`` how many were made from it; what its
    lock does not tell, as that of a later version does not, is empty."""

    image_id: str
    names: tuple[str, ...]
    architecture: str
    size: int
    containers: int
    python: str = ""
    base: str = ""
    packages: int = 0


def environments(engine: Engine) -> tuple[Environment, ...]:
    """All of them, by their names; those without one last."""
    found = []
    for one in list_images(engine, filters={"label": [LOCK_LABEL]}):
        architecture = platforms.parse(one.platform).architecture
        made = Environment(one.id, one.repo_tags, architecture, one.size, one.containers)
        try:
            lock = lock_file.read(dict(one.labels)[LOCK_LABEL], one.id)
        except WherryError:
            found.append(made)
            continue
        base = diff.base_name(lock.base).partition("@")[0]
        found.append(made.replace(python=lock.python, base=base, packages=len(lock.of(architecture))))
    return tuple(sorted(found, key=lambda one: (not one.names, one.names, one.image_id)))
