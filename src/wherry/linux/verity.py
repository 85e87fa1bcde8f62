"""Whether files of a file system can be put under fs-verity (Linux, filesystems/fsverity.rst)."""

from __future__ import annotations

import _struct as struct
import errno
import fcntl
import os

_FS_IOC_MEASURE_VERITY = 0xC0046686
_ROOM = 64  # for a digest


def state(path: str) -> str:
    """What the kernel says of the file ``path``: "on", "off" where it could be on, or "" where its file system has no
    fs-verity, or the kernel none.  Raises OSError when the file cannot be opened."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _FS_IOC_MEASURE_VERITY, bytearray(struct.pack("=HH", 0, _ROOM)) + bytearray(_ROOM))
    except OSError as error:
        return "off" if error.errno == errno.ENODATA else ""
    finally:
        os.close(fd)
    return "on"
