"""Template text into tokens (text/template/parse/lex.go describes the grammar)."""

from __future__ import annotations

import re

from wherry.cli.quote import quote
from wherry.errors import InvalidArgument
from wherry.record import Record

KEYWORDS = frozenset(("block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with"))
_BLANKS = " \t\r\n"
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<raw>`[^`]*`)
    |(?P<char>'(?:[^'\\\n]|\\.)+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?))
    |(?P<field>\.[^\W\d]\w*)
    |(?P<variable>\$\w*)
    |(?P<word>[^\W\d]\w*)
    |(?P<declare>:=)
    |(?P<mark>[.|(),=])""",
    re.VERBOSE,
)


class TemplateError(InvalidArgument):
    """The template is not well-formed, or does not fit the value; the text is Go's."""


class Token(Record):
    kind: (
        str  # text, open, close, space, string, char, number, field, variable, word, keyword, bool, declare, mark, end
    )
    text: str
    offset: int
    line: int


def tokens(text: str) -> list[Token]:
    """The whole template.  Raises `TemplateError`."""
    found: list[Token] = []
    position, trim = 0, False
    while True:
        start = text.find("{{", position)
        plain = text[position:] if start < 0 else text[position:start]
        if trim:
            plain = plain.lstrip(_BLANKS)
        if start < 0:
            _text(found, plain, position)
            found.append(Token("end", "", len(text), text.count("\n") + 1))
            return found
        inside = start + 2
        if text[inside : inside + 1] == "-" and text[inside + 1 : inside + 2] in tuple(_BLANKS):
            plain = plain.rstrip(_BLANKS)
            inside += 2
        _text(found, plain, position)
        if text.startswith("/*", inside):
            position, trim = _comment(text, inside)
        else:
            found.append(Token("open", "{{", start, _line(text, start)))
            position, trim = _action(text, inside, found)


def _text(found: list[Token], plain: str, offset: int) -> None:
    if plain:
        found.append(Token("text", plain, offset, 0))


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _comment(text: str, inside: int) -> tuple[int, bool]:
    end = text.find("*/", inside)
    if end < 0:
        raise TemplateError(f"template: :{_line(text, inside)}: unclosed comment")
    closing, trim = _closing(text, end + 2)
    if not closing:
        raise TemplateError(f"template: :{_line(text, inside)}: comment ends before closing delimiter")
    return closing, trim


def _closing(text: str, position: int) -> tuple[int, bool]:
    """Where the action that closes at ``position`` ends (0: it does not) and whether blanks after it go."""
    if text.startswith("}}", position):
        return position + 2, False
    if text[position : position + 1] in tuple(_BLANKS) and text.startswith("-}}", position + 1):
        return position + 4, True
    return 0, False


def _action(text: str, position: int, found: list[Token]) -> tuple[int, bool]:
    depth = 0
    while True:
        closing, trim = _closing(text, position)
        line = _line(text, position)
        if closing:
            if depth:
                raise TemplateError(f"template: :{line}: unclosed left paren")
            found.append(Token("close", "}}", position, line))
            return closing, trim
        match = _TOKEN.match(text, position)
        if match is None:
            raise _bad(text, position, line)
        kind, value = str(match.lastgroup), match.group()
        if kind == "word":
            kind = "keyword" if value in KEYWORDS else "bool" if value in ("true", "false") else "word"
        elif kind == "number" and text[match.end() : match.end() + 1].isalnum():
            raise TemplateError(f'template: :{line}: bad number syntax: "{value}{text[match.end()]}"')
        elif kind == "mark" and value in "()":
            depth += 1 if value == "(" else -1
            if depth < 0:
                raise TemplateError(f"template: :{line}: unexpected right paren")
        found.append(Token(kind, value, position, line))
        position = match.end()


def _bad(text: str, position: int, line: int) -> TemplateError:
    character = text[position : position + 1]
    if not character:
        return TemplateError(f"template: :{line}: unclosed action")
    what = {
        '"': "unterminated quoted string",
        "`": "unterminated raw quoted string",
        "'": "unterminated character constant",
    }
    if character in what:
        return TemplateError(f"template: :{line}: {what[character]}")
    if character == ":":
        return TemplateError(f"template: :{line}: expected :=")
    return TemplateError(f"template: :{line}: unexpected {quote(character)} in command")


_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_NAMED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"'}


def unquote(literal: str) -> str:
    """The text that a Go string or character literal stands for.  Raises ValueError."""
    if literal[0] == "`":
        return literal[1:-1]

    def replace(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code:
            return chr(int(code, 16))
        if match[4]:
            return chr(int(match[4], 8))
        if match[5] not in _NAMED:
            raise ValueError(literal)
        return _NAMED[match[5]]

    return _ESCAPE.sub(replace, literal[1:-1])
