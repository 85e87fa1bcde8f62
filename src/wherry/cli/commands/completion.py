"""`wherry completion`."""

from __future__ import annotations

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

SHELLS = ("bash", "zsh", "fish")

COMMAND = Command(
    paths=("completion",),
    usage="SHELL",
    summary="Generate the autocompletion script for the specified shell (bash, zsh, fish)",
    description="For **bash**: `wherry completion bash > /etc/bash_completion.d/wherry`; for **zsh**: "
    '`wherry completion zsh > "${fpath[1]}/_wherry"`; for **fish**: '
    "`wherry completion fish > ~/.config/fish/completions/wherry.fish`. Commands, options and the names of "
    "containers, images, volumes and networks are asked of the engine at each key, so the script need never be "
    "made anew.",
    least=1,
    most=1,
    example="source <(wherry completion bash)",
)


def main(call: Call) -> int:
    """Prints a script."""
    import os

    import wherry

    shell = call.arguments[0]
    if shell not in SHELLS:
        raise InvalidArgument(f"there is no completion for the shell {shell}", hint=f"it is one of {', '.join(SHELLS)}")
    directory = os.path.dirname(os.path.abspath(wherry.__file__))
    with open(f"{directory}/data/completion/{shell}", encoding="utf-8") as file:
        print(file.read(), end="")
    return 0
