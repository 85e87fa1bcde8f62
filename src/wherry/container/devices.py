"""Devices of the host, looked up: what ``--device``, ``--privileged`` and the blkio options name becomes numbers."""

from __future__ import annotations

import os

from wherry.container.facts import DeviceNode
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.container.options import ContainerOptions, DeviceMapping

_MAX_DEPTH = 8
_S_IFMT, _S_IFDIR, _S_IFCHR, _S_IFBLK = 0o170000, 0o040000, 0o020000, 0o060000
# Made anew in every container, or of no use outside the host's own namespaces.
_NOT_THE_HOSTS = ("console", "fd", "mqueue", "pts", "shm", "ptmx", ".lxc", ".lxd-mounts", ".udev")


def resolve(options: ContainerOptions) -> tuple[DeviceNode, ...]:
    """Every device that the container is to see, symbolic links followed, directories walked.

    Raises `InvalidArgument` in Docker's words for a path that is not there or holds no device.
    """
    nodes: dict[str, DeviceNode] = {}
    if options.privileged:
        for node in _walk("/dev", "/dev", "rwm", 0):
            nodes[node.path] = node
    for mapping in options.devices:
        if options.privileged and mapping.path_on_host == mapping.path_in_container:
            continue
        for node in _mapped(mapping):
            nodes[node.path] = node
    return tuple(nodes.values())


def _mapped(mapping: DeviceMapping) -> Iterator[DeviceNode]:
    host, inside, access = mapping.path_on_host, mapping.path_in_container, mapping.cgroup_permissions
    real = os.path.realpath(host)
    try:
        status = os.stat(real)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise InvalidArgument(
            f'error gathering device information while adding custom device "{host}": {reason}',
            hint="the path must be on the host",
        ) from None
    node = _node(inside, status, access, real)
    if node is not None:
        yield node
        return
    found = False
    if status.st_mode & _S_IFMT == _S_IFDIR:
        for node in _walk(real, inside, access, 0):
            found = True
            yield node
    if not found:
        raise InvalidArgument(
            f'error gathering device information while adding custom device "{host}": not a device node'
        )


def _walk(directory: str, inside: str, access: str, depth: int) -> Iterator[DeviceNode]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if directory == "/dev" and entry.name in _NOT_THE_HOSTS:
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        path = f"{inside}/{entry.name}"
        if status.st_mode & _S_IFMT == _S_IFDIR:
            if depth < _MAX_DEPTH and not _other_file_system(entry.path, directory):
                yield from _walk(entry.path, path, access, depth + 1)
            continue
        node = _node(path, status, access, entry.path)
        if node is not None:
            yield node


def _other_file_system(path: str, parent: str) -> bool:
    try:
        return os.stat(path).st_dev != os.stat(parent).st_dev
    except OSError:
        return True


def _node(path: str, status: os.stat_result, access: str, host: str) -> DeviceNode | None:
    kind = {_S_IFCHR: "c", _S_IFBLK: "b"}.get(status.st_mode & _S_IFMT)
    if kind is None:
        return None
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return DeviceNode(path, kind, major, minor, status.st_mode & 0o7777, status.st_uid, status.st_gid, access, host)


def block_numbers(options: ContainerOptions) -> tuple[tuple[str, int, int], ...]:
    """(path, major, minor) of every device in the blkio options.  Raises `InvalidArgument` for what is no device."""
    found: dict[str, tuple[str, int, int]] = {}
    for rates in (
        options.blkio_weight_device,
        options.blkio_device_read_bps,
        options.blkio_device_write_bps,
        options.blkio_device_read_iops,
        options.blkio_device_write_iops,
    ):
        for rate in rates:
            try:
                status = os.stat(rate.path)
            except OSError as error:
                raise InvalidArgument(f"{rate.path}: {os.strerror(error.errno or 0).lower()}") from None
            node = _node(rate.path, status, "", rate.path)
            if node is None or node.type != "b":
                raise InvalidArgument(f"{rate.path} is not a block device")
            found[rate.path] = (rate.path, node.major, node.minor)
    return tuple(found.values())
