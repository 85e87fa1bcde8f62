"""Which file systems can be shown through id maps: the kernel is asked, in a user namespace made for the question."""

from __future__ import annotations

import errno
import os

from wherry.container.record import ID_COUNT
from wherry.linux import mount, namespaces
from wherry.linux.ids import IdMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.container.record import MountPoint

_ANY = (IdMap(0, 0x70000000, 65536),)  # what is mapped does not matter to the answer


def without_id_maps(mounts: tuple[MountPoint, ...]) -> tuple[str, ...]:
    """The destinations whose sources lie on file systems without id-mapped mounts (mount_setattr(2), *EINVAL*)."""
    sources = {point.destination: point.source for point in mounts if point.source}
    refused = _refused(sources.values()) if sources else frozenset[str]()
    return tuple(destination for destination, source in sources.items() if source in refused)


def beyond_the_range(mounts: tuple[MountPoint, ...]) -> tuple[str, ...]:
    """The destinations whose sources belong to ids above every range: accounts of a directory service."""
    found = []
    for point in mounts:
        if point.source:
            try:
                status = os.stat(point.source)
            except OSError:
                continue  # what is wrong with the path is said where it is mounted
            if max(status.st_uid, status.st_gid) >= ID_COUNT:
                found.append(point.destination)
    return tuple(found)


def can_be_mapped(directory: str) -> bool:
    """Whether what lies in ``directory`` can be shown through an id map here."""
    return directory not in _refused((directory,))


def _refused(paths: Iterable[str]) -> frozenset[str]:
    namespace = namespaces.holder(_ANY, _ANY)
    try:
        return frozenset(path for path in paths if not _can_map(path, namespace))
    finally:
        os.close(namespace)


def _can_map(path: str, namespace: int) -> bool:
    try:
        tree = mount.clone_tree(path)
    except OSError:
        return True  # what is wrong with the path is said where it is mounted
    try:
        mount.map_ids(tree, namespace)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP):
            return False
        raise
    finally:
        os.close(tree)
    return True
