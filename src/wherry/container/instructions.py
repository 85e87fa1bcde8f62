"""Dockerfile instructions that change an image's configuration alone, as ``commit`` and ``import`` take with ``-c``.

Pure: from the ``config`` object of an image and lines of text to another such object.  The grammar is that of
docs.docker.com/reference/dockerfile: words with quotes and ``\\``, ``$NAME`` and ``${NAME:-word}`` from the environment
that the image has by then, JSON arrays for the exec form.
"""

from __future__ import annotations

import os

from wherry import fastjson
from wherry.container import parse
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence
    from typing import Any

    Settings = dict[str, Any]

_SHELL = ("/bin/sh", "-c")
_NOT_TRIGGERS = ("ONBUILD", "FROM", "MAINTAINER")
_REFERENCE = r"\$(?:(\w+)|\{(\w+)(?:(:[-+])([^}]*))?\})"
_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def apply(settings: Settings, instructions: Sequence[str]) -> Settings:
    """``settings`` with every instruction carried out, in order.  Raises `InvalidArgument` in Docker's words."""
    changed = dict(settings)
    cmd_set = False
    for line in instructions:
        name, _, rest = line.strip().partition(" ")
        if not name:
            raise InvalidArgument("file with no instructions")
        known = _KNOWN.get(name.lower())
        if known is None:
            raise InvalidArgument(f"{name.lower()} is not a valid change command")
        rest = rest.strip()
        if not rest:
            raise InvalidArgument(f"{name.upper()} requires at least one argument")
        known(changed, rest)
        cmd_set = cmd_set or name.lower() == "cmd"
        if name.lower() == "entrypoint" and not cmd_set:
            changed["Cmd"] = None
    return changed


def words(text: str, env: dict[str, str]) -> list[str]:
    """Words as a shell would see them, variables in them replaced, but not in single quotes."""
    import re

    reference = re.compile(_REFERENCE)
    found: list[str] = []
    word: str | None = None
    position, quote = 0, ""
    while position < len(text):
        letter = text[position]
        position += 1
        if letter == "\\" and quote != "'" and position < len(text):
            follows = text[position]
            position += 1
            word = (word or "") + (follows if not quote or follows in '"$\\' else letter + follows)
        elif quote and letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote, word = letter, word or ""
        elif not quote and letter.isspace():
            if word is not None:
                found.append(word)
            word = None
        elif letter == "$" and quote != "'" and (match := reference.match(text, position - 1)):
            position = match.end()
            word = (word or "") + _value(match, env)
        else:
            word = (word or "") + letter
    if quote:
        raise InvalidArgument(f"unexpected end of statement while looking for matching {quote} in {text!r}")
    return [*found, word] if word is not None else found


def _value(match: re.Match[str], env: dict[str, str]) -> str:
    plain, braced, operator, other = match.groups()
    value = env.get(plain or braced, "")
    if operator == ":-":
        return value or other
    if operator == ":+":
        return other if value else ""
    return value


def _env(settings: Settings) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in settings.get("Env") or ())


def _array(text: str) -> list[str] | None:
    """The exec form, or None for any other text."""
    try:
        found = fastjson.loads(text) if text.startswith("[") else None
    except fastjson.JSONError:
        return None
    return found if isinstance(found, list) and all(isinstance(item, str) for item in found) else None


def _command(settings: Settings, text: str) -> list[str]:
    found = _array(text)
    return [*(settings.get("Shell") or _SHELL), text] if found is None else found


