"""The terminal of a container that nobody watches but this command (`wherry runtime run`)."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import fcntl
import os
import select
import termios
import tty

_CHUNK = 65536
_END_OF_FILE = b"\x04"


def relay(console: int) -> None:
    """Joins standard input and output to the terminal ``console`` until its last user has gone.

    Our own terminal, if there is one, is raw meanwhile and put back; the window size is copied now and at SIGWINCH.
    """
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    copy_size(console)
    before = _signal.signal(_signal.SIGWINCH, lambda _number, _frame: copy_size(console))
    try:
        if saved is not None:
            tty.setraw(0)
        _copy(console)
    finally:
        _signal.signal(_signal.SIGWINCH, before)
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


def copy_size(console: int) -> None:
    """Gives ``console`` the size of the window that standard output or input is."""
    for fd in (1, 0):
        try:
            fcntl.ioctl(console, termios.TIOCSWINSZ, fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
            return
        except OSError:
            continue


def _copy(console: int) -> None:
    poll = select.poll()
    poll.register(console, select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        for fd, _events in poll.poll():
            if fd == 0:
                data = _read(0)
                _write(console, data or _END_OF_FILE)
                if not data:
                    poll.unregister(0)
                continue
            data = _read(console)
            if not data:
                return
            _write(1, data)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK)
    except OSError as error:
        if error.errno == errno.EIO:  # every user of the terminal has gone
            return b""
        raise


def _write(fd: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        if error.errno != errno.EIO:
            raise
