"""Rotation of log files: loaded with the first one."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from wherry.linux import prctl

_BLOCK = 1 << 18


def shift(path: str, max_files: int) -> None:
    """Make ``path`` ``path.1``, ``path.1`` ``path.2`` and so on; ``max_files`` counts ``path`` itself."""
    for suffix in ("", ".gz"):
        _unlink(f"{path}.{max_files - 1}{suffix}")
        for number in range(max_files - 1, 1, -1):
            try:
                os.rename(f"{path}.{number - 1}{suffix}", f"{path}.{number}{suffix}")
            except FileNotFoundError:
                pass
    os.rename(path, f"{path}.1")


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def compress_apart(path: str) -> int:
    """Compress ``path`` to ``path.gz`` in a child process; its pid, or 0 when there could be none."""
    try:
        pid = os.fork()
    except OSError:
        return 0  # it stays as it is, which readers take as well
    if pid:
        return pid
    try:
        prctl.set_parent_death_signal(_signal.SIGKILL)  # a successor of the monitor may rotate as well
        prctl.close_from(3)  # the container's lock and its streams are not this process's
        compress(path)
    except BaseException:
        pass  # no room: the file stays as it is
    finally:
        os._exit(0)


def compress(path: str) -> None:
    """``path`` becomes ``path.gz``, whose header says which file it was (`origin`)."""
    from _struct import pack
    from zlib import DEFLATED, MAX_WBITS, compressobj, crc32

    temporary = f"{path}.gz.tmp"
    with open(path, "rb", buffering=0) as source:
        status = os.fstat(source.fileno())
        extra = b"wh" + pack("<HQ", 8, status.st_ino)  # one subfield (RFC 1952, 2.3.1.1)
        target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            with open(target, "wb") as file:
                file.write(b"\x1f\x8b\x08\x04" + pack("<I", int(status.st_mtime) & 0xFFFFFFFF) + b"\0\xff")
                file.write(pack("<H", len(extra)) + extra)
                compressor, check, size = compressobj(6, DEFLATED, -MAX_WBITS), 0, 0
                while block := source.read(_BLOCK):
                    check, size = crc32(block, check), size + len(block)
                    file.write(compressor.compress(block))
                file.write(compressor.flush() + pack("<II", check, size & 0xFFFFFFFF))
            os.rename(temporary, f"{path}.gz")
        except BaseException:
            _unlink(temporary)
            raise
    os.unlink(path)


def origin(path: str) -> int:
    """The inode number of the file that became this compressed one; 0 when nobody knows."""
    from _struct import unpack

    with open(path, "rb", buffering=0) as file:
        header = file.read(24)
    if len(header) == 24 and header[:4] == b"\x1f\x8b\x08\x04" and header[12:16] == b"wh\x08\0":
        return int(unpack("<Q", header[16:24])[0])
    return 0
