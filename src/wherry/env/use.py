"""What `wherry env run` and its relatives run: the environment of a folder, locked and built where it has to be, or an
image.

`ready` is the story.  When nothing has changed it costs one look at the folder and one row: what was found for the
folder is kept beside the state that its files had.
"""

from __future__ import annotations

import os

from wherry.container.options import MountOption
from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.record import Record
from wherry.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.container.options import ContainerOptions
    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.env.lock import Lock

WORKSPACE = "/workspace"
"""Where a container has the folder."""
LABEL = "wherry.env.folder"
"""The label of a container with the folder that it was made for."""
_LOOKED_AT = (".toml", ".txt", ".lock", ".yml", ".yaml", ".in", ".cfg")


class Target(Record):
    """``image`` is an id, or a name that may have to be pulled; ``folder`` is mounted."""

    image: str
    folder: str


def is_folder(target: str) -> bool:
    """Whether a target is a folder (or a lock in one), not an image."""
    return os.path.isdir(target) or (target.endswith(".toml") and os.path.isfile(target))


def ready(
    engine: Engine, target: str, here: str, progress: Progress, debian_mirrors: Sequence[str] = ()
) -> Target:  # fmt: skip
    """The image to run: that of the folder ``target``, up to date, or ``target`` itself with the folder ``here``.

    A folder without a lock gets one.  Raises `Conflict` for a lock that is not of its project, `NotFound` for a path
    that is not there, and what locking and building raise.
    """
    if not is_folder(target):
        if target.startswith((".", "/")):
            raise NotFound("folder", target, f"there is no folder {target}")
        return Target(target, os.path.realpath(here))
    path = os.path.realpath(target)
    status = os.stat(path)
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    place = f"{engine.layout.cache}/env/images/folder-{status.st_dev:x}-{status.st_ino:x}"
    state = _state(folder)
    known = _known(place, state)
    if known and images.get(engine.db, known) is not None:
        return Target(known, folder)
    image_id = _build(engine, path, folder, progress, debian_mirrors)
    from wherry.env import cache

    cache.write(place, f"{image_id}\n{_state(folder)}".encode("utf-8", "surrogateescape"))
    return Target(image_id, folder)


def ready_with(
    engine: Engine, folder: str, packages: tuple[str, ...], python: str, progress: Progress,
    debian_mirrors: tuple[str, ...] = (),
) -> Target:  # fmt: skip
    """The image of some packages alone, for a folder whatever its files say; locked once, and kept.

    Raises `InvalidArgument` when ``folder`` is none, and what locking and building raise.
    """
    from wherry.env import locking
    from wherry.env.build import build
    from wherry.env.spec import Wishes

    if not os.path.isdir(folder):
        raise InvalidArgument(f"--with makes an image, and is for a folder: {folder} is none")
    request = locking.Request(debian_mirrors=debian_mirrors)
    lock = locking.kept(engine, Wishes(packages=packages, python=python), request, progress)
    made = build(engine, lock, debian_mirrors=debian_mirrors, progress=progress)
    return Target(made.image_id, os.path.realpath(folder))


def _state(folder: str) -> str:
    """What tells whether a file changed that may say what is needed."""
    lines = [folder]
    with os.scandir(folder) as found:
        for entry in sorted(found, key=lambda entry: entry.name):
            if entry.name.endswith(_LOOKED_AT):
                try:
                    status = os.stat(entry.path)
                except OSError:
                    continue
                lines.append(f"{entry.name} {status.st_mtime_ns} {status.st_size} {status.st_ino}")
    return "\n".join(lines)


def _known(place: str, state: str) -> str:
    try:
        with open(place, encoding="utf-8", errors="surrogateescape") as file:
            image_id, _, before = file.read().partition("\n")
    except FileNotFoundError:
        return ""
    return image_id if before == state else ""


def _build(engine: Engine, wanted: str, folder: str, progress: Progress, debian_mirrors: Sequence[str]) -> str:
    """The image of ``wanted``: the folder, or a lock in it."""
    from pathlib import Path

    from wherry.env import locking
    from wherry.env.build import build
    from wherry.env.inputs import project
    from wherry.env.spec import Wishes

    path = Path(folder)
    if wanted == folder and project.lock_path(path) is None:
        progress.message(f"Locking {folder}")
        request = locking.Request(debian_mirrors=tuple(debian_mirrors))
        made = locking.lock(engine, project.read(path, Wishes()), None, request, progress).lock
        locking.write(project.new_lock_path(path), made)
    lock = locking.load(path)[0] if wanted == folder else locking.read(Path(wanted))
    mirrors = tuple(debian_mirrors) or project.own_options(path).mirror
    return build(engine, lock, (name_of(folder),), debian_mirrors=mirrors, progress=progress).image_id


