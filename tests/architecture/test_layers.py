"""Imports go strictly downward, late ones and those for type checkers included (ARCHITECTURE.md, "Levels")."""

from __future__ import annotations

import ast
import re

import pytest

from source import PACKAGE, ROOT, Module, areas, imports, modules, walk

LEVELS = {
    "errors": 0, "record": 0, "fastjson": 0, "precompiled": 0,
    "oci": 1, "linux": 1,
    "store": 2,
    "registry": 3, "layers": 3, "rootfs": 3, "container": 3, "network": 3, "runtime": 3,
    "monitor": 4,
    "engine": 5,
    "build": 6, "env": 6,
    "api": 7, "cli": 7,
}  # fmt: skip
BASE = {name for name, level in LEVELS.items() if level == 0}
MAXIMUM_MODULE, MAXIMUM_FUNCTION = 400, 60

every = pytest.mark.parametrize("module", modules(), ids=str)


@every
def test_imports_go_downward(module: Module) -> None:
    wrong = []
    for node, name in imports(module):
        parts = name.split(".")
        if parts[0] != "wherry" or len(parts) < 2 or module.name in ("wherry", "wherry.__main__"):
            continue
        target = parts[1]
        if target.startswith("__") or target == module.area:
            continue
        assert target in LEVELS, f"{module.where(node)}: {target} has no level"
        own = LEVELS[module.area]
        if LEVELS[target] >= own and not (own == 0 and module.area in BASE and target in BASE):
            wrong.append(f"{module.where(node)}: {module.area} ({own}) imports {target} ({LEVELS[target]})")
    assert not wrong, "\n".join(wrong)


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


@every
def test_ctypes_only_in_linux(module: Module) -> None:
    found = [
        module.where(node) for node, name in imports(module, types=False) if name.split(".")[0] in ("ctypes", "_ctypes")
    ]
    assert not found or module.area == "linux", found


@every
def test_environment_only_at_the_edge(module: Module) -> None:
    """``os.environ`` and its relatives: in cli/ and engine/paths.py."""
    if module.area == "cli" or module.name == "wherry.engine.paths":
        return
    found = [
        module.where(node)
        for node in walk(module.tree, types=False)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "getenvb")
            and isinstance(node.value, ast.Name) and node.value.id in ("os", "posix"))
        or (isinstance(node, ast.ImportFrom) and node.module in ("os", "posix")
            and any(alias.name in ("environ", "environb", "getenv", "getenvb") for alias in node.names))
    ]  # fmt: skip
    assert not found, found


@every
def test_print_only_in_cli(module: Module) -> None:
    if module.area == "cli":
        return
    found = [
        module.where(node)
        for node in walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not found, found


@every
def test_modules_are_short(module: Module) -> None:
    assert len(module.text.splitlines()) < MAXIMUM_MODULE


@every
def test_functions_are_short(module: Module) -> None:
    long = [
        f"{module.where(node)}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= MAXIMUM_FUNCTION
    ]
    assert not long, "\n".join(long)


@every
def test_modules_say_what_they_are(module: Module) -> None:
    assert not module.text.strip() or ast.get_docstring(module.tree), f"{module.name} has no docstring"


@every
def test_no_extractall_and_no_shell(module: Module) -> None:
    """Archives are never extracted by tarfile or shutil, and no shell ever sees an argument."""
    for node in walk(module.tree):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("extractall", "unpack_archive", "system", "popen"), module.where(node)
        if isinstance(node, ast.keyword) and node.arg == "shell":
            raise AssertionError(module.where(node.value))


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
