"""fs-verity, as the kernel answers for it."""

from __future__ import annotations

import errno
import fcntl
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