def name_of(folder: str) -> str:
    """The name of the image that belongs to a folder: "churn-env:latest" for ``/home/jo/Churn``."""
    letters = [letter if letter.isascii() and letter.isalnum() else "-" for letter in os.path.basename(folder).lower()]
    name = "-".join(filter(None, "".join(letters).split("-")))
    return f"{name or 'root'}-env:latest"


def with_folder(options: ContainerOptions, target: Target, owner: tuple[int, int] | None = None) -> ContainerOptions:
    """The same container with the folder at /workspace, as the caller: what it writes there belongs to who calls.

    Root of a container is the caller, for root as for others.  ``owner`` is who has called ``sudo``.  Options that say
    something else stand.  Raises `InvalidArgument` for a folder whose path a mount cannot have.
    """
    taken = {mount.target.rstrip("/") for mount in options.mounts}
    taken |= {bind.split(":")[1].rstrip("/") for bind in options.binds if bind.count(":")}
    fields: dict[str, object] = {"image": target.image}
    if WORKSPACE not in taken:
        if "\n" in target.folder:
            raise InvalidArgument(f"the folder {target.folder!r} cannot be mounted")
        fields["mounts"] = (*options.mounts, MountOption("bind", WORKSPACE, target.folder))
    if not options.working_dir:
        fields["working_dir"] = WORKSPACE
    if not options.user:
        mine = owner if owner is not None and os.stat(target.folder).st_uid == owner[0] else (0, 0)
        fields["user"] = f"{mine[0]}:{mine[1]}"
        if mine[0] and not any(one.partition("=")[0] == "HOME" for one in options.env):
            fields["env"] = (*options.env, "HOME=/tmp")
    if not any(name == LABEL for name, _value in options.labels):
        fields["labels"] = (*options.labels, (LABEL, target.folder))
    return options.replace(**fields)


def _lock_of(text: str) -> Lock | None:
    """The lock in a label, which anybody may have written."""
    from wherry.env import lock_file

    try:
        return lock_file.read(text, "the image's label")
    except WherryError:
        return None


def jupyter(engine: Engine, target: Target, progress: Progress) -> tuple[str, str]:
    """The module that starts Jupyter in an environment, and the page to open.

    Raises `NotFound` where its lock has none, `InvalidArgument` for an image without a lock.
    """
    from wherry import fastjson
    from wherry.container.options import ContainerOptions
    from wherry.engine.run import get_image
    from wherry.env.assemble import LOCK_LABEL

    row = get_image(engine, ContainerOptions(image=target.image), progress)
    labels = (fastjson.loads(row.config).get("config") or {}).get("Labels") or {}
    lock = _lock_of(labels.get(LOCK_LABEL, ""))
    if lock is None:
        raise InvalidArgument(
            f"image {target.image} has no lock that says whether Jupyter is in it",
            hint="'wherry env run -p 8888:8888 IMAGE -- COMMAND' runs anything",
        )
    names = {package.name for package in lock.packages}
    for name, module, page in (("jupyterlab", "jupyterlab", "lab"), ("notebook", "notebook", "tree")):
        if name in names:
            return module, page
    raise NotFound(
        "package", "jupyterlab", "the environment has no Jupyter",
        hint="add jupyterlab (or notebook) to what the project needs, and lock again",
    )  # fmt: skip


def running(engine: Engine, target: str) -> str:
    """The container that runs for a folder, the one started last; a name or an id of one is that itself.

    Raises `NotFound` when there is none.
    """
    if not is_folder(target):
        return target
    from wherry.engine.containers import list_containers, load

    folder = os.path.realpath(target)
    folder = folder if os.path.isdir(folder) else os.path.dirname(folder)
    found = []
    for row in list_containers(engine):
        if row.status == "running" and dict(load(row).options.labels).get(LABEL) == folder:
            found.append(row)
    if not found:
        raise NotFound(
            "container", folder, f"no container runs for {folder}", hint="'wherry env run' and 'env shell' start one"
        )
    return max(found, key=lambda row: row.created).id
