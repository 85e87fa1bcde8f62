"""`wherry env shell`."""

from __future__ import annotations

from wherry.cli import env_container
from wherry.cli.container_options import CHECKS, UNSUPPORTED
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("env shell",),
    usage="[OPTIONS] [FOLDER|IMAGE]",
    summary="Start a shell in an environment, with the project's folder",
    description="As `wherry env run` with **bash**, or **sh** in an image that has no other.",
    most=1,
    options=env_container.RUN_OPTIONS,
    unsupported=UNSUPPORTED,
)
# fmt: on
_SHELL = ("/bin/sh", "-c", "command -v bash >/dev/null && exec bash; exec sh")


def main(call: Call) -> int:
    """Runs the shell; its exit status is the command's."""
    wanted, _command = env_container.split(call.arguments)
    found = env_container.target(call, wanted)
    return env_container.run(call, env_container.options(call, found, list(_SHELL)))
