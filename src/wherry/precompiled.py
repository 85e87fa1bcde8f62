"""The package's compiled modules in one file, without docstrings and the annotations of functions.

Importing a module from its own ``.pyc`` takes a dozen system calls and as long again in the import machinery; a `run`
imports eighty.  `install` puts a finder before the others that takes them all from one file beside the ``.pyc`` files;
`refresh` writes that file, at a moment when nobody waits (docs/decisions/0074-precompiled.md).

Nothing depends on the file: a module whose source has changed since, or is not in it, is imported in the usual way.
It is trusted as the ``.pyc`` files are, which lie in the same directory.
"""

import marshal
import sys
import time
from posix import O_CLOEXEC, O_RDONLY, close, open, pread, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

    Entry = tuple[bool, int, int, int, int]  # is a package; the source's time and size; offset, length
    Index = dict[str, bytes]  # entries, each marshalled again: of hundreds few are looked at

_FORMAT = 4
_HEADER = 16  # bytes: the index's length in decimal, padded with blanks
_LEFT_OUT = ("wherry.layers", "wherry.registry")  # never on the way to a container

_BEGAN = time.time_ns()

_Spec: "Any" = type(sys.__spec__)  # importlib.machinery.ModuleSpec, without importing that


class Precompiled:
    """A finder and loader (importlib.abc) over one open file."""

    def __init__(self, root: str, descriptor: int, index: "Index") -> None:
        self.root = root  # the directory that holds the package
        self.path = path(root)
        self.descriptor = descriptor
        self._index = index
        self.stale = False

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> "Any":
        """The spec of a module whose source is as it was when the file was written."""
        if name not in self._index:
            return None
        package, modified, size, _offset, _length = self._entry(name)
        path = self.root + name.replace(".", "/")
        source = f"{path}/__init__.py" if package else f"{path}.py"
        if not self.fits(source, modified, size):
            self.stale = True
            return None
        spec = _Spec(name, self, origin=source, is_package=package)
        spec.has_location = True
        spec.cached = self.path  # else it would be worked out
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
        _package, _modified, _size, offset, length = self._entry(name)
        code: "CodeType" = marshal.loads(pread(self.descriptor, length, offset))
        return code

    def _entry(self, name: str) -> "Entry":
        entry: "Entry" = marshal.loads(self._index[name])
        return entry

    def is_whole(self, since: int = 0) -> bool:
        """Whether the file has all sources as they are now, and were at the time ``since`` (epoch nanoseconds)."""
        for name in self._index:
            package, modified, size, _offset, _length = self._entry(name)
            source = f"{self.root}{name.replace('.', '/')}{'/__init__' * package}.py"
            if not self.fits(source, modified, size) or (since and stat(source).st_ctime_ns > since):
                return False
        return True

    def entries(self, names: "tuple[str, ...]") -> "Index":
        """The part of the index that is about these modules, for `pin`."""
        return {name: self._index[name] for name in names if name in self._index}

    def fits(self, source: str, modified: int, size: int, /) -> bool:
        """Whether a source is as it was when the file was written."""
        try:
            found = stat(source)
        except OSError:
            return False
        return found.st_mtime_ns == modified and found.st_size == size

    def kept(self, name: str, known: "tuple[bool, int, int]") -> bytes | None:
        """What the file has of a module whose source is as it is ``known`` now."""
        if name not in self._index:
            return None
        entry = self._entry(name)
        if entry[:3] != known:
            return None
        return pread(self.descriptor, entry[4], entry[3])


class Pinned(Precompiled):
    """One that takes modules from its file as it is, whatever becomes of the sources; with a part of the index, until a
    module is wanted that this does not have."""

    _has_all = False

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> "Any":
        """The spec of a module of ours."""
        if name not in self._index and not self._has_all and name.startswith("wherry."):
            self._index, self._has_all = _index(self.descriptor) or {}, True
        return super().find_spec(name)

    def fits(self, _source: str, _modified: int, _size: int, /) -> bool:
        """Yes."""
        return True


