"""Opening trees: mounts that are attached nowhere yet.  Used on both sides of a creation."""

from __future__ import annotations

import errno
import os
import stat

from wherry.errors import NotSupported
from wherry.linux import mount as m
from wherry.linux import namespaces as ns
from wherry.linux.syscall import CallError, call, failed
from wherry.runtime.ops import HELD, Device, OpenBind, OpenFilesystem, OpenRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.linux.ids import IdMap
    from wherry.oci.mount import Mount
    from wherry.runtime.ops import Op

    #: Gives a descriptor of a user namespace with the maps asked for (none: the container's own).
    UserNamespaces = Callable[[tuple[IdMap, ...], tuple[IdMap, ...]], int]

_KINDS = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
#: The longest string that fsconfig(2) takes.
_LONGEST = 255
_GZIP = b"\x1f\x8b"


def open_tree(op: Op, namespaces: UserNamespaces) -> int:
    """Open the tree that ``op`` describes.  Raises CallError, or NotSupported where id-mapped mounts do not work."""
    if isinstance(op, OpenRoot):
        return open_root(op, namespaces)
    if isinstance(op, OpenBind):
        return open_bind(op, namespaces)
    assert isinstance(op, OpenFilesystem)
    return open_filesystem(op)


def open_root(op: OpenRoot, namespaces: UserNamespaces) -> int:
    """The root file system."""
    mount = op.mount
    if mount.type == "overlay":
        return open_overlay(mount, op.attributes, namespaces)
    if mount.type == "bind":
        tree = m.clone_tree(mount.source, recursive=True)
        if mount.idmap:
            map_ids(tree, mount.source, namespaces((), ()))
    elif mount.type == "erofs":
        tree = open_erofs(mount)
        if mount.idmap:
            map_ids(tree, mount.source, namespaces((), ()))
    else:
        raise NotSupported(f"a root filesystem of type {mount.type!r} is not supported")
    if op.attributes:
        m.set_read_only(tree, attributes=op.attributes)
    return tree


def open_erofs(mount: Mount) -> int:
    """An EROFS image in a file, which may be compressed, with its devices.  Raises OSError, CallError; ENOTBLK from a
    kernel before 6.12, which wants block devices."""
    held: list[int] = []
    context = call("fsopen", b"erofs\0", m.FSOPEN_CLOEXEC)
    try:
        m.configure(context, "source", _expanded(mount.source, held) or _short(mount.source, held))
        for option in mount.options:
            name, _, value = option.partition("=")
            m.configure(context, name, _short(value, held))
        return m.finish(context, m.ATTR_RDONLY)
    finally:
        for descriptor in (*held, context):
            os.close(descriptor)


def _expanded(path: str, held: list[int]) -> str:
    """Where the kernel finds the content of a compressed file: in memory, for as long as it has that open.  Empty for
    a file that is not compressed.

    (ramfs, since EROFS does not read from tmpfs: Linux 6.18, erofs_fc_get_tree.)
    """
    with open(path, "rb", buffering=0) as file:
        if file.read(2) != _GZIP:
            return ""
        data = _GZIP + file.readall()
    import zlib

    try:
        view = memoryview(zlib.decompress(data, 31, int.from_bytes(data[-4:], "little")))
    except (zlib.error, MemoryError):
        raise failed("read", errno.EUCLEAN) from None
    root = m.new("ramfs")
    try:
        held.append(os.open("image", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=root))
    finally:
        os.close(root)
    while view:
        view = view[os.write(held[-1], view) :]
    return f"/proc/self/fd/{held[-1]}"


def open_overlay(mount: Mount, attributes: int, namespaces: UserNamespaces) -> int:
    """An overlay whose lower directories are shown through the container's user namespace where ``idmap``."""
    held: list[int] = []
    context = -1
    try:
        lowers: list[str] = []
        if mount.below is not None:
            held.append(open_root(OpenRoot(0, mount.below.replace(idmap=mount.idmap)), namespaces))
            lowers.append(f"/proc/self/fd/{held[-1]}")
        for directory in mount.lower:
            if mount.idmap:
                tree = m.clone_tree(directory)
                held.append(tree)
                map_ids(tree, directory, namespaces((), ()))
                lowers.append(f"/proc/self/fd/{tree}")
            else:
                lowers.append(_short(directory, held))
        try:
            if not takes_layers_singly(os.uname().release):
                raise failed("fsconfig", errno.EINVAL)  # what the kernel would say, and write into its log as well
            context = call("fsopen", b"overlay\0", m.FSOPEN_CLOEXEC)
            m.configure(context, "source", "overlay")
            for lower in lowers:
                m.configure(context, "lowerdir+", lower)
            _configure_upper(context, mount, held)
            return m.finish(context, attributes | (0 if mount.upper else m.ATTR_RDONLY))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            from wherry.runtime import compat  # before Linux 6.15: lower layers must be attached somewhere

            try:
                return compat.overlay(mount, attributes, held[: len(lowers)] if mount.idmap or mount.below else [])
            except OSError:
                raise error from None
    finally:
        for descriptor in (*held, context):
            if descriptor >= 0:
                os.close(descriptor)


def takes_layers_singly(release: str) -> bool:
    """Whether the overlays of this kernel know ``lowerdir+`` (Linux 6.5)."""
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return not (major.isdigit() and minor.isdigit()) or (int(major), int(minor)) >= (6, 5)


