"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import os
import stat

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO


def write_whole(path: str, write: Callable[[BinaryIO], None], *, what: str) -> None:
    """Have ``write`` write the file ``path``, private to the caller; nothing is left of it when that fails.

    A pipe is written to as it comes.  ``what`` begins the message of `InvalidArgument` for a place that cannot be.
    """
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise InvalidArgument(f"{what}: invalid output path: stat {directory}: no such file or directory")
    if os.path.isdir(path):
        raise InvalidArgument(f"{what}: invalid output path: {path} is a directory")
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        with open(path, "wb") as file:  # a pipe or a device has no other name to appear under
            write(file)
        return
    import tempfile

    handle, partial = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
    try:
        with open(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o600)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
