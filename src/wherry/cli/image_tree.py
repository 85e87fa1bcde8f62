"""The output of `wherry images --tree`."""

from __future__ import annotations

from wherry.cli import format as lists
from wherry.cli import units
from wherry.cli.quote import harmless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.engine.image_tree import Tree

_HEAD = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"]


def render(trees: Iterable[Tree]) -> str:
    """One line for each name of an image, and below the last one for each platform that is here."""
    lines = [_HEAD]
    for tree in trees:
        used = "U" if tree.in_use else ""
        for name in tree.names or ("<untagged>",):
            lines.append(_line(harmless(name), tree.digest, tree.content, tree.unpacked, used))
        for number, branch in enumerate(tree.branches, 1):
            mark = "└─" if number == len(tree.branches) else "├─"
            here = used if branch.unpacked else ""
            lines.append(
                _line(f"{mark} {harmless(branch.platform)}", branch.digest, branch.content, branch.unpacked, here)
            )
    return lists.layout(lines)


def _line(name: str, digest: str, content: int, unpacked: int, extra: str) -> list[str]:
    return [name, digest.partition(":")[2][:12], units.size(content + unpacked), units.size(content), extra]
