"""Third-party libraries for an interpreter started with ``-I -S`` (docs/decisions/0060-start-up.md).

Without ``site`` the interpreter starts 3 ms faster and runs nobody's ``.pth`` files, but it does not see the directory
where pip installs.  `enable_site_packages` adds that directory when the first library from it is wanted.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_enabled = False


def find_in_site_packages(name: str) -> ModuleSpec | None:
    """What a meta-path finder gives for a top-level module that nobody else found.

    It is called with the interpreter's import lock, so it imports nothing that another thread may be importing: that
    one waits for this lock.
    """
    if not enable_site_packages():
        return None
    from _frozen_importlib_external import PathFinder  # importlib.machinery's, there from the start

    return PathFinder.find_spec(name, None)


def enable_site_packages() -> bool:
    """Puts the interpreter's directories for installed packages at the end of ``sys.path``; False when nothing changed.

    They are those of the virtual environment that the interpreter belongs to (PEP 405), else the interpreter's own.
    ``.pth`` files are not read.
    """
    global _enabled
    if _enabled:
        return False
    _enabled = True
    before = len(sys.path)
    for directory in site_directories(sys.executable):
        if directory not in sys.path and os.path.isdir(directory):
            sys.path.append(directory)
    return len(sys.path) > before


def site_directories(executable: str) -> list[str]:
    """Where packages are installed for the interpreter at ``executable``, most specific first."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    environment = os.path.dirname(os.path.dirname(executable))
    configuration = _pyvenv(os.path.join(environment, "pyvenv.cfg"))
    found: list[str] = []
    if configuration is not None:
        for libraries in dict.fromkeys(("lib", sys.platlibdir)):
            found.append(os.path.join(environment, libraries, version, "site-packages"))
        if configuration.get("include-system-site-packages", "").lower() != "true":
            return found
    import site

    return found + site.getsitepackages([sys.base_prefix, sys.base_exec_prefix])


def _pyvenv(path: str) -> dict[str, str] | None:
    """``pyvenv.cfg`` as a table, None when there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read(65536).splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip().lower(): value.strip() for name, _equals, value in pairs}
