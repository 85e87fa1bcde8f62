"""Directories of tests in /var/tmp: on disk, with short paths, and swept when the run that made them is dead."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from support import leaks

PLACE = Path("/var/tmp")
NAMED = re.compile(r"wt-[a-z]+-(\d+)-\w+")


def make(kind: str) -> Path:
    """A new private directory; its name says which process to ask whether it is still needed."""
    return Path(tempfile.mkdtemp(prefix=f"wt-{kind}-{os.getpid()}-", dir=PLACE))


def sweep() -> None:
    """Remove what runs that were killed have left: their containers, mounts and directories."""
    for path in PLACE.glob("wt-*"):
        found = NAMED.fullmatch(path.name)
        if found is None or leaks.alive(int(found[1])):
            continue
        with contextlib.suppress(OSError):
            if os.geteuid() in (0, path.lstat().st_uid) and path.is_dir() and not path.is_symlink():
                leaks.sweep(path)
                shutil.rmtree(path, ignore_errors=True)
