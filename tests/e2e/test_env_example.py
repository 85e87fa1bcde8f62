"""The README's command for environments, typed in a fresh checkout: nothing prepared, no registry."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import ROOT, Wherry
from support.users import SYSTEM_PATH

pytestmark = [pytest.mark.timeout(600), pytest.mark.needs("root", "network"), pytest.mark.xdist_group("installation")]
COMMAND = "./wherry env run examples/digits -- python train.py"


@pytest.fixture
def checkout(wherry: Wherry) -> Path:
    """What a clone has, and the environment that the launcher would make at its first use."""
    target = wherry.directory / "checkout"
    target.mkdir()
    shutil.copy2(ROOT / "wherry", target / "wherry")
    for name in ("src", "tools", "examples"):
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "pylock.toml")
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    environment = target / ".cache" / "env"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (environment / "bin" / "uv").symlink_to(Path(sys.prefix) / "bin" / "uv")
    (environment / "lib").symlink_to(Path(sys.prefix) / "lib")
    shutil.copy2(Path(sys.prefix) / "pyvenv.cfg", environment / "pyvenv.cfg")
    (target / "pyproject.toml").touch()
    (environment / "ready").touch()
    return target


def typed(wherry: Wherry, checkout: Path, command: str) -> str:
    state = f"--root {wherry.root} --run-root {wherry.run_root}"
    passed = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_"))}
    environment = {"PATH": SYSTEM_PATH, "HOME": str(wherry.home), "LANG": "C.UTF-8"} | passed
    done = subprocess.run(
        ["sh", "-c", command.replace("/wherry ", f"/wherry {state} ")],
        cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_command_locks_builds_and_runs(wherry: Wherry, checkout: Path) -> None:
    for name in ("README.md", "docs/environments.md"):
        assert f"\n{COMMAND}\n" in (ROOT / name).read_text(), name
    first = typed(wherry, checkout, COMMAND)
    assert re.fullmatch(r"Python 3\.9\.\d+, scikit-learn 1\.5\.2\nscore 0\.9\d+\nmodel sha256:[0-9a-f]{64}\n", first)
    assert typed(wherry, checkout, COMMAND) == first
    assert os.listdir(checkout / "examples" / "digits").count("pylock.toml") == 1


def test_another_python_without_a_project(wherry: Wherry, checkout: Path) -> None:
    command = "cd examples/digits; ../../wherry env run --with scikit-learn==1.5.2 --python 3.11 -- python train.py"
    first = typed(wherry, checkout, command)
    assert re.fullmatch(r"Python 3\.11\.\d+, scikit-learn 1\.5\.2\nscore 0\.9\d+\nmodel sha256:[0-9a-f]{64}\n", first)
    assert typed(wherry, checkout, f"{command.replace('env run', 'env run --network none')}") == first
    assert "pylock.toml" not in os.listdir(checkout / "examples" / "digits")
