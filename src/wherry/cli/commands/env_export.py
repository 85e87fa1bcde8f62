"""`wherry env export`."""

from __future__ import annotations

import sys

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("env export",),
    usage="[OPTIONS] [FOLDER|LOCK|IMAGE]",
    summary="Write an environment in the words of other tools",
    description="**requirements** is for pip with **--require-hashes --no-deps**, **pylock** a lock of PEP 751 "
    "without what only Wherry reads, **dockerfile** installs the same versions with pip on the same base, "
    "**cyclonedx** is a bill of materials (CycloneDX 1.6, JSON) of one platform.",
    most=1,
    options=(
        ("format", "f", "string", "requirements", "One of requirements, pylock, dockerfile and cyclonedx"),
        ("output", "o", "string", "", "Write to a file instead of standard output"),
        ("platform", "", "string", "", "With cyclonedx: platform, such as linux/arm64 (default this machine's)"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Writes the document."""
    from wherry.cli.environments import any_lock, locked_architecture
    from wherry.env import export
    from wherry.errors import InvalidArgument

    form, source = call.get("format", "requirements"), call.arguments[0] if call.arguments else "."
    if form not in export.FORMATS:
        raise InvalidArgument(f"--format {form} is not known", hint=f"known are {', '.join(export.FORMATS)}")
    if call.get("platform") and form != "cyclonedx":
        raise InvalidArgument(f"--platform goes with --format cyclonedx: {form} is for all platforms of the lock")
    lock = any_lock(call, source)
    if form == "cyclonedx":
        from wherry.env.sbom import cyclonedx

        text = cyclonedx(lock, locked_architecture(lock, call.get("platform", "")), _name(source))
    else:
        text = export.WRITERS[form](lock)
    if call.get("output"):
        from pathlib import Path

        from wherry.env.locking import put

        put(Path(call.get("output")), text)
    else:
        sys.stdout.write(text)
    return 0


def _name(source: str) -> str:
    """What a bill of materials is of: the image, or the folder."""
    from pathlib import Path

    path = Path(source)
    if not path.exists():
        return source
    return (path if path.is_dir() else path.parent).resolve().name or "environment"
