"""State directories with an image in them, shared by the tests of one worker: loading it for each would take longer
than the tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import environments, images, leaks, needs, users, wheels
from support.command import Wherry
from support.networks import net, up
from support.registry import Registry
from support.serving import Served
from wherry.env.lock import Options

__all__ = ["net", "up"]


def _loaded(user: users.User | None, *built: images.Built) -> Iterator[Wherry]:
    one = Wherry.make(user)
    with tempfile.TemporaryDirectory(dir=one.directory) as directory:
        os.chmod(directory, 0o755)
        for number, image in enumerate(built):
            archive = image.docker_archive(Path(directory) / f"{number}.tar", ("busybox", "everything")[number])
            archive.chmod(0o644)
            one.load(archive)
    yield one
    found = leaks.settled(one.directory)
    one.close()
    assert not found, "left behind:\n" + "\n".join(found)


def _built(tmp_path_factory: pytest.TempPathFactory) -> tuple[images.Built, images.Built]:
    return images.busybox(), images.everything(tmp_path_factory.mktemp("everything"))


@pytest.fixture(scope="session")
def as_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wherry]:
    """Root's command line with the images busybox and everything."""
    for name in ("root", "debian", "busybox"):
        if not needs.present(name):
            pytest.skip(needs.reason(name))
    yield from _loaded(None, *_built(tmp_path_factory))


@pytest.fixture(scope="module")
def served(as_root: Wherry) -> Iterator[Served]:
    """A server of root's engine, for the tests of one file."""
    one = Served(as_root)
    yield one
    one.close()


@pytest.fixture(scope="session")
def as_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wherry]:
    """The same for a user with subordinate ids."""
    for name in ("user-namespaces", "uidmap", "debian", "busybox"):
        if not needs.present(name):
            pytest.skip(needs.reason(name))
    user = users.User.make(users.UID if os.geteuid() == 0 else os.geteuid())
    yield from _loaded(user, *_built(tmp_path_factory))
    user.remove()


@pytest.fixture(params=["root", "rootless"])
def box(request: pytest.FixtureRequest) -> Wherry:
    """The command line with its images loaded, once as root and once rootless."""
    found: Wherry = request.getfixturevalue("as_root" if request.param == "root" else "as_user")
    return found


# -- environments -----------------------------------------------------------------------------------------------------

PROGRAM = {"tool": "alpha.main:run"}
MODULE = "import sys\n\ndef run():\n    print('alpha', sys.prefix, __cached__ is not None)\n"


@pytest.fixture(scope="session")
def env_base(registry: Registry, python_image: images.Built) -> tuple[str, str]:
    """The distribution's Python as an image in a registry: its name there, and its digest."""
    return registry.push(python_image, "library/python:3"), python_image.digest


@pytest.fixture
def env_project(scratch: Path, env_base: tuple[str, str]) -> Path:
    """A folder with a lock of three packages."""
    made = [
        wheels.make(scratch / "index", "alpha", files={"alpha/__init__.py": "", "alpha/main.py": MODULE},
                    scripts=PROGRAM),
        wheels.make(scratch / "index", "beta", files={"beta.py": "import alpha\nVALUE = {'a', 'b', 'c'}\n",
                    "beta-1.0.data/data/share/beta.txt": "data"}),
        wheels.make(scratch / "index", "big", files={"big/__init__.py": "x = 'y'\n",
                    "big/data.bin": os.urandom(2 << 20)}),
    ]  # fmt: skip
    options = Options(env=(("GREETING", "hello"),), workdir="/workspace")
    environments.write(scratch / "project", env_base, made, options=options)
    return scratch / "project"
