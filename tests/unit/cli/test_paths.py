"""Third-party libraries found by an interpreter that was started without ``site``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import wherry

IMPORTS = """
import sys, threading
sys.path.append(sys.argv[1])
from wherry.cli import main
sys.meta_path.append(main._SitePackages)
from importlib import _bootstrap

held = threading.Event()
def hold():  # as a thread does that is importing it, and comes to need the import lock itself
    lock = _bootstrap._get_module_lock("importlib.machinery")
    lock.acquire()
    held.set()
    threading.Event().wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
sys.modules.pop("importlib.machinery", None)
import isal
print(isal.__name__, "importlib.machinery" in sys.modules, flush=True)
import os
os._exit(0)
"""


def test_finding_one_waits_for_no_other_import() -> None:
    """It goes on with the import lock taken: a thread in the middle of an import that it waited for would wait too."""
    root = str(Path(wherry.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORTS, root], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == "isal False\n", done.stderr