def _pairs(settings: Settings, text: str, name: str) -> list[tuple[str, str]]:
    env = _env(settings)
    first = text.split(None, 1)
    if "=" not in first[0]:
        if len(first) < 2:
            raise InvalidArgument(f"{name} must have two arguments")
        return [(first[0], "".join(words(_quoted(first[1]), env)))]
    found = []
    for word in words(text, env):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InvalidArgument(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
        found.append((key, value))
    return found


def _quoted(text: str) -> str:
    """The old form ``ENV NAME some text``: its blanks belong to the value."""
    if text.startswith(("'", '"')):
        return text
    return "".join(["\\" + letter if letter.isspace() else letter for letter in text])


def _set_env(settings: Settings, text: str) -> None:
    env = _env(settings) | dict(_pairs(settings, text, "ENV"))
    settings["Env"] = [f"{key}={value}" for key, value in env.items()]


def _set_labels(settings: Settings, text: str) -> None:
    settings["Labels"] = dict(settings.get("Labels") or {}) | dict(_pairs(settings, text, "LABEL"))


def _set_cmd(settings: Settings, text: str) -> None:
    settings["Cmd"] = _command(settings, text)


def _set_entrypoint(settings: Settings, text: str) -> None:
    settings["Entrypoint"] = _command(settings, text) or None


def _set_ports(settings: Settings, text: str) -> None:
    ports = dict(settings.get("ExposedPorts") or {})
    for word in words(text, _env(settings)):
        numbers, _, protocol = word.partition("/")
        first, dash, last = numbers.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or protocol.lower() not in ("", "tcp", "udp", "sctp"):
            raise InvalidArgument(f"Invalid containerPort: {word}")
        for port in range(int(first), int(last or first) + 1):
            if not 0 < port < 65536:
                raise InvalidArgument(f"Invalid containerPort: {word}")
            ports[f"{port}/{protocol.lower() or 'tcp'}"] = {}
    settings["ExposedPorts"] = ports


def _set_volumes(settings: Settings, text: str) -> None:
    found = _array(text)
    paths = words(text, _env(settings)) if found is None else found
    if not all(path.strip() for path in paths):
        raise InvalidArgument("VOLUME specified can not be an empty string")
    settings["Volumes"] = dict(settings.get("Volumes") or {}) | {path.strip(): {} for path in paths}


def _set_user(settings: Settings, text: str) -> None:
    settings["User"] = _one(settings, text, "USER")


def _set_directory(settings: Settings, text: str) -> None:
    path = _one(settings, text, "WORKDIR")
    settings["WorkingDir"] = os.path.normpath(os.path.join("/", settings.get("WorkingDir") or "/", path))


def _set_signal(settings: Settings, text: str) -> None:
    found = _one(settings, text, "STOPSIGNAL")
    parse.signal(found)
    settings["StopSignal"] = found


def _one(settings: Settings, text: str, name: str) -> str:
    found = words(text, _env(settings))
    if len(found) != 1:
        raise InvalidArgument(f"{name} requires exactly one argument")
    return found[0]


def _set_trigger(settings: Settings, text: str) -> None:
    name = text.split()[0].upper()
    if name in _NOT_TRIGGERS:
        what = "Chaining ONBUILD via `ONBUILD ONBUILD`" if name == "ONBUILD" else name
        raise InvalidArgument(f"{what} isn't allowed{'' if name == 'ONBUILD' else ' as an ONBUILD trigger'}")
    settings["OnBuild"] = [*(settings.get("OnBuild") or ()), text]


def _set_healthcheck(settings: Settings, text: str) -> None:
    check: dict[str, Any] = {}
    while text.startswith("--"):
        option, _, text = text.partition(" ")
        text = text.strip()
        name, _, value = option[2:].partition("=")
        if name in _TIMES:
            check[_TIMES[name]] = parse.duration(value)
        elif name == "retries" and value.isdigit() and int(value):
            check["Retries"] = int(value)
        else:
            why = f"--retries must be at least 1 (not {value})" if name == "retries" else f"unknown flag: --{name}"
            raise InvalidArgument(why)
    kind, _, rest = text.partition(" ")
    if kind.upper() == "NONE":
        if check or rest.strip():
            raise InvalidArgument("HEALTHCHECK NONE takes no arguments")
        settings["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind.upper() != "CMD":
        raise InvalidArgument(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    if not rest.strip():
        raise InvalidArgument("Missing command after HEALTHCHECK CMD")
    found = _array(rest.strip())
    settings["Healthcheck"] = {"Test": ["CMD-SHELL", rest.strip()] if found is None else ["CMD", *found], **check}


_KNOWN: dict[str, Callable[[Settings, str], None]] = {
    "cmd": _set_cmd,
    "entrypoint": _set_entrypoint,
    "env": _set_env,
    "expose": _set_ports,
    "healthcheck": _set_healthcheck,
    "label": _set_labels,
    "onbuild": _set_trigger,
    "stopsignal": _set_signal,
    "user": _set_user,
    "volume": _set_volumes,
    "workdir": _set_directory,
}
