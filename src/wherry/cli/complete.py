"""What may follow on a command line that somebody is typing: `wherry __complete WORD...`, for the shells' scripts.

The last word is the one being typed, perhaps empty.  One candidate comes to a line, with a tab and what it is where
that helps; the last line is ``:0`` when file names may follow as well, ``:4`` when not, as the client of Docker has it.
Commands and options come from the tables that read them, so nothing here has to be kept up with them
(docs/decisions/0097-completion.md).
"""

from __future__ import annotations

import os

from wherry.cli.main import COMMANDS, GLOBAL, Call, load
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wherry.cli.parser import Command

    Candidates = list[tuple[str, str]]

# What the arguments of a command are: "one" for the first only.
ARGUMENTS = {
    "attach": ("running", "one"), "context_export": ("contexts", "one"), "context_inspect": ("contexts", ""),
    "context_rm": ("contexts", ""), "context_update": ("contexts", "one"), "context_use": ("contexts", "one"),
    "commit": ("containers", "one"), "container_inspect": ("containers", ""),
    "create": ("images", "one"), "diff": ("containers", "one"), "env_diff": ("containers images", ""),
    "env_export": ("images", "one"),
    "env_verify": ("containers images", "one"), "exec": ("running", "one"),
    "export": ("containers", "one"), "history": ("images", "one"), "image_inspect": ("images", ""),
    "inspect": ("anything", ""), "kill": ("alive", ""), "logs": ("containers", "one"),
    "network_connect": ("networks then containers", ""), "network_disconnect": ("networks then containers", ""),
    "network_inspect": ("networks", ""), "network_rm": ("networks", ""), "pause": ("running", ""),
    "port": ("containers", "one"), "pull": ("images", "one"), "push": ("images", "one"),
    "rename": ("containers", "one"), "restart": ("containers", ""), "rm": ("containers", ""), "rmi": ("images", ""),
    "run": ("images", "one"), "save": ("images", ""), "start": ("stopped", ""), "stats": ("alive", ""),
    "stop": ("alive", ""), "tag": ("images", "one"), "top": ("running", "one"), "unpause": ("paused", ""),
    "update": ("containers", ""), "volume_inspect": ("volumes", ""), "volume_rm": ("volumes", ""),
    "wait": ("containers", ""), "debug_plan": ("images", "one"),
}  # fmt: skip
OPTIONS: dict[str, str] = {
    "net": "networks", "network": "networks", "volumes-from": "containers", "link": "containers", "volume": "volumes",
    "pull": "always missing never", "restart": "no on-failure always unless-stopped", "pid": "host private",
    "ipc": "host private shareable none", "uts": "host", "userns": "host", "cgroupns": "host private",
    "log-driver": "json-file local journald none", "detach-keys": "ctrl-p,ctrl-q",
    "signal": "HUP INT QUIT KILL USR1 USR2 TERM STOP CONT", "stop-signal": "HUP INT QUIT KILL USR1 USR2 TERM",
    "runtime": "wherry runc crun runsc", "type": "container image volume network", "format": "json table",
    "python": "3.9 3.11 3.13", "base": "debian:bullseye debian:bookworm debian:trixie",
    "env_export format": "requirements pylock dockerfile cyclonedx",
    "attach": "stdin stdout stderr", "context": "contexts", "cap-add": "capabilities", "cap-drop": "capabilities",
    "security-opt": "no-new-privileges seccomp=unconfined apparmor=unconfined label=disable", "driver": "",
}  # fmt: skip
_FILES = ("cidfile", "config", "device", "env-file", "input", "label-file", "mount", "output", "pid-file", "root",
          "run-root", "bundle", "tmpfs", "workdir")  # fmt: skip
_FOLDER = ("env_build", "env_diff", "env_export", "env_init", "env_lock", "env_notebook", "env_run", "env_shell",
           "env_why")  # fmt: skip
_COMMAND_FOLLOWS = ("run", "create", "exec", "cp", "load")


def main(words: Sequence[str]) -> int:
    """`wherry __complete WORD...`, and for bash `wherry __complete --line LINE BREAKS`."""
    cut = 0
    if words[:1] == ["--line"]:
        words = split(words[1])
        cut = max((words[-1].rfind(mark) for mark in "=:"), default=-1) + 1
    found, files = complete(words[:-1], words[-1] if words else "")
    for name, what in found:
        print(f"{name[cut:]}\t{what}" if what else name[cut:])
    print(":0" if files else ":4")
    return 0


def split(line: str) -> list[str]:
    """The words of a line that ends in the middle of one, without its first, as a shell would read them."""
    words, word, quote, begun = [], "", "", False
    position = 0
    while position < len(line):
        character = line[position]
        position += 1
        if quote:
            if character == quote:
                quote = ""
            elif character == "\\" and quote == '"' and position < len(line):
                word += line[position]
                position += 1
            else:
                word += character
        elif character in "'\"":
            quote, begun = character, True
        elif character == "\\" and position < len(line):
            word, begun = word + line[position], True
            position += 1
        elif character in " \t\n":
            if begun or word:
                words.append(word)
            word, begun = "", False
        else:
            word += character
    return [*words, word][1:] if words else [""]


