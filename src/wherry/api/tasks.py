"""What workers do for the server: the engine's use cases, on plain values.

Each function gets an engine of its own, the `Worker` it runs in, and what the route sent.
"""

from __future__ import annotations

import os

from wherry.api import tasks_of_objects
from wherry.api.spawner import Answer

_PIECE = 256 << 10

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.api.spawner import Worker
    from wherry.engine.engine import Engine
    from wherry.engine.paths import Paths


def create(engine: Engine, _worker: Worker, body: bytes, name: str, platform: str) -> dict[str, Any]:
    """``POST /containers/create``; the id, and what of the request has no effect."""
    from wherry.api.container_request import options_of
    from wherry.api.fields import parse
    from wherry.container.modes import warnings
    from wherry.engine.create import create
    from wherry.engine.progress import Silent
    from wherry.engine.run import get_image
    from wherry.engine.undo import Undo
    from wherry.errors import InvalidArgument, NotFound

    options = options_of(parse(body), name=name, platform=platform).replace(pull="never")
    image = get_image(engine, options, Silent())
    with Undo() as undo:
        try:
            record = create(engine, options, image, undo)
        except NotFound as error:  # 404 says that the image is not there: clients pull it then
            raise InvalidArgument(error.message, hint=error.hint) from None
        undo.keep()
    return {"Id": record.id, "Warnings": list(warnings(options))}


def start(engine: Engine, worker: Worker, name: str, attached: list[tuple[bool, bool, bool] | None]) -> None:
    """``POST /containers/{id}/start``, with the clients whose sockets came along."""
    from wherry.engine.start import start

    start(engine, name, clients=tuple(zip(worker.descriptors, attached, strict=True)))


def restart(engine: Engine, _worker: Worker, name: str, timeout: int | None, signal: int) -> None:
    """``POST /containers/{id}/restart``."""
    from wherry.engine.stop import restart

    restart(engine, name, timeout=timeout, signal=signal)


def stop(engine: Engine, _worker: Worker, name: str, timeout: int | None, signal: int) -> None:
    """``POST /containers/{id}/stop``."""
    from wherry.engine.stop import stop

    for _name, error in stop(engine, [name], timeout=timeout, signal=signal):
        if error is not None:
            raise error


def kill(engine: Engine, _worker: Worker, name: str, signal: int) -> None:
    """``POST /containers/{id}/kill``."""
    from wherry.engine.stop import kill

    kill(engine, name, signal)


def pause(engine: Engine, _worker: Worker, name: str) -> None:
    """``POST /containers/{id}/pause``."""
    from wherry.engine.pause import pause

    pause(engine, name)


def unpause(engine: Engine, _worker: Worker, name: str) -> None:
    """``POST /containers/{id}/unpause``."""
    from wherry.engine.pause import unpause

    unpause(engine, name)


def rename(engine: Engine, _worker: Worker, name: str, to: str) -> None:
    """``POST /containers/{id}/rename``."""
    from wherry.engine.rename import rename

    rename(engine, name, to)


def remove(engine: Engine, _worker: Worker, name: str, force: bool, volumes: bool) -> None:
    """``DELETE /containers/{id}``."""
    from wherry.engine.containers import remove

    remove(engine, name, force=force, volumes=volumes)


def unlink(engine: Engine, _worker: Worker, name: str) -> None:
    """``DELETE /containers/{name}?link=1``: NAME/ALIAS."""
    from wherry.engine.links import unlink

    unlink(engine, name)


def execute(engine: Engine, _worker: Worker, name: str, options: dict[str, Any], exec_id: str) -> Answer:
    """``POST /exec/{id}/start``: the connection to the command's monitor."""
    from wherry.container.exec_options import ExecOptions
    from wherry.engine.exec import begin_exec

    return Answer(None, begin_exec(engine, name, ExecOptions(**options), exec_id).channel.detach())


def logs(engine: Engine, worker: Worker, name: str, wanted: dict[str, Any]) -> None:
    """``GET /containers/{id}/logs``: stream, time, text and details of each entry, told in pieces."""
    from wherry.engine.logs import Wanted, read

    worker.end_with_client()
    pieces = read(engine, name, Wanted(**wanted))
    worker.tell(())  # the log is open
    for entries in pieces:
        if entries:
            worker.tell([(entry.stream, entry.time, entry.text, entry.details) for entry in entries])


