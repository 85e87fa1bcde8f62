"""`run`, `attach`, `start -a` and `exec` over an API: what a person stays with."""

from __future__ import annotations

from wherry.client.attached import Attached, detach_keys
from wherry.client.containers import create, of, remove, start
from wherry.client.images import pull
from wherry.errors import Conflict, NotFound, WherryError
from wherry.monitor.client import terminal_size
from wherry.oci.digest import is_digest
from wherry.oci.reference import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from wherry.client.http import Answer, Remote
    from wherry.container.exec_options import ExecOptions
    from wherry.container.options import ContainerOptions
    from wherry.engine.progress import Progress
    from wherry.monitor.streams import Streams

_ID_LENGTH = 64
_CONDITIONS = (1, 30)
"""Since this version of the API one can wait for an end before the beginning, and engines remove containers alone."""


def run(remote: Remote, options: ContainerOptions, streams: Streams, progress: Progress) -> int:
    """See `wherry.engine.run.run`."""
    identity = _make(remote, options, progress, terminal_size(1, 0) if options.tty else None)
    connection = _attach(remote, identity, streams)
    waiting = _wait(remote, identity, removed=options.auto_remove)
    try:
        start(remote, identity)
    except WherryError:
        if connection is not None:
            connection[0].close()
        if options.auto_remove:
            _forget(remote, identity, waiting)
        raise
    if connection is not None and _stay(remote, of(identity), connection, streams):
        return 0
    return _status(remote, identity, waiting)


def run_detached(remote: Remote, options: ContainerOptions, progress: Progress) -> str:
    """See `wherry.engine.run.run_detached`."""
    identity = make(remote, options, progress)
    try:
        start(remote, identity)
    except WherryError:
        if options.auto_remove:
            _forget(remote, identity, None)
        raise
    return identity


def make(remote: Remote, options: ContainerOptions, progress: Progress) -> str:
    """See `wherry.engine.run.make`."""
    return _make(remote, options, progress, None)


def _make(remote: Remote, options: ContainerOptions, progress: Progress, size: tuple[int, int] | None) -> str:
    """Create a container, whose image is pulled when it is not there or ``--pull`` says so; its id.

    ``size`` is that of its terminal from the beginning, where the engine can do that.
    """
    if not is_digest(options.image) and len(options.image) != _ID_LENGTH:
        parse(options.image)  # says what is wrong with the name
    if options.pull == "always":
        _pull(remote, options, progress)
        return create(remote, options, size)
    try:
        return create(remote, options, size)
    except NotFound as error:
        if options.pull == "never" or is_digest(options.image) or not _is_about_image(error, options):
            raise
    progress.message(f"Unable to find image '{parse(options.image).tagged().familiar()}' locally")
    _pull(remote, options, progress)
    return create(remote, options, size)


def _is_about_image(error: NotFound, options: ContainerOptions) -> bool:
    text = error.message.lower()
    return "no such image" in text or (bool(options.platform) and "platform" in text)


def _pull(remote: Remote, options: ContainerOptions, progress: Progress) -> None:
    name = parse(options.image).tagged().familiar()
    pulled = pull(remote, name, platform=options.platform, progress=progress)
    progress.message(f"Digest: {pulled.digest}")
    progress.message(f"Status: {'Downloaded newer image' if pulled.newer else 'Image is up to date'} for {name}")


def start_attached(remote: Remote, name: str, streams: Streams) -> int:
    """See `wherry.engine.start.start_attached`."""
    document = _inspect(remote, name)
    if document["State"]["Running"]:
        return attach(remote, name, streams)[0]
    config, identity = document["Config"], document["Id"]
    terminal, stdin = config["Tty"], streams.stdin if config["OpenStdin"] else None
    joined = streams.replace(terminal=terminal, sig_proxy=streams.sig_proxy and not terminal, stdin=stdin)
    connection = _attach(remote, identity, joined)
    waiting = _wait(remote, identity, removed=document["HostConfig"]["AutoRemove"])
    start(remote, identity)
    if connection is not None and _stay(remote, of(identity), connection, joined):
        return 0
    return _status(remote, identity, waiting)


