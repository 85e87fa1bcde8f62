"""Where the files of packages go: below a merged /usr, without what an image has no use for."""

from __future__ import annotations

from wherry.errors import Corrupt

MERGED = (b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libx32")
"""Directories that are links into /usr (wiki.debian.org/UsrMerge)."""
_MOVED = ((b"var/run", b"run"), (b"var/lock", b"run/lock"))
_DROPPED = tuple([
    b"usr/share/" + name
    for name in (b"man", b"info", b"locale", b"lintian", b"groff", b"linda", b"doc-base", b"bug", b"menu", b"omf",
                 b"gnome/help")
])  # fmt: skip
_KEPT = (b"usr/share/locale/locale.alias",)
_DOC = b"usr/share/doc/"
_MAX = 4096


def place(name: bytes, what: str) -> bytes:
    """The path, relative to the root, of what a package calls ``name``; empty for the root itself.

    Raises `Corrupt` for a path that leads out, or that no package has for good.
    """
    path = name.removeprefix(b"./").rstrip(b"/")
    if path in (b"", b"."):
        return b""
    parts = path.split(b"/")
    if len(path) > _MAX or any(part in (b"", b".", b"..") for part in parts) or not all(byte >= 32 for byte in path):
        raise Corrupt(f"package {what} has a file with a hostile path: {name[:200]!r}")
    if parts[0] in MERGED:
        path = b"usr/" + path
    for old, new in _MOVED:
        if path == old or path.startswith(old + b"/"):
            path = new + path[len(old) :]
    if any(part.startswith(b".wh.") for part in parts):
        raise Corrupt(f"package {what} has a file that a layer would take for a deletion: {name[:200]!r}")
    return path


def is_wanted(path: bytes, *, directory: bool = False, link: bool = False) -> bool:
    """Whether an image keeps it: no manuals, no translations, of the documentation only who owns the copyright."""
    for dropped in _DROPPED:
        if path == dropped or path.startswith(dropped + b"/"):
            return path in _KEPT or (directory and any(kept.startswith(path + b"/") for kept in _KEPT))
    if path.startswith(_DOC):
        depth = path.count(b"/")
        return (depth == 3 and (directory or link)) or (depth == 4 and path.endswith(b"/copyright"))
    return True
