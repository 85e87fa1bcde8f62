"""The descriptor-based mount calls, and the two old ones that have no successor.

fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2), umount2(2), pivot_root(2).  Every
function raises `wherry.linux.syscall.CallError`; descriptors returned close on exec.
"""

from __future__ import annotations

import errno
import os
from _struct import pack

from wherry.linux import syscall
from wherry.linux.syscall import call

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_SET_FD = 5
FSCONFIG_CMD_CREATE = 6

ATTR_RDONLY = 0x1
ATTR_NOSUID = 0x2
ATTR_NODEV = 0x4
ATTR_NOEXEC = 0x8
ATTR_ATIME = 0x70
ATTR_RELATIME = 0
ATTR_NOATIME = 0x10
ATTR_STRICTATIME = 0x20
ATTR_NODIRATIME = 0x80
ATTR_IDMAP = 0x100000
ATTR_NOSYMFOLLOW = 0x200000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 0x1000
MS_REC = 0x4000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

MNT_DETACH = 2

#: statfs(2) ``f_type`` of the file systems that matter.
PROC_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
TMPFS_MAGIC = 0x01021994
DEVPTS_MAGIC = 0x1CD1
CGROUP_MAGIC = 0x27E0EB
CGROUP2_MAGIC = 0x63677270
#: File systems in which the kernel shows itself: what is in them are no files to be copied.
_PSEUDO = frozenset((
    PROC_MAGIC, SYSFS_MAGIC, DEVPTS_MAGIC, CGROUP_MAGIC, CGROUP2_MAGIC,
    0x19800202,  # mqueue
    0x64626720,  # debugfs
    0x74726163,  # tracefs
    0x73636673,  # securityfs
    0xCAFE4A11,  # bpf
    0x6E736673,  # nsfs
    0x62656570,  # configfs
    0x6165676C,  # pstore
    0x42494E4D,  # binfmt_misc
    0x65735543,  # fusectl
    0xDE5E81E4,  # efivarfs
    0xF97CFF8C,  # selinuxfs
))  # fmt: skip


class Refused(syscall.CallError):
    """A file system refused an option; ``message`` holds the kernel's own words when it has some."""

    message: str = ""


def new(kind: str, options: tuple[str, ...] = (), attributes: int = 0, source: str = "") -> int:
    """Make a file system of type ``kind`` and return its root, attached nowhere.

    ``options`` are ``name`` or ``name=value``; ``attributes`` are ``ATTR_*`` bits of the mount.
    """
    context = call("fsopen", kind.encode() + b"\0", FSOPEN_CLOEXEC)
    try:
        configure(context, "source", source or kind)
        for option in options:
            name, separator, value = option.partition("=")
            configure(context, name, value if separator else None)
        return finish(context, attributes)
    finally:
        os.close(context)


def configure(context: int, name: str, value: str | None) -> None:
    """Set one option of a file system being made (None: a flag)."""
    try:
        if value is None:
            call("fsconfig", context, FSCONFIG_SET_FLAG, name.encode() + b"\0", 0, 0)
        else:
            call("fsconfig", context, FSCONFIG_SET_STRING, name.encode() + b"\0", os.fsencode(value) + b"\0", 0)
    except OSError as error:
        raise _explain(context, "fsconfig", error) from None


def finish(context: int, attributes: int = 0) -> int:
    """Create the file system that ``context`` describes and return its detached root."""
    try:
        call("fsconfig", context, FSCONFIG_CMD_CREATE, 0, 0, 0)
    except OSError as error:
        raise _explain(context, "fsconfig", error) from None
    return call("fsmount", context, FSMOUNT_CLOEXEC, attributes)


def _explain(context: int, name: str, error: OSError) -> Refused:
    refused = Refused(error.errno, f"{name}: {os.strerror(error.errno or 0)}")
    refused.call = name
    try:
        refused.message = os.read(context, 512).decode("utf-8", "replace").strip().removeprefix("e ")
    except OSError:
        pass
    return refused


