"""Calls of uv, the resolver, and what its failures mean.

uv's own configuration (``uv.toml``, ``UV_*``) holds: indexes, credentials, certificates, caches.  Where there is no
network it is asked again to answer from its cache alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

from wherry.errors import Conflict, InvalidArgument, NotSupported, Unauthorized, Unavailable, WherryError
from wherry.record import Record

_NO_NETWORK = (
    "error sending request",
    "dns error",
    "Could not connect",
    "operation timed out",
    "client error (Connect)",
)
_NETWORK_WAS_OFF = "network was disabled"
_QUIET = ("--no-progress", "--color", "never", "--no-python-downloads")


class Answer(Record):
    """What uv said: ``warnings`` are its own lines, such as about a release that was yanked."""

    output: str
    warnings: tuple[str, ...]
    from_cache: bool = False


def find() -> str:
    """The path of uv.  Raises `NotSupported` when it is not installed."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if not found:
        raise NotSupported("environments are resolved by uv, which is not here", hint="pip install 'wherry[env]'")
    return found


def run(arguments: list[str], directory: str, doing: str, *, offline: bool = False) -> Answer:
    """Calls uv in a directory; ``doing`` ("lock pyproject.toml") begins the text of an error.

    Raises `Conflict` with uv's explanation when there is no solution, `Unavailable` when the network is needed,
    `Unauthorized`, `InvalidArgument` for what uv cannot read, `WherryError` for a source distribution that fails.
    """
    command = [find(), *arguments, *_QUIET, *(["--offline"] if offline else [])]
    done = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    said = done.stderr.replace(f"{directory}/", "")
    if done.returncode == 0:
        warnings = [line.removeprefix("warning: ") for line in said.splitlines() if line.startswith("warning: ")]
        return Answer(done.stdout, tuple(warnings), offline)
    if not offline and any(each in said for each in _NO_NETWORK):
        try:
            return run(arguments, directory, doing, offline=True)
        except Unavailable as error:
            raise Unavailable(error.message, hint=f"no network: {_reason(said)}") from None
    raise _failure(said.strip(), doing)


def python() -> list[str]:
    """Options that name an interpreter for the metadata of source distributions: that which runs this."""
    return ["--python", sys.executable]


def _failure(said: str, doing: str) -> WherryError:
    text = said.removeprefix("error: ")
    if _NETWORK_WAS_OFF in said:
        explained, _, _hint = text.partition("\n\nhint: ")
        return Unavailable(
            f"cannot {doing} without a network: {explained}", hint="what uv has in its cache is not enough"
        )
    if "No solution found" in said or "requirements are unsatisfiable" in said:
        return Conflict(f"cannot {doing}: {text}")
    if re.search(r"\b40[13]\b|Unauthorized|Forbidden|authentication", said):
        return Unauthorized(f"cannot {doing}: {text}", hint="uv's own ways to give credentials hold: UV_INDEX_*, netrc")
    if "Failed to build" in said or "build backend" in said:
        return WherryError(f"cannot {doing}: a source distribution does not say what it needs, and failed to: {text}")
    if any(each in said for each in _NO_NETWORK) or re.search(r"\b50[0234]\b", said):
        return Unavailable(f"cannot {doing}: {text}")
    return InvalidArgument(f"cannot {doing}: {text}")


def _reason(said: str) -> str:
    """The line of uv's that tells most."""
    lines = [line.strip().removeprefix("cause: ").removeprefix("error: ") for line in said.splitlines()]
    found = [line for line in lines if line.startswith(("Failed to fetch", "Failed to download"))]
    return (found or lines)[0]
