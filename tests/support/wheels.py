"""Wheels for tests, honest and hostile, written as the archives that they are."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"


def make(
    directory: Path, name: str, version: str = "1.0", files: Mapping[str, str | bytes] | None = None, *,
    tag: str = "py3-none-any", scripts: Mapping[str, str] | None = None, executable: tuple[str, ...] = (),
    stored: tuple[str, ...] = (), mode: int = 0o100644, level: int = 6, requires: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Write a wheel of *files*; without any, of one module of the name.  ``scripts`` are its entry points."""
    plain = name.replace("-", "_")
    info = f"{plain}-{version}.dist-info"
    content: dict[str, str | bytes] = dict(files if files is not None else {f"{plain}.py": f"VERSION = {version!r}\n"})
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    content[f"{info}/METADATA"] = METADATA.format(name=name, version=version) + needs
    content[f"{info}/WHEEL"] = WHEEL.format(pure="true" if tag.endswith("-any") else "false", tag=tag)
    if scripts:
        lines = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        content[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}"
    content.setdefault(f"{info}/RECORD", "".join(f"{path},,\n" for path in content) + f"{info}/RECORD,,\n")
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{plain}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in content.items():
            entry = zipfile.ZipInfo(file, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (mode | (0o111 if file in executable else 0)) << 16
            entry.compress_type = zipfile.ZIP_STORED if file in stored else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data, compresslevel=level)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
