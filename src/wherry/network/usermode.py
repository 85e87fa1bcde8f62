"""Networks of people who are not root: pasta(1) or slirp4netns(1), where one of them is installed.

The program opens ordinary sockets on the host for what a container sends, and sends it what arrives at published ports.
It is the monitor's child, one for each container.  Both show services the client's own address.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import select
from time import monotonic

from wherry.errors import Conflict, InvalidArgument, NotSupported, SystemFailure, Unavailable, WherryError
from wherry.linux import inotify
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wherry.network.model import PublishedPort

#: What the container has, whichever program it is: slirp4netns' own choices.
ADDRESS, PREFIX, GATEWAY, INTERFACE = "10.0.2.100", 24, "10.0.2.2", "eth0"
SUBNETS = ("10.0.2.0/24", "fd00::/64")
RESOLVER = "10.0.2.3"  # leads to the host's first resolver, on its loopback too

_DIRECTORIES = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin")
_NAMES = ("pasta", "slirp4netns")
_SECONDS = 20  # for the program to be ready
_API_SOCKET = "slirp4netns.sock"
_PID_FILE = "pasta.pid"
NAMESPACE = "netns"  # a link
FILES = (_API_SOCKET, _PID_FILE, NAMESPACE)  # that a program leaves in its directory
_NOISE = b"bytes to syslog"


class Program(Record):
    """One that is installed."""

    name: str
    path: str


def find() -> Program | None:
    """The program to use, None when there is none: pasta, which is the faster one, unless it is an old one.

    Releases before May 2023 lose what a service says to a client that has not said anything yet.
    """
    found = [
        Program(name, f"{directory}/{name}")
        for name in _NAMES
        for directory in _DIRECTORIES
        if os.access(f"{directory}/{name}", os.X_OK)
    ]
    return next((one for one in found if one.name != "pasta" or _is_recent(one.path)), found[0] if found else None)


def _is_recent(path: str) -> bool:
    """Whether a pasta knows an option that came after that; distributions' builds do not always know their version."""
    try:
        with open(path, "rb") as file:
            return b"no-copy-routes" in file.read()
    except OSError:
        return True


def is_usable() -> bool:
    """Whether a program is installed and may open what it needs: without, a network is not made by default."""
    return os.access("/dev/net/tun", os.R_OK | os.W_OK) and find() is not None


def needed() -> NotSupported:
    """What is said when a network was asked for and there is no program."""
    return NotSupported(
        "this network needs pasta or slirp4netns, and neither is installed",
        hint="install the package passt or slirp4netns, or use --network host or none",
    )


