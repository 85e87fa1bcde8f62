"""Other people's tools, each with storage of its own that the test removes."""

from __future__ import annotations

import subprocess
from pathlib import Path


def run(*command: str | Path, data: bytes | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(part) for part in command], input=data, capture_output=True)
    assert done.returncode == 0, f"{command}: {done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout.decode()


def podman(scratch: Path, *arguments: str | Path, program: str = "podman") -> str:
    """podman or buildah with storage below ``scratch``, whose path must be short."""
    own = ["--root", f"{scratch}/s", "--runroot", f"{scratch}/r", "--storage-driver", "vfs"]
    return run(program, *own, *arguments)
