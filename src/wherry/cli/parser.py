"""Options as Docker's client reads them (its library is spf13/pflag), from tables of plain tuples.

A table row is ``(name, letter, kind, default, usage)``.  ``kind`` is the word that help shows after the option and says
how the value is read: "bool" needs none, "int", "int64", "uint16" and "float" are numbers, "list", "map" and the like
(`REPEATED`) add up, anything else is text.  Rows are constants of the compiled module, so a table costs nothing to
load.  ``default`` is only shown, never applied: a value that was not given is not in the result.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Row = tuple[str, str, str, str, str]

REPEATED = frozenset(("list", "map", "filter", "mount", "ulimit", "network", "gpu-request", "strings"))
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_RANGES = {
    "int": (-(1 << 63), (1 << 63) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint16": (0, (1 << 16) - 1),
}


class Command(Record):
    """What the parser and the help pages know of one command."""

    paths: tuple[str, ...]  # every way to type it, the one that help calls by first: ("container run", "run")
    usage: str  # what follows the name in the usage line
    summary: str
    options: tuple[Row, ...] = ()
    least: int = 0  # number of arguments
    most: int = -1  # -1: any
    interspersed: bool = True  # options may follow arguments
    keeps_dashes: bool = False  # the arguments have the "--" that ends the options
    unsupported: tuple[tuple[str, str, str], ...] = ()  # (name, letter, why): Docker's options that are refused
    description: str = ""  # paragraphs for the manual, in Markdown
    example: str = ""


class UsageError(InvalidArgument):
    """The command line itself is wrong.  `message` is all of what is printed, over several lines."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_code = exit_status


def usage_line(command: Command, path: str) -> str:
    """``wherry run [OPTIONS] IMAGE [COMMAND] [ARG...]``."""
    return f"wherry {path} {command.usage}".rstrip() if path else f"wherry {command.usage}"


def _wrong(message: str, command: Command, path: str, exit_status: int = 125, verb: str = "Run") -> UsageError:
    name = f"wherry {path}".rstrip()
    return UsageError(
        f"{message}\n\nUsage:  {usage_line(command, path)}\n\n{verb} '{name} --help' for more information", exit_status
    )


