"""What the helper does: each function takes the engine and the progress first, and values that can be pickled."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from wherry.container.options import ContainerOptions
from wherry.engine.engine import Engine
from wherry.engine.images import Summary
from wherry.engine.progress import Progress, Silent
from wherry.monitor.streams import Streams

_STREAMS = Streams(0, 1, 2, False, True)


def run(engine: Engine, _progress: Progress, wanted: Mapping[str, Any]) -> int:
    """The exit status of a container's command; its streams are this process's."""
    from wherry.engine.run import run as run_container

    options = container(wanted).replace(attach_stdin=True, open_stdin=True, stdin_once=True, attach_stdout=True,
                                        attach_stderr=True)  # fmt: skip
    return run_container(engine, options, _STREAMS, Silent())


def run_detached(engine: Engine, _progress: Progress, wanted: Mapping[str, Any]) -> str:
    """The id of a container that has started."""
    from wherry.engine.run import run_detached as detached

    return detached(engine, container(wanted), Silent())


def container(wanted: Mapping[str, Any]) -> ContainerOptions:
    """The options of a container: ``wanted`` are the parameters of `wherry.python.client.Client.run`."""
    from wherry.container import parse, parse_device, parse_mount, parse_port

    given = {name: value for name, value in wanted.items() if value}
    fields: dict[str, Any] = {"image": given["image"]}
    for name, field in (("name", "name"), ("user", "user"), ("workdir", "working_dir"), ("network", "network_mode"),
                        ("remove", "auto_remove"), ("init", "init")):  # fmt: skip
        if name in given:
            fields[field] = given[name]
    if "command" in given:
        fields["cmd"] = tuple(given["command"])
    if "entrypoint" in given:
        fields["entrypoint"] = tuple(given["entrypoint"])
    fields["env"] = tuple([f"{name}={value}" for name, value in given.get("env", {}).items()])
    fields["labels"] = tuple(given.get("labels", {}).items())
    binds = [parse_mount.absolute_source(text, os.getcwd()) for text in given.get("volumes", ())]
    fields["binds"] = tuple([text for text in binds if parse_mount.volume(text).source])
    fields["volumes"] = tuple(
        [parse_mount.volume(text).target for text in binds if not parse_mount.volume(text).source]
    )
    ports = [binding for text in given.get("ports", ()) for binding in parse_port.publish(text)]
    fields["port_bindings"] = tuple(ports)
    fields["exposed_ports"] = tuple(dict.fromkeys(binding.port for binding in ports))
    if "gpus" in given:
        fields["device_requests"] = (parse_device.gpus(str(given["gpus"])),)
    if "memory" in given:
        fields["memory"] = parse.size(str(given["memory"]))
    if "cpus" in given:
        fields["nano_cpus"] = parse.nano_cpus(str(given["cpus"]))
    return ContainerOptions(**fields)


def exec_in(engine: Engine, _progress: Progress, name: str, command: tuple[str, ...], env: Mapping[str, str], user: str,
            workdir: str) -> int:  # fmt: skip
    """The exit status of a command in a running container."""
    from wherry.container.exec_options import ExecOptions
    from wherry.engine.exec import exec_in as execute

    options = ExecOptions(cmd=command, attach_stdin=True, env=tuple([f"{key}={value}" for key, value in env.items()]),
                          user=user, working_dir=workdir)  # fmt: skip
    return execute(engine, name, options, _STREAMS.replace(sig_proxy=False))


def ps(
    engine: Engine, _progress: Progress, everything: bool, filters: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:  # fmt: skip
    """Docker's documents of containers."""
    from wherry.engine.container_list import documents

    return documents(engine, filters, everything=everything)


def inspect(engine: Engine, _progress: Progress, name: str) -> dict[str, Any]:
    """Docker's document of a container, or else of an image."""
    from wherry.engine import containers, images
    from wherry.errors import NotFound

    try:
        return containers.inspect(engine, name)
    except NotFound:
        return images.inspect(engine, name)


