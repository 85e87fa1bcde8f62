"""User and group id maps (user_namespaces(7)) and the ranges an unprivileged user may map (subuid(5))."""

from __future__ import annotations

import errno
import os

from wherry.errors import Forbidden, SystemFailure
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAMS = ("/usr/bin/newuidmap", "/usr/bin/newgidmap")
_MAXIMUM = 1 << 20


class IdMap(Record):
    """``size`` ids from ``container`` inside are the ids from ``host`` outside (user_namespaces(7))."""

    container: int
    host: int
    size: int


def inside(maps: Sequence[IdMap], host: int) -> int:
    """The id that ``host`` is inside, -1 when it has none there; without maps, itself."""
    if not maps:
        return host
    for one in maps:
        if one.host <= host < one.host + one.size:
            return one.container + host - one.host
    return -1


def subordinate(path: str, user: int, name: str = "") -> tuple[tuple[int, int], ...]:
    """The ``(first, count)`` ranges that ``path`` (``/etc/subuid``, ``/etc/subgid``) gives to a user."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return ()
    try:
        text = os.read(descriptor, _MAXIMUM).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    ranges: list[tuple[int, int]] = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in (str(user), name or str(user)):
            try:
                first, count = int(fields[1]), int(fields[2])
            except ValueError:
                continue
            if count > 0 and first >= 0:
                ranges.append((first, count))
    return tuple(ranges)


def unprivileged_maps(uid: int, gid: int, name: str = "") -> tuple[tuple[IdMap, ...], tuple[IdMap, ...]]:
    """The best maps an unprivileged user can have: itself as 0 and its subordinate ids from 1 up.

    Without ranges for both kinds, or without newuidmap and newgidmap, only the user's single id is mapped.
    """
    users = subordinate("/etc/subuid", uid, name)
    groups = subordinate("/etc/subgid", uid, name)
    single = (IdMap(0, uid, 1),), (IdMap(0, gid, 1),)
    if not users or not groups or not all(os.access(program, os.X_OK) for program in _PROGRAMS):
        return single
    return _stack(uid, users), _stack(gid, groups)


def _stack(own: int, ranges: tuple[tuple[int, int], ...]) -> tuple[IdMap, ...]:
    maps = [IdMap(0, own, 1)]
    following = 1
    for first, count in ranges:
        maps.append(IdMap(following, first, count))
        following += count
    return tuple(maps)


def write_maps(pid: int, uids: Sequence[IdMap], gids: Sequence[IdMap]) -> None:
    """Write the id maps of the user namespace that the child ``pid`` has just entered.

    Privileged callers, and a single own id, write the files themselves; the rest is done by newuidmap(1) and
    newgidmap(1).  Raises Forbidden (the programs refused or are missing) or SystemFailure.
    """
    own = len(uids) == 1 and uids[0].size == 1 and uids[0].host == os.geteuid()
    own_group = len(gids) == 1 and gids[0].size == 1 and gids[0].host == os.getegid()
    if os.geteuid() != 0 and not (own and own_group):
        _run_helper(_PROGRAMS[0], pid, uids)
        _run_helper(_PROGRAMS[1], pid, gids)
        return
    try:
        if os.geteuid() != 0:
            _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/uid_map", _lines(uids))
        _write(f"/proc/{pid}/gid_map", _lines(gids))
    except OSError as error:
        hint = ""
        if error.errno == errno.EPERM:
            hint = "this process may not map those ids; give it CAP_SETUID and CAP_SETGID or map its own id only"
        raise SystemFailure("map the container's user and group ids", "write", error.errno or 0, hint=hint) from None


def _lines(maps: Sequence[IdMap]) -> str:
    return "".join(f"{one.container} {one.host} {one.size}\n" for one in maps)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _run_helper(program: str, pid: int, maps: Sequence[IdMap]) -> None:
    name = program.rpartition("/")[2]
    arguments = [name, str(pid)]
    for one in maps:
        arguments += [str(one.container), str(one.host), str(one.size)]
    read, write = os.pipe()
    try:
        helper = os.posix_spawn(program, arguments, {}, file_actions=[(os.POSIX_SPAWN_DUP2, write, 2)])
    except OSError as error:
        os.close(read)
        os.close(write)
        hint = "install the package that has newuidmap (uidmap or shadow), or map a single id"
        raise Forbidden(f"{name} cannot be run: {os.strerror(error.errno or 0).lower()}", hint=hint) from None
    os.close(write)
    try:
        words = os.read(read, 4096).decode("utf-8", "replace").strip()
    finally:
        os.close(read)
    _, status = os.waitpid(helper, 0)
    if status:
        message = words.splitlines()[-1] if words else f"{name} refused to map the ids"
        raise Forbidden(message, hint="check this user's lines in /etc/subuid and /etc/subgid")
