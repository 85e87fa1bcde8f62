"""Asking before something is removed, in the words of Docker's client."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call


def agreed(call: Call, warning: str) -> bool:
    """Whether to go on: with ``--force``, or when the person says so."""
    if call.get("force"):
        return True
    print(f"{warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
