"""The slow half of ``tools/environment``: make a virtual environment and install dependencies into it.

An environment is ready when it holds the file ``ready``, written last; one without is made anew.  Makers of the same
environment wait for each other, so any number of first uses at once end with one environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NoReturn


def fail(*lines: str) -> NoReturn:
    sys.stderr.write("".join(f"wherry: {line}\n" for line in lines))
    sys.exit(125)


def choose(checkout: Path) -> Path:
    """Where the environment of *checkout* goes: into it, else into the user's cache."""
    inside = checkout / ".cache" / "env"
    try:
        inside.parent.mkdir(exist_ok=True)
        with (checkout / ".cache" / "env.lock").open("a"):
            return inside
    except OSError:
        cache = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("HOME", "") and os.environ["HOME"] + "/.cache")
        if not cache or not os.path.isabs(cache):
            fail(f"{checkout} cannot be written, and neither HOME nor XDG_CACHE_HOME says where else to keep things")
        return Path(f"{cache}/wherry/env{checkout}")


def requirements(checkout: Path, extras: list[str]) -> list[str]:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    found: list[str] = list(project.get("dependencies", []))
    for extra in extras:
        found += project["optional-dependencies"][extra]
    return found


def run(command: list[str], log: Path) -> bool:
    """Run *command*, its output appended to *log*; False when it failed."""
    with log.open("ab") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
    return done.returncode == 0


def tail(log: Path, lines: int = 6) -> list[str]:
    return [f"  {line}" for line in log.read_text(errors="replace").splitlines() if line.strip()][-lines:]


def make(environment: Path, wanted: list[str], log: Path) -> None:
    """A virtual environment in *environment* with *wanted* installed, by uv where there is one."""
    uv = shutil.which("uv")
    python = environment / "bin" / "python"
    if not python.exists():
        shutil.rmtree(environment, ignore_errors=True)
        base = getattr(sys, "_base_executable", sys.executable)
        command = [uv, "venv", "-q", "--python", base] if uv else [base, "-I", "-m", "venv"]
        if not run([*command, str(environment)], log):
            advice = "" if uv else " (Debian: apt install python3-venv; or install uv)"
            fail(f"cannot make a Python environment in {environment}{advice}", *tail(log))
    if uv:
        command = [uv, "pip", "install", "-q", "--python", str(python)]
    else:
        command = [str(python), "-I", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
    if wanted and not run([*command, *wanted], log):
        fail(
            "cannot install what Wherry needs; this takes a network once, or PIP_INDEX_URL and the like",
            f"the whole output is in {log}; its end:",
            *tail(log),
        )


def main(checkout: Path, place: str, extras: list[str]) -> None:
    environment = Path(place).absolute() if place else choose(checkout)
    ready = environment / "ready"
    wanted = requirements(checkout, extras if place else [*extras, "env"])
    stamp = hashlib.sha256(repr((wanted, sys.version)).encode()).hexdigest() + "\n"
    environment.parent.mkdir(parents=True, exist_ok=True)
    with environment.with_name(environment.name + ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (ready.exists() and ready.read_text() == stamp and (environment / "bin" / "python").exists()):
            sys.stderr.write(f"wherry: making a Python environment in {environment}\n")
            log = environment.with_name(environment.name + ".log")
            log.write_bytes(b"")
            if environment.exists() and not ready.exists() and not place:
                shutil.rmtree(environment)  # an interrupted attempt
            if ready.exists() and ready.read_text().partition("\n")[0] != stamp.strip() and not usable(environment):
                shutil.rmtree(environment)
            make(environment, wanted, log)
        part = environment / "ready.part"
        part.write_text(stamp)
        part.rename(ready)  # also makes it newer than pyproject.toml
    sys.stdout.write(f"{environment}\n")


def usable(environment: Path) -> bool:
    """Whether the environment's interpreter is of this version: an upgraded system leaves dead ones behind."""
    command = [str(environment / "bin" / "python"), "-I", "-S", "-c", "import sys; print(sys.version_info[:2])"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.strip() == str(sys.version_info[:2])


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "", sys.argv[3:])
    except KeyboardInterrupt:
        fail("interrupted; the next call starts again")
    except OSError as error:
        fail(f"cannot make a Python environment: {error}")
