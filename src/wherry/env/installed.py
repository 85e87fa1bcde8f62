"""What an image or a container has installed, whoever installed it: Python's packages, and Debian's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from wherry import fastjson
from wherry.container.record import ContainerRecord
from wherry.engine.roots import image_root
from wherry.engine.unpack import in_store
from wherry.engine.view import View
from wherry.env import diff, lock_file
from wherry.env.assemble import LOCK_LABEL
from wherry.env.diff import Content
from wherry.env.lock import Lock
from wherry.env.root_files import content, named, names
from wherry.env.wheels import PREFIX
from wherry.errors import Corrupt, NotFound
from wherry.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.store.images import ImageRow

_PLACES = (f"{PREFIX}/lib", "usr/local/lib", "usr/lib")
_PYTHON = re.compile(r"python3\.\d+")
_FIELD = re.compile(r"^(Package|Version|Status): *(.*?) *$", re.MULTILINE)


def of_object(engine: Engine, name: str) -> Content:
    """What a container (running or not, as its files are now) or an image has.  Raises `NotFound`."""
    from wherry.engine.containers import find, load

    try:
        record = load(find(engine, name))
    except NotFound:
        row = images.resolve_or_none(engine.db, name)
        if row is None:
            raise NotFound("object", name, f"No such container or image: {name}") from None
        return of_image(engine, row)
    row = images.get(engine.db, record.image_id)
    with View(engine, record.id) as view:
        return _named(row, *view.call(_read))


def of_image(engine: Engine, row: ImageRow) -> Content:
    """What an image has."""

    def work() -> tuple[dict[str, str], dict[str, str], dict[str, int], str]:
        root = image_root(engine, ContainerRecord("", "", 0, row.id, diff_ids=row.stack, snapshotter=row.snapshotter))
        try:
            return _read(root)
        finally:
            os.close(root)

    return _named(row, *in_store(engine, work))


def lock_of(row: ImageRow) -> Lock | None:
    """The lock that an image carries, if it was built from one."""
    text = ((fastjson.loads(row.config).get("config") or {}).get("Labels") or {}).get(LOCK_LABEL)
    return lock_file.read(text, f"the lock of image {row.id[7:19]}") if text else None


def _named(
    row: ImageRow | None, packages: dict[str, str], system: dict[str, str], sizes: dict[str, int], python: str
) -> Content:
    lock = lock_of(row) if row is not None else None
    base = diff.base_name(lock.base) if lock else ""
    return Content(lock.python if lock else python, base, packages, system, sizes, True)


def _read(root: int) -> tuple[dict[str, str], dict[str, str], dict[str, int], str]:
    """Python's packages, Debian's, bytes of Python's packages, and the Python that has them; the first of a name
    counts, as it does on the path of modules."""
    packages: dict[str, str] = {}
    sizes: dict[str, int] = {}
    python = ""
    for site, version in _sites(root):
        for directory in names(root, site):
            if not directory.endswith((".dist-info", ".egg-info")):
                continue
            try:
                name, number, size = _package(root, f"{site}/{directory}")
            except Corrupt:  # half removed, or a file: not what Python would import by this name
                continue
            if name not in packages:
                packages[name], sizes[name] = number, size
                python = python or version
    return packages, _debian(root), sizes, python


def _sites(root: int) -> Iterator[tuple[str, str]]:
    for place in _PLACES:
        for name in names(root, place):
            if _PYTHON.fullmatch(name):
                version = name.removeprefix("python")
                yield f"{place}/{name}/site-packages", version
                yield f"{place}/{name}/dist-packages", version
    yield "usr/lib/python3/dist-packages", ""


def _package(root: int, directory: str) -> tuple[str, str, int]:
    wheel = directory.endswith(".dist-info")
    name, version = named(root, f"{directory}/{'METADATA' if wheel else 'PKG-INFO'}")
    size = 0
    if wheel and "RECORD" in names(root, directory):
        rows = content(root, f"{directory}/RECORD").decode(errors="replace").splitlines()
        size = sum(int(end) for end in (row.rpartition(",")[2] for row in rows) if end.isdecimal())
    return name, version, size


def _debian(root: int) -> dict[str, str]:
    """dpkg's packages: from its database, or from the files that images without dpkg have instead."""
    texts = []
    for name in names(root, "var/lib/dpkg"):
        if name == "status":
            texts.append(content(root, "var/lib/dpkg/status"))
        elif name == "status.d":
            files = [each for each in names(root, "var/lib/dpkg/status.d") if not each.endswith(".md5sums")]
            texts += [content(root, f"var/lib/dpkg/status.d/{each}") for each in files]
    found = {}
    for text in texts:
        for paragraph in text.decode(errors="replace").split("\n\n"):
            fields = dict(_FIELD.findall(paragraph))
            if fields.get("Package") and fields.get("Status", "installed").endswith("installed"):
                found[fields["Package"]] = fields.get("Version", "")
    return found
