"""Hostile archives: what they try, and a place next to which nothing may change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from support import places, tars
from support.tars import directory, pax, symlink

UP = "../" * 12
#: Tars have to know where they would like to write before they are made.
BASE = places.PLACE / f"wt-archives-{os.getpid()}-base"
OUT = f"{BASE}/yard/outside"


class Yard:
    """``layer``, where tars are unpacked, and ``outside``, which must stay as it is."""

    def __init__(self, directory: Path) -> None:
        self.layer = directory / "yard" / "layer"
        self.outside = directory / "yard" / "outside"
        self.layer.mkdir(parents=True)
        self.outside.mkdir(mode=0o750)
        (self.outside / "file").write_text("secret")
        (self.outside / "file").chmod(0o640)
        (self.outside / "directory").mkdir()
        (self.outside / "directory" / "inner").write_text("secret too")
        for path in sorted(self.outside.rglob("*"), reverse=True):
            os.utime(path, (1, 1))
        self.before = self.look()

    def look(self) -> Any:
        around = sorted(os.listdir(self.layer.parent)), sorted(os.listdir(self.layer.parent.parent))
        return (
            around,
            tars.tree(self.outside),
            tars.describe(str(self.outside), {}),
            os.stat(self.outside / "file").st_nlink,
        )


def long(name: str, entry: bytes) -> bytes:
    return pax({"path": name}) + entry


def ladder(target: str) -> bytes:
    """The chain of directories and links with names so long that realpath() gives up (CVE-2025-4517's proof)."""
    made, path = b"", ""
    for step in "abcdefghijklmnop":
        component = "d" * 247
        made += long(f"{path}{component}", directory("x")) + long(
            f"{path}{step}", pax({"linkpath": component}) + symlink("x", "x")
        )
        path += f"{step}/"
    made += long(f"{path}{'l' * 254}", symlink("x", "../" * 16))
    return made + long("escape", pax({"linkpath": f"{path}{'l' * 254}/{target}"}) + symlink("x", "x"))


LINKS = {
    "absolute": symlink("l", f"{OUT}"),
    "relative": symlink("l", "../outside"),
    "climbing": symlink("l", UP + f"{OUT}"),
    "through another": symlink("m", "..") + symlink("l", "m/outside"),
    "through a directory": directory("a")
    + directory("a/b")
    + symlink("a/b/c", "../../..")
    + symlink("l", "a/b/c/outside"),
    "in two steps": symlink("m", "/") + symlink("n", "m/..") + symlink("l", "n/../outside"),
    "proc": symlink("l", "/proc/self/cwd/../outside"),
    "root": symlink("l", f"/proc/1/root{OUT}"),
    "descriptor": symlink("l", "/proc/self/fd/3/../outside"),
}
