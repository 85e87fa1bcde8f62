"""What one `run` imports, in all of its processes: held by a list, because each module is paid for at every start.

``WHERRY_UPDATE_GOLDEN=1`` writes the list anew; what is added to it needs a reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import images
from support.command import MAIN, Wherry

GOLDEN = Path(__file__).parent.parent / "golden" / "run_modules.txt"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def imported(text: str) -> set[str]:
    """Module names in what ``python -X importtime`` wrote."""
    lines = [line for line in text.splitlines() if line.startswith("import time:") and "imported package" not in line]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.fixture(scope="module")
def bare() -> set[str]:
    """What the interpreter imports to do nothing."""
    command = [sys.executable, "-I", "-S", "-X", "importtime", "-c", "pass"]
    return imported(subprocess.run(command, capture_output=True, text=True, check=True).stderr)


@pytest.mark.needs("root", "busybox")
def test_modules_of_a_run(
    wherry_as: Callable[..., Wherry], busybox: images.Built, tmp_path: Path, bare: set[str]
) -> None:
    wherry = wherry_as()
    wherry.load(busybox.docker_archive(tmp_path / "image.tar", "busybox:latest"))
    arguments = ("run", "--rm", "--network", "none", "busybox", "true")
    wherry.ok(*arguments)  # caches are made by the first run
    command = wherry.argv(*arguments)
    assert command[1:4] == ["-I", "-S", str(MAIN)]
    done = subprocess.run([command[0], "-X", "importtime", *command[1:]], env=wherry.environment(), capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = imported(done.stderr) - bare
    assert "wherry.engine.run" in found and "wherry.runtime.plan" in found
    if os.environ.get("WHERRY_UPDATE_GOLDEN"):
        GOLDEN.write_text("".join(f"{name}\n" for name in [f"# Python {VERSION}", *sorted(found)]))
    lines = GOLDEN.read_text().splitlines()
    allowed = set(lines[1:])
    assert found <= allowed, f"new modules in every run: {sorted(found - allowed)}"
    if lines[0] == f"# Python {VERSION}":
        assert allowed <= found, f"no longer imported: {sorted(allowed - found)}"