def changes(engine: Engine, _worker: Worker, name: str) -> list[dict[str, Any]]:
    """``GET /containers/{id}/changes``."""
    from wherry.engine.diff import diff

    return [{"Path": os.fsdecode(one.path), "Kind": "CAD".index(one.kind)} for one in diff(engine, name)]


def update(engine: Engine, _worker: Worker, name: str, body: bytes) -> None:
    """``POST /containers/{id}/update``."""
    from wherry.api.container_request import update_of
    from wherry.api.fields import parse
    from wherry.engine.update import update

    update(engine, name, update_of(parse(body)))


def prune_containers(engine: Engine, _worker: Worker, filters: dict[str, list[str]]) -> tuple[list[str], int]:
    """``POST /containers/prune``."""
    from wherry.engine.prune import prune

    return prune(engine, filters)


def stats_once(engine: Engine, worker: Worker, name: str, one_shot: bool) -> dict[str, Any]:
    """``GET /containers/{id}/stats?stream=false``."""
    from wherry.engine.stats import once

    worker.end_with_client()
    return once(engine, name, one_shot=one_shot)


def stats(engine: Engine, worker: Worker, name: str) -> None:
    """``GET /containers/{id}/stats``: a document a second."""
    from wherry.engine.stats import stream

    worker.end_with_client()
    for document in stream(engine, name):
        worker.tell(document)


def events(engine: Engine, worker: Worker, since: str, until: str, filters: dict[str, list[str]]) -> None:
    """``GET /events``: documents as they come."""
    from wherry.engine.event_stream import Wanted, document, stream
    from wherry.engine.logs import timestamp

    worker.end_with_client()
    pieces = stream(engine, Wanted(timestamp(since, "since"), timestamp(until, "until"), filters))
    worker.tell(None)  # what happens from now on will be told
    for found in pieces:
        for event in found:
            worker.tell(document(event))


def archive_stat(engine: Engine, _worker: Worker, name: str, path: str) -> dict[str, Any]:
    """``HEAD /containers/{id}/archive``: the fields of `wherry.engine.container_paths.PathStat`."""
    from wherry.engine.archive import stat_path

    return stat_path(engine, name, path).as_dict()


def archive_get(engine: Engine, worker: Worker, name: str, path: str) -> None:
    """``GET /containers/{id}/archive``: what is there, told; then its tar, through the descriptor."""
    from wherry.engine.archive import Archive

    with Archive(engine, name, path) as archive, open(worker.descriptors[0], "wb", buffering=0) as out:
        worker.tell(archive.stat.as_dict())
        while piece := archive.read(_PIECE):
            rest = memoryview(piece)
            while rest:
                rest = rest[out.write(rest) or 0 :]
        archive.finish()


def archive_put(engine: Engine, worker: Worker, name: str, path: str, keep_kinds: bool, as_user: bool) -> None:
    """``PUT /containers/{id}/archive``: a tar, through the descriptor."""
    from wherry.engine.archive import PutOptions, put

    with tasks_of_objects.from_client(), open(worker.descriptors[0], "rb", buffering=0) as stream:
        put(engine, name, path, stream, PutOptions(keep_kinds, as_user))


def export(engine: Engine, worker: Worker, name: str) -> None:
    """``GET /containers/{id}/export``: a tar, through the descriptor."""
    from wherry.engine.export import export

    with open(worker.descriptors[0], "wb") as out:
        export(engine, name, out)


def disk_usage(engine: Engine, worker: Worker) -> dict[str, Any]:
    """``GET /system/df``."""
    from wherry.engine.disk_usage import disk_usage

    worker.end_with_client()
    return disk_usage(engine)


_OWN = (create, start, restart, stop, kill, pause, unpause, rename, remove, unlink, execute, logs, changes, update)
_OTHERS = (prune_containers, stats_once, stats, events, disk_usage, archive_stat, archive_get, archive_put, export)


def tasks(paths: Paths) -> dict[str, Callable[..., Any]]:
    """Every task by name, on engines that work in ``paths``."""
    from functools import partial

    return {task.__name__: partial(_run, paths, task) for task in (*_OWN, *_OTHERS, *tasks_of_objects.TASKS)}


def _run(paths: Paths, task: Callable[..., Any], worker: Worker, *arguments: Any) -> Any:
    from wherry.engine.engine import Engine

    return task(Engine(paths), worker, *arguments)
