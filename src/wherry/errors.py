"""Every error that Wherry raises on purpose.

A class says what the caller can do about it; the command line and the API compose their text at the edge from
``str(error)`` and ``error.hint``::

    WherryError            HTTP  exit   what it means
    ├─ InvalidArgument      400   125   the request itself is wrong: an option, a reference, a document
    ├─ NotModified          304   125   it is as it was to become: started, or stopped, already
    ├─ Unauthorized         401   125   credentials are missing or were refused
    ├─ Forbidden            403   125   policy or privilege forbids it
    ├─ NotFound             404   125   no such image, container, volume, manifest ...
    ├─ Conflict             409   125   it is in use, or the name is taken
    ├─ Corrupt              500   125   bytes do not match their digest, size or format
    ├─ StorageFull          507   125   no space left where Wherry keeps its state
    ├─ NotSupported         501   125   this kernel, host or version cannot do it
    ├─ Unavailable          503   125   a registry or another service did not answer
    ├─ SystemFailure        500   125   a system call failed: carries operation, call, errno
    ├─ CannotInvoke         400   126   the container's command exists but cannot be executed
    ├─ CommandNotFound      400   127   the container's command does not exist
    └─ Cancelled            499   130   the person at the terminal stopped it

Exit statuses are Docker's (docker-run(1), "Exit status").
"""

from __future__ import annotations


class WherryError(Exception):
    """Base class.  ``message`` is one line without a full stop; ``hint`` is what to do about it, or empty."""

    status = 500
    exit_code = 125

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidArgument(WherryError):
    status = 400


class NotModified(WherryError):
    status = 304


class Unauthorized(WherryError):
    status = 401


class Forbidden(WherryError):
    status = 403


class NotFound(WherryError):
    """``kind`` is the sort of object ("image", "container", "volume"), ``name`` what was asked for."""

    status = 404

    def __init__(self, kind: str, name: str, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or f"No such {kind}: {name}", hint=hint)
        self.kind = kind
        self.name = name


class Conflict(WherryError):
    status = 409


class Corrupt(WherryError):
    pass


class StorageFull(WherryError):
    status = 507


class NotSupported(WherryError):
    status = 501


class Unavailable(WherryError):
    status = 503


class SystemFailure(WherryError):
    """A system call failed.  ``operation`` is what was being done, ``call`` the system call, ``errno`` its error."""

    def __init__(self, operation: str, call: str, errno: int, *, hint: str = "") -> None:
        import os

        super().__init__(f"{operation}: {call}: {os.strerror(errno).lower()}", hint=hint)
        self.operation = operation
        self.call = call
        self.errno = errno


class CannotInvoke(WherryError):
    status = 400
    exit_code = 126


class CommandNotFound(WherryError):
    status = 400
    exit_code = 127


class Cancelled(WherryError):
    status = 499
    exit_code = 130
