"""`wherry env build`."""

from __future__ import annotations

import sys

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("env build",),
    usage="[OPTIONS] [FOLDER|LOCK]",
    summary="Build the image of an environment from its lock",
    description="The lock is the file **pylock.toml** of the folder, by default of this one. The same lock gives the "
    "same image, with the same digest, on any machine. Each package is downloaded and built once; one that changes "
    "changes its layer alone.",
    most=1,
    options=(
        ("platform", "", "string", "", "Platform of the image, such as linux/arm64 (default this machine's)"),
        ("quiet", "q", "bool", "", "Suppress the build output and print image ID on success"),
        ("tag", "t", "list", "", 'Name and optionally a tag in the "name:tag" format'),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Builds the image; says its digest, or with -q its id."""
    from wherry.cli.environments import architecture, debian_mirrors, read_lock
    from wherry.cli.progress import open_progress
    from wherry.env.build import build

    lock = read_lock(call.arguments[0] if call.arguments else ".")
    names = tuple(call.get("tag", ()))
    quiet = call.get("quiet", False)
    built = build(
        call.engine(),
        lock,
        names,
        architecture=architecture(call.get("platform", "")),
        debian_mirrors=debian_mirrors(call.environ()),
        progress=open_progress(quiet=quiet, stream=sys.stderr),
    )
    if quiet:
        print(built.image_id)
    else:
        print(f"{'Built' if built.new else 'Up to date:'} {' '.join(names) or built.image_id}")
        print(f"Digest: {built.digest}")
    return 0
