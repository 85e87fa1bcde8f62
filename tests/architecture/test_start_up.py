"""What a start pays for: the modules that `run` imports, and what they may not import."""

from __future__ import annotations

import ast
import subprocess
import sys

from source import PACKAGE, Module, imports, modules, walk

SLOW = {
    "typing", "dataclasses", "enum", "re", "json", "logging", "pathlib", "tempfile", "subprocess", "socket", "signal",
    "shutil", "contextlib", "collections", "functools", "argparse", "datetime", "decimal", "inspect", "random", "uuid",
    "urllib", "http", "ssl", "asyncio", "threading", "concurrent", "tarfile", "gzip", "base64", "textwrap", "string",
    "traceback", "hashlib", "secrets", "importlib", "locale", "glob", "fnmatch", "platform", "warnings", "weakref",
    "yaml", "rich", "urllib3", "isal", "zstandard",
}  # fmt: skip
HOT = (
    "wherry.errors", "wherry.record", "wherry.fastjson", "wherry.fastos", "wherry.oci.reference", "wherry.oci.mount",
    "wherry.linux",
    "wherry.store.layout", "wherry.store.db", "wherry.store.images", "wherry.store.containers", "wherry.store.locks",
    "wherry.rootfs.overlay", "wherry.rootfs.erofs", "wherry.rootfs.directories", "wherry.engine.lower",
    "wherry.container", "wherry.runtime", "wherry.monitor", "wherry.engine.paths",
    "wherry.engine.engine", "wherry.engine.run", "wherry.engine.create", "wherry.cli.main", "wherry.cli.parser",
    "wherry.cli.table", "wherry.cli.commands.run",
)  # fmt: skip


def hot() -> list[Module]:
    return [one for one in modules() if any(one.name == name or one.name.startswith(name + ".") for name in HOT)]


def test_hot_modules_import_little() -> None:
    """At module level; a function may import what a person waits for anyway."""
    slow = [
        f"{module.where(node)}: {name}"
        for module in hot()
        for node, name in imports(module, types=False, functions=False)
        if name.split(".")[0] in SLOW
    ]
    assert not slow, "\n".join(slow)


def test_hot_modules_do_not_evaluate_annotations() -> None:
    for module in hot():
        names = {f"{getattr(node, 'module', '')}" for node in module.tree.body if isinstance(node, ast.ImportFrom)}
        annotated = any(
            isinstance(node, ast.AnnAssign) or (isinstance(node, ast.FunctionDef) and (node.returns or node.args.args))
            for node in walk(module.tree)
        )
        assert "__future__" in names or not annotated, f"{module.name}: from __future__ import annotations"


def test_importing_the_command_line_is_cheap() -> None:
    """`run`'s own modules bring in none of the slow ones, seen from the interpreter."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import wherry.cli.main, wherry.cli.commands.run; "
        "print('\\n'.join(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(PACKAGE.parent)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & SLOW == set()