def logs(engine: Engine, _progress: Progress, name: str, tail: int) -> tuple[bytes, bytes]:
    """What a container has written to its output, and to its errors."""
    from wherry.engine.logs import Wanted, texts

    found: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    for part in texts(engine, name, Wanted(tail=tail)):
        for stream, text in part:
            found[stream].append(text)
    return b"".join(found["stdout"]), b"".join(found["stderr"])


def stop(engine: Engine, _progress: Progress, name: str, timeout: int | None) -> None:
    """End a container."""
    from wherry.engine.stop import stop as stop_containers

    for _name, error in stop_containers(engine, (name,), timeout=timeout):
        if error is not None:
            raise error


def rm(engine: Engine, _progress: Progress, name: str, force: bool, volumes: bool) -> str:
    """Remove a container."""
    from wherry.engine.containers import remove

    return remove(engine, name, force=force, volumes=volumes)


def images(engine: Engine, _progress: Progress, filters: Mapping[str, Sequence[str]]) -> tuple[Summary, ...]:
    """The images."""
    from wherry.engine.images import list_images

    return list_images(engine, filters=filters)


def pull(engine: Engine, progress: Progress, reference: str, platform: str) -> str:
    """The digest of what was pulled."""
    from wherry.engine.pull import pull as pull_image
    from wherry.oci.reference import parse

    return pull_image(engine, parse(reference).tagged().familiar(), platform=platform, progress=progress).digest


def push(engine: Engine, progress: Progress, name: str) -> tuple[str, ...]:
    """The digests of what was pushed."""
    from wherry.engine.push import push as push_image

    return tuple([one.digest for one in push_image(engine, name, progress=progress)])


def tag(engine: Engine, _progress: Progress, source: str, target: str) -> None:
    """Give an image a name."""
    from wherry.engine.images import tag as tag_image

    tag_image(engine, source, target)


def rmi(engine: Engine, _progress: Progress, name: str, force: bool) -> None:
    """Take a name from an image, or the image away."""
    from wherry.engine.remove_image import remove

    remove(engine, name, force=force)


def env_lock(engine: Engine, progress: Progress, folder: str, mirrors: tuple[str, ...], upgrade: bool) -> str:
    """Lock a folder; the path of its lock."""
    from pathlib import Path

    from wherry.env import locking
    from wherry.env.inputs import project
    from wherry.env.spec import Wishes

    path = Path(folder)
    place = project.new_lock_path(path)
    old = locking.read(place) if place.exists() else None
    spec = project.read(path, locking.wishes_of(old, path) if old else Wishes())
    request = locking.Request(debian_mirrors=mirrors, upgrade_all=upgrade)
    locking.write(place, locking.lock(engine, spec, old, request, progress).lock)
    return str(place)


def env_build(engine: Engine, progress: Progress, path: str, names: tuple[str, ...], architecture: str,
              mirrors: tuple[str, ...]) -> Any:  # fmt: skip
    """Build the image of a lock, or of a folder's lock."""
    from pathlib import Path

    from wherry.env import locking
    from wherry.env.build import build

    lock = locking.load(Path(path))[0] if os.path.isdir(path) else locking.read(Path(path))
    return build(engine, lock, names, architecture=architecture, debian_mirrors=mirrors, progress=progress)


def env_run(engine: Engine, progress: Progress, path: str, wanted: Mapping[str, Any], mirrors: tuple[str, ...]) -> int:
    """The exit status of a command in the environment of a folder or of a lock in it."""
    from wherry.engine.run import run as run_container
    from wherry.env.use import ready, with_folder

    target = ready(engine, path, os.getcwd(), progress, mirrors)
    options = container({**wanted, "image": target.image}).replace(
        attach_stdin=True, open_stdin=True, stdin_once=True, attach_stdout=True, attach_stderr=True
    )
    return run_container(engine, with_folder(options, target), _STREAMS, Silent())
