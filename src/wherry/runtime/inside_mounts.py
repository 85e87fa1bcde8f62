"""Mount operations as the container's process performs them.

Every target is found with openat2(2) inside the root and used as a descriptor; no path of an image is ever given to a
call that would resolve it again.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.linux import mount as m
from wherry.linux import openat2, pty
from wherry.linux.openat2 import IN_ROOT, NO_SYMLINKS
from wherry.runtime import channel, ops, trees
from wherry.runtime.inside import Inside, Refusal, keep_host_procfs
from wherry.runtime.mounts import in_strict_place, may_cover_proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.linux.ids import IdMap
    from wherry.runtime.ops import Op

_STRICT = IN_ROOT | NO_SYMLINKS
_NULL = (1, 3)


def open_here(inside: Inside, op: Op) -> None:
    """Open a tree with the container's own privileges."""

    def namespaces(uids: tuple[IdMap, ...], gids: tuple[IdMap, ...]) -> int:
        from wherry.linux.namespaces import holder

        return holder(uids, gids)

    slot: int = op.slot  # type: ignore[attr-defined]
    inside.slots[slot] = trees.open_tree(op, namespaces)


def receive(inside: Inside, op: ops.ReceiveTrees) -> None:
    """Wait for the parent's trees."""
    found = inside.channel.receive_trees(len(op.slots))
    inside.slots.update(zip(op.slots, found, strict=True))


def attach_root(inside: Inside, op: ops.AttachRoot) -> None:
    """Put the root on top of ``/``, out of the way of every other path; later targets are resolved in it."""
    tree = inside.take(op.slot)
    m.set_propagation("/", m.MS_PRIVATE, recursive=False)  # pivot_root(2) wants it
    m.attach_at(tree, "/")
    if op.propagation:
        _propagate(tree, op.propagation)
    inside.root = tree


def _propagate(tree: int, flags: int) -> None:
    m.set_attributes(tree, propagation=flags & ~m.MS_REC, recursive=bool(flags & m.MS_REC))


def find(inside: Inside, target: str, strict: bool) -> int:
    """An O_PATH descriptor of an existing target.  Raises CallError with ENOENT when nothing is there."""
    try:
        return openat2.open_in(inside.root, target, os.O_PATH, _STRICT if strict else IN_ROOT)
    except OSError as error:
        if error.errno == errno.ELOOP and strict:
            words = f"{target} leads through a symbolic link of the image; refusing to mount there"
            raise Refusal("openat2", errno.ELOOP, words) from None
        raise


def attach(inside: Inside, op: ops.Attach) -> None:
    """Attach a tree inside the root."""
    tree = inside.take(op.slot)
    directory = stat.S_ISDIR(os.stat(tree).st_mode)
    resolve = _STRICT if op.strict else IN_ROOT
    try:
        target = find(inside, op.target, op.strict)
        existed = True
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        make = openat2.make_directories if directory else openat2.make_file
        target = make(inside.root, op.target, resolve)
        existed = False
    if op.kind == "bind" or not op.strict:
        _check_place(op.target, target, tree)
    found = os.stat(target)
    if stat.S_ISDIR(found.st_mode) != directory:
        words = f"{op.target} is a directory and its source is not, or the other way round"
        raise Refusal("move_mount", errno.ENOTDIR, words)
    if op.keep_mode and existed and op.kind == "tmpfs":
        os.chmod(".", stat.S_IMODE(found.st_mode), dir_fd=tree)
    m.attach(tree, target)
    if op.propagation:
        _propagate(tree, op.propagation)
    os.close(target)
    if op.kind == "proc":
        inside.procfs = tree
    elif op.kind == "devpts":
        inside.devpts = tree
    else:
        os.close(tree)


def _check_place(path: str, target: int, tree: int) -> None:
    """Nothing may hide procfs from those who rely on it (CVE-2019-16884, CVE-2019-19921)."""
    if path == "/proc":
        if m.filesystem_type(tree) != m.PROC_MAGIC:
            raise Refusal("move_mount", errno.EPERM, f'"{path}" cannot be mounted because it is not of type proc')
    elif m.filesystem_type(target) == m.PROC_MAGIC and not (path.startswith("/proc/") and may_cover_proc(path)):
        raise Refusal("move_mount", errno.EPERM, f'"{path}" cannot be mounted because it is inside /proc')


def remount(inside: Inside, op: ops.Remount) -> None:
    """Change the attributes of a mount inside the root."""
    target = find(inside, op.target, in_strict_place(op.target))
    m.set_read_only(target, attributes=op.set, clear=op.clear)
    os.close(target)