class Running:
    """The program of one container; ``close`` ends it."""

    def __init__(self, program: Program, pid: int, said: int, held: Sequence[int]) -> None:
        self.program = program
        self.pid = pid
        self._said = said
        self._held = (said, *held)

    def complaint(self) -> str:
        """The last of what it said, in one line."""
        try:
            text = os.read(self._said, 1 << 16)
        except BlockingIOError:
            return ""
        lines = [line for line in text.splitlines() if line.strip() and _NOISE not in line]
        return "; ".join([line.decode("utf-8", "replace").strip() for line in lines[-3:]])

    def close(self) -> None:
        """End it; nothing twice."""
        if self.pid:
            os.kill(self.pid, _signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        for fd in self._held:
            os.close(fd)
        self._held = ()


def start(program: Program, user: str, namespace: str, directory: str, ports: Sequence[PublishedPort]) -> Running:
    """Connect a network namespace, and publish ports; ``user`` is its user namespace, both are paths.

    ``directory`` is the container's own; what is made in it may be removed with it, which ends a pasta whose monitor
    was killed.  Raises `Conflict` for a port that is taken, `NotSupported`, `Unavailable` with the program's own
    words; then nothing is left.
    """
    for port in ports:
        check(port.protocol)
    begin = _pasta if program.name == "pasta" else _slirp
    return begin(program, user, namespace, directory, ports)


def check(protocol: str) -> None:
    """Raises `InvalidArgument` for a port that users cannot publish."""
    if protocol not in ("tcp", "udp"):
        raise InvalidArgument(f"{protocol} ports can be published by root alone", hint="tcp and udp can")


# -- pasta -----------------------------------------------------------------------------------------------------------


def pasta_arguments(user: str, directory: str, ports: Iterable[PublishedPort]) -> list[str]:
    """Its options.  Nothing of the host's loopback is given to the container, which pasta would do by itself."""
    words = ["--foreground", "--quiet", "--config-net", "--no-map-gw", "--ns-ifname", INTERFACE]
    words += ["--address", ADDRESS, "--netmask", str(PREFIX), "--gateway", GATEWAY, "--dns-forward", RESOLVER]
    published: dict[str, list[str]] = {"tcp": [], "udp": []}
    for port in ports:
        published[port.protocol].append(f"{port.host_ip}/{port.host_port}:{port.container_port}")
    for protocol, option in (("tcp", "-t"), ("udp", "-u")):
        for one in published[protocol] or ["none"]:
            words += [option, one]
    words += ["-T", "none", "-U", "none", "--pid", f"{directory}/{_PID_FILE}"]
    return [*words, "--userns", user, "--netns", f"{directory}/{NAMESPACE}"]


def _pasta(program: Program, user: str, namespace: str, directory: str, ports: Sequence[PublishedPort]) -> Running:
    """It is ready when it has written its pid, and ends when the link to the namespace goes."""
    link, pid_file = f"{directory}/{NAMESPACE}", f"{directory}/{_PID_FILE}"
    for path in (link, pid_file):
        if os.path.lexists(path):
            os.unlink(path)
    os.symlink(namespace, link)
    changes = inotify.watch(directory)
    try:
        running = _spawn(program, pasta_arguments(user, directory, ports), ())
        _wait(running, changes, lambda: _has_content(pid_file), ports)
        return running
    finally:
        os.close(changes)


def _has_content(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False


# -- slirp4netns -----------------------------------------------------------------------------------------------------


def _slirp(program: Program, user: str, namespace: str, directory: str, ports: Sequence[PublishedPort]) -> Running:
    """It writes to a pipe when it is ready, and ends when another one is closed: with the monitor, if need be."""
    ready, to_ready = os.pipe2(os.O_CLOEXEC)
    until, held = os.pipe2(os.O_CLOEXEC)
    at = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # the path of a socket has 107 bytes
    socket = f"/proc/self/fd/{at}/{_API_SOCKET}"
    words = ["--configure", "--mtu=65520", "--disable-host-loopback", "--enable-ipv6", f"--api-socket={socket}"]
    words += ["--netns-type=path", f"--userns-path={user}", f"--ready-fd={to_ready}"]
    words += [f"--exit-fd={until}", namespace, INTERFACE]
    try:
        if os.path.lexists(socket):
            os.unlink(socket)
        running = _spawn(program, words, (to_ready, until, at), held)
    except BaseException:
        os.close(held)
        os.close(ready)
        raise
    finally:
        for fd in (to_ready, until, at):
            os.close(fd)
    try:
        _wait(running, ready, lambda: _is_readable(ready), ports)
        for port in ports:
            forward(directory, port)
    except BaseException:
        running.close()
        raise
    finally:
        os.close(ready)
    return running


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(event & select.POLLIN for _fd, event in poll.poll(0))


def forward(directory: str, port: PublishedPort) -> None:
    """Have slirp4netns publish a port.  Raises `Conflict` when it cannot."""
    from wherry import fastjson

    request = fastjson.dumps(
        {
            "execute": "add_hostfwd",
            "arguments": {
                "proto": port.protocol,
                "host_addr": port.host_ip,
                "host_port": port.host_port,
                "guest_port": port.container_port,
            },
        }
    )
    at = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
    try:
        client.settimeout(_SECONDS)
        client.connect(f"/proc/self/fd/{at}/{_API_SOCKET}")
        client.sendall(request.encode())
        client.shutdown(_socket.SHUT_WR)
        answer = b""
        while data := client.recv(4096):
            answer += data
    except OSError as error:
        raise SystemFailure("publish a port by slirp4netns", "connect", error.errno or 0) from None
    finally:
        client.close()
        os.close(at)
    if "error" in fastjson.loads(answer.decode("utf-8", "replace") or "{}"):
        raise _taken(port)


# -- both ------------------------------------------------------------------------------------------------------------


def _spawn(program: Program, words: Sequence[str], passed: Sequence[int], *held: int) -> Running:
    """Start it with nothing but its standard streams and ``passed``; what it complains of can be read."""
    said, errors = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    actions = [(os.POSIX_SPAWN_DUP2, errors, 2), *[(os.POSIX_SPAWN_DUP2, fd, fd) for fd in passed]]
    try:
        environment = {"PATH": ":".join(_DIRECTORIES)}
        pid = os.posix_spawn(
            program.path, [program.name, *words], environment, file_actions=actions, setsigdef=[_signal.SIGPIPE]
        )
    except OSError as error:
        os.close(said)
        raise SystemFailure(f"start {program.name}", "posix_spawn", error.errno or 0) from None
    finally:
        os.close(errors)
    return Running(program, pid, said, held)


def _wait(running: Running, events: int, is_ready: Callable[[], bool], ports: Sequence[PublishedPort]) -> None:
    """Until it is ready; when it ends before that, raises what it said."""
    pidfd = os.pidfd_open(running.pid)
    poll = select.poll()
    poll.register(events, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    until = monotonic() + _SECONDS
    try:
        while not is_ready():
            found = dict(poll.poll(max(0.0, until - monotonic()) * 1000))
            if pidfd in found or not found:
                raise _failed(running.program, running.complaint(), ports)
            if events in found and not is_ready():
                _drain(events)
    except BaseException:
        running.close()
        raise
    finally:
        os.close(pidfd)


def _drain(fd: int) -> None:
    try:
        os.read(fd, 4096)
    except BlockingIOError:
        pass


def _failed(program: Program, said: str, ports: Sequence[PublishedPort]) -> WherryError:
    """What its last words mean."""
    if "tun" in said:
        return NotSupported(f"{program.name}: {said}", hint="/dev/net/tun must be there and open to users (mode 0666)")
    for port in ports:
        if "bind" in said.lower() and str(port.host_port) in said:
            return _taken(port)
    return Unavailable(f"{program.name} ended before it was ready: {said or 'it said nothing'}")


def _taken(port: PublishedPort) -> Conflict:
    shown = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
    hint = "another program of this host has it (see `ss -lntup`)"
    if port.host_port < _first_unprivileged():
        hint = "users may publish ports from net.ipv4.ip_unprivileged_port_start on"
    return Conflict(f"failed to bind host port {shown}:{port.host_port}/{port.protocol}", hint=hint)


def _first_unprivileged() -> int:
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024
