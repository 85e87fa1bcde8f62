"""A tree over a value (text/template/exec.go).  A value that does not fit is a `TemplateError` in Go's words."""

from __future__ import annotations

from wherry.cli.template import parse as tree
from wherry.cli.template.functions import BUILTIN, DOCKER, FunctionError, truth
from wherry.cli.template.lex import TemplateError
from wherry.cli.template.values import MISSING, Nil, Row, Struct, show, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_DEPTH = 1000  # templates that invoke each other
_NOTHING = object()


def compile(text: str, functions: Mapping[str, Callable[..., Any]] | None = None) -> Template:
    """The template in ``text``, with Docker's functions and ``functions``.  Raises `TemplateError`."""
    return Template(text, {**BUILTIN, **DOCKER, **(functions or {})})


class Template:
    """A compiled template; it may be rendered any number of times."""

    def __init__(self, text: str, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.text = text
        self.functions = functions
        self.body, self.defined = tree.parse(text, functions)

    def render(self, value: Any) -> str:
        """The text for ``value``.  Raises `TemplateError`."""
        run = _Run(self)
        run.variables.append(("$", value))
        run.walk(self.body, value)
        return "".join(run.out)


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class _Run:
    def __init__(self, template: Template) -> None:
        self.template = template
        self.out: list[str] = []
        self.variables: list[tuple[str, Any]] = []
        self.depth = 0

    def fail(self, node: tree.Node, message: str) -> TemplateError:
        text = self.template.text[: node.offset]
        line, column = text.count("\n") + 1, len(text.rpartition("\n")[2].encode("utf-8", "surrogateescape"))
        return TemplateError(f'template: :{line}:{column}: executing "" at <{node.source}>: {message}')

    def walk(self, nodes: tuple[tree.Node, ...], dot: Any) -> None:
        for node in nodes:
            if isinstance(node, tree.Text):
                self.out.append(node.text)
            elif isinstance(node, tree.Action):
                value = self.pipe(node.pipe, dot)
                if not node.pipe.variables:
                    self.out.append(show(value))
            elif isinstance(node, tree.Branch):
                known = len(self.variables)
                (self.loop if node.kind == "range" else self.branch)(node, dot)
                del self.variables[known:]
            elif isinstance(node, tree.Jump):
                raise _Break if node.kind == "break" else _Continue
            elif isinstance(node, tree.Invoke):
                self.invoke(node, dot)

    def branch(self, node: tree.Branch, dot: Any) -> None:
        value = self.pipe(node.pipe, dot)
        if truth(value):
            self.walk(node.then, value if node.kind == "with" else dot)
        else:
            self.walk(node.otherwise, dot)

    def loop(self, node: tree.Branch, dot: Any) -> None:
        value = self.pipe(node.pipe, dot, bind=False)
        pairs = self.pairs(node, value)
        if not pairs:
            self.walk(node.otherwise, dot)
        known = len(self.variables)
        for key, item in pairs:
            names = node.pipe.variables
            if names:
                bound = (key, item) if len(names) == 2 else (item,)
                for name, part in zip(names, bound):
                    if node.pipe.assigns:
                        self.assign(name, part)
                    else:
                        self.variables.append((name, part))
            try:
                self.walk(node.then, item)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                del self.variables[known:]

    def pairs(self, node: tree.Branch, value: Any) -> list[tuple[Any, Any]]:
        if isinstance(value, dict) and not isinstance(value, Struct):
            return sorted(value.items())
        if isinstance(value, list | tuple):
            return list(enumerate(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return [(number, number) for number in range(min(value, 10_000_000))]
        if value is None or value is MISSING or isinstance(value, Nil):
            return []
        raise self.fail(node.pipe.commands[-1].operands[0], f"range can't iterate over {show(value)}")

    def invoke(self, node: tree.Invoke, dot: Any) -> None:
        body = self.template.defined.get(node.name)
        if body is None:
            raise self.fail(node, f'template "{node.name}" not defined')
        if self.depth >= _DEPTH // 10:
            raise self.fail(node, f"exceeded maximum template depth ({_DEPTH // 10})")
        value = self.pipe(node.pipe, dot) if node.pipe else None
        variables, self.variables = self.variables, [("$", value)]
        self.depth += 1
        self.walk(body, value)
        self.depth -= 1
        self.variables = variables

    def assign(self, name: str, value: Any) -> None:
        for position in range(len(self.variables) - 1, -1, -1):
            if self.variables[position][0] == name:
                self.variables[position] = (name, value)
                return

    def pipe(self, pipe: tree.Pipe, dot: Any, *, bind: bool = True) -> Any:
        value: Any = _NOTHING
        for command in pipe.commands:
            value = self.command(command, dot, value)
        if bind:
            for name in pipe.variables:
                if pipe.assigns:
                    self.assign(name, value)
                else:
                    self.variables.append((name, value))
        return value

    def command(self, command: tree.Command, dot: Any, final: Any) -> Any:
        first, *rest = command.operands
        if isinstance(first, tree.Word):
            return self.call(command, first, rest, dot, final)
        if isinstance(first, tree.Field):
            return self.fields(first, dot, first.names, rest, dot, final)
        if isinstance(first, tree.Variable):
            value = self.variable(first.name)
            if first.names:
                return self.fields(first, value, first.names, rest, dot, final)
        elif isinstance(first, tree.Chain):
            return self.fields(first, self.pipe(first.inner, dot), first.names, rest, dot, final)
        elif isinstance(first, tree.NilNode):
            raise self.fail(first, "nil is not a command")
        else:
            value = self.value(first, dot)
        if rest or final is not _NOTHING:
            raise self.fail(first, f"can't give argument to non-function {first.source}")
        return value

    def value(self, node: tree.Node, dot: Any) -> Any:
        """An operand that is not the first of its command."""
        if isinstance(node, tree.Dot):
            return dot
        if isinstance(node, tree.NilNode):
            return None
        if isinstance(node, tree.Constant):
            return node.value
        if isinstance(node, tree.Pipe):
            return self.pipe(node, dot)
        if isinstance(node, tree.Word):
            return self.call(node, node, [], dot, _NOTHING)
        return self.command(tree.Command(node.offset, node.source, (node,)), dot, _NOTHING)

    def variable(self, name: str) -> Any:
        for known, value in reversed(self.variables):
            if known == name:
                return value
        return MISSING

    def fields(
        self, node: tree.Node, value: Any, names: tuple[str, ...], rest: list[tree.Node], dot: Any, final: Any
    ) -> Any:
        for position, name in enumerate(names):
            last = position == len(names) - 1
            given = [self.value(operand, dot) for operand in rest] if last else []
            if last and final is not _NOTHING:
                given.append(final)
            value = self.field(node, value, name, given)
        return value

    def field(self, node: tree.Node, value: Any, name: str, given: list[Any]) -> Any:
        if isinstance(value, Row):
            method = value.fields.get(name)
            if method is None:
                raise self.fail(node, f"can't evaluate field {name} in type {value.kind}")
            try:
                return method(*given)
            except TypeError:
                wanted = 1 if not given else 0
                message = f"wrong number of args for {name}: want {wanted} got {len(given)}"
                raise self.fail(node, message) from None
        if isinstance(value, dict):
            if name in value:
                if given:
                    raise self.fail(node, f"{name} has arguments but cannot be invoked as function")
                return value[name]
            if isinstance(value, Struct):
                raise self.fail(node, f'map has no entry for key "{name}"')
            return MISSING
        if value is MISSING or (isinstance(value, Nil) and value.kind == "map"):
            return MISSING
        if value is None or isinstance(value, Nil):
            raise self.fail(node, f"nil pointer evaluating interface {{}}.{name}")
        raise self.fail(node, f"can't evaluate field {name} in type {type_name(value)}")

    def call(self, node: tree.Node, word: tree.Word, rest: list[tree.Node], dot: Any, final: Any) -> Any:
        if word.name in ("and", "or"):
            return self.short_circuit(node, word.name, rest, dot, final)
        given = [self.value(operand, dot) for operand in rest]
        if final is not _NOTHING:
            given.append(final)
        try:
            return self.template.functions[word.name](*given)
        except FunctionError as error:
            if error.argument >= 0:
                place = rest[error.argument] if error.argument < len(rest) else node
                constant = isinstance(place, tree.Constant)
                raise self.fail(place, error.constant(place.source) if constant else error.message) from None
            raise self.fail(node, f"error calling {word.name}: {error.message}") from None
        except TypeError:
            import inspect

            wanted = list(inspect.signature(self.template.functions[word.name]).parameters.values())
            least = sum(p.default is p.empty and p.kind != p.VAR_POSITIONAL for p in wanted)
            more = "at least " if any(p.kind == p.VAR_POSITIONAL for p in wanted) else ""
            message = f"wrong number of args for {word.name}: want {more}{least} got {len(given)}"
            raise self.fail(word, message) from None

    def short_circuit(self, node: tree.Node, name: str, rest: list[tree.Node], dot: Any, final: Any) -> Any:
        if not rest and final is _NOTHING:
            raise self.fail(node, f"wrong number of args for {name}: want at least 1 got 0")
        value: Any = None
        for operand in rest:
            value = self.value(operand, dot)
            if truth(value) == (name == "or"):
                return value
        return value if final is _NOTHING else final