def _configure_upper(context: int, mount: Mount, held: list[int]) -> None:
    if mount.upper:
        m.configure(context, "upperdir", _short(mount.upper, held))
        m.configure(context, "workdir", _short(mount.work, held))
    for option in mount.options:
        name, separator, value = option.partition("=")
        m.configure(context, name, value if separator else None)


def _short(path: str, held: list[int]) -> str:
    if len(path) <= _LONGEST:
        return path
    held.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
    return f"/proc/self/fd/{held[-1]}"


def map_ids(tree: int, path: str, user_namespace: int, *, recursive: bool = False) -> None:
    """Show a detached tree through a user namespace.  Raises NotSupported where kernel or file system cannot."""
    try:
        m.map_ids(tree, user_namespace, recursive=recursive)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        raise NotSupported(
            f"{path}: the kernel or this filesystem has no id-mapped mounts",
            hint="use --userns=host, or keep it on a filesystem that has them (ext4, xfs, btrfs, tmpfs)",
        ) from None


def open_bind(op: OpenBind, namespaces: UserNamespaces) -> int:
    """A clone of a part of the host's mount tree."""
    held = op.source.removeprefix(HELD)
    if held != op.source:
        # what is held is a clone already, and one of a mount of another namespace cannot be cloned again
        tree = os.dup(int(held))
    elif op.subdirectory:
        found = open_subdirectory(op.source, op.subdirectory)
        try:
            tree = m.clone_tree("", at=found, recursive=op.recursive)
        finally:
            os.close(found)
    else:
        tree = m.clone_tree(op.source, recursive=op.recursive)
    try:
        if op.idmap:
            map_ids(tree, op.source, namespaces(op.uids, op.gids), recursive=op.idmap_deep)
        if op.set or op.clear:
            m.set_read_only(tree, attributes=op.set, clear=op.clear)
        if op.deep_set or op.deep_clear:
            m.set_read_only(tree, attributes=op.deep_set, clear=op.deep_clear, recursive=True)
    except BaseException:
        os.close(tree)
        raise
    return tree


def open_subdirectory(source: str, path: str) -> int:
    """An O_PATH descriptor of ``path`` in the directory ``source``, which others may change meanwhile: symbolic links
    and ways out are refused (CVE-2017-1002101 and CVE-2021-25741 of Kubernetes).  Raises CallError."""
    from wherry.linux import openat2

    top = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return openat2.open_in(top, path, os.O_PATH, openat2.BENEATH | openat2.NO_SYMLINKS)
    finally:
        os.close(top)


def open_filesystem(op: OpenFilesystem) -> int:
    """A file system of its own, with what belongs on it."""
    try:
        tree = _new_in(op) if op.join[0] else m.new(op.type, op.options, op.attributes, op.source)
    except CallError as error:
        if not op.fallback or error.errno not in (errno.EPERM, errno.EACCES, errno.EBUSY):
            raise
        tree = m.clone_tree(op.fallback, recursive=True)
        # always read-only where a specification asks for it: cgroups below /sys too (CVE-2023-25809)
        deep = op.attributes & (m.ATTR_RDONLY | m.ATTR_NOSUID | m.ATTR_NODEV | m.ATTR_NOEXEC)
        if op.type == "sysfs":
            deep |= m.ATTR_RDONLY
        m.set_read_only(tree, attributes=deep, recursive=True)
        return tree
    try:
        before = os.umask(0)
        try:
            for device in op.devices:
                make_device(tree, device)
        finally:
            os.umask(before)
        for path, target in op.links:
            os.symlink(target, path, dir_fd=tree)
            if any(op.owner):
                os.chown(path, *op.owner, dir_fd=tree, follow_symlinks=False)
    except BaseException:
        os.close(tree)
        raise
    return tree


def _new_in(op: OpenFilesystem) -> int:
    """Make a file system while in another namespace."""
    name, path = op.join
    flag = ns.FLAGS[name]
    back = os.open(f"/proc/self/ns/{ns.FILES[name]}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            ns.enter(there, flag)
        finally:
            os.close(there)
        try:
            if name == "pid":  # which is entered by children only
                from wherry.runtime import compat

                return compat.in_child(lambda: m.new(op.type, op.options, op.attributes, op.source))
            return m.new(op.type, op.options, op.attributes, op.source)
        finally:
            ns.enter(back, flag)
    finally:
        os.close(back)


def _is_device(directory: int, name: str, device: Device) -> bool:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    number = os.makedev(device.major, device.minor)
    return stat.S_IFMT(found.st_mode) == _KINDS[device.kind] and (device.kind == "p" or found.st_rdev == number)


def make_device(directory: int, device: Device) -> None:
    """Make a device node at a path without links below ``directory``; the same one may be there.  The umask applies."""
    parent = directory
    name = device.path
    if "/" in name:
        from wherry.linux import openat2

        above, _, name = name.rpartition("/")
        parent = openat2.make_directories(directory, above, openat2.BENEATH | openat2.NO_SYMLINKS)
    try:
        try:
            number = os.makedev(device.major, device.minor)
            os.mknod(name, _KINDS[device.kind] | device.mode & 0o7777, number, dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EEXIST or not _is_device(parent, name, device):
                raise failed("mknodat", error.errno or 0) from None
        if device.uid or device.gid:
            os.chown(name, device.uid, device.gid, dir_fd=parent, follow_symlinks=False)
    finally:
        if parent != directory:
            os.close(parent)
