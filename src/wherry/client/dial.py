"""Connections to an engine: a socket that carries plain HTTP, whatever is behind it."""

from __future__ import annotations

import _socket
import errno

from wherry.client.address import Address
from wherry.errors import Forbidden, NotSupported, Unavailable, WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import subprocess
    from typing import IO

    from wherry.client.tls import Tunnel

_PATIENCE = 30.0  # seconds to connect and to shake hands
_FAR_COMMANDS = ("wherry", "docker")
_NOT_FOUND = 127  # a shell's status for a command that it does not have
_MOST_SAID = 2000
_LAST_WORDS = 5.0  # seconds that ssh has to end after it has closed its output


class Channel:
    """One connection.  ``socket`` carries HTTP; `problem` says why it ended, where that is known."""

    def __init__(self, plain: _socket.socket, *, tunnel: Tunnel | None = None, ssh: _Ssh | None = None) -> None:
        self.socket = plain
        self._tunnel = tunnel
        self._ssh = ssh

    def problem(self) -> str:
        """What ended the connection before its time, "" when only its end is known."""
        if self._tunnel is not None:
            return self._tunnel.problem
        return self._ssh.last_words() if self._ssh is not None else ""

    @property
    def command_missing(self) -> bool:
        """Whether the other machine does not have the program that was asked for."""
        return self._ssh is not None and self._ssh.status() == _NOT_FOUND

    def take(self) -> socket.socket:
        """The socket, for who uses it otherwise; with what ``_socket`` leaves out, which takes time to import."""
        import socket

        return self.socket if isinstance(self.socket, socket.socket) else socket.socket(fileno=self.socket.detach())

    def close(self) -> None:
        """What is under way is broken off."""
        self.socket.close()


class Dialer:
    """Makes connections to one address."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._far_commands = list(_FAR_COMMANDS)

    def dial(self) -> Channel:
        """Raises `Unavailable` when nobody answers, `Forbidden` and `Unauthorized` when one may not."""
        kind = self.address.kind
        if kind == "unix":
            return Channel(self._unix())
        if kind == "ssh":
            return self._ssh()
        wire = self._tcp()
        if self.address.tls is None:
            return Channel(wire)
        from wherry.client.tls import Tunnel

        try:
            tunnel = Tunnel(wire, self.address)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise self._unreachable("it did not answer in time") from None
            raise self._unreachable(_words(error)) from None
        return Channel(tunnel.plain, tunnel=tunnel)

    def try_next_command(self) -> bool:
        """After a connection over ssh found no program: whether there is another to try."""
        self._far_commands.pop(0)
        return bool(self._far_commands)

    def _unix(self) -> _socket.socket:
        one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            one.connect(self.address.path)
        except OSError as error:
            one.close()
            if error.errno in (errno.EACCES, errno.EPERM):
                raise Forbidden(
                    f"permission denied while trying to connect to the engine at {self._place()}",
                    hint="the socket is its owner's and its group's: become a member of the group, or use another host",
                ) from None
            raise self._unreachable(_words(error)) from None
        return one

    def _tcp(self) -> socket.socket:
        import socket

        try:
            one = socket.create_connection((self.address.host, self.address.port), _PATIENCE)
        except socket.gaierror:
            raise self._unreachable(f"no such host: {self.address.host}") from None
        except TimeoutError:
            raise self._unreachable("it did not answer in time") from None
        except OSError as error:
            raise self._unreachable(_words(error)) from None
        one.settimeout(_PATIENCE if self.address.tls is not None else None)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return one

    def _ssh(self) -> Channel:
        import socket
        import subprocess
        import tempfile

        address = self.address
        ours, theirs = socket.socketpair()
        said = tempfile.TemporaryFile()
        argv = ["ssh", *(["-l", address.user] if address.user else [])]
        argv += ["-p", str(address.port)] if address.port else []
        argv += ["-o", f"ConnectTimeout={int(_PATIENCE)}", "-T", "--", address.host, *self._far_argv()]
        try:
            process = subprocess.Popen(
                argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=said, start_new_session=True
            )
        except OSError as error:
            ours.close()
            if isinstance(error, FileNotFoundError):
                hint = "install openssh-client, or use a socket or TCP"
                raise NotSupported("ssh is not installed", hint=hint) from None
            raise
        finally:
            theirs.close()
        return Channel(ours, ssh=_Ssh(process, said))

    def _far_argv(self) -> list[str]:
        """The command at the far end, for whatever shell reads it there."""
        name = self._far_commands[0]
        if not self.address.path:
            return [name, "system", "dial-stdio"]
        import shlex

        return [name, "--host", shlex.quote(f"unix://{self.address.path}"), "system", "dial-stdio"]

    def _place(self) -> str:
        source = self.address.source
        return f"{self.address} ({source})" if source else str(self.address)

    def _unreachable(self, why: str) -> WherryError:
        hint = "start 'wherry serve' or dockerd there"
        if self.address.source not in ("", "-H"):
            hint += ", or use this machine's own containers with 'wherry --context default'"
        return Unavailable(f"cannot connect to the engine at {self._place()}: {why}; is it running?", hint=hint)


class _Ssh:
    """An ssh(1) that carries one connection, in a session of its own: what is typed here is not for it."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        self._process = process
        self._said = said

    def status(self) -> int | None:
        """Its exit status, once its output has ended; None while it goes on."""
        import subprocess

        try:
            return self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            return None

    def last_words(self) -> str:
        """Why it has ended."""
        status = self.status()
        self._said.seek(0)
        text = self._said.read(_MOST_SAID).decode(errors="replace").strip().replace("\r", "").replace("\n", ": ")
        if status in (None, 0):
            return text
        return text or f"ssh has exited with status {status}"


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower() if error.errno else str(error).lower()
