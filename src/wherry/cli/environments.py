"""What the commands of `wherry env` have in common."""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from wherry.env.lock import Lock


def read_lock(path: str) -> Lock:
    """The lock of a folder, or in a file.

    Raises `NotFound`, `InvalidArgument`, `Conflict` when the folder asks for something else by now.
    """
    from pathlib import Path

    from wherry.env import locking

    return locking.load(Path(path))[0] if os.path.isdir(path) else locking.read(Path(path))


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
