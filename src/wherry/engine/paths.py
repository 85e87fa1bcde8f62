"""Where Wherry keeps its state and its configuration (design of the state directories: docs/decisions/0071-paths.md).

Root keeps state in ``/var/lib/wherry`` and what a reboot may take in ``/run/wherry``; anybody else in the XDG base
directories (specifications.freedesktop.org/basedir-spec).
"""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument, NotSupported
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


_PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "REQUEST_METHOD")


class Paths(Record):
    """``root`` survives a reboot, ``run`` need not; ``config`` are directories read in order, later ones win;
    ``docker_config`` is the directory of Docker's ``config.json``, which holds registry credentials."""

    root: str
    run: str
    config: tuple[str, ...]
    docker_config: str
    cache: str
    proxies: tuple[tuple[str, str], ...] = ()  # the variables that name proxies, as they are set


def find(environ: Mapping[str, str], *, root: str = "", run: str = "", config: str = "") -> Paths:
    """The directories for the calling user; ``root``, ``run`` and ``config`` are the command line's wishes.

    Raises `NotSupported` when an unprivileged user has neither a home nor XDG directories.
    """
    for option, path in (("--root", root), ("--run-root", run), ("--config", config)):
        if path and not os.path.isabs(path):
            raise InvalidArgument(f'{option} "{path}": the path must be absolute')
    home = environ.get("HOME", "")
    config_home = _xdg(environ, "XDG_CONFIG_HOME", home, ".config")
    configs: tuple[str, ...] = ("/etc/wherry",)
    if os.geteuid() == 0:
        root, run = root or "/var/lib/wherry", run or "/run/wherry"
    else:
        root = root or os.path.join(_xdg(environ, "XDG_DATA_HOME", home, ".local/share"), "wherry")
        run = run or os.path.join(_runtime_directory(environ), "wherry")
        configs += (os.path.join(config_home, "wherry"),)
    if config:
        configs += (config,)
    docker_config = environ.get("DOCKER_CONFIG") or os.path.join(home or "/", ".docker")
    proxies = tuple((name, environ[name]) for name in _PROXIES if name in environ)
    return Paths(root, run, configs, docker_config, os.path.join(root, "cache"), proxies)


def here(*, root: str = "", run: str = "", config: str = "") -> Paths:
    """The same for a program that is no command line: the environment is that of this process."""
    return find(os.environ, root=root, run=run, config=config)


def _xdg(environ: Mapping[str, str], name: str, home: str, default: str) -> str:
    """An XDG base directory; a relative one is to be ignored, says the specification."""
    value = environ.get(name, "")
    if os.path.isabs(value):
        return value
    if not os.path.isabs(home):
        if os.geteuid() == 0:
            return os.path.join("/root", default)
        raise NotSupported(f"no place to keep state: neither {name} nor HOME is set", hint=f"set {name}, or use --root")
    return os.path.join(home, default)


def _runtime_directory(environ: Mapping[str, str]) -> str:
    """XDG_RUNTIME_DIR, or a private directory in /tmp, as the specification asks of programs that find it unset."""
    value = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(value):
        return value
    uid = os.geteuid()
    path = f"/run/user/{uid}"
    if os.path.isdir(path) and os.access(path, os.W_OK):
        return path
    path = f"/tmp/wherry-run-{uid}"
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        status = os.lstat(path)
        if status.st_uid != uid or status.st_mode & 0o170077 != 0o040000:
            raise NotSupported(
                f"{path} belongs to somebody else or is open to others",
                hint="set XDG_RUNTIME_DIR to a private directory",
            ) from None
    return path
