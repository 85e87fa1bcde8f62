"""fs-verity, as the kernel answers for it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path

import pytest

from wherry.linux import verity


def test_a_file_nobody_has_put_under_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert verity.state(str(path)) in ("", "off")
    with pytest.raises(FileNotFoundError):
        verity.state(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("answer", "state"),
    [(0, "on"), (errno.ENODATA, "off"), (errno.EOPNOTSUPP, ""), (errno.ENOTTY, "")],
)
def test_what_the_kernel_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int, state: str) -> None:
    """ENODATA: the file system has the feature, the file has it not (ioctl FS_IOC_MEASURE_VERITY)."""

    def ioctl(_fd: int, request: int, _room: bytearray) -> int:
        assert request == 3 << 30 | 4 << 16 | ord("f") << 8 | 134
        if answer:
            raise OSError(answer, "")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    (tmp_path / "file").touch()
    assert verity.state(str(tmp_path / "file")) == state


@pytest.mark.parametrize(
    ("answer", "raised"), [(0, None), (errno.EEXIST, None), (errno.EOPNOTSUPP, OSError), (errno.ETXTBSY, OSError)]
)
def test_sealing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int, raised: type[OSError] | None) -> None:
    """FS_IOC_ENABLE_VERITY with a struct fsverity_enable_arg: version 1, SHA-256, blocks of a page, nothing else."""
    asked = []

    def ioctl(_fd: int, request: int, argument: bytes) -> int:
        asked.append((request, argument))
        if answer:
            raise OSError(answer, "")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    (tmp_path / "file").touch()
    with pytest.raises(raised) if raised else contextlib.nullcontext():
        verity.seal(str(tmp_path / "file"))
    words = struct.pack("=III", 1, 1, os.sysconf("SC_PAGE_SIZE"))
    assert asked == [(1 << 30 | 128 << 16 | ord("f") << 8 | 133, words + bytes(116))]
