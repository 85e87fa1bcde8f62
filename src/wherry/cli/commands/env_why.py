"""`wherry env why`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("env why",),
    usage="[OPTIONS] PACKAGE [FOLDER|LOCK|IMAGE]",
    summary="Show why a package is in an environment",
    description="Shows which packages require it, and what requires those, up to what was asked for; of a Debian "
    "package of the base, whether it was asked for.",
    least=1,
    most=2,
    options=(("platform", "", "string", "", "Platform to look at, such as linux/arm64 (default this machine's)"),),
)
# fmt: on


def main(call: Call) -> int:
    """Prints the tree of reasons."""
    from wherry.cli.environments import any_lock, locked_architecture
    from wherry.cli.quote import harmless
    from wherry.env import why

    lock = any_lock(call, call.arguments[1] if len(call.arguments) > 1 else ".")
    reason = why.why(lock, call.arguments[0], locked_architecture(lock, call.get("platform", "")))
    for line in why.lines(reason):
        print(harmless(line))
    return 0
