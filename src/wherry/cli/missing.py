"""The commands of Docker that Wherry does not have, and why: whoever types one is told."""

from __future__ import annotations

from wherry.cli.main import COMMANDS

_NOT_YET = "this version of wherry does not have it yet"
_SWARM = "wherry has no swarm; it runs containers on one machine"
_PLUGINS = "wherry has no plugins"
_KEYS = "wherry has no content trust of Docker's kind"

MISSING = {
    "build": _NOT_YET,
    "builder": _NOT_YET,
    "buildx": _NOT_YET,
    "checkpoint": "wherry does not freeze containers to disk",
    "compose": "use docker compose with the API of `wherry serve`",
    "config": _SWARM,
    "image build": _NOT_YET,
    "node": _SWARM,
    "plugin": _PLUGINS,
    "secret": _SWARM,
    "service": _SWARM,
    "stack": _SWARM,
    "swarm": _SWARM,
    "trust": _KEYS,
    "volume update": "only volumes of a cluster can be updated, and wherry has none",
}
"""By command or group; a group stands for all that is in it."""


def why(words: list[str]) -> tuple[str, str]:
    """The command that ``words`` begin with and the reason why it is not there; two empty texts for what is no
    command of Docker's either."""
    for count in (2, 1):
        name = " ".join(words[:count])
        if name in MISSING and not any(f"{path} ".startswith(f"{name} ") for path in COMMANDS):
            return name, MISSING[name]
    return "", ""
