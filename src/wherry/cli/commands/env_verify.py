"""`wherry env verify`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("env verify",),
    usage="[OPTIONS] CONTAINER|IMAGE",
    summary="Check that what is installed is what the lock says, file by file",
    description="Compares the packages with the lock that the image carries, and every file of the environment with "
    "the hash that the image has for it, byte code included. Of a container, running or not, it looks at the files as "
    "they are now. The exit status is 1 when something is different; each difference is a line.",
    least=1,
    most=1,
    options=(
        ("lock", "", "string", "", "Compare with this lock, or the one in this folder, instead of the image's own"),
        ("quiet", "q", "bool", "", "Print nothing, and say it with the exit status"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Prints the differences; 1 when there are any."""
    from wherry.cli.environments import read_lock
    from wherry.cli.quote import harmless
    from wherry.env.verify import verify

    lock = read_lock(call.get("lock")) if call.get("lock") else None
    found = verify(call.engine(), call.arguments[0], lock)
    if not call.get("quiet", False):
        for problem in found.problems:
            of = f" ({problem.package})" if problem.path and problem.package else ""
            print(harmless(f"{problem.what}: {problem.path or problem.package}{of}"))
        if not found.problems:
            print(f"{found.packages} packages and {found.files} files are what the lock says")
    return 1 if found.problems else 0