def attach(remote: Remote, name: str, streams: Streams) -> tuple[int, bool]:
    """See `wherry.engine.attach.attach`."""
    document = _inspect(remote, name)
    state, config, identity = document["State"], document["Config"], document["Id"]
    if not state["Running"]:
        raise Conflict("cannot attach to a stopped container, start it first")
    if state["Paused"]:
        raise Conflict("cannot attach to a paused container, unpause it first")
    if state["Restarting"]:
        raise Conflict("cannot attach to a restarting container, wait until it is running")
    joined = streams.replace(terminal=config["Tty"], stdin=streams.stdin if config["OpenStdin"] else None)
    waiting = _wait(remote, identity, removed=False)
    connection = _attach(remote, identity, joined)
    if connection is not None and _stay(remote, of(identity), connection, joined, redraw=True):
        return 0, True
    return _status(remote, identity, waiting), False


def wants(remote: Remote, name: str) -> tuple[bool, bool]:
    """See `wherry.engine.attach.wants`."""
    config = _inspect(remote, name)["Config"]
    return config["Tty"], config["OpenStdin"]


def exec_in(remote: Remote, name: str, options: ExecOptions, streams: Streams) -> int:
    """See `wherry.engine.exec.exec_in`."""
    asked: dict[str, Any] = {
        "Cmd": list(options.cmd),
        "AttachStdin": options.attach_stdin,
        "AttachStdout": options.attach_stdout,
        "AttachStderr": options.attach_stderr,
        "Tty": options.tty,
        "Env": list(options.env),
        "User": options.user,
        "WorkingDir": options.working_dir,
        "Privileged": options.privileged,
        "DetachKeys": detach_keys(streams.detach_keys),
    }
    begin: dict[str, Any] = {"Detach": options.detach, "Tty": options.tty}
    if any(options.console_size):
        begin["ConsoleSize"] = list(options.console_size)
    identity = remote.call("POST", f"{of(name)}/exec", body=asked)["Id"]
    path = f"/exec/{identity}"
    if options.detach:
        remote.call("POST", f"{path}/start", body=begin)
        return 0
    connection = remote.hijack(f"{path}/start", body=begin)
    if _stay(remote, path, connection, streams):
        return 0
    return int(remote.call("GET", f"{path}/json")["ExitCode"] or 0)


# -- parts


def _inspect(remote: Remote, name: str) -> Any:
    return remote.call("GET", f"{of(name)}/json")


def _attach(remote: Remote, identity: str, streams: Streams) -> tuple[socket.socket, bytes] | None:
    """A connection to a container's streams, which may not have begun; None when none of them is wanted."""
    wanted = {part: getattr(streams, part) is not None for part in ("stdin", "stdout", "stderr")}
    if not any(wanted.values()):
        return None
    query = {"stream": True, "detachKeys": detach_keys(streams.detach_keys), **wanted}
    return remote.hijack(f"{of(identity)}/attach", query)


def _stay(
    remote: Remote, path: str, connection: tuple[socket.socket, bytes], streams: Streams, *, redraw: bool = False
) -> bool:
    """Join the streams; whether the person left.  ``path`` is what has a terminal to resize, and may be signalled.

    ``redraw``: programs on the terminal are to draw anew, which they do when its size changes.
    """

    def resize(size: tuple[int, int]) -> None:
        remote.call("POST", f"{path}/resize", {"h": size[0], "w": size[1]})

    def signal(number: int) -> None:
        remote.call("POST", f"{path}/kill", {"signal": number})

    with connection[0], Attached(connection, streams, resize=resize, signal=signal) as joined:
        return joined.attend(redraw=redraw)


def _wait(remote: Remote, identity: str, *, removed: bool) -> Answer | None:
    """Begin to wait for the container's next end; its answer comes then."""
    if remote.version < _CONDITIONS:
        return None
    condition = "removed" if removed else "next-exit"
    return remote.stream("POST", f"{of(identity)}/wait", {"condition": condition})


def _status(remote: Remote, identity: str, waiting: Answer | None) -> int:
    """The exit status of a container that has ended, or is about to."""
    if waiting is None:
        return int(remote.call("POST", f"{of(identity)}/wait")["StatusCode"])
    with waiting:
        found: dict[str, Any] = next(waiting.documents(), {})
    problem = (found.get("Error") or {}).get("Message", "")
    if problem:
        raise WherryError(problem)
    return int(found.get("StatusCode", 0))


def _forget(remote: Remote, identity: str, waiting: Answer | None) -> None:
    """A container that was to be removed, and could not be started: gone when this returns."""
    try:
        remove(remote, identity, force=True)
    except (NotFound, Conflict):
        pass  # the engine removes it
    if waiting is not None:
        with waiting:
            next(waiting.documents(), None)
