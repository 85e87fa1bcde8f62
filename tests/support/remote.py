"""The command line that speaks to an engine somewhere else."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from support.command import MAIN, Wherry, interpreter_for_everybody
from support.serving import Served


@dataclass
class Far(Wherry):
    """As `Wherry`, but with these global ``options`` (``-H`` and the like) instead of a state of its own."""

    options: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, wherry: Wherry, *options: str) -> Far:
        return cls(wherry.directory, wherry.user, dict(wherry.env), wherry.prefix, options)

    @classmethod
    def to(cls, served: Served) -> Far:
        """Over the unix socket of a server."""
        return cls.of(served.wherry, "-H", f"unix://{served.socket}")

    def argv(self, *arguments: str | Path) -> list[str]:
        python, main = interpreter_for_everybody() if self.user else (sys.executable, str(MAIN))
        return [*self.prefix, python, "-I", "-S", main, *self.options, *map(str, arguments)]
