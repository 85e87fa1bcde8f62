"""Tokens into a tree (text/template/parse/parse.go)."""

from __future__ import annotations

from wherry.cli.template.lex import TemplateError, Token, tokens, unquote
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any


class Node(Record):
    offset: int
    source: str  # as Go would print it back, for messages


class Text(Node):
    text: str


class Dot(Node):
    pass


class NilNode(Node):
    pass


class Constant(Node):
    value: Any


class Word(Node):
    name: str


class Field(Node):
    names: tuple[str, ...]


class Variable(Node):
    name: str
    names: tuple[str, ...]


class Chain(Node):
    inner: Pipe
    names: tuple[str, ...]


class Command(Node):
    operands: tuple[Node, ...]


class Pipe(Node):
    variables: tuple[str, ...]
    assigns: bool  # "=" rather than ":="
    commands: tuple[Command, ...]


class Action(Node):
    pipe: Pipe


class Branch(Node):
    kind: str  # if, with, range
    pipe: Pipe
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Jump(Node):
    kind: str  # break, continue


class Invoke(Node):
    name: str
    pipe: Pipe | None


def parse(text: str, functions: Collection[str]) -> tuple[tuple[Node, ...], dict[str, tuple[Node, ...]]]:
    """The tree, and the trees that it defines by name.  Raises `TemplateError` in Go's words."""
    parser = _Parser(tokens(text), functions)
    body, last = parser.body()
    if last.kind != "end":
        raise parser.error(f"unexpected {{{{{last.text}}}}}", last)
    return body, parser.defined


