"""Standard input and output joined to an engine's socket, and a server started where none answers."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess
import tempfile
import threading

from wherry.errors import Unavailable

_CHUNK = 64 << 10
_PATIENCE_MS = 30_000


def connect(path: str) -> socket.socket | None:
    """A connection to the unix socket ``path``; None when nobody answers there."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        one.close()
        return None
    return one


def connect_or_start(path: str, server: list[str]) -> socket.socket:
    """A connection to ``path``, on which the command ``server`` listens when nobody else does.

    Several at once start one.  Raises `Unavailable` with what the server complains of.
    """
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = connect(path)
        if found is None:
            _start(server)
            found = connect(path)
    if found is None:
        raise Unavailable(f"cannot connect to the engine at unix://{path}")
    return found


def _start(server: list[str]) -> None:
    """Start it in a session of its own; returns when it listens."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            server, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, start_new_session=True
        )
        assert process.stdout is not None
        with process.stdout as out:
            poll = select.poll()
            poll.register(out, select.POLLIN)
            if poll.poll(_PATIENCE_MS) and out.readline():
                return
        process.kill()
        process.wait()
        said.seek(0)
        text = said.read(_CHUNK).decode(errors="replace").strip().partition("\n")[0].removeprefix("wherry: ")
    raise Unavailable(f"cannot start a server for the engine: {text or 'it said nothing'}")


def join(connection: socket.socket) -> None:
    """Relay until the engine has ended its half; the end of standard input is passed on.

    Each direction has a thread: neither waits for the other.
    """
    threading.Thread(target=_send, args=(connection,), name="stdin", daemon=True).start()
    while data := _receive(connection):
        while data:
            data = data[os.write(1, data) :]


def _send(connection: socket.socket) -> None:
    try:
        while data := os.read(0, _CHUNK):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has ended already


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(_CHUNK)
    except ConnectionResetError:
        return b""
