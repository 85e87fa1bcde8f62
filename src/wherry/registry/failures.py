"""What a registry's refusals and a network's failures mean, said in Docker's words.

The error document is that of the OCI distribution specification ("Error Codes"); whatever a server writes into it is
shortened and stripped of control characters before anybody sees it.
"""

from __future__ import annotations

import json
from typing import Any

from wherry.errors import Forbidden, NotFound, NotSupported, Unauthorized, Unavailable, WherryError
from wherry.oci.reference import Reference
from wherry.record import Record

_MAX_TEXT = 300
_TRANSIENT = frozenset((408, 425, 429, 500, 502, 503, 504))


class Transient(Unavailable):
    """A failure that may pass.  ``retry_after`` is how many seconds the server asked us to wait, 0 if it did not."""

    def __init__(self, message: str, *, hint: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Problem(Record):
    """The first entry of an error document; empty strings where there was none."""

    code: str = ""
    message: str = ""

    def __str__(self) -> str:
        name = {"TOOMANYREQUESTS": "toomanyrequests"}.get(self.code, self.code.lower().replace("_", " "))
        return ": ".join(part for part in (name, self.message) if part)


def printable(text: str, limit: int = _MAX_TEXT) -> str:
    """``text`` on one line, without control characters, of at most ``limit`` characters."""
    clean = "".join(character if character.isprintable() else " " for character in text[: limit + 1])
    clean = " ".join(clean.split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def read_problem(body: bytes) -> Problem:
    """The problem in a response's body: ``errors[0]``, or what token servers write instead."""
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return Problem()
    if not isinstance(value, dict):
        return Problem()
    errors = value.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        value = errors[0]
    code, message = value.get("code"), value.get("message")
    for key in ("details", "error_description", "error"):
        message = message or value.get(key)
    code = code if isinstance(code, str) else ""
    return Problem(printable(code, 60), printable(message) if isinstance(message, str) else "")


def is_transient(status: int) -> bool:
    """Whether a response with this status may be different next time."""
    return status in _TRANSIENT


def refused(what: str, status: int, problem: Problem, retry_after: float) -> WherryError:
    """The error for a status that says nothing about the image: 429, 5xx, and what nobody expects."""
    text = str(problem) or f"the server answered {status}"
    if status == 429:
        text = text if problem.code else f"toomanyrequests: {text}"
        hint = "the registry limits how much may be pulled; wait, log in, or set up a mirror"
        return Transient(text, hint=hint, retry_after=retry_after)
    if is_transient(status):
        return Transient(f"{what}: received unexpected HTTP status: {status}{_tail(problem)}", retry_after=retry_after)
    if status in (405, 501) or problem.code == "UNSUPPORTED":
        return NotSupported(f"{what}: {text}")
    return Unavailable(f"{what}: received unexpected HTTP status: {status}{_tail(problem)}")


def _tail(problem: Problem) -> str:
    return f" ({problem})" if problem.code or problem.message else ""


def denied(reference: Reference, problem: Problem, hint: str = "") -> NotFound:
    """The registry does not say whether the repository exists; neither do we (404 in Docker's API)."""
    name = reference.familiar_name()
    text = f"pull access denied for {name}, repository does not exist or may require 'docker login'"
    return NotFound("repository", name, f"{text}{_colon(problem)}", hint=hint)


def push_denied(problem: Problem, hint: str = "") -> Forbidden:
    """The registry does not let us write there."""
    text = problem.message or "requested access to the resource is denied"
    return Forbidden(text if text.startswith("denied") else f"denied: {text}", hint=hint)


def unauthorized(problem: Problem, hint: str = "") -> Unauthorized:
    """Credentials are missing, or those that we have were refused."""
    text = problem.message or "authentication required"
    return Unauthorized(text if text.startswith("unauthorized") else f"unauthorized: {text}", hint=hint)


def manifest_missing(reference: Reference, problem: Problem) -> NotFound:
    """404 for a manifest."""
    if problem.code == "NAME_UNKNOWN":
        name = reference.familiar_name()
        return NotFound("repository", name, f"repository {name} not found{_colon(problem)}")
    familiar = reference.tagged().familiar()
    return NotFound("manifest", familiar, f"manifest for {familiar} not found{_colon(problem)}")


def blob_missing(reference: Reference, digest: str, problem: Problem) -> NotFound:
    """404 for a blob."""
    text = f"blob {digest} not found in {reference.familiar_name()}{_colon(problem)}"
    return NotFound("blob", digest, text, hint="the registry's copy of this image is damaged; push it again")


def forbidden_target(what: str, host: str, address: str, hint: str) -> Forbidden:
    """A registry tried to send us somewhere that it has no business with."""
    place = printable(host, 120) + (f" ({address})" if address and address != host else "")
    return Forbidden(f"{what}: refusing to connect to {place}", hint=hint)


def _colon(problem: Problem) -> str:
    return f": {problem}" if problem.code or problem.message else ""
