"""A layer, or all layers of an image, as a tree in memory: what an EROFS image is written from.

Files are plain tuples and directories are dictionaries of them, because there are a hundred thousand of them: an object
with attributes for each would cost several times as much.
"""

from __future__ import annotations

from typing import TypeAlias

from wherry.errors import Corrupt
from wherry.layers.tree import shown

#: One inode that is not a directory: mode with its type, uid, gid, seconds and nanoseconds of its time, bytes of
#: content, first block of 512 bytes of the content (a device's number, for devices; in the tree of an image, see
#: `erofs_image.base`), extended attributes as EROFS has them, and a symbolic link's target.  Names of one file have the
#: same object.
Node: TypeAlias = tuple[int, int, int, int, int, int, int, bytes, bytes]


class Mark:
    """What a layer says about a name that it has no file for: with ``target`` a hard link to a file of a layer below,
    without one that what is below is hidden (`WHITEOUT`).

    ``hides``: a directory that takes this one's place hides what is below.
    """

    __slots__ = ("hides", "target")

    def __init__(self, target: bytes = b"", *, hides: bool = False) -> None:
        self.target = target
        self.hides = hides


WHITEOUT = Mark(hides=True)


class Directory:
    """A directory.  ``implied``: its layer has no entry for it; ``opaque``: it hides what is in it in layers below."""

    __slots__ = ("children", "gid", "implied", "mode", "nanoseconds", "opaque", "seconds", "uid", "xattrs")

    def __init__(self, mode: int, uid: int, gid: int, seconds: int, nanoseconds: int, xattrs: bytes = b"") -> None:
        self.children: dict[bytes, Child] = {}
        self.implied = True
        self.opaque = False
        self.mode, self.uid, self.gid = mode, uid, gid
        self.seconds, self.nanoseconds, self.xattrs = seconds, nanoseconds, xattrs

    def take(self, other: Directory) -> None:
        """Take over the attributes of another one."""
        self.mode, self.uid, self.gid, self.xattrs = other.mode, other.uid, other.gid, other.xattrs
        self.seconds, self.nanoseconds = other.seconds, other.nanoseconds


Child: TypeAlias = "Directory | Node | Mark"


def merge(lower: Directory, upper: Directory) -> None:
    """Put the layer ``upper`` on ``lower``, which becomes what both show together, as overlay would (and ``upper`` is
    used up).

    A directory that ``upper`` only implies keeps the attributes that it has below.  Hard links into a layer below
    become names of the file there; one whose file is missing stays a `Mark`, since what is on top may hide it.
    """
    links: list[tuple[Directory, bytes, Child]] = []
    _find_links(lower, upper, links)
    for directory, name, found in links:
        directory.children[name] = found
    _merge(lower, upper)
    if not upper.implied:
        lower.take(upper)


def _find_links(root: Directory, directory: Directory, found: list[tuple[Directory, bytes, Child]]) -> None:
    for name, child in directory.children.items():
        if child.__class__ is Directory:
            _find_links(root, child, found)
        elif child.__class__ is Mark and child.target:
            target = _look(root, child.target)
            if target is not None and target.__class__ is not Directory:
                found.append((directory, name, target))


def _look(root: Directory, path: bytes) -> Child | None:
    """What is at ``path``, no link on the way followed."""
    here: Child | None = root
    for part in path.split(b"/"):
        if not isinstance(here, Directory):
            return None
        here = here.children.get(part)
    return here


def _merge(lower: Directory, upper: Directory) -> None:
    if upper.opaque:
        lower.children.clear()
    below = lower.children
    for name, child in upper.children.items():
        if child.__class__ is tuple:
            below[name] = child
        elif child.__class__ is Directory:
            there = below.get(name)
            if there.__class__ is not Directory:
                there = below[name] = Directory(0, 0, 0, 0, 0)
                there.take(child)
            elif not child.implied:
                there.take(child)
            _merge(there, child)
        elif child is WHITEOUT:
            below.pop(name, None)
        else:
            below[name] = child


def check(directory: Directory, path: bytes = b"") -> None:
    """Raise `Corrupt` when a hard link that shows leads nowhere."""
    for name, child in directory.children.items():
        if child.__class__ is Directory:
            check(child, path + name + b"/")
        elif child.__class__ is Mark:
            raise Corrupt(
                f"layer has a hard link to {shown(child.target)}, which is no file of a layer below: "
                f"{shown(path + name)}"
            )
