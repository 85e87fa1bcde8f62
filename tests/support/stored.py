"""What a store keeps of layers, whichever form they have: directories in ``layers``, tars in ``erofs``."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from support.command import Wherry
from wherry.layers import erofs_tar


def names(wherry: Wherry) -> list[str]:
    """The layers, fix-ups and images that are complete: ``layers/<hex>``, ``erofs/<hex>``."""
    found = [*(wherry.root / "layers").glob("*"), *(wherry.root / "erofs").glob("*")]
    return sorted(str(path.relative_to(wherry.root)) for path in found if not path.name.startswith("."))


def unfinished(wherry: Wherry) -> list[str]:
    """What is being written or removed."""
    found = [*(wherry.root / "layers").glob(".*"), *(wherry.root / "erofs").glob(".*")]
    return [path.name for path in found if path.name != ".no-layers"]


def files(wherry: Wherry, diff_id: str) -> dict[str, int]:
    """The files of a layer and their lengths."""
    directory = wherry.root / "layers" / diff_id[7:]
    if directory.is_dir():
        found = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
        return {str(path.relative_to(directory)): path.stat().st_size for path in found}
    with tarfile.open(fileobj=io.BytesIO(whole_tar(wherry, diff_id))) as archive:
        return {member.name: member.size for member in archive if member.isfile()}


def tar(wherry: Wherry, diff_id: str) -> Path:
    """Where the part of a layer's tar is that containers read."""
    return wherry.root / "erofs" / diff_id[7:] / "tar"


def whole_tar(wherry: Wherry, diff_id: str) -> bytes:
    """A layer's tar, of both its parts."""
    path = tar(wherry, diff_id)
    with path.open("rb") as content, path.with_name("heads").open("rb") as heads:
        stream = erofs_tar.Tar(content.fileno(), heads.fileno())
        return b"".join(iter(lambda: stream.read(1 << 20), b""))
