"""`wherry commit`."""

from __future__ import annotations

import sys

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container commit", "commit"),
    usage="[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    summary="Create a new image from a container's changes",
    description="What is in volumes and other mounts is left out. `--change` takes CMD, ENTRYPOINT, ENV, EXPOSE, "
    "HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR.",
    least=1,
    most=2,
    options=(
        ("author", "a", "string", "", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
        ("change", "c", "list", "", "Apply Dockerfile instruction to the created image"),
        ("message", "m", "string", "", "Commit message"),
        ("pause", "p", "bool", "true", "Pause container during commit"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Makes the image and prints its id."""
    from wherry.engine.commit import CommitOptions, commit

    name, *reference = call.arguments
    options = CommitOptions(
        reference=reference[0] if reference else "",
        author=call.get("author", ""),
        message=call.get("message", ""),
        changes=tuple(call.get("change", ())),
        pause=call.get("pause", True),
    )
    done = call.verb(commit)(name, options)
    if not done.paused:
        print("wherry: the container was not paused: there is no freezer for this user", file=sys.stderr)
    print(done.image_id)
    return 0
