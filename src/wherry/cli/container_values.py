"""Option values of `run` and `create` that depend on this machine: files to read, variables to look up, paths."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.main import Call


def add(call: Call, fields: dict[str, Any]) -> None:
    """Puts into ``fields`` what the options that need more than a copy say."""
