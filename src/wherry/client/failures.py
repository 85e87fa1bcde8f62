"""Errors of an engine somewhere else, as the same errors here."""

from __future__ import annotations

from wherry import errors
from wherry.errors import NotFound, NotModified, WherryError
from wherry.fastjson import loads
from wherry.monitor.protocol import error_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: dict[int, type[WherryError]] = {
    400: errors.InvalidArgument,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    409: errors.Conflict,
    501: errors.NotSupported,
    503: errors.Unavailable,
}
_NO_COMMAND = ("executable file not found", "no such file or directory", "system cannot find the file specified")
_NO_INVOKING = ("permission denied", "is a directory", "not a directory", "exec format error")


def from_answer(status: int, body: bytes, headers: Mapping[str, str], *, starting: bool = False) -> WherryError:
    """The error of an answer: its body is ``{"message": …}``, and our own server says more in ``headers``, whose names
    are in lower case.

    Of one that kept something from ``starting``, Docker's words say which exit status goes with it.
    """
    text = body.decode(errors="replace").strip()
    try:
        document = loads(text)
    except ValueError:
        document = None
    message = str(document.get("message", "") if isinstance(document, dict) else text)
    kind = headers.get("wherry-error", "")
    if kind:
        from urllib.parse import unquote

        hint = unquote(headers.get("wherry-hint", ""))
        return error_from({"error": kind, "message": message.removesuffix(f" ({hint})"), "hint": hint})
    error = with_status(status, message or f"the answer has status {status} and nothing else: is it an engine?")
    return _of_start(error) if starting and status in (400, 500) else error


def with_status(status: int, message: str) -> WherryError:
    """The kind of error that a status means."""
    if status == 304:
        return NotModified(message)
    if status == 404:
        return NotFound("object", "", message)
    return _KINDS.get(status, WherryError)(message)


def _of_start(error: WherryError) -> WherryError:
    text = error.message.lower()
    if any(words in text for words in _NO_COMMAND):
        return errors.CommandNotFound(error.message)
    return errors.CannotInvoke(error.message) if any(words in text for words in _NO_INVOKING) else error
