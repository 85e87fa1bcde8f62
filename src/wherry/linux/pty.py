"""Pseudo-terminals of a devpts that is not the host's (pts(4), ioctl_tty(2))."""

from __future__ import annotations

import _struct as struct
import fcntl
import os

# asm-generic/ioctls.h, the same on x86_64 and aarch64: importing termios takes longer than a terminal does
_TIOCSCTTY = 0x540E
_TIOCSWINSZ = 0x5414
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def open_pair(devpts: int) -> tuple[int, int]:
    """A master and its slave, opened in the devpts whose root directory is ``devpts``.

    The slave comes from the master itself (TIOCGPTPEER), never from a path.  Both close on exec.
    """
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    master = os.open("ptmx", flags | os.O_NOFOLLOW, dir_fd=devpts)
    try:
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
        return master, fcntl.ioctl(master, _TIOCGPTPEER, flags)
    except OSError:
        os.close(master)
        raise


def set_size(terminal: int, rows: int, columns: int) -> None:
    """Tell a terminal, and the processes on it, its size in characters."""
    fcntl.ioctl(terminal, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def make_controlling(terminal: int) -> None:
    """Make ``terminal`` the controlling terminal of this session leader."""
    fcntl.ioctl(terminal, _TIOCSCTTY, 0)
