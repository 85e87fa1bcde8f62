"""Help texts in Docker's layout (its library is spf13/cobra): usage, aliases, options wrapped to the terminal."""

from __future__ import annotations

import os
import sys

from wherry.cli.main import COMMANDS, GLOBAL, load
from wherry.cli.parser import UsageError, usage_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.cli.parser import Command, Row

COMMON = ("run", "exec", "ps", "pull", "images", "version", "info")
GROUPS = {
    "container": "Manage containers",
    "context": "Manage contexts",
    "artifact": "Manage OCI artifacts",
    "debug": "Look into the engine",
    "env": "Make Python environments into images",
    "image": "Manage images",
    "manifest": "Manage image manifests and manifest lists",
    "network": "Manage networks",
    "runtime": "Run OCI bundles without the engine",
    "system": "Manage Wherry",
    "volume": "Manage volumes",
}
_QUOTED = ("string", "strings")
_SLOP = 5  # a line may be this much longer when that saves an orphan


def width() -> int:
    """Columns of the terminal, 80 where there is none."""
    try:
        return os.get_terminal_size(sys.stdin.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def command_help(command: Command, path: str, columns: int = 80) -> str:
    """The help page of one command as typed at ``path``."""
    lines = [f"Usage:  {usage_line(command, path)}", "", command.summary, ""]
    if len(command.paths) > 1:
        lines += ["Aliases:", "  " + ", ".join(f"wherry {alias}" for alias in command.paths), ""]
    shown = [row for row in command.options if row[4]]
    if shown:
        lines += ["Options:", *option_lines(shown, columns), ""]
    if command.example:
        lines += ["Examples:", *(f"  {line}" for line in command.example.strip().splitlines()), ""]
    return "\n".join(lines[:-1]) + "\n"


def option_lines(rows: Sequence[Row], columns: int = 80) -> list[str]:
    """Options as pflag's FlagUsagesWrapped lays them out, sorted by name."""
    left: list[str] = []
    right: list[str] = []
    for name, letter, kind, default, usage in sorted(rows):
        text = f"  -{letter}, --{name}" if letter else f"      --{name}"
        left.append(text if kind == "bool" else f"{text} {kind}")
        shown = f'"{default}"' if kind in _QUOTED else default
        right.append(f"{usage} (default {shown})" if default else usage)
    widest = max(len(text) for text in left)
    return [
        f"{text}{' ' * (widest - len(text))}   {_wrap(widest + 3, columns - 1, usage)}".rstrip()
        for text, usage in zip(left, right)
    ]


def _wrap(indent: int, columns: int, text: str) -> str:
    room = columns - indent
    if room < 24:
        return text.replace("\n", "\n" + " " * indent)
    parts: list[str] = []
    while True:
        part, text = _wrap_line(room - _SLOP, text)
        parts.append(part.replace("\n", "\n" + " " * indent))
        if not text:
            return ("\n" + " " * indent).join(parts)


def _wrap_line(room: int, text: str) -> tuple[str, str]:
    if room + _SLOP > len(text):
        return text, ""
    start = text[:room]
    blank = max(start.rfind(" "), start.rfind("\t"), start.rfind("\n"))
    if blank <= 0:
        return text, ""
    line = start.rfind("\n")
    if 0 < line < blank:
        blank = line
    return text[:blank], text[blank + 1 :]


def overview(columns: int = 80) -> str:
    """What `wherry --help` prints."""
    lines = ["Usage:  wherry [OPTIONS] COMMAND", "", GLOBAL.summary, "", "Common Commands:"]
    lines += _listing([(name, load(name).COMMAND.summary) for name in COMMON])
    lines += ["", "Management Commands:", *_listing(sorted(GROUPS.items()))]
    rest = sorted(name for name in COMMANDS if " " not in name and name not in COMMON and name != "help")
    lines += ["", "Commands:", *_listing([(name, load(name).COMMAND.summary) for name in rest])]
    lines += ["", "Global Options:", *option_lines(GLOBAL.options, columns), ""]
    lines += ["Run 'wherry COMMAND --help' for more information on a command.", ""]
    return "\n".join(lines)


def group_help(name: str) -> str:
    """What `wherry image` prints."""
    lines = [f"Usage:  wherry {name} COMMAND", "", GROUPS[name], "", "Commands:"]
    members: dict[str, str] = {}
    for path, module in COMMANDS.items():
        if path.startswith(name + " ") and module not in members:
            members[module] = path.split(" ", 1)[1]
    lines += _listing(sorted((member, load(f"{name} {member}").COMMAND.summary) for member in members.values()))
    lines += ["", f"Run 'wherry {name} COMMAND --help' for more information on a command.", ""]
    return "\n".join(lines)


def _listing(pairs: Sequence[tuple[str, str]]) -> list[str]:
    widest = max(11, *(len(name) for name, _summary in pairs))
    return [f"  {name:<{widest}} {summary}" for name, summary in pairs]


def print_version() -> int:
    from wherry import __version__

    print(f"Wherry version {__version__}")
    return 0


def print_overview() -> int:
    print(overview(width()), end="")
    return 0


def print_command(command: Command, path: str) -> int:
    print(command_help(command, path, width()), end="")
    return 0


def incomplete(arguments: Sequence[str]) -> int:
    """Help for words that name no command: `wherry image`, `wherry image --help`.  Raises `UsageError` for others."""
    from wherry.cli.missing import why

    name = arguments[0]
    missing, reason = why(list(arguments))
    if missing:
        raise UsageError(f"wherry: there is no command 'wherry {missing}': {reason}", 1)
    if name not in GROUPS:
        raise UsageError(f"wherry: unknown command: wherry {name}\n\nRun 'wherry --help' for more information", 1)
    if len(arguments) == 1:  # Docker's client takes it for half a command: help, but not as output
        print(group_help(name), end="", file=sys.stderr)
        return 0
    following = arguments[1]
    if following not in ("--help", "-h"):
        message = f"wherry: unknown command: wherry {name} {following}\n\nUsage:  wherry {name}"
        if following[:1] == "-":
            message = f"unknown flag: {following}\n\nUsage:  wherry {name} COMMAND"
        raise UsageError(
            f"{message}\n\nRun 'wherry {name} --help' for more information", 125 if following[:1] == "-" else 1
        )
    print(group_help(name), end="")
    return 0


def print_help(words: Sequence[str]) -> int:
    """`wherry help [COMMAND]`."""
    words = [word for word in words if word not in ("--help", "-h")]
    path = " ".join(words)
    if not path or path == "help":
        return print_overview()
    if path in GROUPS:
        return incomplete(words)
    if path not in COMMANDS:
        raise UsageError(f"unknown help topic: {path}", 1)
    return print_command(load(path).COMMAND, path)
