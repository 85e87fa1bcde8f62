"""Writing an EROFS image that holds metadata only: its files' content is in tars, which are its extra devices.

On-disk format: Linux, fs/erofs/erofs_fs.h; https://erofs.docs.kernel.org/en/latest/core_ondisk.html.  Blocks are 512
bytes, as in a tar, so that any file's content begins at a block.  A file is one chunk, whose index names the device and
the block.  (Plain files in devices mapped into one range of addresses would save eight bytes for each, but erofs-utils
reads them from the wrong place.)  Every inode is of the extended form (64 bytes), which has nanoseconds, large ids and
large sizes.
The superblock has no checksum, as with mkfs.erofs: tools of erofs-utils 1.8 crash on one with blocks that small.

    0       nothing
    1024    superblock, 128 bytes
    1152    device slots, 128 bytes each
            inodes, the root first; chunk indexes and short targets of symbolic links follow theirs
            directories' entries, then longer targets, each from a block of its own
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence

from wherry.errors import Corrupt, NotSupported
from wherry.layers.erofs_tree import Directory, Mark, Node
from wherry.layers.tree import shown

BLOCK = 512
MAGIC = 0xE0F5E1E2
#: Of the image itself: what its directories' block numbers can say, with room to spare.
_MAX_BLOCKS = 1 << 30
MAX_DEVICES = 4000  # the root inode, after their slots, has a number of 16 bits

_SUPER = 1024
_SLOTS = _SUPER + 128
_INODE = struct.Struct("<HHHHQIIIIqII16x")
_SUPERBLOCK = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQB23x")
_SLOT = struct.Struct("<64sII56x")
_COMPAT_MTIME = 2
_INCOMPAT_CHUNKED, _INCOMPAT_DEVICES = 4, 8
_PLAIN, _INLINE, _CHUNKS = 1, 5, 9  # i_format: extended; data layout 0 (flat plain), 2 (flat inline), 4 (chunks)
_WITH_INDEXES = 0x20
_CHUNK = struct.Struct("<HHI")
_TYPES = {
    stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFBLK: 4, stat.S_IFIFO: 5, stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}  # fmt: skip
_DIRENTS: dict[int, struct.Struct] = {}


def base(device: int) -> int:
    """What is added to a block's number in a device, counted from 0, for a file's address (`Node`)."""
    return device + 1 << 32


def build(root: Directory, blocks: Sequence[int], uuid: bytes) -> bytearray:
    """The image of the tree ``root``, whose files have their addresses after `base`.

    ``blocks`` are the sizes of the devices, ``uuid`` 16 bytes that identify the image.  The same tree always gives the
    same bytes.  Raises `NotSupported`, and `Corrupt` for a name that a layer leaves open.
    """
    if len(blocks) > MAX_DEVICES:
        raise NotSupported(f"image has {len(blocks)} layers, and an EROFS image can have {MAX_DEVICES} devices")
    image = _Image(root, len(blocks))
    image.place()
    data = bytearray(image.end * BLOCK)
    image.put(data)
    position = _SLOTS
    for count in blocks:
        _SLOT.pack_into(data, position, b"", count, 0)
        position += _SLOT.size
    features = _INCOMPAT_CHUNKED | _INCOMPAT_DEVICES if blocks else 0
    _SUPERBLOCK.pack_into(
        data, _SUPER, MAGIC, 0, _COMPAT_MTIME, 9, 0, image.root >> 5, image.inodes, 0, 0, image.end,
        0, 0, uuid, b"", features, 0, len(blocks), _SLOTS // _SLOT.size, 0, 0, 0, 0, 0,
    )  # fmt: skip
    return data


def file_system_id(uuid: bytes) -> int:
    """What statfs(2) gives as ``f_fsid`` for an image with this uuid (Linux, include/linux/statfs.h)."""
    low, high = struct.unpack("<QQ", uuid)
    return int(low ^ high)


class _Image:
    """One image: everything gets its place first, then it is written there."""

    def __init__(self, root: Directory, devices: int) -> None:
        self._tree = root
        self._position = self.root = -(-(_SLOTS + devices * _SLOT.size) // 64) * 64
        self._directories: list[tuple[Directory, list[bytes], int, int]] = []  # with names, place and parent's place
        self._places: dict[int, int] = {}  # of inodes, by the identity of their objects
        self._links: dict[int, int] = {}
        self._nodes: list[Node] = []
        self.end = 0  # in blocks
        self.inodes = 0

    def place(self) -> None:
        """Give every inode its place, in order of names, directory by directory."""
        root = self._tree
        self._position += 64 + len(root.xattrs)
        self._places[id(root)] = self.root
        todo = [(root, self.root, self.root)]
        places = self._places
        while todo:
            directory, here, above = todo.pop()
            names = sorted(directory.children)
            self._directories.append((directory, names, here, above))
            for name in names:
                child = directory.children[name]
                if isinstance(child, tuple):
                    key = id(child)
                    if key in places:
                        self._links[key] = self._links.get(key, 1) + 1
                    else:
                        places[key] = self._place_node(child)
                elif isinstance(child, Directory):
                    place = places[id(child)] = self._reserve(64 + len(child.xattrs))
                    todo.append((child, place, here))
                else:
                    raise Corrupt(f"layer has a hard link whose file is in no layer below: {shown(name)}")
        self.inodes = len(places)
        self.end = -(-self._position // BLOCK)

    def _reserve(self, size: int) -> int:
        place = (self._position + 31) & ~31
        self._position = place + size
        return place

    def _place_node(self, node: Node) -> int:
        self._nodes.append(node)
        xattrs, target = node[7:]
        size = 64 + len(xattrs)
        if node[5] and node[0] & 0o170000 == stat.S_IFREG:
            size = ((size + 7) & ~7) + 8
        elif target and size + len(target) <= BLOCK:  # in the block of its inode: never across two
            size += len(target)
            if ((self._position + 31) & ~31) % BLOCK + size > BLOCK:
                self._position = -(-self._position // BLOCK) * BLOCK
        return self._reserve(size)

    def put(self, data: bytearray) -> None:
        """Write everything but what comes before the root, making ``data`` longer."""
        self._put_nodes(data)
        self._put_directories(data)
        self.end = len(data) // BLOCK
        if self.end > _MAX_BLOCKS:
            raise NotSupported("image has more files than its EROFS metadata can hold")

    def _put_nodes(self, data: bytearray) -> None:
        pack, places, links = _INODE.pack_into, self._places, self._links
        for number, node in enumerate(self._nodes, 1):
            mode, uid, gid, seconds, nanoseconds, size, where, xattrs, target = node
            place = places[id(node)]
            form = _PLAIN
            count = 0
            if size and not target:
                form = _CHUNKS
                _CHUNK.pack_into(data, (place + 71 + len(xattrs)) & ~7, 0, where >> 32, where & 0xFFFFFFFF)
                where = _WITH_INDEXES | max(0, (size - 1).bit_length() - 9)
            elif not size:
                where &= 0xFFFFFFFF  # a device's number, or that of an empty file's block
            if xattrs or target:
                after = place + 64 + len(xattrs)
                data[place + 64 : after] = xattrs
                count = (len(xattrs) - 8) // 4 if xattrs else 0
                if target and len(xattrs) + len(target) <= BLOCK - 64:
                    form = _INLINE
                    data[after : after + len(target)] = target
                elif target:
                    where = _append(data, target)
            nlink = links.get(id(node), 1) if links else 1
            pack(data, place, form, count, mode, 0, size, where, number, uid, gid, seconds, nanoseconds, nlink)

    def _put_directories(self, data: bytearray) -> None:
        number = len(self._nodes)
        parts: list[bytes] = []
        position = len(data)
        places = self._places
        for directory, names, here, above in self._directories:
            number += 1
            children = directory.children
            numbers, types, inside = [], [], 2
            for name in names:
                child = children[name]
                numbers.append(places[id(child)] >> 5)
                if isinstance(child, Directory):
                    inside += 1
                    types.append(2)
                else:
                    assert not isinstance(child, Mark)
                    types.append(_TYPES[child[0] & 0o170000])
            entries = _entries(names, numbers, types, here >> 5, above >> 5)
            xattrs = directory.xattrs
            data[here + 64 : here + 64 + len(xattrs)] = xattrs
            _INODE.pack_into(
                data, here, _PLAIN, (len(xattrs) - 8) // 4 if xattrs else 0, directory.mode, 0, len(entries),
                position // BLOCK, number, directory.uid, directory.gid, directory.seconds, directory.nanoseconds,
                inside,
            )  # fmt: skip
            entries += bytes(-len(entries) % BLOCK)
            parts.append(entries)
            position += len(entries)
        data += b"".join(parts)


def _append(data: bytearray, content: bytes) -> int:
    """Put ``content`` at the end, which is the beginning of a block; the block."""
    block = len(data) // BLOCK
    data += content
    data += bytes(-len(data) % BLOCK)
    return block


def _entries(names: list[bytes], numbers: list[int], types: list[int], here: int, above: int) -> bytes:
    """The blocks of a directory: in each, first the entries, then their names, sorted over the whole."""
    for name, number in ((b".", here), (b"..", above)):
        import bisect

        at = bisect.bisect(names, name)
        names, numbers, types = [*names], [*numbers], [*types]
        names.insert(at, name)
        numbers.insert(at, number)
        types.insert(at, 2)
    parts: list[bytes] = []
    start = used = 0
    for at, name in enumerate(names):
        used += 12 + len(name)
        if used > BLOCK:
            block = _block(names[start:at], numbers[start:at], types[start:at])
            parts += (block, bytes(BLOCK - len(block)))
            start, used = at, 12 + len(name)
    parts.append(_block(names[start:], numbers[start:], types[start:]))
    return b"".join(parts)


def _block(names: list[bytes], numbers: list[int], types: list[int]) -> bytes:
    count = len(names)
    form = _DIRENTS.get(count)
    if form is None:
        form = _DIRENTS[count] = struct.Struct("<" + "QHBx" * count)
    values = [0] * (3 * count)
    values[::3] = numbers
    values[2::3] = types
    offset = 12 * count
    for at, name in enumerate(names):
        values[3 * at + 1] = offset
        offset += len(name)
    return form.pack(*values) + b"".join(names)
