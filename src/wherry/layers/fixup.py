"""What one image's stack of layers needs on top of it.

A layer is unpacked without the layers below it, so two things in it cannot be right by themselves: a directory that
its tar only implies has made-up owner, mode and attributes, which would hide those of the same directory below; and
a hard link whose target is in a lower layer is missing.  An image that has such a case gets one more layer, which
holds those directories with the attributes they should show, and those links.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence

from wherry.errors import Corrupt, StorageFull, SystemFailure
from wherry.layers import attributes
from wherry.layers.tree import shown
from wherry.linux import trees
from wherry.record import Record

_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


class Layer(Record):
    """One unpacked layer: its directory, and what `wherry.layers.apply.Applied` reported of it."""

    path: str
    implied_dirs: tuple[str, ...] = ()
    missing_links: tuple[tuple[str, str], ...] = ()


class Copy(Record):
    """``name`` is to be what ``source`` is in the layer with that index: a directory's attributes, or the same file."""

    name: bytes
    layer: int
    source: bytes


class FixUp(Record):
    """What the layer on top has to hold: directories, those around others first, and hard links."""

    directories: tuple[Copy, ...] = ()
    links: tuple[Copy, ...] = ()

    @property
    def needed(self) -> bool:
        """Whether there is anything to put right."""
        return bool(self.directories or self.links)


def plan(layers: Sequence[Layer]) -> FixUp:
    """What the stack ``layers``, bottom-most first, needs.  Reads the layers, writes nothing.

    Raises `Corrupt` for a hard link whose target is in no layer below, and `SystemFailure`.
    """
    if not any(layer.implied_dirs or layer.missing_links for layer in layers):
        return FixUp()
    try:
        with _Stack(layers) as stack:
            return stack.plan()
    except OSError as error:
        raise SystemFailure("compare layers", "stat", error.errno or errno.EIO) from error


def write(fixup: FixUp, layers: Sequence[Layer], directory_fd: int) -> None:
    """Write the layer that ``fixup`` describes into the empty directory ``directory_fd``, on the layers' file system.

    Raises `StorageFull`, `SystemFailure`.
    """
    try:
        with _Stack(layers) as stack:
            for directory in fixup.directories:
                os.mkdir(directory.name, 0o700, dir_fd=directory_fd)
            for link in fixup.links:
                source = stack.roots[link.layer]
                os.link(link.source, link.name, src_dir_fd=source, dst_dir_fd=directory_fd, follow_symlinks=False)
            for directory in reversed(fixup.directories):
                _copy_attributes(stack.open(directory), os.open(directory.name, trees.DIRECTORY, dir_fd=directory_fd))
        os.fchmod(directory_fd, 0o755)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("no space left on device while fitting layers together") from error
        raise SystemFailure("fit layers together", "link", error.errno or errno.EIO) from error


def _copy_attributes(source: int, target: int) -> None:
    """Owner, mode, extended attributes and times of one directory for another; closes both descriptors."""
    try:
        status = os.fstat(source)
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(target, status.st_uid, status.st_gid)
        os.fchmod(target, stat.S_IMODE(status.st_mode))
        attributes.put(target, attributes.get(source))
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
    finally:
        os.close(source)
        os.close(target)


class _Found(Record):
    """What a layer has under a name: ``status`` None when it has nothing.

    ``hides``: nothing of that name in the layers below shows, whether or not this layer has something itself.
    """

    status: os.stat_result | None
    hides: bool


_NOTHING = _Found(None, False)
_HIDDEN = _Found(None, True)


