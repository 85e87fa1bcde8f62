"""Containers over an API: the verbs of `wherry.engine` that one does not stay with."""

from __future__ import annotations

from wherry.client import request
from wherry.client.http import named
from wherry.container import modes
from wherry.errors import InvalidArgument, NotFound, NotModified, WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from wherry.client.http import Remote
    from wherry.container.options import ContainerOptions
    from wherry.container.update import ContainerUpdate

    Filters = Mapping[str, Sequence[str]]
    Document = dict[str, Any]

_PLATFORMS = (1, 41)
_ONE_SHOT = (1, 41)
_AT_ONCE = 50
_AT_ONCE_OVER_SSH = 4  # sshd(8) drops whom it does not know yet when they are many (MaxStartups)


def of(name: str) -> str:
    """The path of a container."""
    return f"/containers/{named('container', name)}"


def create(remote: Remote, options: ContainerOptions, size: tuple[int, int] | None = None) -> str:
    """A container of an image that is there; its id, which ``--cidfile`` gets as well.

    ``size`` is that of its terminal: rows and columns.
    """
    if options.platform:
        remote.needs(_PLATFORMS, "--platform")
    _check(remote, options)
    path = options.container_id_file
    if path:
        _reserve(path)
    query = {"name": options.name, "platform": options.platform}
    body = request.body(options, remote.version)
    if size is not None:
        body["HostConfig"]["ConsoleSize"] = list(size)
    try:
        identity = str(remote.call("POST", "/containers/create", query, body)["Id"])
        _connect_others(remote, options, identity)
        if path:
            with open(path, "w") as file:
                file.write(identity)
    except BaseException:
        if path:
            _release(path)
        raise
    return identity


def _check(remote: Remote, options: ContainerOptions) -> None:
    """What engines would silently not do."""
    modes.check(options)
    if options.health_start_interval:
        remote.needs((1, 44), "--health-start-interval")
    if options.annotations:
        remote.needs((1, 43), "--annotation")
    if any(mount.volume_subpath for mount in options.mounts):
        remote.needs((1, 45), "volume-subpath")
    if any(mount.bind_create_mountpoint for mount in options.mounts):
        remote.needs((1, 42), "bind-create-mountpoint")
    if any(network.gateway_priority for network in options.networks):
        remote.needs((1, 48), "gw-priority")


def _reserve(path: str) -> None:
    """Whoever made the file first has it."""
    try:
        open(path, "x").close()
    except FileExistsError:
        raise InvalidArgument(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        ) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InvalidArgument(f"failed to create the container ID file: open {path}: {reason}") from None


def _release(path: str) -> None:
    import os

    try:
        os.unlink(path)
    except OSError:
        pass


def _connect_others(remote: Remote, options: ContainerOptions, identity: str) -> None:
    """The networks that an engine of this version does not take with the rest; all of it or nothing."""
    there = request.networks_at_creation(options, remote.version)
    try:
        for one in options.networks:
            if one not in there:
                body = {"Container": identity, "EndpointConfig": request.endpoint(one)}
                remote.call("POST", f"/networks/{named('network', one.name)}/connect", body=body)
    except BaseException:
        remove(remote, identity, force=True, volumes=True)
        raise


def documents(
    remote: Remote, filters: Filters, *, everything: bool = False, last: int = 0, size: bool = False
) -> list[Document]:
    """See `wherry.engine.container_list.documents`."""
    query = {"all": everything, "limit": last if last > 0 else None, "size": size, "filters": dict(filters)}
    return [complete(one) for one in remote.call("GET", "/containers/json", query)]


def complete(document: Document) -> Document:
    """With what engines leave out when it is empty."""
    empty: Document = {"Labels": {}, "Mounts": [], "Ports": [], "NetworkSettings": {"Networks": {}}}
    return document | {name: document.get(name) or value for name, value in empty.items()}


def inspect(remote: Remote, name: str, *, size: bool = False) -> Document:
    """See `wherry.engine.containers.inspect`."""
    found: Document = remote.call("GET", f"{of(name)}/json", {"size": size})
    return found


def start(remote: Remote, name: str) -> None:
    """See `wherry.engine.start.start`."""
    try:
        remote.call("POST", f"{of(name)}/start")
    except NotModified:
        pass


def kill(remote: Remote, name: str, signal: int) -> None:
    """See `wherry.engine.stop.kill`."""
    remote.call("POST", f"{of(name)}/kill", {"signal": signal})


