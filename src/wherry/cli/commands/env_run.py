"""`wherry env run`."""

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
    paths=("env run",),
    usage="[OPTIONS] [FOLDER|IMAGE] -- COMMAND [ARG...]",
    summary="Run a command in an environment, with the project's folder",
    description="The environment is that of the folder, by default of this one: it is built when its lock has changed, "
    "and locked first where there is no lock. An image is one of `wherry env build`, or any other, with this folder. "
    "The folder is at **/workspace** in the container, and what is written there belongs to who calls. The container "
    "is removed when the command has ended. All options of `wherry run` are understood.",
    example="wherry env run -- python train.py\n"
    "wherry env run --gpus all --memory 16g -e SEED=1 -- python train.py\n"
    "wherry env run team/env:1 -- pytest",
    interspersed=False,
    keeps_dashes=True,
    least=1,
    options=(
        *env_container.RUN_OPTIONS,
        ("detach", "d", "bool", "", "Run container in background and print container ID"),
    ),
    unsupported=UNSUPPORTED,
)
# fmt: on


def main(call: Call) -> int:
    """Runs a command; in the foreground, its exit status is the command's."""
    wanted, command = env_container.split(call.arguments)
    found = env_container.target(call, wanted)
    options = env_container.options(call, found, command)
    if call.get("detach"):
        from wherry.engine.run import run_detached

        print(run_detached(call.engine(), options, env_container.when_pulling(call)))
        return 0
    return env_container.run(call, options)
