"""Questions to the person at the terminal."""

from __future__ import annotations

import os
import sys
import termios

from wherry.errors import InvalidArgument


def is_terminal() -> bool:
    """Whether there is somebody to ask."""
    return os.isatty(0)


def ask(question: str) -> str:
    """A line that the person types.  Raises `InvalidArgument` at the end of input."""
    sys.stdout.write(question)
    sys.stdout.flush()
    return _line()


def ask_secret(question: str) -> str:
    """A line that is not shown while it is typed; the terminal is put back whatever happens."""
    before = termios.tcgetattr(0)
    silent = list(before)
    silent[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(0, termios.TCSAFLUSH, silent)
        sys.stdout.write(question)
        sys.stdout.flush()
        return _line()
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
        sys.stdout.write("\n")


def _line() -> str:
    """Read byte by byte, so that nothing that follows is swallowed."""
    found = bytearray()
    while (byte := os.read(0, 1)) != b"\n":
        if not byte:
            if found:
                break
            raise InvalidArgument("the input ended before an answer")
        found += byte
        if len(found) > 1 << 16:
            raise InvalidArgument("the answer is too long")
    return found.decode(errors="replace").rstrip("\r")
