"""Containers by another OCI runtime: runc, crun, or any program with their command line.

``program create | start | delete`` (runtime specification, runtime.md, and runc(8)) with the same specification that
our own runtime would get.  The caller becomes a child subreaper, so that the container's process is its child, and
moves to a mount namespace of its own, where the container's root is mounted and nobody else sees it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _struct as struct
import os
import stat

from wherry.errors import CannotInvoke, CommandNotFound, NotFound, NotSupported, WherryError
from wherry.linux import cgroup as cgroups
from wherry.linux import mount as m
from wherry.linux import namespaces, prctl
from wherry.runtime import trees
from wherry.runtime.child import Child
from wherry.runtime.op import OpenRoot
from wherry.runtime.options import SUBDIRECTORY
from wherry.runtime.plan import INIT_ANNOTATION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.linux.host import Host
    from wherry.linux.ids import IdMap
    from wherry.oci.mount import Mount
    from wherry.runtime.inside import Stdio

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOG_LIMIT = 1 << 20
#: crun before 1.14 knows no newer one; nothing in our specifications needs it, id-mapped binds excepted
_OLD_ENOUGH = "1.0.2"


class RuntimeFailed(WherryError):
    """The other runtime ended with an error; its own words are the message."""


class ExternalProcess(Child):
    """The same protocol as `wherry.runtime.create.Process`, over a program."""

    def __init__(self, program: str, state_root: str, log: str, container_id: str, pid: int) -> None:
        super().__init__(pid)
        self.root = ""
        self._command = (program, "--root", state_root, "--log", log, "--log-format", "json")
        self._log = log
        self._id = container_id

    def start(self) -> None:
        """Let the command run.  Raises CommandNotFound, CannotInvoke or RuntimeFailed."""
        _run(self._command, ("start", self._id), self._log)

    def delete(self) -> None:
        """Remove the container and the mount of its root.  Does nothing twice."""
        if self.pidfd < 0:
            return
        self.kill(_signal.SIGKILL)
        self.wait()
        os.close(self.pidfd)
        self.pidfd = -1
        try:
            _run(self._command, ("delete", "--force", self._id), self._log)
        finally:
            if self.root:
                _unmount_root(self.root)
            if self.cgroup is not None:
                self.cgroup.remove()


def create_external(
    spec: Any,
    *,
    program: str,
    host: Host,
    bundle: str,
    container_id: str,
    rootfs: Mount | None = None,
    stdio: Stdio | None = None,
) -> ExternalProcess:
    """Create the container with ``program``, a name in the system's directories or a path.

    ``bundle`` is a directory of the caller's: ``config.json`` is written to it and the root is mounted at its
    ``rootfs``.  Raises NotFound without the program, NotSupported for what only our own runtime does, and what the
    program said, as CommandNotFound, CannotInvoke or RuntimeFailed; then nothing is left behind.
    """
    path = find_program(program)
    if (spec.get("annotations") or {}).get(INIT_ANNOTATION) == "true":
        raise NotSupported("--init needs Wherry's own runtime", hint="leave out --runtime, or use an image with tini")
    if rootfs is not None and not host.privileged:
        raise NotSupported("other runtimes need root", hint="leave out --runtime: Wherry's own runtime works rootless")
    for entry in spec.get("mounts") or ():
        if any(option.startswith(SUBDIRECTORY) for option in entry.get("options") or ()):
            # it would get a path, which another container may meanwhile turn into a link
            raise NotSupported("volume-subpath needs Wherry's own runtime", hint="leave out --runtime")
    prctl.set_subreaper(True)
    whole = {**spec, "ociVersion": _OLD_ENOUGH}
    root = ""
    if rootfs is not None:
        root = _root_path(spec, bundle, container_id)
        _mount_root(spec, rootfs, root)
        whole["root"] = {**(spec.get("root") or {}), "path": root}
    try:
        return _create(whole, path, host, bundle, container_id, stdio, root)
    except BaseException:
        if root:
            _unmount_root(root)
        raise


def _unmount_root(root: str) -> None:
    m.unmount(root, m.MNT_DETACH)
    os.rmdir(root)


def find_program(name: str) -> str:
    """The path of a runtime.  Raises NotFound."""
    candidates = [name] if "/" in name else [f"{directory}/{name}" for directory in _PATH.split(":")]
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return os.path.abspath(candidate)
    raise NotFound("runtime", name, f"unknown or invalid runtime name: {name}", hint="install it or give its path")


def _root_path(spec: dict[str, Any], bundle: str, container_id: str) -> str:
    """Where the root is mounted: a runtime walks there as the container's root, which may not enter our directories."""
    if (spec.get("linux") or {}).get("uidMappings"):
        return f"/run/.wherry-{container_id}"
    return bundle + "/rootfs"


def _mount_root(spec: dict[str, Any], rootfs: Mount, target: str) -> None:
    """In a mount namespace of this process's own, the root as the container will see it."""
    held: list[int] = []

    def holder(_uids: tuple[IdMap, ...], _gids: tuple[IdMap, ...]) -> int:
        if not held:
            from wherry.runtime.mounts import id_maps

            linux = spec.get("linux") or {}
            held.append(namespaces.holder(id_maps(linux.get("uidMappings")), id_maps(linux.get("gidMappings"))))
        return held[0]

    namespaces.unshare(namespaces.CLONE_NEWNS)
    m.set_propagation("/", m.MS_SLAVE, recursive=True)
    os.makedirs(target, exist_ok=True)
    tree = trees.open_root(OpenRoot(0, rootfs), holder)
    try:
        m.attach_at(tree, target)
    finally:
        os.close(tree)
        for descriptor in held:
            os.close(descriptor)


