"""The layer of a package: any gzip and any tar reads it, and its bytes are decided by the wheel alone."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import os
import tarfile
import time
import zlib
from pathlib import Path

import pytest

from support import wheels
from wherry.env.bytecode import Compiled
from wherry.env.package_layer import PackageLayer, entries
from wherry.env.wheels import Wheel
from wherry.errors import Corrupt
from wherry.layers import compression

FILES = {
    "it/__init__.py": "x = 1\n" * 500, "it/empty.py": "", "it/noise.bin": hashlib.shake_256(b"1").digest(300_000),
    'it/a,"b".txt': "quoted", "it-1.0.data/scripts/tool": "#!python\n", "it/" + "d" * 120 + "/x.py": "long = 1\n",
}  # fmt: skip


def layer(path: Path, bytecode: str = "") -> tuple[bytes, str]:
    with Wheel(str(path), "it 1.0", "3.11") as wheel:
        made = PackageLayer(entries(wheel, Compiled(bytecode)))
        data = b"".join(iter(lambda: made.read(1), b""))
    return data, made.diff_id


def test_any_gzip_and_any_tar_reads_it(tmp_path: Path) -> None:
    data, diff_id = layer(wheels.make(tmp_path, "it", files=FILES))
    plain = gzip.decompress(data)
    assert "sha256:" + hashlib.sha256(plain).hexdigest() == diff_id
    reader = compression.reader(io.BytesIO(data))
    assert b"".join(iter(lambda: reader.read(1000), b"")) == plain
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = tar.getmembers()
        assert {(one.uid, one.gid, one.mtime, one.uname) for one in members} == {(0, 0, 0, "")}
        assert {one.mode for one in members if one.isdir()} == {0o755}
        site = "opt/venv/lib/python3.11/site-packages"
        for name, content in FILES.items():
            if name.startswith("it/"):
                found = tar.extractfile(f"{site}/{name}")
                assert found is not None
                assert found.read() == (content.encode() if isinstance(content, str) else content)
        seen = set()
        for one in members:
            assert one.name.count("/") == 0 or one.name.rpartition("/")[0] in seen, "a directory comes before its files"
            seen.add(one.name)


def test_record_has_the_hash_of_everything(tmp_path: Path) -> None:
    data, _ = layer(wheels.make(tmp_path, "it", files=FILES))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        files = {one.name for one in tar.getmembers() if one.isfile()}
        record = "opt/venv/lib/python3.11/site-packages/it-1.0.dist-info/RECORD"
        assert tar.getmembers()[-1].name == record
        listing = tar.extractfile(record)
        assert listing is not None
        rows = list(csv.reader(io.TextIOWrapper(listing)))
        for path, digest, size in rows:
            name = os.path.normpath(f"opt/venv/lib/python3.11/site-packages/{path}")
            files.remove(name)
            if name != record:
                found = tar.extractfile(name)
                assert found is not None
                content = found.read()
                expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
                assert (digest, size) == (f"sha256={expected}", str(len(content)))
    assert not files


def test_the_bytes_do_not_depend_on_time_umask_or_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = layer(wheels.make(tmp_path / "one", "it", files=FILES))
    old = os.umask(0o077)
    try:
        monkeypatch.setattr(time, "time", lambda: 2e9)
        assert layer(wheels.make(tmp_path / "another" / "place", "it", files=FILES)) == first
    finally:
        os.umask(old)


def test_what_was_compressed_is_not_compressed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No compressor of this machine has a part in it."""
    path = wheels.make(tmp_path, "it", files=FILES)
    first = layer(path)
    monkeypatch.setattr(zlib, "compressobj", None)
    monkeypatch.setattr(zlib, "compress", None)
    assert layer(path) == first
    assert len(first[0]) < path.stat().st_size + 4000


def test_a_wheel_that_has_rotted(tmp_path: Path) -> None:
    """A stored file reads as well as before; its checksum tells."""
    path = wheels.make(tmp_path, "it", files={"it.py": b"x = 1\n" * 20}, stored=("it.py",))
    data = path.read_bytes().replace(b"x = 1\n" * 20, b"x = 1\n" * 19 + b"x = 2\n")
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="checksum"):
        layer(path)


@pytest.mark.parametrize("change", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_a_damaged_file_in_a_wheel(tmp_path: Path, change: bytes) -> None:
    path = wheels.make(tmp_path, "it", files={"it.py": os.urandom(2000)})
    data = bytearray(path.read_bytes())
    at = data.index(b"it.py") + len(b"it.py")
    data[at : at + 4] = change
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=r"damaged|size"):
        layer(path)


def test_a_wheel_that_lies_about_a_size(tmp_path: Path) -> None:
    path = wheels.make(tmp_path, "it", files={"it.py": b"x" * 2000})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 24  # the size in the directory of the archive
    for size in (1999, 2001, 10):
        data[at : at + 4] = size.to_bytes(4, "little")
        path.write_bytes(data)
        with pytest.raises(Corrupt, match="size"):
            layer(path)
