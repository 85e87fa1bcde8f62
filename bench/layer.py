"""A layer like the site-packages of a machine-learning project: 10,000 files, 350 MB, made anew the same every time."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support import images

FILES, TOTAL, SEED = 10_000, 350_000_000, 20_240_101


class _Tee:
    """Hashes what passes through."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self.hash, self.size = out, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self._out.write(data)

    def flush(self) -> None:
        self._out.flush()


def _material(chance: random.Random) -> tuple[bytes, bytes]:
    """(source text, machine code): 4 MB each to cut pieces from."""
    library = Path(sysconfig.get_paths()["stdlib"])
    text = bytearray()
    for path in sorted(library.glob("*.py")):
        text += path.read_bytes()
    code = bytearray()
    words = [chance.randbytes(8) for _ in range(4000)]
    while len(code) < 4_000_000:  # machine code compresses to about 40 per cent: some words come often
        code += chance.choice(words[: chance.choice((40, 400, 4000))]) + bytes(chance.choice((0, 0, 4, 8)))
    return bytes(text[:4_000_000]), bytes(code)


def _piece(chance: random.Random, material: bytes, size: int) -> bytes:
    out = bytearray()
    while len(out) < size:
        start = chance.randrange(len(material) - 4096)
        out += material[start : start + chance.randrange(512, 4096)]
    return bytes(out[:size])


def write(out: BinaryIO) -> None:
    """The uncompressed tar: 97 of 100 files are source, bytecode or data; the rest are large libraries."""
    chance = random.Random(SEED)
    text, code = _material(chance)
    with tarfile.open(fileobj=out, mode="w|") as tar:
        known: set[str] = set()
        left = TOTAL
        for number in range(FILES):
            package = f"usr/lib/python3/site-packages/package{number // 90:03d}/module{number % 9}"
            for end in [at for at, letter in enumerate(package) if letter == "/"] + [len(package)]:
                if package[:end] not in known:
                    known.add(package[:end])
                    info = tarfile.TarInfo(package[:end])
                    info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, images.EPOCH
                    tar.addfile(info)
            large = number % 33 == 0
            size = min(left, chance.randrange(200_000, 1_500_000) if large else chance.randrange(200, 20_000))
            if number == FILES - 1:
                size = left
            left -= size
            kind = "so" if large else ("py", "pyc", "pyi", "json")[number % 4]
            info = tarfile.TarInfo(f"{package}/file{number:05d}.{kind}")
            info.size, info.mode, info.mtime = size, 0o755 if large else 0o644, images.EPOCH
            tar.addfile(info, io.BytesIO(_piece(chance, code if large or kind == "pyc" else text, size)))


def image() -> images.Built:
    """busybox and the layer, compressed by gzip -6 as registries have them; cached per machine."""

    def build(directory: Path, _files: dict[str, Path]) -> images.Built:
        small = images.Image([], {}).build(directory, base=images.busybox())
        blobs = directory / "blobs" / "sha256"
        part = blobs / "part"
        with part.open("wb") as raw:
            outer = _Tee(raw)
            with gzip.GzipFile(filename="", mode="wb", fileobj=outer, compresslevel=6, mtime=0) as packed:
                inner = _Tee(packed)
                write(inner)
        part.rename(blobs / outer.hash.hexdigest())
        descriptor = {
            "mediaType": images.OCI["gzip"],
            "digest": "sha256:" + outer.hash.hexdigest(),
            "size": outer.size,
        }
        config = small.config
        config["rootfs"]["diff_ids"].append("sha256:" + inner.hash.hexdigest())
        config["history"].append({"created": "2023-11-14T22:13:20Z", "created_by": "site-packages"})
        return images.write_layout(directory, config, [*small.manifest["layers"], descriptor])

    return images.cached("site-packages", images.BUSYBOX_PACKAGES, build)
