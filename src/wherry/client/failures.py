"""Errors of an engine somewhere else, as the same errors here."""

from __future__ import annotations

import json

from wherry import errors
from wherry.errors import NotFound, NotModified, WherryError

_KINDS: dict[int, type[WherryError]] = {
    400: errors.InvalidArgument,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    409: errors.Conflict,
    501: errors.NotSupported,
    503: errors.Unavailable,
}


def from_answer(status: int, body: bytes) -> WherryError:
    """The error of an answer with this status and body (``{"message": …}``)."""
    text = body.decode(errors="replace").strip()
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    message = document.get("message", "") if isinstance(document, dict) else text
    return with_status(status, str(message) or f"the engine answered with status {status} and said nothing")


def with_status(status: int, message: str) -> WherryError:
    """The kind of error that a status means."""
    if status == 304:
        return NotModified(message)
    if status == 404:
        return NotFound("object", "", message)
    return _KINDS.get(status, WherryError)(message)


_NO_COMMAND = ("executable file not found", "no such file or directory", "system cannot find the file specified")
_NO_INVOKING = ("permission denied", "is a directory", "not a directory", "exec format error")


def of_start(error: WherryError) -> WherryError:
    """What keeps a container from starting, with the exit status that Docker's client finds in its words."""
    text = error.message.lower()
    if error.status not in (400, 500):
        return error
    for words, kind in ((_NO_COMMAND, errors.CommandNotFound), (_NO_INVOKING, errors.CannotInvoke)):
        if any(word in text for word in words) and type(error) in (WherryError, errors.InvalidArgument):
            return kind(error.message, hint=error.hint)
    return error
