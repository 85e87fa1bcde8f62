"""One call in a process of its own: both sides of it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from wherry.engine.worker import answer_in, outcome_to
from wherry.errors import NotSupported, WherryError
from wherry.record import Record

_CODE = """\
import sys
sys.path[:0] = sys.argv[4:]
from wherry.python.helper import main
main(*map(int, sys.argv[1:4]))
"""
_PATIENCE = 15.0  # seconds between an interrupt and the end of the helper


class Place(Record):
    """The directories of a store, empty for the caller's own (`wherry.engine.paths.find`)."""

    root: str = ""
    run: str = ""
    config: str = ""


class Ran(Record):
    """What a call gave, and what its standard streams had where they were captured."""

    value: Any
    stdout: bytes = b""
    stderr: bytes = b""


def call(
    place: Place,
    function: str,
    *arguments: Any,
    stdin: int | None = subprocess.DEVNULL,
    input: bytes | None = None,
    capture: bool = False,
    progress: Callable[[str], None] | None = None,
    **more: Any,
) -> Ran:
    """Do what ``function`` of `wherry.python.work` does.

    ``progress`` is called with lines for a person.  An interrupt ends the helper before it is raised here.  Raises what
    the function raises.
    """
    if not sys.executable:
        raise NotSupported("this Python does not know its own program, which calls need")
    request, answer = os.memfd_create("request"), os.memfd_create("answer")
    read, write = os.pipe()
    try:
        os.pwrite(request, pickle.dumps((place, function, arguments, more)), 0)
        told = str(write) if progress is not None else "-1"
        path = [entry for entry in sys.path if os.path.isabs(entry)]
        command = [sys.executable, "-I", "-S", "-c", _CODE, str(request), str(answer), told, *path]
        streams: dict[str, Any] = {"stdin": subprocess.PIPE if input is not None else stdin}
        if capture:
            streams |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(
            command, pass_fds=(request, answer, write), start_new_session=True, cwd=os.getcwd(), **streams
        ) as process:
            os.close(write)
            write = -1
            with _interruptible(process):
                if progress is not None:
                    _tell(read, progress)
                out, err = process.communicate(input)
        if not os.fstat(answer).st_size:
            raise WherryError(f"the process that does {function} ended with status {process.returncode}")
        return Ran(answer_in(answer), out or b"", err or b"")
    finally:
        for fd in (request, answer, read, write):
            if fd >= 0:
                os.close(fd)


@contextlib.contextmanager
def _interruptible(process: subprocess.Popen[bytes]) -> Any:
    try:
        yield
    except BaseException:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        raise


def _tell(read: int, progress: Callable[[str], None]) -> None:
    """Give lines to ``progress`` until there are no more."""
    rest = b""
    while piece := os.read(read, 1 << 16):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            progress(line.decode("utf-8", "replace"))


def main(request: int, answer: int, messages: int) -> None:
    """The helper's side: read the request, do it, write the answer, end."""
    from wherry.engine.engine import Engine
    from wherry.engine.paths import here
    from wherry.python import work

    for fd in (request, answer, messages):
        if fd >= 0:
            os.set_inheritable(fd, False)

    def do() -> Any:
        place, function, arguments, more = pickle.loads(os.pread(request, os.fstat(request).st_size, 0))
        engine = Engine(here(root=place.root, run=place.run, config=place.config))
        return getattr(work, function)(engine, Lines(messages), *arguments, **more)

    outcome_to(answer, do)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


class Lines:
    """A `wherry.engine.progress.Progress` that writes lines; to -1, none."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def start(self, item: str, status: str) -> None:
        """Nothing: what is done is told."""

    def advance(self, item: str, current: int, total: int) -> None:
        """Nothing."""

    def done(self, item: str, status: str) -> None:
        self.message(f"{item}: {status}")

    def message(self, text: str) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # nobody listens any more
                os.write(self._fd, text.encode() + b"\n")


def words(command: str | Sequence[str]) -> tuple[str, ...]:
    """A command: its words, or a text that is one word, as for `subprocess.run` without a shell."""
    return (command,) if isinstance(command, str) else tuple(map(str, command))
