"""Control groups: limits, accounting and the list of a container's processes, on v1, v2 and hosts with both.

The story of one container::

    layout = detect()                                   # what this host mounts, read once
    group = create(layout, "/wherry/<id>", resources)   # directories made, limits written, or nothing left behind
    fd, fds = group.into_fd(), group.join_fds()         # for clone3(CLONE_INTO_CGROUP) and for v1 `tasks`
    ...
    group.kill(); group.remove()

``resources`` is the ``linux.resources`` object of the OCI runtime spec.  Man pages: cgroups(7); kernel documents
admin-guide/cgroup-v1/ and admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from wherry.linux.cgroup.group import Cgroup
from wherry.linux.cgroup.layout import Layout, detect, slice_path
from wherry.linux.cgroup.make import create, find, open_cgroup

__all__ = ["Cgroup", "Layout", "create", "detect", "find", "open_cgroup", "slice_path"]
