"""Taking away what containers leave on disk.

What a rootless container wrote belongs to its user's subordinate ids, which only a user namespace may remove.
"""

from __future__ import annotations

import os

from wherry.linux import trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine


def remove_container_files(engine: Engine, record: ContainerRecord) -> None:
    """Remove the directories of a container, and the volumes that nobody named; no error when they are gone.

    A control group that a killed monitor has left goes with them: nothing would lead to it any more.
    """

    def remove() -> int:
        engine.snapshotter.remove_upper(record.id)
        remove_tree(engine.layout.container(record.id))
        return 0

    as_owner(engine, remove)
    remove_group(engine, record.id)
    remove_tree(engine.layout.run_container(record.id))
    names = [mount.name for mount in record.mounts if mount.anonymous]
    if names:
        from wherry.engine.volumes import remove_unused

        remove_unused(engine, names)


def remove_group(engine: Engine, identity: str, parent: str | None = None) -> None:
    """Kill what is left in a container's control group, which its bundle names, and remove it.

    ``parent``: it did run, and its group is below this one, or with "" in its usual place, if the bundle is lost.
    """
    from wherry.fastjson import JSONError, loads
    from wherry.linux import cgroup

    try:
        with open(f"{engine.layout.run_container(identity)}/config.json") as file:
            path = loads(file.read())["linux"]["cgroupsPath"]
    except FileNotFoundError:
        if parent is None:
            return  # it was never started
        path = f"{parent or '/wherry'}/{identity}"
    except (OSError, JSONError, KeyError, TypeError):
        path = f"{parent or '/wherry'}/{identity}"  # half written: it is where it is by default
    group = cgroup.find(engine.host.cgroups, path, delegated=engine.rootless)
    group.kill()
    group.remove()


def remove_tree(path: str) -> None:
    """Remove a directory of ours and everything in it; no error when it is not there."""
    try:
        parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        trees.remove(os.path.basename(path), dir_fd=parent)
    finally:
        os.close(parent)


def as_owner(engine: Engine, function: Callable[[], int]) -> int:
    """Call ``function`` as the owner of the files in the store: here for root, in a user namespace otherwise."""
    if not engine.rootless:
        return function()
    from wherry.linux.namespaces import in_user_namespace

    return in_user_namespace(engine.id_maps, function)
