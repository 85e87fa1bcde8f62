"""Sparse files, in every form that GNU tar writes them, and maps that no writer makes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support import tars
from support.tars import header, member, pax
from wherry.errors import Corrupt
from wherry.layers.apply import Applied

Make = Callable[..., tuple[Path, Applied]]
FORMS = [
    ("--format=gnu",),
    ("--format=posix", "--sparse-version=0.0"),
    ("--format=posix", "--sparse-version=0.1"),
    ("--format=posix", "--sparse-version=1.0"),
]


@pytest.mark.parametrize("form", FORMS, ids=["gnu", "0.0", "0.1", "1.0"])
@pytest.mark.parametrize("pieces", [0, 1, 3, 40, 300])
def test_what_gnu_tar_writes(layer: Make, tmp_path: Path, form: tuple[str, ...], pieces: int) -> None:
    source = tmp_path / "source"
    source.mkdir()
    name = "long" * 30 + str(pieces)
    with (source / name).open("wb") as file:
        for index in range(pieces):
            file.seek(index * 200_000 + (100_000 if index % 2 else 0))
            file.write(os.urandom(3000 + index))
        file.truncate(pieces * 200_000 + 1_000_003)
    (source / "plain").write_bytes(b"plain")
    for path in source.iterdir():
        os.utime(path, (5, 5))  # the format of GNU has no nanoseconds
    made = subprocess.run(
        ["tar", "-C", str(source), "-S", *form, "-cf", "-", name, "plain"], check=True, capture_output=True
    ).stdout
    assert len(made) < 20_000 + pieces * 9000
    path, _ = layer(made)
    assert tars.tree(path, owners=False) == tars.tree(source, owners=False)
    assert (path / name).stat().st_blocks * 512 <= pieces * 12288 + 4096


def gnu(numbers: list[int], real: int, stored: int, more: bytes = b"") -> bytes:
    table = b"".join(tars.number(value, 12) for value in numbers)
    return header(
        "s", b"S", size=stored, magic=b"ustar  \0", patch={386: table, 482: more or b"\0", 483: tars.number(real, 12)}
    ) + tars.padded(bytes(stored))


def posix(text: str, real: str, stored: int) -> bytes:
    version = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1"}
    return pax(version | {"GNU.sparse.name": "s", "GNU.sparse.size": real, "GNU.sparse.map": text}) + member(
        "x", bytes(stored)
    )


def one_zero(text: bytes, real: str = "100", stored: int = 1024) -> bytes:
    records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": real}
    return pax(records) + member("x", text.ljust(512, b"\0") + bytes(stored - 512))


def test_the_hostile_ones_are_not_refused_for_another_reason(layer: Make) -> None:
    layer(gnu([0, 10], 100, 10))
    layer(posix("0,10", "100", 10))
    layer(one_zero(b"1\n0\n512\n", real="600"))


@pytest.mark.parametrize(
    "data",
    [
        gnu([0, 100], 50, 100),
        gnu([0, 10, 5, 10], 100, 20),
        gnu([50, 10, 0, 10], 100, 20),
        gnu([-512, 10], 100, 10),
        gnu([0, -10, 0, 20], 100, 10),
        gnu([0, 10], -1, 10),
        gnu([0, 10], 100, 5),
        gnu([0, 10], 100, 20),
        gnu([(1 << 63) - 1, 10], 100, 10),
        posix("0,10,", "100", 10),
        posix("0", "100", 10),
        posix("0,-10", "100", 10),
        posix("a,b", "100", 10),
        posix("0,10", "5", 10),
        posix("0,10", "-5", 10),
        posix("0,1" + ",2,0" * 100_001, "100", 1),
        one_zero(b"1\n0\n"),
        one_zero(b"9999999999\n"),
        one_zero(b"-1\n0\n0\n"),
        one_zero(b"0" * 512),
        one_zero(b"1\n0\n9\n"),
        one_zero(b"1\nx\n9\n"),
        pax({"GNU.sparse.major": "2", "GNU.sparse.minor": "0"}) + member("x", bytes(10)),
        pax([("GNU.sparse.size", "9"), ("GNU.sparse.offset", "5"), ("GNU.sparse.numbytes", "10")])
        + member("x", bytes(10)),
    ],
)
def test_maps_that_do_not_fit_are_refused(layer: Make, data: bytes) -> None:
    with pytest.raises(Corrupt):
        layer(data)


def test_apparent_size_is_limited(layer: Make) -> None:
    with pytest.raises(Corrupt, match="more data"):
        layer(gnu([0, 10], 1 << 50, 10))
