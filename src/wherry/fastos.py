"""``os`` by its C half, until something is asked for that only the whole module has.

``import os`` takes a sixth of the time in which the interpreter starts, for two dozen abstract classes of which
`os.environ` is one more, and nearly all that is called of it is ``posix``, which the interpreter has anyway.  So
`install` puts a module with the names of ``posix`` in its place.  The first use of another name imports ``os`` as it
is; then both have all of its names, whoever holds which (docs/decisions/0060-start-up.md).
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any
else:
    ModuleType = type(sys)


class _Later(ModuleType):
    """A module that is imported when it is asked for a name that it was not given."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import statement asks of every module
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if sys.modules.get("os.path") is self or name == "path":
            import posixpath as whole

            sys.modules["os.path"] = whole
            if name == "path":
                self.path = whole
                return whole
        else:
            if sys.modules.get("os") is self:
                del sys.modules["os"]
            import os as whole  # type: ignore[no-redef]
        vars(self).update(vars(whole))
        return getattr(whole, name)


def install() -> None:
    """Have ``import os`` give this, unless that has been imported."""
    if "os" in sys.modules:
        return
    os = _Later("os")
    vars(os).update({name: value for name, value in vars(posix).items() if name[:2] != "__" and name != "environ"})
    vars(os).update(fsencode=_fsencode, fsdecode=_fsdecode)
    sys.modules["os"], sys.modules["os.path"] = os, _Later("os.path")


def _fsencode(path: Any) -> bytes:
    """`os.fsencode`."""
    path = posix.fspath(path)
    return path.encode(*_encoding()) if isinstance(path, str) else path


def _fsdecode(path: Any) -> str:
    """`os.fsdecode`."""
    path = posix.fspath(path)
    return path.decode(*_encoding()) if isinstance(path, bytes) else path


def _encoding() -> tuple[str, str]:
    return sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
