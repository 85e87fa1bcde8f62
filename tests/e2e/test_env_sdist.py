"""Packages that have no wheel: built from their source in a container without a network, by what they say they need."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from support import environments, wheels
from support.command import Wherry
from wherry.env.lock import LockedFile, LockedPackage

pytestmark = pytest.mark.needs("registry", "debian", "busybox")

BACKEND = """
import os, time, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    {before}
    name = {name!r}
    info = "source-1.0.dist-info"
    files = {{"source.py": open("source.py").read() + "MADE = %r\\n" % sorted(os.listdir("/sys/class/net")),
              info + "/METADATA": "Metadata-Version: 2.1\\nName: source\\nVersion: 1.0\\n",
              info + "/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
              info + "/RECORD": ""}}
    with zipfile.ZipFile(os.path.join(directory, name), "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return name
"""
WHEEL = "source-1.0-py3-none-any.whl"


def sdist(folder: Path, before: str = "pass", name: str = WHEEL, requires: str = "[]", more: str = "") -> LockedPackage:
    """A source distribution with a backend of its own."""
    files = {
        "pyproject.toml": f'[build-system]\nrequires = {requires}\nbuild-backend = "own"\nbackend-path = ["build"]\n',
        "build/own.py": BACKEND.format(before=before, name=name) + more,
        "source.py": "VALUE = 1\n",
    }
    folder.mkdir(exist_ok=True)
    path = folder / "source-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for file, text in files.items():
            info = tarfile.TarInfo(f"source-1.0/{file}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    file = LockedFile(path.name, path.as_uri(), wheels.sha256(path), path.stat().st_size)
    return LockedPackage("source", "1.0", (), file)


def test_built_without_a_network_and_kept(anyone: Wherry, scratch: Path, env_base: tuple[str, str]) -> None:
    environments.write(scratch / "p", env_base, [sdist(scratch / "index")])
    out = anyone("env", "build", "-t", "env", scratch / "p")
    assert out.code == 0, str(out)
    assert "source 1.0: Built a wheel" in out.err
    code = "import source; print(source.VALUE, source.MADE, source.__cached__ is not None)"
    assert anyone.ok("run", "--rm", "--network", "none", "env", "python", "-c", code) == "1 ['lo'] True\n"
    assert anyone.ok("env", "verify", "env").startswith("1 packages")
    names = anyone.ok("images", "-a", "--format", "{{.Repository}}")
    assert sorted(set(names.split())) == sorted({env_base[0].rpartition(":")[0], "env"}), (
        "no image of the build is left"
    )
    anyone.ok("rmi", "env")
    for path in (anyone.root / "cache/env/images").iterdir():
        path.unlink()
    again = anyone("env", "build", "-t", "env", scratch / "p")
    assert again.out == out.out
    assert "Built a wheel" not in again.err


@pytest.mark.needs("network")
def test_what_a_build_requires_is_resolved_and_installed(
    wherry: Wherry, scratch: Path, env_base: tuple[str, str]
) -> None:
    """From pyproject.toml, and from the backend itself when it is asked."""
    index = scratch / "index"
    wheels.make(index, "first", files={"first.py": "VALUE = 1\n"})
    wheels.make(index, "second", files={"second.py": "VALUE = 2\n"})
    hook = "\ndef get_requires_for_build_wheel(config_settings=None):\n    import first\n    return ['second']\n"
    before = "import first, second; assert (first.VALUE, second.VALUE) == (1, 2)"
    environments.write(scratch / "p", env_base, [sdist(index, before, requires='["first"]', more=hook)])
    env = {"UV_FIND_LINKS": str(index), "UV_NO_INDEX": "1"}
    wherry.ok("env", "build", "-t", "env", scratch / "p", env=env)
    code = "import importlib.util as u; print(u.find_spec('first'), u.find_spec('source') is not None)"
    assert wherry.ok("run", "--rm", "--network", "none", "env", "python", "-c", code) == "None True\n"


@pytest.mark.parametrize(
    ("more", "texts"),
    [
        ({"before": "print('line of the log'); raise RuntimeError('the build is broken')"},
         ("source 1.0 has no wheel", "exit status 1", "line of the log", "RuntimeError: the build is broken")),
        ({"before": "import subprocess; subprocess.run(['gcc', '-v'])"}, ("needs a compiler", "system =", "gcc")),
        ({"before": "raise SystemExit('x.c:1:10: fatal error: Python.h: No such file or directory')"},
         ("needs the header Python.h", "system in [tool.wherry.env]")),
        ({"name": "another-2.0-py3-none-any.whl"}, ("another-2.0-py3-none-any.whl for source 1.0",)),
        ({"name": "source-1.0-cp27-cp27m-win32.whl"}, ("not for its own Python",)),
        ({"before": "return 'nothing'"}, ("made 0 wheels",)),
        ({"before": "open('/etc/passwd', 'a')"}, ("Read-only file system",)),
        ({"requires": "7"}, ("[build-system]", "malformed")),
    ],
)  # fmt: skip
def test_a_build_that_fails(
    wherry: Wherry, scratch: Path, env_base: tuple[str, str], more: dict[str, str], texts: tuple[str, ...]
) -> None:
    """Its log is shown, and nothing of it is kept."""
    environments.write(scratch / "p", env_base, [sdist(scratch / "index", **more)])
    done = wherry("env", "build", "-t", "env", scratch / "p")
    assert done.code == 1
    for text in texts:
        assert text in done.err, str(done)
    assert wherry.ok("images", "-a", "--format", "{{.Repository}}").split() == [env_base[0].rpartition(":")[0]]
    assert wherry.ok("ps", "-aq") == ""
    assert not list((wherry.root / "cache/env/wheels").rglob("*.whl"))
    assert not list((wherry.root / "cache/env").glob("tmp-*"))
