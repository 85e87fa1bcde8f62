"""What can be asked of another process in a running container, and the process that follows from it.

Field names are those of the Docker Engine API (``POST /containers/{id}/exec``) in snake_case.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.facts import Identity
    from wherry.container.options import ContainerOptions


class ExecOptions(Record):
    """One ``exec``.  The empty string and the empty tuple mean "not asked": then it is as in the container."""

    cmd: tuple[str, ...]
    attach_stdin: bool = False
    attach_stdout: bool = True
    attach_stderr: bool = True
    tty: bool = False
    detach: bool = False
    env: tuple[str, ...] = ()  # "NAME=value"; a bare "NAME" removes what the container sets
    user: str = ""
    working_dir: str = ""
    privileged: bool = False
    console_size: tuple[int, int] = (0, 0)  # rows, columns


def process(
    spec: dict[str, Any],
    container: ContainerOptions,
    options: ExecOptions,
    identity: Identity,
    *,
    hostname: str,
    every: tuple[str, ...],
) -> dict[str, Any]:
    """The ``process`` of the OCI runtime spec for ``options`` in the container of ``spec`` (moby, ``exec_linux.go``).

    Limits, labels and no_new_privileges are the container's.  ``identity`` is who it runs as, ``hostname`` the host's
    name, for a container without one of its own, ``every`` the capabilities that ``--privileged`` gives.  Raises
    `InvalidArgument`.
    """
    from wherry.container.merge import clean_working_dir, process_env  # after the monitor has been forked

    first = spec["process"]
    for entry in options.env:
        if "\0" in entry or entry[:1] in ("", "="):
            raise InvalidArgument(f"invalid environment variable: {entry.partition(chr(0))[0]}")
    if any("\0" in word for word in options.cmd):
        raise InvalidArgument("the command holds a NUL character")
    bounding = list(every) if options.privileged else list((first.get("capabilities") or {}).get("bounding") or ())
    effective = bounding if identity.uid == 0 else []
    merged = container.replace(env=container.env + options.env, tty=options.tty)
    known = {entry.partition("=")[0] for entry in (*container.env, "PATH=", "HOSTNAME=", "TERM=", "HOME=")}
    linked = tuple([entry for entry in first.get("env") or () if entry.partition("=")[0] not in known])
    rows, columns = options.console_size
    return {
        **first,
        "terminal": options.tty,
        "consoleSize": {"height": rows, "width": columns},
        "user": {"uid": identity.uid, "gid": identity.gid, "additionalGids": list(identity.groups)},
        "args": list(options.cmd),
        "env": process_env(merged, hostname=spec.get("hostname") or hostname, home=identity.home, linked=linked),
        "cwd": clean_working_dir(options.working_dir or container.working_dir or "/"),
        "capabilities": {"bounding": bounding, "effective": effective, "permitted": effective},
    }
