"""Imports go strictly downward, late ones and those for type checkers included (ARCHITECTURE.md, "Levels")."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from source import PACKAGE, ROOT, Module, areas, imports, modules, walk

LEVELS = {
    "errors": 0, "record": 0, "fastjson": 0, "fastos": 0, "precompiled": 0,
    "oci": 1, "linux": 1,
    "store": 2,
    "registry": 3, "layers": 3, "rootfs": 3, "container": 3, "network": 3, "runtime": 3,
    "monitor": 4,
    "engine": 5,
    "build": 6, "env": 6, "client": 6,
    "api": 7, "cli": 7, "python": 7,
}  # fmt: skip
BASE = {name for name, level in LEVELS.items() if level == 0}
MAXIMUM_MODULE, MAXIMUM_FUNCTION = 400, 60


def nodes(*left_out: str, types: bool = True) -> Iterator[tuple[Module, ast.AST]]:
    """Every node of the package, without these areas and modules; with ``types=False`` what is there at run time."""
    for module in modules():
        if module.area not in left_out and module.name not in left_out:
            for node in walk(module.tree, types=types):
                yield module, node


def none(found: list[str]) -> None:
    assert not found, "\n".join(found)


DOOR = ("wherry.cli.commands.serve", "api")
"""The one place where the command line knows of the API: the command that starts it."""


def test_imports_go_downward() -> None:
    wrong = []
    for module in modules():
        for node, name in imports(module):
            parts = name.split(".")
            if parts[0] != "wherry" or len(parts) < 2 or module.name in ("wherry", "wherry.__main__"):
                continue
            target = parts[1]
            if target.startswith("__") or target == module.area or (module.name, target) == DOOR:
                continue
            assert target in LEVELS, f"{module.where(node)}: {target} has no level"
            own = LEVELS[module.area]
            if LEVELS[target] >= own and not (module.area in BASE and target in BASE):
                wrong.append(f"{module.where(node)}: {module.area} ({own}) imports {target} ({LEVELS[target]})")
    none(wrong)


def test_base_modules_have_no_cycle() -> None:
    edges = {
        module.area: {name.split(".")[1] for _node, name in imports(module) if name.startswith("wherry.")}
        - {module.area}
        for module in modules()
        if module.area in BASE
    }
    while edges:
        free = [name for name, targets in edges.items() if not targets & set(edges)]
        assert free, f"a cycle among {sorted(edges)}"
        for name in free:
            del edges[name]


def test_every_area_has_a_level() -> None:
    assert areas() <= set(LEVELS)


def test_ctypes_only_in_linux() -> None:
    none([
        module.where(node)
        for module in modules()
        if module.area != "linux"
        for node, name in imports(module, types=False)
        if name.split(".")[0] in ("ctypes", "_ctypes")
    ])  # fmt: skip


def test_environment_only_at_the_edge() -> None:
    """``os.environ`` and its relatives: in cli/ and engine/paths.py."""
    names = ("environ", "environb", "getenv", "getenvb")
    none([
        module.where(node)
        for module, node in nodes("cli", "wherry.engine.paths", types=False)
        if (isinstance(node, ast.Attribute) and node.attr in names
            and isinstance(node.value, ast.Name) and node.value.id in ("os", "posix"))
        or (isinstance(node, ast.ImportFrom) and node.module in ("os", "posix")
            and any(alias.name in names for alias in node.names))
    ])  # fmt: skip


def test_print_only_in_cli() -> None:
    none([
        module.where(node)
        for module, node in nodes("cli")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ])  # fmt: skip


def test_modules_are_short() -> None:
    none([
        f"{module.name} has {lines} lines"
        for module in modules()
        if (lines := len(module.text.splitlines())) >= MAXIMUM_MODULE
    ])  # fmt: skip


def test_functions_are_short() -> None:
    none([
        f"{module.where(node)}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for module, node in nodes()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= MAXIMUM_FUNCTION
    ])  # fmt: skip


def test_modules_say_what_they_are() -> None:
    none([
        f"{module.name} has no docstring"
        for module in modules()
        if module.text.strip() and not ast.get_docstring(module.tree)
    ])  # fmt: skip


def test_no_extractall_and_no_shell() -> None:
    """Archives are never extracted by tarfile or shutil, and no shell ever sees an argument."""
    none([
        module.where(node)
        for module, node in nodes()
        if (isinstance(node, ast.Attribute) and node.attr in ("extractall", "unpack_archive", "popen"))
        or (isinstance(node, ast.Attribute) and ast.unparse(node) == "os.system")
        or (isinstance(node, ast.keyword) and node.arg == "shell")
    ])  # fmt: skip


def test_the_map_is_true() -> None:
    """ARCHITECTURE.md names every package that exists, at its level, and no other as existing."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    drawn = dict(re.findall(r"^  (\w+?)(?:/|\.py)\s+.*?\s(\d)$", text, re.MULTILINE))
    assert {name: int(level) for name, level in drawn.items()} == {name: LEVELS[name] for name in areas()}


def test_every_decision_is_listed() -> None:
    """docs/decisions/README.md lists each decision, numbers are used once, and named decisions exist."""
    decisions = {path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")}
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    assert {name for name in decisions if f"]({name})" not in index} == set()
    numbers = [name[:4] for name in decisions]
    assert sorted(numbers) == sorted(set(numbers))
    named: set[str] = set()
    for path in [*PACKAGE.rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        named |= set(re.findall(r"docs/decisions/(\d{4}[\w-]*\.md)", path.read_text()))
    assert named <= decisions
