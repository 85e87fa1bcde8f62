"""From packages that are here as wheels, and a base image, to an image: the part that must be the same everywhere.

Reading order: `assemble` is the story.  What goes into the documents is the base, the packages and what was asked for;
no time, no host, no user.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial

from wherry import fastjson
from wherry.engine import gc, new_image, unpack
from wherry.env import bytecode, cache, layering
from wherry.env.layering import Group, Part
from wherry.env.wheels import PREFIX, Wheel
from wherry.errors import Conflict, Corrupt, NotFound, WherryError
from wherry.oci.manifest import DOCKER_LAYER, DOCKER_LAYER_GZIP, OCI_LAYER, Manifest, parse_manifest
from wherry.record import Record
from wherry.store.gc import adding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.engine.new_image import NewLayer
    from wherry.engine.progress import Progress
    from wherry.env.interpreter import Interpreter
    from wherry.oci.manifest import Descriptor
    from wherry.oci.reference import Reference
    from wherry.store.images import ImageRow

LOCK_LABEL = "wherry.env.lock"
"""The label of an image that has the text of the lock that it was built from."""
_EPOCH = "1970-01-01T00:00:00Z"
_MOST = 8  # processes
_ONE_OF_THEM = "only one of them can be in an environment"


class Settings(Record):
    """What an image says besides its files.  ``env`` are "NAME=value"."""

    lock: str
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""


def assemble(
    engine: Engine, base: ImageRow, interpreter: Interpreter, parts: Sequence[Part], settings: Settings,
    names: tuple[Reference, ...], progress: Progress,
) -> str:  # fmt: skip
    """Make the image, or find it; its id.  ``base`` is for the platform that is wanted; the interpreter may be that of
    its twin for this machine.

    Raises `Conflict` for two packages that own one file, `Corrupt` for a damaged wheel, `NotFound` when a layer of the
    base is not here, `NotSupported` for a base of too many layers, `StorageFull`; nothing of the image is there then.
    """
    directory = cache.directory(engine)
    manifest = parse_manifest(engine.content.read(base.manifest), base.manifest_type)
    assert isinstance(manifest, Manifest)
    missing = [layer.digest for layer in manifest.layers if not engine.content.has(layer.digest)]
    if missing:
        raise NotFound("blob", missing[0], f"layer {missing[0]} of the base image is not here", hint="pull it again")
    _refuse_conflicts(directory, parts, interpreter.version)
    planned = layering.groups(parts, interpreter, len(manifest.layers))
    try:
        with adding(engine.layout):
            layers = _layers(engine, directory, interpreter, planned, progress)
            document = _document(base, planned, layers, settings)
            made = [new_image.descriptor(layer, docker=False) for layer in layers]
            all_layers = (*map(_oci, manifest.layers), *made)
            keep = partial(new_image.keep, engine, document, all_layers, docker=False, names=names)
            return unpack.in_store(engine, keep)
    except WherryError:
        gc.collect(engine)
        raise


def _layers(
    engine: Engine, directory: str, interpreter: Interpreter, planned: Sequence[Group], progress: Progress
) -> list[NewLayer]:
    """The layer of each group, made where it is not here."""
    found = [layering.known(engine, directory, group) for group in planned]
    todo = [group for group, layer in zip(planned, found, strict=True) if layer is None]
    workers = min(_MOST, len(os.sched_getaffinity(0)))
    todo = _with_bytecode(engine, directory, interpreter, todo, workers, progress)
    for group in todo:
        progress.start(group.title, "Building")

    def done(number: int) -> None:
        progress.done(todo[number].title, "Built")

    made = iter(layering.make(engine, directory, todo, interpreter, workers, done) if todo else ())
    return [layer or next(made) for layer in found]


def _with_bytecode(
    engine: Engine, directory: str, interpreter: Interpreter, todo: Sequence[Group], workers: int, progress: Progress
) -> list[Group]:
    """The groups with the byte code of all their parts in place."""
    ready = []
    for group in todo:
        places = [bytecode.place(directory, part.sha256, interpreter) for part in group.parts]
        ready.append(
            group.replace(
                parts=tuple([part.replace(bytecode=path) for part, path in zip(group.parts, places, strict=True)])
            )
        )
    missing = [part for group in ready for part in group.parts if not cache.has(part.bytecode)]
    if missing:
        progress.message(f"Compiling {len(missing)} package{'s' if len(missing) > 1 else ''}")
        with contextlib.ExitStack() as stack:
            wheels = [stack.enter_context(_open(part, interpreter.version)) for part in missing]
            todo_now = [(wheel, part.bytecode) for wheel, part in zip(wheels, missing, strict=True)]
            bytecode.compile_wheels(engine, directory, interpreter, todo_now, workers)
    return ready


def _open(part: Part, python: str) -> Wheel:
    return Wheel(part.wheel, f"{part.name} {part.version}", python)


def _refuse_conflicts(directory: str, parts: Sequence[Part], python: str) -> None:
    """Two packages may have the same file with the same content, as parts of one namespace do; not another content."""
    owners: dict[str, tuple[str, str]] = {
        f"{PREFIX}/{name}": ("", "the environment itself")
        for name in ("bin/python", "bin/python3", f"bin/python{python}", "lib64", "pyvenv.cfg")
    }
    directories: set[str] = set()
    for part in parts:
        for path, content in _files(directory, part, python):
            mine = (content, f"{part.name} {part.version}")
            content_there, owner = owners.setdefault(path, mine)
            if owner != mine[1] and (content_there != content or not content):
                raise Conflict(f"{mine[1]} and {owner} both install /{path}", hint=_ONE_OF_THEM)
    for path, (_content, owner) in owners.items():
        above = path.rpartition("/")[0]
        while above and above not in directories:
            if above in owners:
                raise Conflict(f"{owners[above][1]} installs /{above} and {owner} /{path}", hint=_ONE_OF_THEM)
            directories.add(above)
            above = above.rpartition("/")[0]


def _files(directory: str, part: Part, python: str) -> list[tuple[str, str]]:
    """The paths of a package, each with what tells its content from others; kept by the hash of the wheel."""
    place = f"{directory}/layers/{part.sha256}-{python}.files"
    text = cache.read(place)
    if text is None:
        with _open(part, python) as wheel:
            lines = []
            for item in wheel.items:
                same = "=" if isinstance(item.source, bytes) else f"{item.source.CRC:x}-{item.size}"
                lines.append(f"{same} {item.path}")
        text = "\n".join(lines).encode()
        cache.write(place, text)
    found = []
    for line in text.decode().splitlines():
        same, _, path = line.partition(" ")
        found.append((path, "" if same == "=" else same))
    return found


def _oci(layer: Descriptor) -> Descriptor:
    """A base's layer as an OCI manifest names it."""
    for docker, oci in ((DOCKER_LAYER_GZIP, f"{OCI_LAYER}+gzip"), (DOCKER_LAYER, OCI_LAYER)):
        if layer.media_type == docker:
            return layer.replace(media_type=oci)
    if layer.urls:
        raise Corrupt("the base image has layers that are not to be distributed")
    return layer