class _Parser:
    def __init__(self, found: list[Token], functions: Collection[str]) -> None:
        self.tokens = found
        self.functions = functions
        self.position = 0
        self.variables = ["$"]
        self.loops = 0
        self.defined: dict[str, tuple[Node, ...]] = {}

    def error(self, message: str, token: Token | None = None) -> TemplateError:
        token = token or self.tokens[min(self.position, len(self.tokens) - 1)]
        return TemplateError(f"template: :{token.line}: {message}")

    def peek(self) -> Token:
        return self.tokens[self.position]

    def next(self) -> Token:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def skip_space(self) -> Token:
        while self.peek().kind == "space":
            self.position += 1
        return self.peek()

    def body(self) -> tuple[tuple[Node, ...], Token]:
        """Nodes up to ``{{end}}`` or ``{{else}}``, whose keyword is consumed and given too."""
        nodes: list[Node] = []
        while True:
            token = self.next()
            if token.kind == "end":
                return tuple(nodes), token
            if token.kind == "text":
                nodes.append(Text(token.offset, "", token.text))
                continue
            first = self.skip_space()
            if first.kind == "keyword" and first.text in ("end", "else"):
                self.position += 1
                return tuple(nodes), first
            node = self.action(first)
            if node is not None:
                nodes.append(node)

    def action(self, first: Token) -> Node | None:
        if first.kind == "keyword" and first.text != "nil":
            self.position += 1
            if first.text in ("if", "with", "range"):
                return self.branch(first)
            if first.text in ("break", "continue"):
                if not self.loops:
                    raise self.error(f"{{{{{first.text}}}}} outside {{{{range}}}}", first)
                self.close(first.text)
                return Jump(first.offset, "{{" + first.text + "}}", first.text)
            if first.text == "template":
                return self.invoke()
            return self.define(first)
        pipe = self.pipe("command")
        return Action(pipe.offset, "{{" + pipe.source + "}}", pipe)

    def close(self, context: str) -> None:
        token = self.skip_space()
        if token.kind != "close":
            raise self.error(f"unexpected {_shown(token)} in {context}", token)
        self.position += 1

    def branch(self, first: Token) -> Branch:
        known = len(self.variables)
        kind = first.text
        pipe = self.pipe(kind)
        self.loops += kind == "range"
        then, last = self.body()
        self.loops -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if last.text == "else" and last.kind == "keyword":
            following = self.skip_space()
            if following.kind == "keyword" and following.text == kind and kind != "range":
                self.position += 1
                otherwise, last = (self.branch(following),), Token("keyword", "end", 0, 0)
            else:
                self.close("else")
                otherwise, last = self.body()
                if last.kind != "end":
                    if last.text != "end":
                        raise self.error("expected end; found {{else}}", last)
                    self.close("end")
        elif last.kind != "end":
            self.close("end")
        if last.kind == "end":
            raise self.error("unexpected EOF", last)
        del self.variables[known:]
        return Branch(first.offset, "", kind, pipe, then, otherwise)

    def invoke(self) -> Invoke:
        place = self.skip_space()
        name = self.name("template clause")
        pipe = None if self.skip_space().kind == "close" else self.pipe("template clause")
        if pipe is None:
            self.position += 1
        source = f'{{{{template "{name}"{" " + pipe.source if pipe else ""}}}}}'
        return Invoke(place.offset, source, name, pipe)

    def define(self, first: Token) -> Node | None:
        name = self.name(f"{first.text} clause")
        pipe = self.pipe("block clause") if first.text == "block" else None
        if pipe is None:
            self.close("define clause")
        variables, self.variables = self.variables, ["$"]
        loops, self.loops = self.loops, 0
        body, last = self.body()
        if last.text != "end" or last.kind == "end":
            raise self.error("unexpected EOF" if last.kind == "end" else "unexpected {{else}} in define clause", last)
        self.close("end")
        self.variables, self.loops = variables, loops
        self.defined[name] = body
        return Invoke(first.offset, "", name, pipe) if pipe else None

    def name(self, context: str) -> str:
        token = self.skip_space()
        if token.kind not in ("string", "raw"):
            raise self.error(f"unexpected {_shown(token)} in {context}", token)
        self.position += 1
        return unquote(token.text)

    def pipe(self, context: str, close: str = "close") -> Pipe:
        start = self.skip_space()
        variables, assigns = self.declaration(context)
        commands: list[Command] = []
        while True:
            token = self.skip_space()
            if token.kind == close or (close == ")" and token.text == ")" and token.kind == "mark"):
                if not commands:
                    raise self.error(f"missing value for {context}", token)
                self.position += 1
                break
            commands.append(self.command(context, first=not commands))
            token = self.skip_space()
            if token.kind == "mark" and token.text == "|":
                self.position += 1
                self.check_stage()
        source = " | ".join([command.source for command in commands])
        if variables:
            source = f"{', '.join(variables)} {'=' if assigns else ':='} {source}"
        return Pipe(start.offset, source, variables, assigns, tuple(commands))

    def check_stage(self) -> None:
        """What follows a "|" must be something to call."""
        token = self.skip_space()
        if token.kind in ("bool", "string", "raw", "char", "number") or token.text in (".", "nil"):
            raise self.error("non executable command in pipeline stage 2", token)

    def declaration(self, context: str) -> tuple[tuple[str, ...], bool]:
        """``$x :=``, ``$x =``, and for a range ``$i, $x :=``; nothing is consumed when there is none."""
        start = self.position
        names: list[str] = []
        while self.skip_space().kind == "variable":
            names.append(self.next().text)
            token = self.skip_space()
            if token.kind == "declare" or (token.kind == "mark" and token.text == "="):
                self.position += 1
                if token.kind == "declare":
                    self.variables += names
                return tuple(names), token.kind != "declare"
            if not (token.text == "," and token.kind == "mark" and context == "range" and len(names) < 2):
                if token.text == ",":
                    raise self.error(f"too many declarations in {context}", token)
                break
            self.position += 1
        self.position = start
        return (), False

    def command(self, context: str, *, first: bool) -> Command:
        operands: list[Node] = []
        start = self.skip_space()
        while True:
            operands.append(self.operand(context, first=first and not operands))
            token = self.peek()
            if token.kind == "space":
                token = self.skip_space()
                if token.kind == "close" or (token.kind == "mark" and token.text in ")|"):
                    break
                continue
            if token.kind == "close" or (token.kind == "mark" and token.text in ")|"):
                break
            raise self.error(f"unexpected {_shown(token)} in operand", token)
        return Command(start.offset, " ".join([node.source for node in operands]), tuple(operands))

    def operand(self, context: str, *, first: bool) -> Node:
        token = self.next()
        node = self.term(token)
        if node is None:
            if token.kind == "end":
                raise self.error("unclosed action", token)
            if token.kind == "keyword" or not first:
                raise self.error(f"unexpected {_shown(token)} in operand", token)
            raise self.error(f"unexpected {_shown(token)} in {context}", token)
        names: list[str] = []
        offset = self.peek().offset  # where Go says that a chain of fields is
        while self.peek().kind == "field":
            names.append(self.next().text[1:])
        if not names:
            return node
        source = node.source + "".join(["." + name for name in names])
        if isinstance(node, Field):
            return Field(offset, source, node.names + tuple(names))
        if isinstance(node, Variable):
            return Variable(offset, source, node.name, node.names + tuple(names))
        if isinstance(node, Pipe):
            return Chain(offset, source, node, tuple(names))
        raise self.error(f"unexpected . after term {_quoted(node.source)}", token)

    def term(self, token: Token) -> Node | None:
        text, offset = token.text, token.offset
        if token.kind == "word":
            if text not in self.functions:
                raise self.error(f'function "{text}" not defined', token)
            return Word(offset, text, text)
        if token.kind == "mark" and text == ".":
            return Dot(offset, ".")
        if token.kind == "keyword" and text == "nil":
            return NilNode(offset, "nil")
        if token.kind == "field":
            return Field(offset, text, (text[1:],))
        if token.kind == "variable":
            if text not in self.variables:
                raise self.error(f'undefined variable "{text}"', token)
            return Variable(offset, text, text, ())
        if token.kind == "mark" and text == "(":
            pipe = self.pipe("parenthesized pipeline", ")")
            return Pipe(offset, f"({pipe.source})", pipe.variables, pipe.assigns, pipe.commands)
        return self.literal(token)

    def literal(self, token: Token) -> Node | None:
        text = token.text
        try:
            if token.kind == "bool":
                return Constant(token.offset, text, text == "true")
            if token.kind in ("string", "raw"):
                return Constant(token.offset, text, unquote(text))
            if token.kind == "char":
                return Constant(token.offset, text, ord(unquote(text)))
            if token.kind == "number":
                return Constant(token.offset, text, _number(text))
        except (ValueError, TypeError):
            if token.kind in ("string", "raw"):
                raise self.error("invalid syntax", token) from None
            if token.kind == "char":
                raise self.error(f"malformed character constant: {text}", token) from None
            raise self.error(f"bad number syntax: {_quoted(text)}", token) from None
        return None


def _number(text: str) -> int | float:
    digits = text.lstrip("+-")
    if digits[:2].lower() in ("0x", "0b", "0o"):
        return int(text, 0)
    if "." in text or "e" in text.lower():
        return float(text)
    if len(digits) > 1 and digits[0] == "0":
        return int(text, 8)
    return int(text)


def _quoted(text: str) -> str:
    from wherry.cli.quote import quote

    return quote(text)


def _shown(token: Token) -> str:
    """A token as Go's lexer shows it in a message."""
    if token.kind == "end":
        return "EOF"
    if token.kind == "close":
        return '"}}"'
    if token.kind == "keyword" or token.text == ".":
        return f"<{token.text}>"
    if token.kind == "field":
        return f"<{token.text}>"
    text = token.text
    return f"{_quoted(text[:10])}..." if len(text) > 10 else _quoted(text)
