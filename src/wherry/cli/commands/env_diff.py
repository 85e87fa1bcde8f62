"""`wherry env diff`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call
    from wherry.env.diff import Change, Content

# fmt: off
COMMAND = Command(
    paths=("env diff",),
    usage="[OPTIONS] FOLDER|LOCK|IMAGE|CONTAINER FOLDER|LOCK|IMAGE|CONTAINER",
    summary="Show what is different between two environments",
    description="Compares the Python, the base, the packages with their sizes, and the Debian packages. Of a lock "
    "that is what is to be installed, with the sizes of downloads; of an image or a container what is installed, "
    "whoever installed it. The exit status is 1 when something is different.",
    least=2,
    most=2,
    options=(
        ("json", "", "bool", "", "Print the changes as JSON, one to a line"),
        ("platform", "", "string", "", "Of locks: platform to look at, such as linux/arm64 (default this machine's)"),
        ("quiet", "q", "bool", "", "Print nothing, and say it with the exit status"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Prints the changes; 1 when there are any."""
    from wherry.cli.quote import harmless
    from wherry.env import diff

    before, after = (_content(call, source) for source in call.arguments)
    changes = diff.compare(before, after)
    if call.get("quiet"):
        return 1 if changes else 0
    if call.get("json"):
        from wherry import fastjson

        for one in changes:
            print(fastjson.dumps(one.as_dict()))
        return 1 if changes else 0
    for one, line in zip(changes, diff.lines(changes)):
        print(harmless(line + _size(one)))
    if not changes:
        print(f"No difference: {len(before.packages)} packages, {len(before.system)} of Debian")
    return 1 if changes else 0


def _content(call: Call, source: str) -> Content:
    from wherry.cli.environments import is_lock, locked_architecture, read_any
    from wherry.env import diff, installed

    if is_lock(source):
        lock = read_any(source)
        return diff.of_lock(lock, locked_architecture(lock, call.get("platform", "")))
    return installed.of_object(call.engine(), source)


def _size(change: Change) -> str:
    """How much more or less there is, where that is known."""
    from wherry.cli.units import size

    before, after = change.sizes
    if change.kind != "package" or not (before or after) or (change.before and change.after and not (before and after)):
        return ""
    return f"  ({'+' if after >= before else '-'}{size(abs(after - before))})"
