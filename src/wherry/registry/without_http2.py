"""Has urllib3 imported without its HTTP/2, which nobody here switches on.

Only to ask for the version of h2, once that is switched on, ``urllib3.http2`` imports ``importlib.metadata``, and that
csv, zipfile, tempfile and thirty more modules: a seventh of what importing urllib3 costs.  So the package stays empty
until anything but a submodule is asked of it (``importlib.util.LazyLoader`` would load it for those too).
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_NAME = "urllib3.http2"
_SUBMODULES = ("probe", "connection")


class _Later:
    """A finder and loader (importlib.abc) of that package alone."""

    def __init__(self) -> None:
        self._loader: Any = None

    def find_spec(self, name: str, path: Any = None, _target: object = None) -> Any:
        """The package's spec, with this loader."""
        spec = PathFinder.find_spec(name, path) if name == _NAME else None
        if spec is not None:
            self._loader, spec.loader = spec.loader, self  # type: ignore[assignment]
        return spec

    def create_module(self, _spec: object) -> None:
        """The default."""

    def exec_module(self, module: ModuleType) -> None:
        """Put off."""

        def real(name: str) -> Any:
            if name in _SUBMODULES or name.startswith("__"):
                raise AttributeError(name)
            del module.__dict__["__getattr__"]
            self._loader.exec_module(module)
            return getattr(module, name)

        module.__dict__["__getattr__"] = real


def prepare() -> None:
    """Sees to it, unless urllib3 has been imported already."""
    if "urllib3" not in sys.modules:
        sys.meta_path.insert(0, _Later())
