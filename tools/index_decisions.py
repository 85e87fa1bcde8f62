"""Write the table in docs/decisions/README.md from the first lines of the decisions."""

from __future__ import annotations

import re
from pathlib import Path

DIRECTORY = Path(__file__).parent.parent / "docs" / "decisions"


def main() -> None:
    index = DIRECTORY / "README.md"
    head = index.read_text().partition("| | |")[0]
    rows = []
    for path in sorted(DIRECTORY.glob("[0-9]*.md")):
        title = path.read_text().splitlines()[0].lstrip("# ")
        rows.append(f"| [{path.name[:4]}]({path.name}) | {re.sub(rf'^{path.name[:4]}[.:]? *', '', title)} |")
    index.write_text(head + "\n".join(["| | |", "|---|---|", *rows]) + "\n")


if __name__ == "__main__":
    main()