def _create(
    spec: dict[str, Any], program: str, host: Host, bundle: str, container_id: str, stdio: Stdio | None, root: str
) -> ExternalProcess:
    from wherry.fastjson import dumps

    with open(bundle + "/config.json", "w", encoding="utf-8") as file:
        file.write(dumps(spec))
    log, pid_file, state_root = bundle + "/runtime.log", bundle + "/runtime.pid", bundle + "/runtime"
    os.makedirs(state_root, mode=0o700, exist_ok=True)
    command = (program, "--root", state_root, "--log", log, "--log-format", "json")
    arguments: tuple[str, ...] = ("create", "--bundle", bundle, "--pid-file", pid_file)
    console = _ConsoleSocket(bundle) if spec["process"].get("terminal") else None
    streams: tuple[int, ...] = (0, 1, 2) if stdio is None else (stdio.stdin, stdio.stdout, stdio.stderr)
    null = _private_null() if host.privileged else -1
    try:
        if console is not None:
            arguments += ("--console-socket", console.path)
            streams = (-1, -1, -1)
        if null >= 0:
            streams = tuple(null if one < 0 or _is_null(one) else one for one in streams)
        _run(command, (*arguments, container_id), log, streams)
        with open(pid_file, encoding="ascii") as file:
            process = ExternalProcess(program, state_root, log, container_id, int(file.read()))
        if console is not None:
            try:
                process.console = console.receive()
            except BaseException:
                process.delete()
                raise
    finally:
        if console is not None:
            console.close()
        if null >= 0:
            os.close(null)
    process.root = root
    path = str((spec.get("linux") or {}).get("cgroupsPath") or "")
    if path:
        process.cgroup = cgroups.open_cgroup(host.cgroups, path)
    return process


class _ConsoleSocket:
    """Where the other runtime sends the terminal (runc(8), docs/terminals.md)."""

    def __init__(self, bundle: str) -> None:
        import _socket

        self._directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # a socket's path is at most 107 bytes long; the program inherits nothing, so it goes through this process
        self.path = f"/proc/{os.getpid()}/fd/{self._directory}/tty.sock"
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._socket.bind(self.path)
        self._socket.listen(1)

    def receive(self) -> int:
        """The master of the terminal.  Raises RuntimeFailed when none arrives."""
        import _socket

        self._socket.settimeout(10)
        try:
            descriptor, _ = self._socket._accept()  # type: ignore[attr-defined]
        except OSError:
            raise RuntimeFailed("the runtime sent no terminal") from None
        connection = _socket.socket(fileno=descriptor)
        connection.settimeout(10)
        try:
            _, rights, _, _ = connection.recvmsg(4096, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        finally:
            connection.close()
        for level, kind, content in rights:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                return int(struct.unpack("i", content[:4])[0])
        raise RuntimeFailed("the runtime sent no terminal")

    def close(self) -> None:
        self._socket.close()
        try:
            os.unlink("tty.sock", dir_fd=self._directory)
        except FileNotFoundError:
            pass
        os.close(self._directory)


def _private_null() -> int:
    """A null device of its own: crun gives the standard streams to the container's root, the host's device too."""
    tree = m.new("tmpfs", ("mode=755", "size=64k"))
    try:
        os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3), dir_fd=tree)
        return os.open("null", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=tree)
    finally:
        os.close(tree)


def _is_null(descriptor: int) -> bool:
    found = os.fstat(descriptor)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)


def _run(
    command: tuple[str, ...], arguments: tuple[str, ...], log: str, streams: tuple[int, ...] = (-1, -1, -1)
) -> None:
    """Run the program to its end; its log says what went wrong."""
    start = _size(log)
    actions: list[Any] = []
    for number, descriptor in enumerate(streams):
        if descriptor < 0:
            actions.append((os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0))
        elif descriptor != number:
            actions.append((os.POSIX_SPAWN_DUP2, descriptor, number))
    environment = {"PATH": _PATH}
    pid = os.posix_spawn(command[0], [*command, *arguments], environment, file_actions=actions)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise _failure(_last_message(log, start) or f"{command[0]} {arguments[0]}: exit status {status}")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _last_message(log: str, start: int) -> str:
    from wherry.fastjson import JSONError, loads

    try:
        with open(log, "rb") as file:
            file.seek(start)
            lines = file.read(_LOG_LIMIT).splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            entry = loads(line)
        except JSONError:
            continue
        if isinstance(entry, dict) and entry.get("level") == "error" and entry.get("msg"):
            return str(entry["msg"]).strip()
    return ""


def _failure(message: str) -> WherryError:
    """By the words that Docker itself looks for (daemon/start.go, translateContainerdStartErr)."""
    lowered = message.lower()
    if "executable file" in lowered or "no such file or directory" in lowered:
        return CommandNotFound(message)
    if "permission denied" in lowered or "not a directory" in lowered or "is a directory" in lowered:
        return CannotInvoke(message)
    return RuntimeFailed(message)