class _Stack:
    """The layers of an image, looked through from the top."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.roots: list[int] = []
        self._implied = [frozenset(map(os.fsencode, layer.implied_dirs)) for layer in layers]
        self._missing = [
            {os.fsencode(name): os.fsencode(target) for name, target in layer.missing_links} for layer in layers
        ]
        self._seen: list[dict[bytes, _Found]] = [{} for _ in layers]
        self._layers = layers

    def __enter__(self) -> _Stack:
        try:
            for layer in self._layers:
                self.roots.append(os.open(layer.path, trees.DIRECTORY))
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for fd in self.roots:
            os.close(fd)
        self.roots.clear()

    def open(self, copy: Copy) -> int:
        """A descriptor of a directory of a layer."""
        return os.open(copy.source, trees.DIRECTORY, dir_fd=self.roots[copy.layer])

    def plan(self) -> FixUp:
        links = list(self._links())
        wrong = [name for name in sorted(set().union(*self._implied)) if self._is_wrong(name)]
        directories: dict[bytes, Copy] = {}
        for name in [*wrong, *(_parent(link.name) for link in links)]:
            parts = name.split(b"/") if name else []
            for depth in range(1, len(parts) + 1):
                part = b"/".join(parts[:depth])
                if part not in directories:
                    layer = self._shows_as(part)
                    if layer is None:  # cannot be: the layer that has ``name`` has it
                        raise Corrupt(f"layers do not fit together at {shown(part)}")
                    directories[part] = Copy(part, layer, part)
        return FixUp(tuple(directories[name] for name in sorted(directories)), tuple(links))

    def _look(self, layer: int, name: bytes) -> _Found:
        """What one layer has under a name."""
        seen = self._seen[layer]
        found = seen.get(name)
        if found is None:
            found = seen[name] = self._look_up(layer, name)
        return found

    def _look_up(self, layer: int, name: bytes) -> _Found:
        hides = False
        parent = _parent(name)
        if parent:
            around = self._look(layer, parent)
            if around.status is None:
                return around
            if not stat.S_ISDIR(around.status.st_mode):
                return _HIDDEN
            hides = around.hides or self._is_opaque(layer, parent)
        try:
            status = os.stat(name, dir_fd=self.roots[layer], follow_symlinks=False)
        except FileNotFoundError:
            return _HIDDEN if hides else _NOTHING
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            return _HIDDEN
        return _Found(status, hides)

    def _is_opaque(self, layer: int, name: bytes) -> bool:
        fd = os.open(name, trees.DIRECTORY, dir_fd=self.roots[layer])
        try:
            return any(attribute in _OPAQUE for attribute in os.listxattr(fd))
        finally:
            os.close(fd)

    def _shows_as(self, name: bytes) -> int | None:
        """The layer whose directory ``name`` has the attributes that the whole stack should show; None: no directory.

        That is the top-most one that has an entry for it, or, when none has, the top-most.
        """
        top = None
        for layer in range(len(self._layers) - 1, -1, -1):
            found = self._look(layer, name)
            if found.status is not None:
                if not stat.S_ISDIR(found.status.st_mode):
                    return top
                if name not in self._implied[layer]:
                    return layer
                if top is None:
                    top = layer
            if found.hides:
                return top
        return top

    def _is_wrong(self, name: bytes) -> bool:
        """Whether the stack without a fix-up shows other attributes for a directory than it should.

        A time that differs is not worth one more layer.
        """
        right = self._shows_as(name)
        top = next((layer for layer in range(len(self._layers) - 1, -1, -1) if self._decides(layer, name)), None)
        if right is None or top is None or right == top:
            return False
        theirs, ours = self._look(top, name).status, self._look(right, name).status
        assert theirs is not None and ours is not None
        fields = [(status.st_mode, status.st_uid, status.st_gid) for status in (theirs, ours)]
        return fields[0] != fields[1] or self._xattrs(top, name) != self._xattrs(right, name)

    def _decides(self, layer: int, name: bytes) -> bool:
        found = self._look(layer, name)
        return found.status is not None or found.hides

    def _xattrs(self, layer: int, name: bytes) -> dict[str, bytes]:
        fd = os.open(name, trees.DIRECTORY, dir_fd=self.roots[layer])
        try:
            return attributes.get(fd)
        finally:
            os.close(fd)

    def _links(self) -> Iterable[Copy]:
        """The missing hard links that show in the whole stack, with where their files are."""
        for layer, missing in enumerate(self._missing):
            above = range(layer + 1, len(self._layers))
            for name, target in missing.items():
                if any(self._decides(upper, name) or name in self._missing[upper] for upper in above):
                    continue
                found, source = self._target(layer, name, target)
                yield Copy(name, found, source)

    def _target(self, layer: int, name: bytes, target: bytes) -> tuple[int, bytes]:
        """Where the file that a link of ``layer`` means is."""
        for below in range(layer - 1, -1, -1):
            if target in self._missing[below]:
                return self._target(below, name, self._missing[below][target])
            found = self._look(below, target)
            if found.status is not None:
                if stat.S_ISDIR(found.status.st_mode):
                    raise Corrupt(f"layer has a hard link to a directory: {shown(name)}")
                return below, target
            if found.hides:
                break
        raise Corrupt(f"layer has a hard link to {shown(target)}, which is in no layer below: {shown(name)}")


def _parent(name: bytes) -> bytes:
    return name.rpartition(b"/")[0]
