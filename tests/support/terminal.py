"""A person at a terminal: a command on a real pty, its screen read and its keys typed."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time

from support.command import Wherry


class Terminal:
    """``with Terminal(wherry, "run", "-it", …) as terminal``: type, expect, resize; the process ends with the block."""

    def __init__(self, wherry: Wherry, *arguments: str, rows: int = 24, columns: int = 80) -> None:
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.screen = b""

        def control() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process: subprocess.Popen[bytes] = wherry.popen(
            *arguments,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=control if wherry.user is None else None,
            env={"TERM": "xterm"},
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows: int, columns: int) -> None:
        """Another window size; the kernel tells the terminal's foreground processes."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str | bytes) -> None:
        """Press keys."""
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def expect(self, text: str, timeout: float = 20) -> str:
        """Wait for ``text`` on the screen; everything up to and with it, which is taken away."""
        end = time.monotonic() + timeout
        wanted = text.encode()
        while wanted not in self.screen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not appear: {self.screen!r}"
            if select.select([self.master], [], [], left)[0]:
                self.screen += os.read(self.master, 65536)
        before, _, self.screen = self.screen.partition(wanted)
        return (before + wanted).decode(errors="replace")

    def end(self, timeout: float = 20) -> int:
        """The exit status, once the process has ended; what it still writes is read meanwhile."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < end, f"no end: {self.screen!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                self.screen += os.read(self.master, 65536)
        return self.process.returncode

    def drain(self) -> None:
        """Read what has been written and not been read."""
        while select.select([self.master], [], [], 0)[0]:
            self.screen += os.read(self.master, 65536)

    def mode_is_restored(self) -> bool:
        """Whether the terminal's mode is what it was before the command."""
        return termios.tcgetattr(self.slave) == self.before
