"""`wherry images`."""

from __future__ import annotations

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.cli.format import Fields
    from wherry.cli.main import Call
    from wherry.engine.images import Summary

# fmt: off
FORMAT = (
    "Format output using a custom template:\n"
    "'table':            Print output in table format with column headers (default)\n"
    "'table TEMPLATE':   Print output in table format using the given Go template\n"
    "'json':             Print in JSON format\n"
    "'TEMPLATE':         Print output using the given Go template.\n"
    "Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"
)
COMMAND = Command(
    paths=("image ls", "image list", "images"),
    usage="[OPTIONS] [REPOSITORY[:TAG]]",
    summary="List images",
    description="Filters are **reference**, **dangling**, **before**, **since**, **label** and **until**.",
    most=1,
    options=(
        ("all", "a", "bool", "", "Show all images (default hides intermediate images)"),
        ("digests", "", "bool", "", "Show digests"),
        ("filter", "f", "filter", "", "Filter output based on conditions provided"),
        ("format", "", "string", "", FORMAT),
        ("no-trunc", "", "bool", "", "Don't truncate output"),
        ("quiet", "q", "bool", "", "Only show image IDs"),
        ("tree", "", "bool", "", "List multi-platform images as a tree"),
    ),
)
# fmt: on


def filter_pair(text: str) -> tuple[str, str]:
    """``name=value``."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidArgument("bad format of filter (expected name=value)")
    return name.strip().lower(), value.strip()


CHECKS = {"filter": filter_pair}


def filters(call: Call) -> dict[str, list[str]]:
    """The values of ``--filter`` by name."""
    found: dict[str, list[str]] = {}
    for name, value in call.get("filter", ()):
        found.setdefault(name, []).append(value)
    return found


def main(call: Call) -> int:
    """Lists images: one line for each name that an image has."""
    from wherry.cli import format as lists
    from wherry.engine.images import list_images

    wanted = filters(call)
    if call.arguments:
        wanted["reference"] = [call.arguments[0]]
    if call.get("tree"):
        return _tree(call, wanted)
    found = call.verb(list_images)(filters=wanted)
    digests, quiet, form = call.get("digests", False), call.get("quiet", False), call.get("format", "")
    listing = lists.Listing(
        kind="*formatter.imageContext",
        headers={
            "ID": "IMAGE ID",
            "Repository": "REPOSITORY",
            "Tag": "TAG",
            "Digest": "DIGEST",
            "CreatedSince": "CREATED",
            "CreatedAt": "CREATED AT",
            "Size": "SIZE",
            "Containers": "CONTAINERS",
            "VirtualSize": "SIZE",
            "SharedSize": "SHARED SIZE",
            "UniqueSize": "UNIQUE SIZE",
        },
        table=("Repository", "Tag", "ID", "CreatedSince", "Size"),
    )
    whole, named = call.get("no-trunc", False), digests or "{{.Digest}}" in form
    rows = [row for image in found for row in _rows(image, digests=digests, named=named, whole=whole)]
    columns = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size") if digests else ()
    lists.show(listing, rows, "{{.ID}}" if quiet else form, columns)
    return 0


def _tree(call: Call, wanted: dict[str, list[str]]) -> int:
    from wherry.cli.image_tree import render
    from wherry.engine.image_tree import trees

    for other in ("quiet", "no-trunc", "digests", "format"):
        if call.get(other):
            raise InvalidArgument(f"--{other} is not yet supported with --tree")
    print(render(call.verb(trees)(filters=wanted)), end="")
    return 0


def _rows(image: Summary, *, digests: bool, named: bool, whole: bool) -> Iterator[Fields]:
    """Docker's lines for an image: its tags, each with the digest of its repository; digests without a tag.

    ``digests`` is ``--digests``; ``named`` says that digests are shown, be it only by the format.
    """
    if not image.repo_tags and not image.repo_digests:
        yield _fields(image, "<none>", "<none>", "<none>", whole)
        return
    by_repository: dict[str, list[str]] = {}
    for name in image.repo_digests:
        repository, _at, digest = name.partition("@")
        by_repository.setdefault(repository, []).append(digest)
    tagged = set()
    for name in image.repo_tags:
        repository, _colon, tag = name.rpartition(":")
        tagged.add(repository)
        for digest in by_repository.get(repository, ["<none>"]) if named else ["<none>"]:
            yield _fields(image, repository, tag, digest, whole)
    for repository, found in by_repository.items():
        if repository not in tagged:
            for digest in found if digests else [""]:
                yield _fields(image, repository, "<none>", digest, whole)


def _fields(image: Summary, repository: str, tag: str, digest: str, whole: bool) -> Fields:
    from wherry.cli import units

    return {
        "ID": lambda: image.id if whole else image.id.partition(":")[2][:12],
        "Repository": lambda: repository,
        "Tag": lambda: tag,
        "Digest": lambda: digest,
        "CreatedSince": lambda: units.ago(image.created),
        "CreatedAt": lambda: units.local_time(image.created),
        "Size": lambda: units.size(image.size),
        "Containers": lambda: str(image.containers) if image.containers >= 0 else "N/A",
        "VirtualSize": lambda: units.size(image.size, 4),
        "SharedSize": lambda: "N/A",
        "UniqueSize": lambda: "N/A",
    }
