"""Writes what follows from the option tables: docs/cli.md, manual pages in docs/man, help texts in tests/golden.

    .venv/bin/python tools/cli_docs.py

A test runs `pages` and compares, so that neither the manual nor a help text changes unseen.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from wherry.cli import help as helps  # noqa: E402
from wherry.cli.main import COMMANDS, GLOBAL, load  # noqa: E402
from wherry.cli.parser import Command  # noqa: E402

RUN_STATUS = (
    ("125", "Wherry itself failed: a wrong option, no such image, no way to make the container"),
    ("126", "the command is there but cannot be invoked"),
    ("127", "the command is not there"),
    ("128+n", "the command was ended by signal n; 137 is SIGKILL, also when memory ran out"),
    ("other", "what the command returned"),
)
EXEC_STATUS = (
    ("1", "Wherry itself failed: no such container, or it is not running"),
    ("125", "a wrong option"),
    ("126", "the command is there but cannot be invoked, or not as this user or in this directory"),
    *RUN_STATUS[2:],
)
STATUS = (("0", "success"), ("1", "something failed"), ("125", "a wrong option"))
CONTAINER = ("run", "create")


def main_path(command: Command) -> str:
    """The name by which people call a command: the shortest."""
    return min(command.paths, key=lambda path: (path.count(" "), -len(path) if " " not in path else 0))


def commands() -> dict[str, Command]:
    """Every command once, by its main path."""
    found: dict[str, Command] = {}
    for path in COMMANDS:
        command: Command = load(path).COMMAND
        found[main_path(command)] = command
    return dict(sorted(found.items()))


def status_of(path: str) -> tuple[tuple[str, str], ...]:
    if path == "exec":
        return EXEC_STATUS
    return RUN_STATUS if path in ("run", "runtime run", "env run", "env shell", "env notebook") else STATUS


# -- Markdown ---------------------------------------------------------------------------------------------------------


def markdown() -> str:
    lines = ["# The command line", "", "<!-- Written by tools/cli_docs.py from the option tables. -->", ""]
    lines += ["Commands, options and messages are Docker's; what differs is said where it does.", ""]
    lines += ["Options before the command:", "", *_table(GLOBAL), ""]
    for path, command in commands().items():
        lines += [f"## wherry {path}", "", f"{command.summary}.", ""]
        lines += ["```", *(f"wherry {alias} {command.usage}".rstrip() for alias in ordered(path, command)), "```", ""]
        if command.description:
            lines += [command.description, ""]
        if any(row[4] for row in command.options):
            lines += [*_table(command), ""]
        if command.unsupported:
            lines += ["Options of Docker's that are refused:", ""]
            lines += [f"- {_flag(letter, name)}: {why}" for name, letter, why in command.unsupported]
            lines += [""]
        if status_of(path) is not STATUS:
            lines += ["Exit status:", "", *(f"- `{status}`: {what}" for status, what in status_of(path)), ""]
    return "\n".join(lines)


def ordered(path: str, command: Command) -> list[str]:
    return [path, *(alias for alias in command.paths if alias != path)]


def _flag(letter: str, name: str) -> str:
    return f"`-{letter}`, `--{name}`" if letter else f"`--{name}`"


def _table(command: Command) -> list[str]:
    lines = ["| option | value | |", "|---|---|---|"]
    for name, letter, kind, default, usage in sorted(command.options):
        if usage:
            text = " ".join(usage.split()).replace("|", "\\|").replace("<", "&lt;")
            text += f" (default `{default}`)" if default else ""
            lines.append(f"| {_flag(letter, name)} | {'' if kind == 'bool' else kind} | {text} |")
    return lines


# -- manual pages -----------------------------------------------------------------------------------------------------


def roff(text: str) -> str:
    """Markdown's bold, and nothing that roff would take for a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"\*\*(.+?)\*\*", r"\\fB\1\\fR", text)
    return "\n".join(["\\&" + line if line[:1] in (".", "'") else line for line in text.split("\n")])


def manual(path: str, command: Command) -> str:
    title = f"wherry {path}".replace(" ", "-")
    lines = ['.\\" Written by tools/cli_docs.py from the option tables.', f'.TH {title.upper()} 1 "" "Wherry" ""']
    lines += [".SH NAME", f"{roff(title)} \\- {roff(command.summary)}", ".SH SYNOPSIS"]
    for alias in ordered(path, command):
        lines += [".PP", roff(f"**wherry {alias}** {command.usage}".rstrip())]
    if command.description:
        lines += [".SH DESCRIPTION", roff(command.description)]
    lines += _options(command)
    lines += [".SH EXIT STATUS"]
    for status, what in status_of(path):
        lines += [".TP", roff(f"**{status}**"), roff(what)]
    lines += [".SH SEE ALSO", "\\fBwherry\\fR(1)", ""]
    return "\n".join(lines)


def _options(command: Command) -> list[str]:
    shown = [row for row in sorted(command.options) if row[4]]
    lines = [".SH OPTIONS"] if shown else []
    for name, letter, kind, default, usage in shown:
        flag = f"**-{letter}**, **--{name}**" if letter else f"**--{name}**"
        value = "" if kind == "bool" else f" \\fI{kind}\\fR"
        text = usage + (f" (default {default})" if default else "")
        lines += [".TP", roff(flag) + value, roff(text).replace("\n", "\n.br\n")]
    return lines


def front_page() -> str:
    lines = ['.\\" Written by tools/cli_docs.py from the option tables.', '.TH WHERRY 1 "" "Wherry" ""']
    lines += [".SH NAME", f"wherry \\- {roff(GLOBAL.summary)}", ".SH SYNOPSIS"]
    lines += [roff(f"**wherry** {GLOBAL.usage}"), *_options(GLOBAL), ".SH COMMANDS"]
    for path, command in commands().items():
        lines += [".TP", f"\\fBwherry\\-{roff(path.replace(' ', '-'))}\\fR(1)", roff(command.summary)]
    lines += [".SH FILES"]
    for name, what in (
        ("/var/lib/wherry", "images and containers of root"),
        ("$XDG_DATA_HOME/wherry", "images and containers of anybody else"),
        ("/run/wherry, $XDG_RUNTIME_DIR/wherry", "what is gone after a reboot"),
        ("/etc/wherry/registries.toml, $XDG_CONFIG_HOME/wherry/registries.toml", "mirrors, insecure registries"),
        ("~/.docker/config.json", "credentials, as docker login keeps them"),
    ):
        lines += [".TP", roff(name), roff(what)]
    return "\n".join([*lines, ""])


def pages() -> dict[Path, str]:
    """Every generated file, relative to the repository, and its text."""
    found = {Path("docs/cli.md"): markdown(), Path("docs/man/wherry.1"): front_page()}
    golden = Path("tests/golden/help")
    found[golden / "wherry.txt"] = helps.overview()
    for name in helps.GROUPS:
        found[golden / f"{name}.txt"] = helps.group_help(name)
    for path, command in commands().items():
        name = path.replace(" ", "-")
        found[Path(f"docs/man/wherry-{name}.1")] = manual(path, command)
        found[golden / f"{name}.txt"] = helps.command_help(command, path)
    return found


def main() -> int:
    for path, text in pages().items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
