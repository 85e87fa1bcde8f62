"""Making a container's control group and finding it again."""

from __future__ import annotations

import errno
import os

from wherry.errors import Conflict, InvalidArgument, SystemFailure
from wherry.linux.cgroup.files import read_file, read_text, write_file
from wherry.linux.cgroup.group import REFUSED, Cgroup, remove_tree
from wherry.linux.cgroup.layout import V2_CONTROLLERS, Layout, normal_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from wherry.linux.cgroup.resources import Resources


def create(layout: Layout, path: str, resources: Resources, *, options: Mapping[str, str] | None = None) -> Cgroup:
    """Make the group at ``path`` (``/wherry/<id>``, or ``slice:prefix:name``) and set its limits.

    As root the path counts from the top of each hierarchy; an unprivileged user's groups are made below the v2
    subtree delegated to them.  ``options`` names the option behind a resource (``{"memory.limit": "-m"}``) for
    messages.  On failure nothing stays behind.  Raises `InvalidArgument`, `NotSupported`, `Conflict` (a group of that
    path holds processes), `SystemFailure`.
    """
    from wherry.linux.cgroup import resources as limits
    from wherry.linux.cgroup.plan import plan

    path = normal_path(path)
    if path == "/":
        raise InvalidArgument("a container needs a cgroup path of its own")
    writes = plan(layout, resources)
    group = _make(layout, path)
    group.options = options
    if not group.path:
        asked = limits.asked(resources)
        if asked:
            why = "no control groups are mounted" if layout.version == "none" else ""
            raise limits.unprivileged(asked[0], options, why)
        return group
    try:
        if group.unified:
            used = {write.controller for write in writes} if layout.version == "hybrid" else None
            busy = _enable(layout, group.path, used)
            have = read_text(group.unified + "/cgroup.controllers").split() if busy else ()
            for write in writes if busy else ():
                if layout.carrier(write.controller) == "v2" and write.controller not in have and not write.optional:
                    raise limits.unprivileged(write.resource, options, f"processes run in {busy} itself")
        group.apply(writes)
        group.set_devices(resources.get("devices"), fresh=True)
    except BaseException:
        _discard(group)
        raise
    return group


def _discard(group: Cgroup) -> None:
    for directory in group.directories():
        try:
            os.rmdir(directory)
        except OSError:
            pass


def open_cgroup(layout: Layout, path: str) -> Cgroup:
    """The group that `create` made, by its ``path``, in the hierarchies where it still is."""
    mounts = [mount for mount in layout.hierarchies() if path and os.path.isdir(mount + path)]
    return Cgroup(layout, path, mounts, layout.unified if os.path.isdir(layout.unified + path) else "")


def find(layout: Layout, path: str, *, delegated: bool) -> Cgroup:
    """The same by the path that `create` was given; ``delegated``: by a user who is not root."""
    base = layout.delegated() if delegated else ""
    return open_cgroup(layout, "" if base is None else base.rstrip("/") + normal_path(path))


def _make(layout: Layout, path: str) -> Cgroup:
    """The directories, or a group without a path where this user may make none."""
    mounts = layout.hierarchies() if os.geteuid() == 0 else ()
    group = Cgroup(layout, path, mounts, layout.unified if os.geteuid() == 0 else "")
    try:
        for mount in mounts:
            _make_directory(mount, path, mount == layout.controllers.get("cpuset"))
        if group.unified:
            _make_directory(layout.unified, path, False)
        if group.directories():
            return group
    except OSError as error:
        _discard(group)
        if error.errno not in REFUSED:
            raise SystemFailure(f"making cgroup {path}", "mkdir", error.errno or 0) from error
    except BaseException:
        _discard(group)
        raise
    base = layout.delegated()
    if base is None:
        return Cgroup(layout, "", (), "")
    path = base.rstrip("/") + path
    try:
        _make_directory(layout.unified, path, False)
    except OSError as error:
        raise SystemFailure(f"making cgroup {path}", "mkdir", error.errno or 0) from error
    return Cgroup(layout, path, (), layout.unified)


def _make_directory(mount: str, path: str, cpuset: bool) -> None:
    """mkdir with parents; a leftover without processes is made anew.  Raises OSError, `Conflict`."""
    directory = mount + path
    try:
        os.mkdir(directory, 0o755)
    except FileNotFoundError:
        parent = path[: path.rindex("/")]
        try:
            _make_directory_if_missing(mount, parent, cpuset)
        except FileExistsError:
            pass
        os.mkdir(directory, 0o755)
    except FileExistsError:
        if not remove_tree(directory):
            raise Conflict(f"cgroup {directory} is in use") from None
        os.mkdir(directory, 0o755)
    if cpuset:
        _inherit_cpuset(mount, path)


def _make_directory_if_missing(mount: str, path: str, cpuset: bool) -> None:
    grown = ""
    for part in path.split("/")[1:]:
        grown += "/" + part
        try:
            os.mkdir(mount + grown, 0o755)
        except FileExistsError:
            if not cpuset:
                continue
        if cpuset:
            _inherit_cpuset(mount, grown)


def _inherit_cpuset(mount: str, path: str) -> None:
    """A new v1 cpuset is empty, and no process can join it: take the parent's CPUs and memory nodes."""
    parent = mount + path[: path.rindex("/")]
    for file in ("/cpuset.cpus", "/cpuset.mems"):
        if not read_file(mount + path + file).strip():
            write_file(mount + path + file, read_file(parent + file).strip())


def _enable(layout: Layout, path: str, only: set[str] | None) -> str:
    """Hand controllers that v2 carries down to the group (cgroup.subtree_control along the path), or some of them.

    Returns the group whose own processes stand in the way of it, or ``""``.
    """
    wanted = [name for name in V2_CONTROLLERS if name in layout.unified_controllers and (only is None or name in only)]
    if not wanted or set(read_text(f"{layout.unified}{path}/cgroup.controllers").split()).issuperset(wanted):
        return ""
    busy, grown = "", ""
    for part in path.split("/")[1:]:
        directory = layout.unified + grown
        grown += "/" + part
        enabled = set(read_text(directory + "/cgroup.subtree_control").split())
        available = set(read_text(directory + "/cgroup.controllers").split())
        missing = [name for name in wanted if name in available and name not in enabled]
        if missing and _enable_in(directory, missing):
            busy = directory
    return busy


def _enable_in(directory: str, controllers: list[str]) -> bool:
    """All at once, else each that works.  True when processes in the group itself stand in the way (EBUSY)."""
    try:
        write_file(directory + "/cgroup.subtree_control", " ".join("+" + name for name in controllers))
        return False
    except OSError:
        busy = False
    for name in controllers:
        try:
            write_file(directory + "/cgroup.subtree_control", "+" + name)
        except OSError as error:
            busy = busy or error.errno == errno.EBUSY
    return busy
