"""``wherry env verify``: every way in which an environment can be another one than its lock says."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import environments, wheels
from support.command import Wherry

pytestmark = pytest.mark.needs("registry", "debian", "busybox")
CHANGES = """
import os, pathlib, shutil, py_compile
site = pathlib.Path(os.path.dirname(__import__("beta").__file__))
(site / "beta.py").write_text("VALUE = 0\\n")
next((site / "alpha/__pycache__").glob("main.*")).write_bytes(b"other byte code")
(site / "added.pth").write_text("import os")
(site / "alpha/__init__.py").unlink()
shutil.copytree(site / "big", "/opt/elsewhere")
shutil.rmtree(site / "big")
(site / "big").symlink_to("/opt/elsewhere")
record = site / "beta-1.0.dist-info/RECORD"
record.write_text(record.read_text() + "added.pth,,\\n")
"""


def site() -> str:
    return f"/opt/venv/lib/python{environments.python_version()}/site-packages"


@pytest.fixture
def built(anyone: Wherry, env_project: Path) -> Wherry:
    anyone.ok("env", "build", "-t", "env", env_project)
    return anyone


def test_an_image_and_what_was_done_to_a_container(built: Wherry) -> None:
    good = built.ok("env", "verify", "env")
    assert good.startswith("3 packages and ")
    assert good.endswith(" files are what the lock says\n")
    built.ok("run", "-d", "--network", "none", "--name", "box", "env", "sleep", "1000")
    assert built.ok("env", "verify", "box") == good
    built.ok("exec", "box", "python", "-c", CHANGES)
    tag = environments.python_version().replace(".", "")
    expected = {
        f"changed: {site()}/beta.py (beta 1.0)", f"added: {site()}/added.pth",
        f"changed: {site()}/alpha/__pycache__/main.cpython-{tag}.pyc (alpha 1.0)",
        f"missing: {site()}/alpha/__init__.py (alpha 1.0)", f"added: {site()}/big",
        f"changed: {site()}/big/__init__.py (big 1.0)", f"changed: {site()}/big/data.bin (big 1.0)",
        f"changed: {site()}/big/__pycache__/__init__.cpython-{tag}.pyc (big 1.0)",
    }  # fmt: skip
    for _ in range(2):
        done = built("env", "verify", "box")
        assert done.code == 1
        assert set(done.out.splitlines()) == expected
        built.ok("stop", "-t", "0", "box")
    quiet = built("env", "verify", "-q", "box")
    assert (quiet.code, quiet.out, quiet.err) == (1, "", "")
    built.ok("commit", "box", "changed")
    assert built("env", "verify", "changed").code == 1, "an image is looked at as well"
    assert built.ok("env", "verify", "env") == good
    built.ok("rm", "box")


def test_another_lock(built: Wherry, scratch: Path, env_base: tuple[str, str]) -> None:
    index = scratch / "index"
    others = [path for path in index.iterdir() if not path.name.startswith("beta")]
    others += [wheels.make(index, "beta", "2.0"), wheels.make(index, "extra")]
    environments.write(scratch / "other", env_base, others)
    done = built("env", "verify", "--lock", scratch / "other", "env")
    assert done.code == 1
    assert done.out.splitlines() == ["not locked: beta 1.0", "not installed: beta 2.0", "not installed: extra 1.0"]


def test_what_is_no_environment(wherry: Wherry, env_base: tuple[str, str]) -> None:
    wherry.ok("pull", "-q", env_base[0])
    done = wherry("env", "verify", env_base[0])
    assert done.code == 1
    assert "carries no lock" in done.err
    assert "No such container or image: nothing" in wherry("env", "verify", "nothing").err
