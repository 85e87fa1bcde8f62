"""Sparse files of a tar written out whole, so that an image can refer to them.

A sparse file's pieces follow each other in the tar, wherever in the file they belong.
"""

from __future__ import annotations

import os

from wherry.errors import Corrupt
from wherry.layers.erofs_tree import Directory, Node
from wherry.record import Record

BLOCK = 512


class Sparse(Record):
    """A sparse file: its names, where its pieces begin in the file, where they belong, and how long it is."""

    node: Node
    names: list[tuple[Directory, bytes]]
    position: int
    pieces: list[tuple[int, int]]
    real: int


def expand(files: list[Sparse], fd: int | None, end: int) -> int:
    """Write out sparse files after ``end``, unless ``fd`` is None; the blocks of the whole."""
    blocks = -(-end // BLOCK)
    for file in files:
        if fd is not None:
            _write_out(file, fd, blocks * BLOCK)
        placed = (*file.node[:6], blocks, *file.node[7:])
        for directory, name in file.names:
            if directory.children.get(name) is file.node:
                directory.children[name] = placed
        blocks += -(-file.real // BLOCK)
    if fd is not None and files:
        os.ftruncate(fd, blocks * BLOCK)
    return blocks


def _write_out(file: Sparse, fd: int, start: int) -> None:
    source = file.position
    for offset, size in file.pieces:
        target = start + offset
        while size:
            count = os.copy_file_range(fd, fd, size, source, target)
            if not count:
                raise Corrupt("layer is cut short: unexpected end of the tar stream")
            size, source, target = size - count, source + count, target + count
