"""Whether a bind can be shared with the host: its source must lie on a shared mount (mount_namespaces(7))."""

from __future__ import annotations

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import MountPoint


def check(mounts: tuple[MountPoint, ...], mountinfo: str) -> None:
    """Refuses, as Docker does, ``shared`` and ``slave`` binds whose source is on a private mount.

    ``mountinfo`` is the text of /proc/self/mountinfo (proc(5)); sources must have no symbolic links.
    """
    wanted = [mount for mount in mounts if mount.propagation.lstrip("r") in ("shared", "slave")]
    if not wanted:
        return
    points = _mount_points(mountinfo)
    for mount in wanted:
        point = max((path for path in points if _below(mount.source, path)), key=len, default="/")
        kinds = points.get(point, ())
        if mount.propagation.endswith("shared") and "shared" not in kinds:
            raise InvalidArgument(
                f"path {mount.source} is mounted on {point} but it is not a shared mount",
                hint=f"mount --make-shared {point}",
            )
        if mount.propagation.endswith("slave") and not {"shared", "master"} & set(kinds):
            raise InvalidArgument(
                f"path {mount.source} is mounted on {point} but it is not a shared or slave mount",
                hint=f"mount --make-shared {point}",
            )


def _below(path: str, directory: str) -> bool:
    return directory == "/" or path == directory or path.startswith(directory + "/")


def _mount_points(mountinfo: str) -> dict[str, tuple[str, ...]]:
    """Mount point → kinds of propagation ("shared", "master"); of stacked mounts the last is the visible one."""
    points: dict[str, tuple[str, ...]] = {}
    for line in mountinfo.splitlines():
        words = line.split(" ")
        if len(words) < 7 or "-" not in words:
            continue
        tags = words[6 : words.index("-")]
        path = words[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        points[path] = tuple([tag.partition(":")[0] for tag in tags])
    return points
