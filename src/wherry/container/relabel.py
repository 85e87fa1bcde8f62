"""``-v …:z`` and ``:Z``: giving a bind's source the container's SELinux label (docker-run(1), "Volume labels")."""

from __future__ import annotations

import os

from wherry.errors import Forbidden, SystemFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import MountPoint

_ATTRIBUTE = "security.selinux"
_NEVER = ("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/srv")
_NEVER_EITHER = ("/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/log")


def relabel(mounts: tuple[MountPoint, ...], mount_label: str) -> None:
    """Labels the sources of the mounts that ask for it; ``mount_label`` is the container's, "" where SELinux is off.

    Shared content (``z``) gets the label without categories.  Raises `Forbidden` for directories of the system, which
    would no longer work for the host.
    """
    if not mount_label:
        return
    for mount in mounts:
        if not mount.relabel or not mount.source:
            continue
        if mount.source in _NEVER or mount.source in _NEVER_EITHER:
            raise Forbidden(f"SELinux relabeling of {mount.source} is not allowed")
        label = mount_label
        if mount.relabel == "z":
            label = ":".join([*mount_label.split(":")[:3], "s0"])
        _label_tree(mount.source, label.encode() + b"\0")


def _label_tree(root: str, value: bytes) -> None:
    try:
        os.setxattr(root, _ATTRIBUTE, value, follow_symlinks=False)
        for directory, directories, files in os.walk(root):
            for name in directories + files:
                os.setxattr(f"{directory}/{name}", _ATTRIBUTE, value, follow_symlinks=False)
    except OSError as error:
        raise SystemFailure(f"relabeling {root}", "lsetxattr", error.errno or 0) from None
