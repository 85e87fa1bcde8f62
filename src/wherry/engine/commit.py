"""``docker commit``: an image of what a container has become.

Its layers are the image's, which are shared, and one more: what the container changed, as `diff` lists it.
"""

from __future__ import annotations

import os
import time

from wherry import fastjson
from wherry.container import instructions
from wherry.container.inspect import config_of
from wherry.engine import events, gc, new_image
from wherry.engine.containers import find, load
from wherry.engine.diff import changes_of
from wherry.engine.pause import held
from wherry.engine.roots import upper_directory, upper_ids
from wherry.engine.times import rfc3339
from wherry.engine.unpack import in_store
from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.layers.diff import diff
from wherry.oci import reference as references
from wherry.oci.manifest import DOCKER_MANIFEST, Manifest, parse_manifest
from wherry.record import Record
from wherry.store import images
from wherry.store.gc import adding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import ContainerOptions
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.layers.pack import Writable
    from wherry.oci.reference import Reference
    from wherry.store.images import ImageRow


class CommitOptions(Record):
    """``config`` are fields of the image's configuration that come before the container's; ``changes`` are Dockerfile
    instructions and come before both; ``pause``: the container's processes stand still meanwhile."""

    reference: str = ""
    author: str = ""
    message: str = ""
    changes: tuple[str, ...] = ()
    pause: bool = True
    config: tuple[tuple[str, Any], ...] = ()


class Committed(Record):
    """The new image; ``paused`` is False for one of a running container that could not be paused."""

    image_id: str
    paused: bool = True


def new_name(text: str) -> Reference | None:
    """The name that a new image is to have.  Raises `InvalidArgument`."""
    if not text:
        return None
    reference = references.parse(text)
    if reference.digest:
        raise InvalidArgument("cannot import digest reference")
    return reference.tagged()


def commit(engine: Engine, name: str, options: CommitOptions) -> Committed:
    """Make an image of a container, whether it runs or not.

    Raises `NotFound` for the container, or when its image's layers are not kept any more, `InvalidArgument` for
    changes and names, `StorageFull`; nothing of the new image is there then.
    """
    target = new_name(options.reference)
    row = find(engine, name)
    record = load(row)
    base = _base(engine, record)
    settings = instructions.apply(_merged(_settings(record.options, base), dict(options.config)), options.changes)

    def work() -> str:
        with adding(engine.layout):
            gc.sweep(engine)
            return _commit(engine, record, base, settings, options, target)

    with held(engine, row, wanted=options.pause) as paused:
        try:
            image_id = in_store(engine, work)
        except WherryError:
            gc.collect(engine)
            raise
    more = {"comment": options.message, "imageID": image_id, "imageRef": target.familiar() if target else ""}
    events.of_container(engine.db, record, "commit", **more)
    return Committed(image_id, paused)


def _base(engine: Engine, record: ContainerRecord) -> ImageRow:
    row = images.get(engine.db, record.image_id)
    if row is None:
        raise NotFound("image", record.image_id, f"the image of container {record.id[:12]} is not here any more",
                       hint=f"get it back with 'wherry pull {record.image_name}'")  # fmt: skip
    return row


def _commit(
    engine: Engine, record: ContainerRecord, base: ImageRow, settings: dict[str, Any], options: CommitOptions,
    target: Reference | None,
) -> str:  # fmt: skip
    manifest = parse_manifest(engine.content.read(base.manifest), base.manifest_type)
    assert isinstance(manifest, Manifest)
    missing = [layer.digest for layer in manifest.layers if not engine.content.has(layer.digest)]
    if missing:
        raise NotFound("blob", missing[0], f"layer {missing[0]} is not here any more", hint="pull the image again")
    docker = manifest.media_type == DOCKER_MANIFEST
    layers, document = manifest.layers, fastjson.loads(base.config)
    only = {change.path for change in changes_of(engine, record, touched=True)}
    diff_ids = list(base.diff_ids)
    if only:

        def write(out: Writable) -> None:
            upper = upper_directory(engine, record)
            try:
                diff(upper, out, upper_ids(record), only)
            finally:
                os.close(upper)

        with new_image.Written(write) as tar:
            layer = new_image.add_layer(engine, tar)
        layers = (*layers, new_image.descriptor(layer, docker=docker))
        diff_ids.append(layer.diff_id)
    created = rfc3339(time.time_ns())
    step: dict[str, Any] = {"created": created, "created_by": " ".join(record.options.cmd or ())}
    step |= {key: value for key, value in (("author", options.author), ("comment", options.message)) if value}
    if not only:
        step["empty_layer"] = True
    history = [*(document.get("history") or []), step]
    made = {key: document[key] for key in ("architecture", "os", "variant", "os.version") if document.get(key)}
    made |= {"author": options.author} if options.author else {}
    made |= {"created": created, "config": settings, "history": history}
    made |= {"container": record.id, "container_config": config_of(record)}  # shown below API 1.45, as Docker has them
    made["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
    return new_image.keep(engine, made, layers, docker=docker, names=(target,) if target else (), parent=base.id)


def _settings(options: ContainerOptions, base: ImageRow) -> dict[str, Any]:
    """What containers of the new image run: what this one does, and what only images say."""
    settings = dict(fastjson.loads(base.config).get("config") or {})
    settings |= {
        "User": options.user,
        "ExposedPorts": {port: {} for port in options.exposed_ports},
        "Env": list(options.env),
        "Entrypoint": list(options.entrypoint or ()) or None,
        "Cmd": list(options.cmd or ()) or None,
        "Volumes": {path: {} for path in options.volumes},
        "WorkingDir": options.working_dir,
        "Labels": dict(options.labels),
        "StopSignal": options.stop_signal,
        "StopTimeout": options.stop_timeout,
        "Healthcheck": _health(options),
    }
    return {key: value for key, value in settings.items() if value or key in ("Entrypoint", "Cmd")}


def _merged(settings: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` on top, as Docker does it (moby, daemon/commit.go): variables, labels, ports and volumes are added."""
    found = settings | over
    for name in ("Labels", "ExposedPorts", "Volumes"):
        if name in over:
            found[name] = (settings.get(name) or {}) | over[name]
    if "Env" in over:
        set_there = {one.partition("=")[0] for one in over["Env"]}
        found["Env"] = [*over["Env"], *(one for one in settings["Env"] if one.partition("=")[0] not in set_there)]
    if "Entrypoint" in over and "Cmd" not in over:
        found["Cmd"] = None
    return found


def _health(options: ContainerOptions) -> dict[str, Any]:
    values = {
        "Test": list(options.health_test),
        "Interval": options.health_interval,
        "Timeout": options.health_timeout,
        "StartPeriod": options.health_start_period,
        "StartInterval": options.health_start_interval,
        "Retries": options.health_retries,
    }
    return {key: value for key, value in values.items() if value}
