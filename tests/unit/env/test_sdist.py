"""What a source distribution says of its build, and what cannot be read."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from support import tars
from wherry.env.sdist import Build, Source, read
from wherry.errors import Corrupt, WherryError

LEGACY = Build("setuptools.build_meta:__legacy__", (), ("setuptools>=40.8.0",))


def source(path: Path) -> Source:
    return Source("it 1.0", "it", "1.0", str(path), "0" * 64)


def packed(directory: Path, text: str | None, kind: str = "gz", name: str = "it-1.0/pyproject.toml") -> Source:
    files = {"it-1.0/setup.py": "", "it-1.0/sub/pyproject.toml": "not this one ["}
    files |= {name: text} if text is not None else {}
    if kind == "zip":
        path = directory / "it-1.0.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file, content in files.items():
                archive.writestr(file, content)
        return source(path)
    path = directory / f"it-1.0.tar.{kind}"
    with tarfile.open(path, f"w:{kind}") as tar:  # type: ignore[call-overload]
        for file, content in files.items():
            info = tarfile.TarInfo(file)
            info.size = len(content.encode())
            tar.addfile(info, io.BytesIO(content.encode()))
    return source(path)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])
def test_what_it_says(tmp_path: Path, kind: str) -> None:
    text = '[build-system]\nrequires = ["a>1", "b"]\nbuild-backend = "x.y:z"\nbackend-path = ["."]\n'
    assert read(packed(tmp_path, text, kind)) == Build("x.y:z", (".",), ("a>1", "b"))


def test_what_it_does_not_say(tmp_path: Path) -> None:
    assert read(packed(tmp_path, None)) == LEGACY
    assert read(packed(tmp_path, "[tool.black]\n")) == LEGACY
    assert read(packed(tmp_path, '[build-system]\nrequires = ["x"]\n')).backend == LEGACY.backend
    assert read(packed(tmp_path, '[build-system]\nrequires = ["x"]\n', name="./it-1.0/pyproject.toml")).requires == (
        "x",
    )


@pytest.mark.parametrize(
    "text",
    ["[build-system", "[build-system]\n", "[build-system]\nrequires = 'x'\n", "[build-system]\nrequires = [1]\n",
     "[build-system]\nrequires = []\nbuild-backend = 1\n", "[build-system]\nrequires = []\nbackend-path = [1]\n"],
)  # fmt: skip
def test_what_is_malformed(tmp_path: Path, text: str) -> None:
    with pytest.raises(WherryError, match=r"it 1\.0"):
        read(packed(tmp_path, text))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "it-1.0.tar.gz"
    whole = packed(tmp_path, "x = 1\n" * 100)
    data = Path(whole.path).read_bytes()
    for bad in (b"", b"nothing", data[:-40], tars.member("it-1.0/pyproject.toml", b"", size=1 << 40)):
        path.write_bytes(bad)
        if not bad:
            assert read(source(path)) == LEGACY
            continue
        with pytest.raises(Corrupt, match="cannot be read"):
            read(source(path))
    negative = tars.header("it-1.0/x", patch={124: b"\xff" * 12})  # CVE-2025-8194
    path.write_bytes(negative + tars.END)
    with pytest.raises(Corrupt, match="cannot be read"):
        read(source(path))
    zipped = tmp_path / "it-1.0.zip"
    zipped.write_bytes(b"PK\3\4nothing")
    with pytest.raises(Corrupt, match="cannot be read"):
        read(source(zipped))
