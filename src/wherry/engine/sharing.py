"""Mounts that containers share: taken from the mount namespace of the one that has them (docs/decisions/0072)."""

from __future__ import annotations

import errno
import os

from wherry.errors import Conflict, NotSupported, SystemFailure
from wherry.linux import mount, namespaces, openat2

_SHM = "/dev/shm"


def shared_memory(pid: int) -> int:
    """A descriptor of a clone of the /dev/shm that process ``pid`` has, attached nowhere (open_tree(2)).

    The caller has a single thread: it is in the other mount namespace for a moment.  Nothing in there can lead it
    elsewhere: no link is followed, and what is found must be a tmpfs.  Raises `NotSupported`, `Conflict`.
    """
    try:
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        other = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Conflict("the container whose /dev/shm was to be shared has ended") from None
    try:
        namespaces.enter(other, namespaces.CLONE_NEWNS)
        try:
            root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            found = openat2.open_in(root, _SHM, os.O_PATH | os.O_DIRECTORY, openat2.IN_ROOT | openat2.NO_SYMLINKS)
            if mount.filesystem_type(found) != mount.TMPFS_MAGIC:
                raise Conflict("the other container's /dev/shm is not a tmpfs")
            return mount.clone_tree("", at=found)
        finally:
            namespaces.enter(own, namespaces.CLONE_NEWNS)
            os.chdir("/")
    except OSError as error:
        if error.errno == errno.EPERM:
            raise NotSupported(
                "sharing /dev/shm with another container needs root", hint="use --ipc=host, or a tmpfs volume"
            ) from None
        raise SystemFailure("share the other container's /dev/shm", "open_tree", error.errno or 0) from None
    finally:
        os.close(own)
        os.close(other)
