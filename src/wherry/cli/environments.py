"""What the commands of `wherry env` have in common."""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from wherry.env.lock import Lock

LOCK = "pylock.toml"


def read_lock(path: str) -> Lock:
    """The lock in a folder, or in a file.  Raises `NotFound`, `InvalidArgument`."""
    from wherry.env import lock_file

    file = os.path.join(path, LOCK) if os.path.isdir(path) else path
    try:
        with open(file, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        raise NotFound("lock", file, f"there is no lock {file}", hint="make it with 'wherry env lock'") from None
    except UnicodeDecodeError:
        raise InvalidArgument(f"{file} is not a text") from None
    return lock_file.read(text, file)


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
