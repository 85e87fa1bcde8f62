"""The package's compiled modules in one file, without docstrings and the annotations of functions.

Importing a module from its own ``.pyc`` takes a dozen system calls and as long again in the import machinery; a `run`
imports eighty.  `install` puts a finder before the others that takes them all from one file beside the ``.pyc`` files;
`refresh` writes that file, at a moment when nobody waits (docs/decisions/0074-precompiled.md).

Nothing depends on the file: a module whose source has changed since, or is not in it, is imported in the usual way.
It is trusted as the ``.pyc`` files are, which lie in the same directory.
"""

import marshal
import sys
from posix import O_CLOEXEC, O_RDONLY, fstat, open, pread, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

_FORMAT = 2
_HEADER = 16  # bytes: the index's length in decimal, padded with blanks
_LEFT_OUT = ("wherry.layers", "wherry.registry")  # never on the way to a container

_Spec: "Any" = type(sys.__spec__)  # importlib.machinery.ModuleSpec, without importing that


class Precompiled:
    """A finder and loader (importlib.abc) over one open file."""

    def __init__(self, root: str, descriptor: int, index: "dict[str, tuple[bool, int, int, int, int]]") -> None:
        self._root = root  # the directory that holds the package
        self.descriptor = descriptor
        self._index = index
        self.stale = False

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> "Any":
        """The spec of a module whose source is as it was when the file was written."""
        entry = self._index.get(name)
        if entry is None:
            return None
        package, modified, size, _offset, _length = entry
        path = self._root + name.replace(".", "/")
        source = f"{path}/__init__.py" if package else f"{path}.py"
        try:
            found = stat(source)
        except OSError:
            found = None
        if found is None or found.st_mtime_ns != modified or found.st_size != size:
            self.stale = True
            return None
        spec = _Spec(name, self, origin=source, is_package=package)
        spec.has_location = True
        if package:
            spec.submodule_search_locations.append(path)
        return spec

    def create_module(self, _spec: object) -> None:
        """The default."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run the module's code."""
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> "CodeType":
        """The compiled module."""
        _package, _modified, _size, offset, length = self._index[name]
        code: "CodeType" = marshal.loads(pread(self.descriptor, length, offset))
        return code

    def kept(self, name: str, known: "tuple[bool, int, int]") -> bytes | None:
        """What the file has of a module whose source is as it is ``known`` now."""
        entry = self._index.get(name)
        if entry is None or entry[:3] != known:
            return None
        return pread(self.descriptor, entry[4], entry[3])


def path(root: str) -> str:
    """The file for the package in directory ``root`` and this interpreter."""
    return f"{root}wherry/__pycache__/precompiled.{sys.implementation.cache_tag}"


def install(root: str) -> None:
    """Import from the file of the package in ``root`` (which ends in "/"), if there is one that fits."""
    try:
        descriptor = open(path(root), O_RDONLY | O_CLOEXEC)
    except OSError:
        return
    try:
        length = int(pread(descriptor, _HEADER, 0))
        version, index = marshal.loads(pread(descriptor, length, _HEADER))
    except (ValueError, EOFError, TypeError):
        return
    if version == (_FORMAT, sys.version) and fstat(descriptor).st_size:
        sys.meta_path.insert(0, Precompiled(root, descriptor, index))


def descriptors() -> list[int]:
    """What a process that closes everything else must keep open."""
    return [finder.descriptor for finder in sys.meta_path if isinstance(finder, Precompiled)]


def refresh() -> bool:
    """Write the file if it is missing or not up to date; whether that was done.  A directory that cannot be written
    is nobody's fault."""
    root = __file__[: -len("wherry/precompiled.py")]
    if not root.startswith("/"):
        return False
    found = next((finder for finder in sys.meta_path if isinstance(finder, Precompiled)), None)
    if found is not None and not found.stale:
        return False
    bodies: list[bytes] = []
    index: dict[str, tuple[bool, int, int, int, int]] = {}
    for name, source, package in _modules(root):
        status = stat(source)
        known = package, status.st_mtime_ns, status.st_size
        kept = found.kept(name, known) if found is not None else None
        bodies.append(kept or marshal.dumps(_compile(source)))
        index[name] = (*known, 0, len(bodies[-1]))
    return _write(path(root), index, bodies)


def _compile(source: str) -> "CodeType":
    """A module's code without what only people and type checkers read, which every process would hold in memory:
    docstrings, and the annotations of functions (those of classes are the fields of a `wherry.record.Record`)."""
    import ast
    import os

    with os.fdopen(open(source, O_RDONLY | O_CLOEXEC), "rb") as file:
        tree = ast.parse(file.read(), source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            every = node.args
            for argument in (*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg):
                if argument is not None:
                    argument.annotation = None
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node, False) is not None:
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
    code: "CodeType" = compile(tree, source, "exec", dont_inherit=True)
    return code


def _modules(root: str) -> "list[tuple[str, str, bool]]":
    """(name, source, is a package) of the package's modules."""
    import os

    found: list[tuple[str, str, bool]] = []
    for directory, _directories, files in os.walk(root + "wherry"):
        package = directory[len(root) :].replace("/", ".")
        if package.startswith(_LEFT_OUT):
            continue
        for file in files:
            if file == "__init__.py":
                found.append((package, f"{directory}/{file}", True))
            elif file.endswith(".py") and file != "__main__.py":
                found.append((f"{package}.{file[:-3]}", f"{directory}/{file}", False))
    return found


def _write(target: str, index: "dict[str, tuple[bool, int, int, int, int]]", bodies: list[bytes]) -> bool:
    import os

    head = b""
    for _ in range(3):  # offsets depend on the length of the index, which depends on the offsets
        offset = _HEADER + len(head)
        for name, body in zip(index, bodies, strict=True):
            index[name] = (*index[name][:3], offset, len(body))
            offset += len(body)
        head = marshal.dumps(((_FORMAT, sys.version), index), 2)
    aside = f"{target}.{os.getpid()}"
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "wb") as file:
            file.write(str(len(head)).encode().ljust(_HEADER))
            file.write(head)
            file.writelines(bodies)
        os.rename(aside, target)
    except OSError:
        return False
    return True