def stop(
    remote: Remote, names: Sequence[str], *, timeout: int | None = None, signal: int = 0
) -> Iterator[tuple[str, WherryError | None]]:
    """See `wherry.engine.stop.stop`: all at once here too."""
    from concurrent.futures import ThreadPoolExecutor

    query = _ending(remote, timeout, signal)

    def one(name: str) -> WherryError | None:
        other = remote.another()
        try:
            other.call("POST", f"{of(name)}/stop", query)
        except NotModified:
            pass
        except WherryError as error:
            return error
        finally:
            other.close()
        return None

    with ThreadPoolExecutor(_AT_ONCE_OVER_SSH if remote.address.kind == "ssh" else _AT_ONCE) as pool:
        yield from zip(names, pool.map(one, names), strict=True)


def restart(remote: Remote, name: str, *, timeout: int | None = None, signal: int = 0) -> None:
    """See `wherry.engine.stop.restart`."""
    remote.call("POST", f"{of(name)}/restart", _ending(remote, timeout, signal))


def _ending(remote: Remote, timeout: int | None, signal: int) -> Document:
    if signal:
        remote.needs((1, 42), "--signal")
    return {"t": timeout, "signal": signal or None}


def pause(remote: Remote, name: str) -> None:
    """See `wherry.engine.pause.pause`."""
    remote.call("POST", f"{of(name)}/pause")


def unpause(remote: Remote, name: str) -> None:
    """See `wherry.engine.pause.unpause`."""
    remote.call("POST", f"{of(name)}/unpause")


def rename(remote: Remote, name: str, new: str) -> None:
    """See `wherry.engine.rename.rename`."""
    if not name or not new:
        raise InvalidArgument("Neither old nor new names may be empty")
    remote.call("POST", f"{of(name)}/rename", {"name": new})


def remove(remote: Remote, name: str, *, force: bool = False, volumes: bool = False) -> str:
    """See `wherry.engine.containers.remove`."""
    remote.call("DELETE", of(name), {"force": force, "v": volumes})
    return name


def unlink(remote: Remote, name: str) -> None:
    """See `wherry.engine.links.unlink`."""
    remote.call("DELETE", f"/containers/{named('container', name.removeprefix('/'), safe='/')}", {"link": True})


def update(remote: Remote, name: str, wanted: ContainerUpdate) -> None:
    """See `wherry.engine.update.update`."""
    remote.call("POST", f"{of(name)}/update", body=request.update(wanted))


def wait(remote: Remote, name: str) -> int:
    """See `wherry.engine.wait.wait`."""
    found = remote.call("POST", f"{of(name)}/wait")
    problem = (found.get("Error") or {}).get("Message", "")
    if problem:
        raise WherryError(problem)
    return int(found["StatusCode"])


def top(remote: Remote, name: str, options: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """See `wherry.engine.top.top`."""
    found = remote.call("GET", f"{of(name)}/top", {"ps_args": " ".join(options)})
    return found["Titles"], found["Processes"] or []


def published(remote: Remote, name: str, port: str = "") -> list[str]:
    """See `wherry.engine.port.published`."""
    from wherry.container.parse import expose
    from wherry.engine.port import host_place

    wanted = expose(port)[0] if port else ""
    ports = inspect(remote, name)["NetworkSettings"].get("Ports") or {}
    lines = []
    for own in sorted(ports, key=lambda text: (int(text.partition("/")[0]), text)):
        for place in ports[own] or ():
            text = host_place(place["HostIp"], place["HostPort"])
            if wanted in ("", own):
                lines.append(text if wanted else f"{own} -> {text}")
    if wanted and not lines:
        raise NotFound("port", port, f"no public port '{wanted}' published for {name}")
    return lines


def prune(remote: Remote, filters: Filters) -> tuple[list[str], int]:
    """See `wherry.engine.prune.prune`."""
    found = remote.call("POST", "/containers/prune", {"filters": dict(filters)})
    return found.get("ContainersDeleted") or [], found.get("SpaceReclaimed") or 0


def reading(remote: Remote, name: str) -> Document:
    """See `wherry.engine.stats.reading`."""
    one_shot = remote.version >= _ONE_SHOT
    found: Document = remote.call("GET", f"{of(name)}/stats", {"stream": "0", "one-shot": one_shot})
    return found | {"id": found.get("id") or name}


def watched(remote: Remote, *, everything: bool = False) -> list[str]:
    """See `wherry.engine.stats.watched`."""
    return [one["Id"] for one in documents(remote, {}, everything=everything)]
