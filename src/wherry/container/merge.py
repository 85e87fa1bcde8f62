"""What a container runs: the options given, completed from its image (moby, ``daemon/commit.go``, ``merge``).

The image is a stranger's document.  Its environment entries must be ``NAME=value``: a bare name would take the value
from whoever runs the container (CVE-2026-57231).  Its labels describe; nothing here or below acts on one
(CVE-2026-53488), and it cannot bring annotations (CVE-2026-53492).
"""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.options import ContainerOptions
    from wherry.oci.image import Healthcheck, ImageConfig

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def merge(options: ContainerOptions, image: ImageConfig) -> ContainerOptions:
    """``options`` with everything the image decides filled in, as `inspect` shows them under Config.

    Raises `InvalidArgument` when neither says what to run, or says where to run it with a relative path.
    """
    changes: dict[str, object] = {}
    entrypoint, cmd = options.entrypoint, options.cmd
    if not entrypoint:
        if not cmd:
            cmd = tuple(image.cmd)
        if entrypoint is None:
            entrypoint = tuple(image.entrypoint)
    if entrypoint == ("",):
        entrypoint = ()
    if not entrypoint and not cmd:
        raise InvalidArgument("no command specified", hint="the image names none: give one after it")
    changes["entrypoint"], changes["cmd"] = entrypoint or None, cmd or None
    if not options.user and image.user:
        changes["user"] = image.user
    working_dir = options.working_dir or image.working_dir
    if working_dir:
        changes["working_dir"] = clean_working_dir(working_dir)
    if not options.stop_signal and image.stop_signal:
        changes["stop_signal"] = image.stop_signal
    if options.restart_policy == "no" and not options.restart_retries:
        changes["restart_policy"] = ""
    if image.healthcheck is not None:
        changes |= _health(options, image.healthcheck)
    changes["env"] = merge_env(image.env, options.env)
    if image.labels:
        changes["labels"] = tuple((dict(image.labels) | dict(options.labels)).items())
    if image.volumes:
        changes["volumes"] = tuple(dict.fromkeys(options.volumes + tuple(image.volumes)))
    if image.exposed_ports:
        changes["exposed_ports"] = tuple(dict.fromkeys(options.exposed_ports + tuple(image.exposed_ports)))
    return options.replace(**changes)


def _health(options: ContainerOptions, image: Healthcheck) -> dict[str, object]:
    """The image's check, part by part, where the options say nothing."""
    found: dict[str, object] = {}
    for name in ("test", "interval", "timeout", "start_period", "start_interval", "retries"):
        if not getattr(options, f"health_{name}"):
            found[f"health_{name}"] = getattr(image, name)
    return found


def command(options: ContainerOptions) -> tuple[str, ...]:
    """The argument vector of merged options."""
    return (options.entrypoint or ()) + (options.cmd or ())


def clean_working_dir(path: str) -> str:
    """An absolute path without ``.``, ``..`` and doubled slashes.  Raises `InvalidArgument` for a relative one."""
    if not path.startswith("/"):
        raise InvalidArgument(f"the working directory '{path}' is invalid, it needs to be an absolute path")
    if "\0" in path:
        raise InvalidArgument("the working directory holds a NUL character")
    return os.path.normpath("/" + path.lstrip("/"))


def merge_env(image: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    """The image's well-formed entries with those given put in their place or after them.

    A bare name among ``given`` stays: it removes the variable when the process environment is made.  ``PATH`` is
    Docker's default when neither sets one.
    """
    merged: dict[str, str] = {}
    for entry in image:
        name, equals, _value = entry.partition("=")
        if equals and name and "\0" not in entry:
            merged[name] = entry
    for entry in given:
        if "\0" in entry:
            raise InvalidArgument(f"invalid environment variable: {entry.partition('=')[0]!r} holds a NUL character")
        name = entry.partition("=")[0]
        if not name:
            raise InvalidArgument(f"invalid environment variable: {entry}")
        merged[name] = entry
    if "PATH" not in merged:
        merged["PATH"] = DEFAULT_PATH
    return tuple(merged.values())


def process_env(options: ContainerOptions, *, hostname: str, home: str, linked: tuple[str, ...] = ()) -> list[str]:
    """The environment of the first process: PATH, HOSTNAME, TERM under a terminal, what --link gives (``linked``), then
    the merged one, HOME."""
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": f"HOSTNAME={hostname}"}
    if options.tty:
        env["TERM"] = "TERM=xterm"
    unset = False
    for entry in (*linked, *options.env):
        name, equals, _value = entry.partition("=")
        if equals:
            env[name] = entry
        else:
            env.pop(name, None)
            unset = unset or name == "HOME"
    if "HOME" not in env and not unset:
        env["HOME"] = f"HOME={home or '/'}"
    return list(env.values())
