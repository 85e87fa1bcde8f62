"""fs-verity: files that are read only from then on, and whose every read the kernel checks (Linux,
filesystems/fsverity.rst)."""

from __future__ import annotations

import _struct as struct
import errno
import fcntl
import os

_FS_IOC_ENABLE_VERITY = 0x40806685
_FS_IOC_MEASURE_VERITY = 0xC0046686
_ARGUMENT = struct.Struct("=IIIIQIIQ88x")  # struct fsverity_enable_arg
_VERSION, _SHA256 = 1, 1
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


def seal(path: str) -> None:
    """Has the kernel hash the file, and hold every read of it against that; nobody can write to it any more.

    Nothing happens to one that is so already.  Raises OSError: EOPNOTSUPP or ENOTTY without fs-verity, ETXTBSY while
    somebody has it open for writing.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        block = os.sysconf("SC_PAGE_SIZE")  # which all kernels and file systems take
        fcntl.ioctl(fd, _FS_IOC_ENABLE_VERITY, _ARGUMENT.pack(_VERSION, _SHA256, block, 0, 0, 0, 0, 0))
    except FileExistsError:
        return
    finally:
        os.close(fd)