def _document(
    base: ImageRow, planned: Sequence[Group], layers: Sequence[NewLayer], settings: Settings
) -> dict[str, Any]:
    """The configuration."""
    below = fastjson.loads(base.config)
    config = dict(below.get("config") or {})
    env = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
    env["PATH"] = f"/{PREFIX}/bin:" + env.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    env["VIRTUAL_ENV"] = f"/{PREFIX}"
    env |= dict(entry.partition("=")[::2] for entry in settings.env)
    config["Env"] = [f"{name}={value}" for name, value in env.items()]
    config["Cmd"] = config.get("Cmd") or ["python3"]
    config |= {"User": settings.user} if settings.user else {}
    config |= {"WorkingDir": settings.working_dir} if settings.working_dir else {}
    config["Labels"] = dict(config.get("Labels") or {}) | {LOCK_LABEL: settings.lock}
    history = [*(below.get("history") or ())]
    for group in planned:
        what = " ".join(f"{part.name}=={part.version}" for part in group.parts) or f"/{PREFIX}"
        history.append({"created": _EPOCH, "created_by": f"wherry env: {what}"})
    document = {key: below[key] for key in ("architecture", "os", "variant", "os.version") if below.get(key)}
    diff_ids = [*base.diff_ids, *(layer.diff_id for layer in layers)]
    return document | {
        "created": _EPOCH, "config": config, "history": history, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }  # fmt: skip
