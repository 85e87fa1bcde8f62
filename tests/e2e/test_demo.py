"""`make demo` does what it promises."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.command import ROOT
from support.users import SYSTEM_PATH


@pytest.mark.needs("root", "debian", "busybox", "network")
@pytest.mark.xdist_group("installation")
def test_demo(tmp_path: Path) -> None:
    env = os.environ | {"HOME": str(tmp_path), "PATH": f"{os.environ['PATH']}:{SYSTEM_PATH}"}
    done = subprocess.run(["sh", "demo/run"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it went as it should" in done.stdout
    assert "memory limit  268435456" in done.stdout
    assert "0 mounts" in done.stdout