def clone_tree(path: str | bytes, *, at: int = AT_FDCWD, recursive: bool = False) -> int:
    """A detached copy of the mount tree at ``path`` (or of the descriptor ``at`` when ``path`` is empty)."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    if not path:
        flags |= AT_EMPTY_PATH
    if recursive:
        flags |= AT_RECURSIVE
    return call("open_tree", at, os.fsencode(path) + b"\0", flags)


def attach(tree: int, target: int) -> None:
    """Attach the detached mount ``tree`` on the file or directory that the descriptor ``target`` is."""
    call("move_mount", tree, b"\0", target, b"\0", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def attach_at(tree: int, path: str | bytes) -> None:
    """Attach the detached mount ``tree`` at a path of the caller's own choosing (never one from an image)."""
    call("move_mount", tree, b"\0", AT_FDCWD, os.fsencode(path) + b"\0", MOVE_MOUNT_F_EMPTY_PATH)


def set_attributes(
    tree: int,
    *,
    set: int = 0,
    clear: int = 0,
    propagation: int = 0,
    user_namespace: int = 0,
    recursive: bool = False,
) -> None:
    """Change a mount's attributes (mount_setattr(2)); ``user_namespace`` is a descriptor when ATTR_IDMAP is set."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    call("mount_setattr", tree, b"\0", flags, pack("=QQQQ", set, clear, propagation, user_namespace), 32)


def set_propagation(path: str, propagation: int, *, recursive: bool) -> None:
    """Make the mount at ``path`` shared, slave, private or unbindable."""
    flags = AT_RECURSIVE if recursive else 0
    try:
        attributes = pack("=QQQQ", 0, 0, propagation, 0)
        call("mount_setattr", AT_FDCWD, os.fsencode(path) + b"\0", flags, attributes, 32)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        call("mount", 0, os.fsencode(path) + b"\0", 0, propagation | (MS_REC if recursive else 0), 0)


def set_read_only(tree: int, *, attributes: int = 0, clear: int = 0, recursive: bool = False) -> None:
    """Add ``attributes`` to (and take ``clear`` from) a detached or attached tree, on Linux 5.11 too.

    Before mount_setattr (5.12) only the top mount of an attached tree can be changed: through ``/proc/self/fd``.
    """
    try:
        set_attributes(tree, set=attributes, clear=clear, recursive=recursive)
    except OSError as error:
        if error.errno != errno.ENOSYS or recursive:
            raise
        flags = MS_REMOUNT | MS_BIND
        for attribute, flag in ((ATTR_RDONLY, MS_RDONLY), (ATTR_NOSUID, MS_NOSUID)):
            flags |= flag if attributes & attribute else 0
        for attribute, flag in ((ATTR_NODEV, MS_NODEV), (ATTR_NOEXEC, MS_NOEXEC)):
            flags |= flag if attributes & attribute else 0
        call("mount", 0, b"/proc/self/fd/%d\0" % tree, 0, flags, 0)


def map_ids(tree: int, user_namespace: int, *, recursive: bool = False) -> None:
    """Show a detached tree through the id maps of a user namespace (Linux 5.12, file system permitting)."""
    set_attributes(tree, set=ATTR_IDMAP, user_namespace=user_namespace, recursive=recursive)


def unmount(path: str | bytes, flags: int = 0) -> None:
    """umount2(2)."""
    call("umount2", os.fsencode(path) + b"\0", flags)


def enter_root(root: int) -> None:
    """Make the attached mount ``root`` the root directory, and let go of the old one entirely (pivot_root(2)).

    Afterwards the working directory is the new root.  Nothing of the old tree can be reached by a path.
    """
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchdir(root)
    call("pivot_root", b".\0", b".\0")
    os.fchdir(old)
    set_propagation(".", MS_SLAVE, recursive=True)
    unmount(".", MNT_DETACH)
    os.close(old)
    os.chdir("/")


def filesystem_type(descriptor: int) -> int:
    """The ``f_type`` of statfs(2) for a descriptor."""
    call("fstatfs", descriptor, syscall.SCRATCH)
    return int.from_bytes(syscall.scratch(4), "little")


def is_pseudo(descriptor: int) -> bool:
    """Whether a file lies in a file system in which the kernel shows itself, such as procfs."""
    return filesystem_type(descriptor) & 0xFFFFFFFF in _PSEUDO
