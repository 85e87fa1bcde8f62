"""The package's source as syntax trees, for the rules about it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "wherry"


@dataclass(frozen=True)
class Module:
    """One file of the package.  ``name`` is dotted, ``area`` the first name below ``wherry``."""

    path: Path
    name: str

    @property
    def area(self) -> str:
        return self.name.split(".")[1] if "." in self.name else ""

    @functools.cached_property
    def text(self) -> str:
        return self.path.read_text()

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    def where(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"

    def __str__(self) -> str:
        return self.name


@functools.cache
def modules() -> tuple[Module, ...]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found.append(Module(path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)))
    return tuple(found)


def areas() -> set[str]:
    """The packages and top-level modules of wherry."""
    return {module.area for module in modules() if module.area and module.area != "__main__"}


def is_type_checking(node: ast.AST) -> bool:
    """Whether *node* is ``if TYPE_CHECKING:``."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name | ast.Attribute)
        and (node.test.id if isinstance(node.test, ast.Name) else node.test.attr) == "TYPE_CHECKING"
    )


def walk(tree: ast.AST, *, types: bool = True, functions: bool = True) -> Iterator[ast.AST]:
    """Every node; without what only type checkers see (``types=False``), without function bodies
    and fallbacks for what CPython always has (``functions=False``: what is left runs when the module is imported)."""
    yield tree
    if not functions and isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    if not functions and isinstance(tree, ast.ExceptHandler) and tree.type and ast.unparse(tree.type) == "ImportError":
        return
    children = list(ast.iter_child_nodes(tree))
    if not types and is_type_checking(tree):
        assert isinstance(tree, ast.If)
        children = list(tree.orelse)
    for child in children:
        yield from walk(child, types=types, functions=functions)


def imports(module: Module, *, types: bool = True, functions: bool = True) -> Iterator[tuple[ast.AST, str]]:
    """(node, absolute dotted name) of everything that is imported; ``from a import b`` gives ``a.b``."""
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in walk(module.tree, types=types, functions=functions):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join(parts[: len(parts) - node.level + 1] + ([base] if base else []))
            for alias in node.names:
                yield node, f"{base}.{alias.name}"
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("importlib.import_module", "import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node, str(node.args[0].value)