def parse(
    command: Command,
    path: str,
    arguments: Sequence[str],
    checks: Mapping[str, Callable[[str], Any]] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Values by option name, and the arguments.

    ``checks`` turns an option's text into its value (for a repeated option, each text) and may raise `InvalidArgument`.
    An option named ``help`` is always understood; it is the caller's to act on.  Raises `UsageError` (exit 125).
    """
    reading = _Reading(command, arguments, checks)
    try:
        reading.read()
    except _Refused as error:
        raise UsageError(f"wherry: {error.message}", 125) from None
    except InvalidArgument as error:
        raise _wrong(error.message, command, path) from None
    return reading.values, reading.rest


class _Refused(InvalidArgument):
    """An option of Docker's that this version does not have."""


class _Reading:
    """An argument vector on its way to becoming values."""

    def __init__(
        self, command: Command, arguments: Sequence[str], checks: Mapping[str, Callable[[str], Any]] | None
    ) -> None:
        self.command = command
        self.arguments = arguments
        self.position = 0
        self.checks = checks or {}
        self.values: dict[str, Any] = {}
        self.rest: list[str] = []

    def read(self) -> None:
        arguments = self.arguments
        count = len(arguments)
        while self.position < count:
            argument = arguments[self.position]
            self.position += 1
            if argument[:1] != "-" or argument == "-":
                self.rest.append(argument)
                if not self.command.interspersed:
                    break
            elif argument == "--":
                self.position -= self.command.keeps_dashes
                break
            elif argument[1] == "-":
                self._long(argument)
            else:
                self._letters(argument[1:])
        self.rest += arguments[self.position :]

    def _long(self, argument: str) -> None:
        """Reads ``--name``, ``--name=value`` or ``--name value``."""
        name, equals, text = argument[2:].partition("=")
        if not name or name[0] == "-":
            raise InvalidArgument(f"bad flag syntax: {argument}")
        for row in self.command.options:
            if row[0] == name:
                break
        else:
            self._unknown(name, name, f"unknown flag: --{name}")
            return
        if not equals:
            text = "true" if row[2] == "bool" else self._next(f"--{name}")
        self._put(row, text)

    def _letters(self, letters: str) -> None:
        """Reads a cluster such as ``-it``, ``-m256m``, ``-m=256m`` or ``-m 256m``."""
        while letters:
            letter, following = letters[0], letters[1:]
            for row in self.command.options:
                if row[1] == letter:
                    break
            else:
                self._unknown(
                    "help" if letter == "h" else "", letter, f"unknown shorthand flag: '{letter}' in -{letters}"
                )
                return
            if len(following) > 1 and following[0] == "=":
                self._put(row, following[1:])
                return
            if row[2] == "bool":
                self._put(row, "true")
                letters = following
            else:
                self._put(row, following or self._next(f"'{letter}' in -{letters}"))
                return

    def _next(self, flag: str) -> str:
        if self.position >= len(self.arguments):
            raise InvalidArgument(f"flag needs an argument: {flag}")
        self.position += 1
        return self.arguments[self.position - 1]

    def _unknown(self, name: str, typed: str, message: str) -> None:
        if name == "help":
            self.values["help"] = True
            return
        for refused, letter, why in self.command.unsupported:
            if typed in (refused, letter):
                raise _Refused(f"{f'-{letter}, ' if letter else ''}--{refused} is not supported: {why}")
        raise InvalidArgument(message)

    def _put(self, row: Row, text: str) -> None:
        name, letter, kind, _default, _usage = row
        try:
            value: Any = text
            if kind == "bool":
                value = boolean(text)
            elif kind in _RANGES:
                value = integer(text, *_RANGES[kind])
            elif name in self.checks:
                value = self.checks[name](text)
        except InvalidArgument as error:
            flag = f"-{letter}, --{name}" if letter else f"--{name}"
            raise InvalidArgument(f'invalid argument {_quote(text)} for "{flag}" flag: {error.message}') from None
        if kind in REPEATED:
            self.values.setdefault(name, []).append(value)
        else:
            self.values[name] = value


def _quote(text: str) -> str:
    from wherry.cli.quote import quote

    return quote(text)


def boolean(text: str) -> bool:
    """As Go's strconv.ParseBool."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise InvalidArgument(f"strconv.ParseBool: parsing {_quote(text)}: invalid syntax")


def integer(text: str, least: int, most: int) -> int:
    """As Go's strconv.ParseInt and ParseUint with base 0."""
    function = "ParseInt" if least < 0 else "ParseUint"
    try:
        if text != text.strip() or (least >= 0 and text[:1] in "+-") or not text.isascii():
            raise ValueError
        digits = text.lstrip("+-")
        octal = len(digits) > 1 and digits[0] == "0" and digits.replace("_", "").isdigit()
        value = int(text, 8 if octal else 0)
    except ValueError:
        raise InvalidArgument(f"strconv.{function}: parsing {_quote(text)}: invalid syntax") from None
    if not least <= value <= most:
        raise InvalidArgument(f"strconv.{function}: parsing {_quote(text)}: value out of range")
    return value


def check_count(command: Command, path: str, arguments: Sequence[str]) -> None:
    """Holds the number of arguments that the command takes.  Raises `UsageError` (exit 1)."""
    count, least, most = len(arguments), command.least, command.most
    if count >= least and (most < 0 or count <= most):
        return
    name = f"'wherry {path}'"
    verb = "Run"
    if most == 0:
        message = f"{name} accepts no arguments"
    elif most < 0:
        message = f"{name} requires at least {_arguments(least)}"
        verb = "See"
    elif least == most:
        message = f"{name} requires {_arguments(least)}"
    elif least == 0:
        message = f"{name} requires at most {_arguments(most)}"
    else:
        message = f"{name} requires at least {least} and at most {_arguments(most)}"
    raise _wrong(f"wherry: {message}", command, path, 1, verb)


def _arguments(number: int) -> str:
    return f"{number} argument{'' if number == 1 else 's'}"
