"""What control group hierarchies this host has, and where this process is in them.

Everything comes from two small files, ``/proc/self/mountinfo`` and ``/proc/self/cgroup`` (cgroups(7)), so that a
`run` pays for no guessing.
"""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument
from wherry.linux.cgroup.files import read_text
from wherry.record import Record

#: v1 controllers that a container joins, in the order in which their directories are made.
V1_CONTROLLERS = (
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "pids",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
    "name=systemd",
)

#: v2 controllers handed down to containers where they exist.
V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma", "misc")


class Layout(Record):
    """The hierarchies of this host.

    ``version`` is ``"v1"``, ``"v2"``, ``"hybrid"`` (v1 controllers and a v2 mount beside them) or ``"none"``.
    ``controllers`` maps each controller to the directory where the hierarchy that carries it is mounted, v1 or v2;
    a named v1 hierarchy appears as ``name=systemd``.  ``unified`` is the v2 mount or ``""``; ``unified_controllers``
    are the controllers it carries.  ``own`` maps each hierarchy's directory to the path, below that directory, of the
    group this process was in (``"/"`` at the top, missing when it lies outside the mount).
    """

    version: str
    controllers: dict[str, str]
    unified: str = ""
    unified_controllers: frozenset[str] = frozenset()
    own: dict[str, str] = {}

    def carrier(self, controller: str) -> str:
        """``"v1"``, ``"v2"`` or ``""``: which version carries the controller (``devices`` and ``freezer`` are part of
        v2 itself, and of it only where no v1 hierarchy has them)."""
        directory = self.controllers.get(controller)
        if directory is not None:
            return "v2" if directory == self.unified else "v1"
        return "v2" if self.unified and controller in ("devices", "freezer") else ""

    def hierarchies(self) -> tuple[str, ...]:
        """The mount directories of the v1 hierarchies, each once."""
        found: dict[str, None] = {}
        for controller in V1_CONTROLLERS:
            directory = self.controllers.get(controller)
            if directory is not None and directory != self.unified:
                found[directory] = None
        return tuple(found)

    def delegated(self) -> str | None:
        """The path of the v2 subtree in which this unprivileged process may make groups, or None.

        That is the highest ancestor of its own group that it can write to, cgroup.procs and cgroup.subtree_control
        included (admin-guide/cgroup-v2.rst, "Delegation").
        """
        path = self.own.get(self.unified) if self.unified else None
        best = None
        while path is not None:
            directory = self.unified + path.rstrip("/")
            wanted = (directory, directory + "/cgroup.procs", directory + "/cgroup.subtree_control")
            if not all(os.access(name, os.W_OK, effective_ids=True) for name in wanted):
                break
            best = path
            path = None if path == "/" else path[: path.rindex("/")] or "/"
        return best


def detect(mountinfo: str | None = None, membership: str | None = None) -> Layout:
    """The layout of this host; never raises, an unreadable /proc counts as having no control groups.

    ``mountinfo`` and ``membership`` are the texts of ``/proc/self/mountinfo`` and ``/proc/self/cgroup``, read when
    they are not given.
    """
    v1, roots, unified = _mounted(read_text("/proc/self/mountinfo") if mountinfo is None else mountinfo)
    own: dict[str, str] = {}
    for line in (read_text("/proc/self/cgroup") if membership is None else membership).splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        directory = unified if number == "0" and not names else v1.get(names.split(",")[0])
        if directory:
            below = _below(path, roots[directory])
            if below is not None:
                own[directory] = below
    carried = frozenset(read_text(unified + "/cgroup.controllers").split()) if unified else frozenset()
    controllers = dict.fromkeys(carried, unified) | v1
    real = [name for name in v1 if not name.startswith("name=")]
    version = ("hybrid" if unified else "v1") if real else "v2" if unified else "none"
    return Layout(version, controllers, unified, carried, own)


def _mounted(mountinfo: str) -> tuple[dict[str, str], dict[str, str], str]:
    """v1 controller → directory, directory → the group it shows as its top, and the v2 directory."""
    v1: dict[str, str] = {}
    roots: dict[str, str] = {}
    unified = ""
    for line in mountinfo.splitlines():
        if " - cgroup" not in line:
            continue
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        root, directory = _unescape(fields[3]), _unescape(fields[4])
        if kind[0] == "cgroup2":
            if not unified:
                unified = directory
                roots[directory] = root
        elif kind[0] == "cgroup":
            for option in kind[2].split(","):
                if (option in V1_CONTROLLERS or option.startswith("name=")) and option not in v1:
                    v1[option] = directory
                    roots[directory] = root
    return v1, roots, unified


def _unescape(text: str) -> str:
    if "\\" in text:
        for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
            text = text.replace(code, character)
    return text


def _below(path: str, root: str) -> str | None:
    """Where ``path`` of /proc/self/cgroup is below a mount that shows ``root`` as its top."""
    if path.startswith("/.."):
        return None
    if root == "/":
        return path
    if path == root:
        return "/"
    return path[len(root) :] if path.startswith(root + "/") else None


def normal_path(path: str) -> str:
    """A group's path as ``/a/b``.  Raises `InvalidArgument` for one that could leave the hierarchy."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path or "\n" in path:
        raise InvalidArgument(f"invalid cgroup path: {path!r}")
    if ":" in path and path.count(":") == 2 and "/" not in path:
        return slice_path(*path.split(":"))
    return "/" + "/".join(parts)


def slice_path(slice_name: str, prefix: str, name: str) -> str:
    """The directory where systemd would put a container given as ``slice:prefix:name``.

    ``a-b.slice`` lies below ``a.slice`` (systemd.slice(5)); the container itself is ``prefix-name.scope``.  Wherry
    makes plain directories there and does not talk to systemd (docs/decisions/0020-cgroup-paths.md).
    """
    slice_name = slice_name or "system.slice"
    stem = slice_name.removesuffix(".slice")
    if stem == slice_name or "/" in slice_name or stem.startswith("-") or stem.endswith("-") or "--" in stem:
        if slice_name != "-.slice":
            raise InvalidArgument(f"invalid slice name: {slice_name}")
        stem = ""
    leaf = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    path, grown = "", ""
    for part in stem.split("-") if stem else ():
        grown = f"{grown}-{part}" if grown else part
        path += f"/{grown}.slice"
    return f"{path}/{leaf}"
