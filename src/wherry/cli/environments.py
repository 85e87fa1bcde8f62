"""What the commands of `wherry env` have in common."""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from wherry.cli.main import Call
    from wherry.env.lock import Lock


_INDEXES_OF_UV = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")


def read_lock(path: str) -> Lock:
    """The lock of a folder, or in a file.

    Raises `NotFound`, `InvalidArgument`, `Conflict` when the folder asks for something else by now.
    """
    from pathlib import Path

    from wherry.env import locking

    return locking.load(Path(path))[0] if os.path.isdir(path) else locking.read(Path(path))


def is_lock(source: str) -> bool:
    """Whether a word of the command line is a folder or a lock, and not an image or a container."""
    return os.path.exists(source) or source.endswith(".toml") or source.startswith((".", "/"))


def read_any(source: str) -> Lock:
    """The lock of a folder, or in a file, be it of its project or not.  Raises `NotFound`, `InvalidArgument`."""
    from pathlib import Path

    from wherry.env import locking
    from wherry.env.inputs import project

    path = Path(source)
    if not path.is_dir():
        return locking.read(path)
    return locking.read(project.lock_path(path) or path / project.LOCK_NAMES[-1])


def any_lock(call: Call, source: str) -> Lock:
    """The lock of a folder, in a file, or that an image carries.  Raises `NotFound`, `InvalidArgument`."""
    if is_lock(source):
        return read_any(source)
    from wherry.env.verify import lock_of
    from wherry.store import images

    return lock_of(images.resolve(call.engine().db, source))


def locked_architecture(lock: Lock, platform: str) -> str:
    """That of ``--platform``, else this machine's where the lock has it, else its first.  Raises `InvalidArgument`."""
    from wherry.oci.platform import host

    wanted = architecture(platform)
    if wanted and wanted not in lock.architectures:
        raise InvalidArgument(f"the lock is not for {wanted}, but for {' and '.join(lock.architectures)}")
    own = host().architecture
    return wanted or (own if own in lock.architectures else lock.architectures[0])


def follow_pip(environ: MutableMapping[str, str]) -> None:
    """Lets uv use the indexes that the environment names for pip, where it names none for uv."""
    if not any(environ.get(name) for name in _INDEXES_OF_UV):
        for theirs, ours in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX")):
            if environ.get(theirs):
                environ[ours] = environ[theirs]


def debian_mirrors(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The mirrors that ``WHERRY_DEBIAN_MIRROR`` names, apart by blanks: of debian, and of debian-security."""
    return tuple(environ.get("WHERRY_DEBIAN_MIRROR", "").split())


def architecture(platform: str) -> str:
    """Of ``--platform``; empty for this machine's.  Raises `InvalidArgument`."""
    if not platform:
        return ""
    from wherry.oci.platform import normal, parse

    wanted = normal(parse(platform))
    if wanted.os != "linux":
        raise InvalidArgument(f"--platform {platform}: environments are made for linux")
    return wanted.architecture
