"""Locks for tests, over wheels that lie in a directory and a base image in a registry on loopback."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from support import images, wheels
from wherry.env import lock_file
from wherry.env.lock import ImageBase, Lock, LockedFile, LockedPackage, Options

ARCHITECTURE = images.ARCHITECTURE


def python_version() -> str:
    """Of the image that `images.python` makes: "3.11"."""
    return images.python_packages()[0].removeprefix("python").removesuffix("-minimal")


def locked(path: Path, url: str = "", **more: str) -> LockedPackage:
    """A package of one wheel; ``sha256`` in *more* lies about it."""
    name, version = path.name.split("-")[:2]
    file = LockedFile(path.name, url or path.as_uri(), more.get("sha256") or wheels.sha256(path), path.stat().st_size)
    return LockedPackage(more.get("name") or name.replace("_", "-"), more.get("version") or version, (file,))


def write(
    folder: Path, base: tuple[str, str], packages: Iterable[Path | LockedPackage], *, python: str = "",
    options: Options | None = None, architectures: tuple[str, ...] = (ARCHITECTURE,),
) -> Path:  # fmt: skip
    """Write ``pylock.toml`` into *folder*; *base* is (reference, digest)."""
    found = sorted((one if isinstance(one, LockedPackage) else locked(one) for one in packages), key=lambda p: p.name)
    lock = Lock(
        python or python_version(), architectures, ImageBase(*base), tuple(found), tuple(p.name for p in found),
        "0" * 64, options or Options(),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pylock.toml"
    path.write_text(lock_file.write(lock))
    for each in (folder, path):
        each.chmod(each.stat().st_mode | 0o555 if each.is_dir() else 0o644)
    return path
