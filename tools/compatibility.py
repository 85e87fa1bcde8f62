"""Write docs/compatibility.md: what works like Docker, what differs and why, what is not there yet.

    .venv/bin/python tools/compatibility.py

Made of the table of compared commands (tests/support/compared.py), of what the last comparison with a real Docker saw
(tests/golden/docker/compared.json, see tests/e2e/test_against_docker.py) and of the options and commands that the
command line refuses by name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support import compared
from support.compared import Case
from wherry.cli.main import COMMANDS, load

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/compatibility.md"
SEEN = ROOT / "tests/golden/docker/compared.json"
# Docker 28's commands for containers and images on one machine; those of swarm, plugins and contexts are not wanted
DOCKER = (
    "attach build commit container cp create diff events exec export history images import info inspect kill load "
    "login logout logs network pause port ps pull push rename restart rm rmi run save search start stats stop system "
    "tag top unpause update version volume wait"
).split()
HEAD = """# How like Docker it is

<!-- Written by tools/compatibility.py from the tests' table and what they saw; do not edit. -->

Commands, options, output, exit statuses and the container that comes out are meant to be Docker's. The tests run the
same commands with both engines, side by side, and compare exit status, output and complaint. What is below was seen
with Docker's client {client} and daemon {server}; where Docker 28 differs from an older daemon it is followed.
"""


def main() -> int:
    PAGE.write_text(render())
    return 0


def render() -> str:
    """The page."""
    document = json.loads(SEEN.read_text())
    seen: dict[str, str] = document["seen"]
    lines = [HEAD.format(client=document["client"], server=document["server"])]
    lines += _same(seen) + _different(seen) + _missing()
    return "\n".join(lines) + "\n"


def _same(seen: dict[str, str]) -> list[str]:
    lines = ["## What works like Docker", ""]
    topics = list(dict.fromkeys(case.topic for case in compared.SAME))
    found = {topic: [case for case in compared.SAME if case.topic == topic] for topic in topics}
    count = sum(seen.get(case.name) == "same" for case in compared.SAME)
    lines += [f"{count} of {len(compared.SAME)} comparisons came out the same; `R` is `run --rm --network none`.", ""]
    for topic, cases in found.items():
        lines += [f"### {topic[0].upper()}{topic[1:]}", ""]
        lines += ["```"] + [line for case in cases for line in _steps(case, seen)] + ["```", ""]
    return lines


def _steps(case: Case, seen: dict[str, str]) -> list[str]:
    note = "" if seen.get(case.name) == "same" else "   # not compared yet"
    return [step + note for step in case.steps]


def _different(seen: dict[str, str]) -> list[str]:
    lines = ["## What differs, and why", "", "Numbers are those of [decisions](decisions/README.md).", ""]
    lines += ["| | command | why |", "|---|---|---|"]
    for case in compared.DIFFERENT:
        note = "" if seen.get(case.name) == "different" else " (not compared yet)"
        lines.append(f"| {case.topic} | `{_cell(case.name)}` | {_cell(case.why)}{note} |")
    lines += ["", "Not in the table of commands:", ""]
    lines += [f"- {what} ({why})" for what, why in compared.NOTES]
    return [*lines, ""]


def _missing() -> list[str]:
    lines = ["## What is not there yet", ""]
    names = {path.split()[0] for path in COMMANDS}
    missing = [f"`{name}`" for name in DOCKER if name not in names]
    lines += [f"Commands: {', '.join(missing)}.", "", "Options that are refused by name, with the reason:", ""]
    lines += ["| command | options | reason |", "|---|---|---|"]
    shown: set[tuple[str, ...]] = set()
    for path in sorted(COMMANDS):
        command = load(path).COMMAND
        name = command.paths[-1]
        if command.paths in shown or not command.unsupported or name in ("debug plan", "create"):
            continue  # which have those of `run`
        shown.add(command.paths)
        reasons: dict[str, list[str]] = {}
        for option, _letter, reason in command.unsupported:
            reasons.setdefault(reason, []).append(f"`--{option}`")
        for reason, options in reasons.items():
            lines.append(f"| {name} | {', '.join(options)} | {_cell(reason)} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
