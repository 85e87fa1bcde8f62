"""What went wrong inside, as errors for the caller."""

from __future__ import annotations

import errno

from wherry.errors import CannotInvoke, CommandNotFound, SystemFailure, WherryError
from wherry.runtime import channel, ops
from wherry.runtime.execute import exec_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.ops import Op


def operation_failure(operation: Op, error: OSError, call: str = "") -> SystemFailure:
    """A failed call of an operation, with the kernel's own words where it had some."""
    return _worded(operation.describe(), getattr(error, "call", call), error.errno or 0, getattr(error, "message", ""))


def _worded(operation: str, call: str, code: int, words: str) -> SystemFailure:
    found = SystemFailure(operation, call, code)
    if words:
        found.message = f"{operation}: {words}"
        found.args = (found.message,)
    return found


def failure(operations: tuple[Op, ...], body: bytes) -> WherryError:
    """What the child reported, as an error."""
    number, call, code, words = channel.decode_failure(body)
    operation = operations[number]
    if isinstance(operation, ops.Execute) and words:
        return CommandNotFound(words) if code == errno.ENOENT else CannotInvoke(words)
    return _worded(operation.describe(), call, code, words)


def exec_failure(code: int, name: str) -> WherryError:
    """What the shield reported, as an error."""
    kind = CommandNotFound if code == errno.ENOENT else CannotInvoke
    return kind(exec_words(name, code))
