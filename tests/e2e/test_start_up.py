"""What one `run` imports, in all of its processes: held by a list, because each module is paid for at every start.

Modules that are compiled into the interpreter, or frozen in it, cost next to nothing and are not listed.
``WHERRY_UPDATE_GOLDEN=1`` writes the list anew; what is added to it needs a reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from support import images, leaks
from support.command import ROOT, Wherry
from support.needs import present

GOLDEN = Path(__file__).parent.parent / "golden" / "run_modules.txt"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
OPENED = re.compile(r'open(?:at)?\([^"\n]*"([^"\n]+\.(?:pyc|py|so))"(?:[^)\n]*\) = \d+|.*<unfinished)')
#: The package's modules come out of one file (docs/decisions/0074-precompiled.md), and their sources are looked at.
LOOKED_AT = re.compile(r'stat(?:at)?\([^"\n]*"([^"\n]+/wherry/[^"\n]+\.py)"(?:[^)\n]*\) = 0|.*<unfinished)')
MAIN = "wherry.__main__"


def module_name(path: str) -> str:
    """The dotted name of a module file; empty for what is none."""
    path = os.path.realpath(path).replace("/__pycache__/", "/")
    paths = sysconfig.get_paths()
    for base in (f"{ROOT}/src", paths["purelib"], sysconfig.get_config_var("DESTSHARED"), paths["stdlib"]):
        real = os.path.realpath(base)
        if path.startswith(f"{real}/"):
            parts = path.removeprefix(f"{real}/").split("/")
            parts[-1] = parts[-1].split(".")[0]
            return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return ""


@pytest.mark.needs("root", "busybox", "strace")
def test_modules_of_a_run(wherry_as: Callable[..., Wherry], busybox: images.Built, tmp_path: Path) -> None:
    wherry = wherry_as()
    wherry.load(busybox.docker_archive(tmp_path / "image.tar", "busybox:latest"))
    arguments = ("run", "--rm", "--network", "none", "busybox", "true")
    wherry.ok(*arguments)
    assert not leaks.settled(wherry.directory)  # the first run's monitor has made the caches
    trace = tmp_path / "trace"
    command = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=open,openat,stat,newfstatat",
        "-o",
        str(trace),
        *wherry.argv(*arguments),
    ]
    done = subprocess.run(command, env=wherry.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    calls = trace.read_text()
    found = {module_name(path) for path in OPENED.findall(calls) + LOOKED_AT.findall(calls)} - {"", MAIN}
    assert {"wherry.engine.run", "wherry.runtime.plan"} <= found
    if os.environ.get("WHERRY_UPDATE_GOLDEN"):
        GOLDEN.write_text("".join(f"{name}\n" for name in [f"# Python {VERSION}", *sorted(found)]))
    lines = GOLDEN.read_text().splitlines()
    allowed = set(lines[1:]) - (set() if present("erofs") else {"wherry.rootfs.erofs"})
    if lines[0] == f"# Python {VERSION}":
        assert found == allowed, f"new: {sorted(found - allowed)}; gone: {sorted(allowed - found)}"
    else:  # another version of Python has other modules of its own
        assert {name for name in found - allowed if name.startswith("wherry")} == set()


@pytest.mark.needs("root", "busybox")
def test_a_command_loads_nothing_that_is_slow_of_os(
    wherry_as: Callable[..., Wherry], busybox: images.Built, tmp_path: Path
) -> None:
    wherry = wherry_as()
    wherry.load(busybox.docker_archive(tmp_path / "image.tar", "busybox:latest"))
    run = ("run", "--rm", "--network", "none", "busybox", "true")
    wherry.ok(*run)  # makes caches
    wherry.ok("run", "-d", "--rm", "--name", "sleeper", "--network", "none", "busybox", "sleep", "1000")
    for arguments in (run, ("exec", "sleeper", "true"), ("ps",), ("rm", "-f", "sleeper")):
        python, *options = wherry.argv(*arguments)
        done = subprocess.run(
            [python, "-X", "importtime", *options],
            env=wherry.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert {"wherry.fastos", "wherry.store.db"} <= loaded
        assert loaded & {"os", "_collections_abc"} == set(), arguments
