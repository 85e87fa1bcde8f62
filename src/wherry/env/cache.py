"""What environments are built from, kept below the store's ``cache/env``; all of it can be had again.

``wheels`` are downloads by their hash, ``bytecode`` what was compiled of them, ``layers`` says which layer packages
became, ``images`` which image a lock became.  A file is whole or not there.
"""

from __future__ import annotations

import os
import time

from wherry.engine import build_cache
from wherry.store.layout import translate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine

_PARTS = ("wheels", "bytecode", "layers", "images", "interpreters")
_STALE = 24 * 3600


def directory(engine: Engine) -> str:
    """The directory, with what is expected in it."""
    path = build_cache.directory(engine.layout)
    if not os.path.isdir(f"{path}/{_PARTS[-1]}"):
        for part in _PARTS:
            os.makedirs(f"{path}/{part}", 0o700, exist_ok=True)
    return path


def read(path: str) -> bytes | None:
    """The content of a small file, or None; it counts as used now."""
    try:
        with open(path, "rb") as file:
            os.utime(path)
            return file.read()
    except FileNotFoundError:
        return None


def has(path: str) -> bool:
    """Whether a file is there; it counts as used now (see `wherry.engine.build_cache.prune`)."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def write(path: str, data: bytes) -> None:
    """Make a file, or replace it.  Raises `StorageFull`, `SystemFailure`."""
    aside = f"{path}.{os.urandom(6).hex()}"
    try:
        with open(aside, "xb") as file:
            file.write(data)
        os.rename(aside, path)
    except OSError as error:
        try:
            os.unlink(aside)
        except FileNotFoundError:
            pass
        raise translate(error, "keep a part of an environment") from error


class scratch:  # noqa: N801
    """A new directory that is gone after the block; what a crash left there a day ago goes as well."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.path = f"{directory}/tmp-{os.getpid()}-{os.urandom(6).hex()}"

    def __enter__(self) -> str:
        import shutil

        for name in os.listdir(self._directory):
            path = f"{self._directory}/{name}"
            if name.startswith("tmp-") and time.time() - os.lstat(path).st_mtime > _STALE:
                shutil.rmtree(path, ignore_errors=True)
        os.mkdir(self.path, 0o700)
        return self.path

    def __exit__(self, *_error: object) -> None:
        import shutil

        shutil.rmtree(self.path, ignore_errors=True)
