"""One function in a child process with another view of the system: other ids, other mounts.

The child shares the terminal, and what the function returns must be picklable.  It ends when its parent does.  What it
may no longer read it must have loaded before: nothing is imported there.
"""

from __future__ import annotations

import os
import pickle

from wherry import errors
from wherry.errors import SystemFailure, WherryError
from wherry.linux import prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Generic, Self, TypeVar

    from wherry.engine.engine import Engine

    T = TypeVar("T")
else:
    T = object

    class Generic:
        def __class_getitem__(cls, _item):
            return cls


_SIGKILL = 9


class Worker(Generic[T]):
    """A child that runs ``function``; a context manager that ends it when `result` has not been asked for.

    ``start`` makes a child that runs what it is given and returns the child's pid, as
    `wherry.linux.namespaces.start` does.  The caller has a single thread.
    """

    def __init__(self, engine: Engine, function: Callable[[], T], start: Callable[[Callable[[], int]], int]) -> None:
        parent = os.getpid()
        self._answer = os.memfd_create("answer", os.MFD_CLOEXEC)

        def child() -> int:
            prctl.set_parent_death_signal(_SIGKILL)
            if os.getppid() != parent:
                return 1
            outcome_to(self._answer, function)
            return 0

        engine.will_fork()
        try:
            self._pid = start(child)
        except BaseException:
            os.close(self._answer)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._pid:
            os.kill(self._pid, _SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        if self._answer >= 0:
            os.close(self._answer)
            self._answer = -1

    def wait(self) -> int:
        """Wait for the child; its status as waitpid(2) gives it."""
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return status

    def result(self) -> T:
        """Wait for the child: what ``function`` returned, or raise the `WherryError` that it raised."""
        status = self.wait()
        if not os.fstat(self._answer).st_size:
            ending = os.waitstatus_to_exitcode(status)
            raise WherryError(f"the process that works on the store ended with status {ending}")
        result: T = answer_in(self._answer)
        return result


def outcome_to(fd: int, function: Callable[[], Any]) -> None:
    """Write to the empty file ``fd`` what ``function`` returned, or the `WherryError` or OSError that it raised."""
    view = memoryview(_outcome(function))
    while view:
        view = view[os.write(fd, view) :]


def answer_in(fd: int) -> Any:
    """What `outcome_to` wrote to ``fd`` in another process: returned, or raised as a `WherryError`."""
    good, value = pickle.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    if good:
        return value
    raise _error(*value)


def _outcome(function: Callable[[], Any]) -> bytes:
    try:
        return pickle.dumps((True, function()))
    except KeyboardInterrupt:
        return pickle.dumps((False, ("Cancelled", ("interrupted",), {"message": "interrupted", "hint": ""})))
    except WherryError as error:
        return pickle.dumps((False, _plain(error)))
    except OSError as error:
        call = getattr(error, "call", "") or "input or output"
        return pickle.dumps((False, _plain(SystemFailure("working on files", call, error.errno or 0))))


def _plain(error: WherryError) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """An error as values: the class of ours that it is, and its fields."""
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    fields = {key: value for key, value in vars(error).items() if isinstance(value, str | int | float | None)}
    return name, (str(error),), fields


def _error(name: str, arguments: tuple[Any, ...], fields: dict[str, Any]) -> WherryError:
    kind: type[WherryError] = getattr(errors, name)
    error = kind.__new__(kind)
    error.args = arguments
    vars(error).update(fields)
    return error
