"""Errors as the command line shows them: one line, then what to do about it; and the exit status."""

from __future__ import annotations

import errno
import sys

from wherry.cli.main import Terminated
from wherry.cli.parser import UsageError
from wherry.cli.quote import harmless
from wherry.errors import Cancelled, InvalidArgument, WherryError

_CONTAINER_COMMANDS = (
    "run", "container run", "create", "container create", "runtime run", "env run", "env shell", "env notebook",
)  # fmt: skip


def report(error: BaseException, path: str) -> int:
    """Prints ``error``, raised by the command at ``path``, and gives the exit status of the process.

    For ``run`` and ``create`` Docker keeps 1-124 for the container, so its own failures are 125 there and 1 elsewhere
    (docker-run(1), "Exit status").
    """
    container = path in _CONTAINER_COMMANDS
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, UsageError):
        _print(error.message)
        return error.exit_code
    if isinstance(error, Terminated):
        return 128 + error.number
    if isinstance(error, KeyboardInterrupt | Cancelled):
        return 130
    if isinstance(error, BrokenPipeError):
        _drop_output()
        return 141
    if isinstance(error, WherryError):
        show(error, path if container else "")
        return error.exit_code if container or error.exit_code != 125 else 1
    if isinstance(error, OSError):
        show(_from_system(error))
        return 125 if container else 1
    if isinstance(error, MemoryError):
        _print("wherry: out of memory")
        return 125 if container else 1
    _print(f"wherry: internal error: {type(error).__name__}: {harmless(str(error))}\n{_place(error)}")
    return 125 if container else 1


def show(error: WherryError, path: str = "") -> None:
    """``wherry: message`` and, on the next line, the hint; for a wrong request of ``path``, where its help is."""
    text = f"wherry: {_lines(error.message)}"
    if error.hint:
        text += f"\n{_lines(error.hint)}"
    elif path and isinstance(error, InvalidArgument):
        text += f"\n\nRun 'wherry {path} --help' for more information"
    _print(text)


def _from_system(error: OSError) -> WherryError:
    reason = (error.strerror or str(error)).lower()
    if error.errno == errno.ENOSPC:
        return WherryError("no space left on device", hint="free some space, or remove images with 'wherry rmi'")
    name = f" {error.filename}" if isinstance(error.filename, str) else ""
    return WherryError(f"open{name}: {reason}" if name else reason)


def _place(error: BaseException) -> str:
    """The innermost line of our own code, for a report of the error."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "wherry" in code.co_filename:
            place = f"{code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"at {place}; run with --debug for the whole trace"


def _lines(text: str) -> str:
    return "\n".join([harmless(line) for line in text.split("\n")])


def _drop_output() -> None:
    """Nobody reads standard output any more: what is still buffered goes nowhere."""
    import os

    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, 1)
    os.close(null)


def _print(text: str) -> None:
    try:
        sys.stdout.flush()
        print(text, file=sys.stderr, flush=True)
    except OSError:
        pass