def path(root: str) -> str:
    """The file for the package in directory ``root`` and this interpreter."""
    return f"{root}wherry/__pycache__/precompiled.{sys.implementation.cache_tag}"


def install(root: str) -> None:
    """Import from the file of the package in ``root`` (which ends in "/"), if there is one that fits."""
    found = _current(root)
    if found is not None:
        sys.meta_path.insert(0, found)


def pin(root: str, descriptor: int, entries: "Index") -> None:
    """Import from the open file ``descriptor``, whether or not the sources are still those that it was made of;
    ``entries`` are those of the modules that are wanted first."""
    sys.meta_path.insert(0, Pinned(root, descriptor, entries))


def _index(descriptor: int) -> "Index | None":
    """None for a file of another interpreter, or none of ours."""
    try:
        length = int(pread(descriptor, _HEADER, 0))
        version, index = marshal.loads(pread(descriptor, length, _HEADER))
    except (ValueError, EOFError, TypeError):
        return None
    return index if version == (_FORMAT, sys.version) else None


def used() -> Precompiled | None:
    """The finder that was put in, if there is one."""
    return next((finder for finder in sys.meta_path if isinstance(finder, Precompiled)), None)


def whole() -> Precompiled | None:
    """A finder whose file has every module as this process would import it, or has; None when there is none now."""
    found = used()
    if isinstance(found, Pinned):
        return found
    found = _current(_root())
    if found is None or found.is_whole(_BEGAN):
        return found
    close(found.descriptor)
    return None


def descriptors() -> list[int]:
    """What a process that closes everything else must keep open."""
    found = used()
    return [] if found is None else [found.descriptor]


def _root() -> str:
    return __file__[: -len("wherry/precompiled.py")]


def refresh(*, thorough: bool = False) -> bool:
    """Write the file if it is missing or not up to date; whether that was done.  A directory that cannot be written is
    nobody's fault.

    Unless it is ``thorough`` it only knows of what this process has imported, and leaves it to whoever does the same
    now; else it waits for them.
    """
    root = _root()
    found = used()
    if not root.startswith("/") or (found is not None and not (thorough or found.stale)):
        return False
    import fcntl

    try:
        lock = open(f"{root}wherry", O_RDONLY | O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if thorough else fcntl.LOCK_NB))
        found = _current(root)
        return not (found is not None and found.is_whole()) and _renew(root, found)
    except BlockingIOError:
        return False
    finally:
        close(lock)


def _renew(root: str, found: Precompiled | None) -> bool:
    bodies: list[bytes] = []
    entries: "dict[str, Entry]" = {}
    for name, source, package in _modules(root):
        status = stat(source)
        known = package, status.st_mtime_ns, status.st_size
        kept = found.kept(name, known) if found is not None else None
        bodies.append(kept or marshal.dumps(_compile(source)))
        entries[name] = (*known, 0, len(bodies[-1]))
    return _write(path(root), entries, bodies)


def _current(root: str) -> Precompiled | None:
    """The file as it is now."""
    try:
        descriptor = open(path(root), O_RDONLY | O_CLOEXEC)
    except OSError:
        return None
    index = _index(descriptor)
    if index is None:
        close(descriptor)
        return None
    return Precompiled(root, descriptor, index)


def _compile(source: str) -> "CodeType":
    """A module's code without what only people and type checkers read, which every process would hold in memory:
    docstrings, and the annotations of functions (those of classes are the fields of a `wherry.record.Record`); and
    without importing ``__future__``, which only tells the compiler something."""
    import __future__

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
    body = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")]
    flags = __future__.annotations.compiler_flag if len(body) < len(tree.body) else 0
    tree.body = body
    code: "CodeType" = compile(tree, source, "exec", flags, dont_inherit=True)
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


def _write(target: str, entries: "dict[str, Entry]", bodies: list[bytes]) -> bool:
    import os

    head = b""
    for _ in range(3):  # offsets depend on the length of the index, which depends on the offsets
        offset = _HEADER + len(head)
        index: "Index" = {}
        for (name, entry), body in zip(entries.items(), bodies, strict=True):
            index[name] = marshal.dumps((*entry[:3], offset, len(body)), 2)
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