def make_device(inside: Inside, op: ops.MakeDevice) -> None:
    """Make a device node, or bind the host's."""
    device = op.device
    if not op.bind:
        parent, _, name = device.path.rpartition("/")
        directory = openat2.make_directories(inside.root, parent or "/", _STRICT)
        before = os.umask(0)
        trees.make_device(directory, device.replace(path=name))
        os.umask(before)
        os.close(directory)
        return
    tree = m.clone_tree(device.path)
    found = os.stat(tree)
    if device.kind != "p" and (os.major(found.st_rdev), os.minor(found.st_rdev)) != (device.major, device.minor):
        words = f"{device.path} on the host is not device {device.major}:{device.minor}, and none can be made here"
        raise Refusal("open_tree", errno.ENODEV, words)
    target = openat2.make_file(inside.root, device.path, _STRICT)
    m.attach(tree, target)
    os.close(target)
    os.close(tree)


def make_links(inside: Inside, op: ops.MakeLinks) -> None:
    """Make symbolic links."""
    for path, target in op.links:
        parent, _, name = path.rpartition("/")
        directory = openat2.make_directories(inside.root, parent or "/", _STRICT)
        try:
            os.symlink(target, name, dir_fd=directory)
        except FileExistsError:
            pass
        os.close(directory)


def open_console(inside: Inside, op: ops.OpenConsole) -> None:
    """Open a terminal of the container's own devpts and hand its master to the parent (CVE-2025-52565)."""
    if inside.devpts < 0 or m.filesystem_type(inside.devpts) != m.DEVPTS_MAGIC:
        raise Refusal("open", errno.ENODEV, "a terminal needs a devpts mounted at /dev/pts")
    master, slave = pty.open_pair(inside.devpts)
    if op.rows or op.columns:
        pty.set_size(master, op.rows, op.columns)
    if op.target:
        tree = m.clone_tree("", at=slave)
        target = openat2.make_file(inside.root, op.target, _STRICT, 0o600)
        m.attach(tree, target)
        os.close(target)
        os.close(tree)
    inside.channel.send(channel.CONSOLE, b"", (master,))
    os.close(master)
    inside.console = slave


def read_only_paths(inside: Inside, op: ops.ReadOnlyPaths) -> None:
    """Mount paths over themselves, read-only."""
    for path in op.paths:
        target = _existing(inside, path)
        if target < 0:
            continue
        tree = m.clone_tree("", at=target, recursive=True)
        m.set_read_only(tree, attributes=m.ATTR_RDONLY, recursive=True)
        m.attach(tree, target)
        os.close(tree)
        os.close(target)


def _existing(inside: Inside, path: str) -> int:
    try:
        return find(inside, path, in_strict_place(path))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return -1
        raise


def mask_paths(inside: Inside, op: ops.MaskPaths) -> None:
    """Cover paths, with the host's null device (checked to be it: CVE-2025-31133) or an empty directory."""
    null = empty = -1
    for path in op.paths:
        target = _existing(inside, path)
        if target < 0:
            continue
        if stat.S_ISDIR(os.stat(target).st_mode):
            if empty < 0:
                empty = m.new("tmpfs", ("size=0k", "nr_inodes=1"), m.ATTR_RDONLY)
                m.attach(empty, target)
            else:
                _cover(empty, target)
        else:
            if null < 0:
                null = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
                found = os.stat(null)
                if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(*_NULL):
                    raise Refusal("open", errno.ENODEV, "/dev/null of the host is not the null device")
                tree = m.clone_tree("", at=null)
                os.close(null)
                null = tree
                m.attach(null, target)
                # else root inside, where it is root outside, could change the mode and owner of the host's device
                m.set_read_only(null, attributes=m.ATTR_RDONLY)
            else:
                _cover(null, target)
        os.close(target)
    for descriptor in (null, empty):
        if descriptor >= 0:
            os.close(descriptor)


def _cover(source: int, target: int) -> None:
    tree = m.clone_tree("", at=source)
    m.attach(tree, target)
    os.close(tree)


def read_only_root(inside: Inside, _op: ops.ReadOnlyRoot) -> None:
    """Make the root read-only."""
    m.set_read_only(inside.root, attributes=m.ATTR_RDONLY)


def make_directory(inside: Inside, op: ops.MakeDirectory) -> None:
    """Make the working directory where it is missing; one that cannot be made is reported when it is entered."""
    try:
        os.close(openat2.make_directories(inside.root, op.path))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EIO):
            raise


def enter_root(inside: Inside, _op: ops.EnterRoot) -> None:
    """Leave the host's tree.  A procfs of the host is kept as a descriptor if the container has none."""
    keep_host_procfs(inside)
    m.enter_root(inside.root)
    os.close(inside.root)
    inside.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


ACTIONS: dict[type[Op], Callable[[Inside, Any], None]] = {
    ops.OpenRoot: open_here,
    ops.OpenBind: open_here,
    ops.OpenFilesystem: open_here,
    ops.ReceiveTrees: receive,
    ops.AttachRoot: attach_root,
    ops.Attach: attach,
    ops.Remount: remount,
    ops.MakeDevice: make_device,
    ops.MakeLinks: make_links,
    ops.OpenConsole: open_console,
    ops.MaskPaths: mask_paths,
    ops.ReadOnlyPaths: read_only_paths,
    ops.ReadOnlyRoot: read_only_root,
    ops.MakeDirectory: make_directory,
    ops.EnterRoot: enter_root,
}
