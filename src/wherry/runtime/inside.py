"""What the process that becomes the container knows while it walks its plan."""

from __future__ import annotations

import os

from wherry.errors import WherryError
from wherry.linux.mount import PROC_MAGIC, filesystem_type
from wherry.linux.syscall import failed
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.runtime.channel import Channel


class Stdio(Record):
    """Descriptors that become 0, 1 and 2; they are ignored when the process gets a terminal."""

    stdin: int
    stdout: int
    stderr: int


class Prepared(Record):
    """What the parent made ready before the process was born.

    ``joins`` are the cgroup v1 ``tasks`` files, ``filter`` the compiled seccomp filter, ``shield`` the sealed stub
    (-1: none), ``state`` the hooks' state document before and after the pid, ``keep`` the
    namespaces that the parent opens for its own use.
    """

    stdio: Stdio | None
    extra: tuple[int, ...] = ()
    joins: tuple[int, ...] = ()
    filter: Any = None
    filter_flags: int = 0
    shield: int = -1
    environment: dict[bytes, bytes] | None = None
    state: tuple[str, str] = ("", "")
    keep: tuple[str, ...] = ()


class Inside:
    """The mutable state of one walk."""

    __slots__ = ("channel", "console", "devpts", "pid", "prepared", "procfs", "root", "slots")

    def __init__(self, channel: Channel, prepared: Prepared) -> None:
        self.channel = channel
        self.prepared = prepared
        self.slots: dict[int, int] = {}
        self.root = -1
        self.console = -1
        self.devpts = -1
        self.procfs = -1
        self.pid = ""

    def take(self, slot: int) -> int:
        """The tree of a slot, which is empty afterwards."""
        return self.slots.pop(slot)

    def state(self) -> bytes:
        """The state document for hooks."""
        before, after = self.prepared.state
        return f"{before}{self.pid}{after}".encode()


class Refusal(WherryError):
    """Something inside is not what it should be; ``errno`` travels with the words."""

    def __init__(self, call: str, errno: int, words: str) -> None:
        super().__init__(words)
        self.call = call
        self.errno = errno


def write_once(descriptor: int, content: bytes, call: str = "write") -> None:
    """Write all of ``content`` in one call to a kernel file."""
    try:
        os.write(descriptor, content)
    except OSError as error:
        raise failed(call, error.errno or 0) from None


def keep_host_procfs(inside: Inside) -> None:
    """While the host's tree is still the root: its procfs, for a container that has none of its own."""
    if inside.procfs >= 0:
        return
    try:
        procfs = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    if filesystem_type(procfs) == PROC_MAGIC:
        inside.procfs = procfs
    else:
        os.close(procfs)