def complete(words: Sequence[str], current: str) -> tuple[Candidates, bool]:
    """What ``current`` may become after ``words``; and whether it may be the name of a file."""
    values, rest, waiting = _read(GLOBAL, words, interspersed=False)
    if waiting:
        return _value(_Names(values), "", waiting, "", current)
    path, arguments = _command(rest)
    if not path:
        if current.startswith("-") and not rest:
            return _options(GLOBAL, current), False
        return _commands(rest, current), False
    names = _Names(values)
    command: Command = load(path).COMMAND
    _values, given, waiting = _read(command, arguments, interspersed=command.interspersed)
    if waiting:
        return _value(names, COMMANDS[path], waiting, "", current)
    if current.startswith("--") and "=" in current:
        name, _equals, value = current.removeprefix("--").partition("=")
        return _value(names, COMMANDS[path], name, f"--{name}=", value)
    if current.startswith("-") and (command.interspersed or not given):
        return _options(command, current), False
    kind, first = ARGUMENTS.get(COMMANDS[path], ("", ""))
    if given and (first or not kind):
        return [], COMMANDS[path] in _COMMAND_FOLLOWS
    if not kind:
        return [], COMMANDS[path] in (*_COMMAND_FOLLOWS, *_FOLDER, "cp", "import_")
    if kind == "networks then containers":
        kind = "containers" if given else "networks"
    return _fitting([name for name in names.of(kind) if name not in given], current), COMMANDS[path] in _FOLDER


def _read(command: Command, words: Sequence[str], *, interspersed: bool) -> tuple[dict[str, str], list[str], str]:
    """The options with values, the arguments, and the option that ``words`` end with, whose value is to come."""
    values: dict[str, str] = {}
    given: list[str] = []
    position = 0
    rows = {f"--{row[0]}": row for row in command.options} | {f"-{row[1]}": row for row in command.options if row[1]}
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("-") or word == "-" or (given and not interspersed):
            given.append(word)
            if not interspersed:
                return values, [*given, *words[position:]], ""
            continue
        name, equals, value = word.partition("=")
        row = rows.get(name) or (rows.get(f"-{word[-1]}") if not word.startswith("--") else None)
        if row is None or equals or row[2] == "bool":
            if row is not None and equals:
                values[row[0]] = value
            continue
        if position == len(words):
            return values, given, row[0]
        values[row[0]] = words[position]
        position += 1
    return values, given, ""


def _command(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    if words and words[0] in COMMANDS:
        return words[0], words[1:]
    path = " ".join(words[:2])
    return (path, words[2:]) if len(words) > 1 and path in COMMANDS else ("", words)


def _commands(words: Sequence[str], current: str) -> Candidates:
    """The commands, or those of a group: one name for each."""
    from wherry.cli.help import GROUPS

    if len(words) == 1 and words[0] in GROUPS:
        inside: dict[str, str] = {}  # of several names of a command the first
        for path, module in COMMANDS.items():
            if path.startswith(f"{words[0]} "):
                inside.setdefault(module, path)
        found = [(path.partition(" ")[2], load(path).COMMAND.summary) for path in inside.values()]
        return sorted(one for one in found if one[0].startswith(current))
    if words:
        return []
    found = [
        (path, load(path).COMMAND.summary if path != "help" else "Help about a command")
        for path in COMMANDS
        if " " not in path and path.startswith(current)
    ]
    return sorted([*found, *[(name, text) for name, text in GROUPS.items() if name.startswith(current)]])


def _options(command: Command, current: str) -> Candidates:
    known = [("help", "", "bool", "", "Print usage"), *command.options]
    return [(f"--{row[0]}", row[4].split("\n")[0]) for row in known if f"--{row[0]}".startswith(current)]


def _value(names: _Names, command: str, option: str, before: str, current: str) -> tuple[Candidates, bool]:
    """What an option of a command may be given; ``before`` is what of the word is there already."""
    kind = OPTIONS.get(f"{command} {option}", OPTIONS.get(option, ""))
    found = [(before + name, what) for name, what in _fitting(names.of(kind), current)] if kind else []
    return found, option in (*_FILES, "volume")


def _fitting(names: Sequence[str], current: str) -> Candidates:
    return [(name, "") for name in names if name.startswith(current)]


class _Names:
    """Names out of the store that ``--root`` and the environment name; none where there is no store."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def of(self, kind: str) -> list[str]:
        """The names of a kind of thing, or the words of a list."""
        from wherry.engine import completions as known

        containers: dict[str, tuple[str, ...]] = {
            "containers": (),
            "running": known.RUNNING,
            "alive": known.RUNNING + known.PAUSED,
            "paused": known.PAUSED,
            "stopped": known.STOPPED,
        }
        others = {"images": known.image_names, "volumes": known.volume_names, "networks": known.network_names}
        if kind in ("anything", "containers images"):
            parts = "containers images networks volumes" if kind == "anything" else kind
            return [name for part in parts.split() for name in self.of(part)]
        if kind == "capabilities":
            from wherry.linux.capabilities import ALL
            from wherry.linux.capabilities import names as names_of

            return ["ALL", *[name.removeprefix("CAP_") for name in names_of(ALL)]]
        if kind == "contexts":
            return self._contexts()
        if kind not in containers and kind not in others:
            return kind.split()
        try:
            call = self._call()
            if call is None:
                return []
            if kind in containers:
                return call.verb(known.container_names)(containers[kind])
            return call.verb(others[kind])()
        except (WherryError, OSError):
            return []  # while somebody types is no time for errors

    def _call(self) -> Call | None:
        """The command line so far; None where there is nothing to ask."""
        from wherry.engine.paths import find

        options: dict[str, Any] = dict(self._values)
        if "host" in options:
            options["host"] = [options["host"]]
        call = Call("", {}, [], options)
        if call.remote() is None:
            root = find(os.environ, root=options.get("root", ""), run=options.get("run-root", "")).root
            return call if os.path.exists(f"{root}/wherry.db") else None
        return call

    def _contexts(self) -> list[str]:
        from wherry.cli.endpoint import docker_config
        from wherry.client.contexts import DEFAULT, Store

        return sorted([DEFAULT, *Store(docker_config(os.environ)).names()])
