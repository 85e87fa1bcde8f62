"""Where the files of a wheel go, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from support import wheels
from wherry.env.wheels import PREFIX, Wheel
from wherry.errors import Corrupt, WherryError

SITE = f"{PREFIX}/lib/python3.11/site-packages"


def placed(path: Path) -> dict[str, tuple[int, bytes]]:
    with Wheel(str(path), "it 1.0", "3.11") as wheel:
        return {item.path: (item.mode, wheel.content(item)) for item in wheel.items}


def test_every_scheme(tmp_path: Path) -> None:
    path = wheels.make(tmp_path, "it", files={
        "it/__init__.py": "x = 1\n", "it/native.so": b"\x7fELF", "it/tests/test_it.py": "", "it/run.sh": "echo",
        "it-1.0.data/scripts/tool": "#!python -u\nprint(1)\n", "it-1.0.data/scripts/shell": "#!/bin/sh\n",
        "it-1.0.data/data/share/it/x.txt": "text", "it-1.0.data/headers/it.h": "int it;",
        "it-1.0.data/data/lib64/it.so": "", "it-1.0.data/purelib/pure.py": "", "it-1.0.data/platlib/plat.py": "",
        "it-1.0.dist-info/INSTALLER": "pip\n", "it/__pycache__/x.cpython-311.pyc": b"evil",
    }, scripts={"it": "it:main.run", "it-gui": "it:main [extra]"}, executable=("it/run.sh",),
        stored=("it/run.sh",))  # fmt: skip
    found = placed(path)
    assert found[f"{SITE}/it/__init__.py"] == (0o644, b"x = 1\n")
    assert found[f"{SITE}/it/run.sh"] == (0o755, b"echo")
    assert found[f"{PREFIX}/bin/tool"] == (0o755, b"#!/opt/venv/bin/python\nprint(1)\n")
    assert found[f"{PREFIX}/bin/shell"] == (0o755, b"#!/bin/sh\n")
    assert found[f"{PREFIX}/share/it/x.txt"] == (0o644, b"text")
    assert found[f"{PREFIX}/include/site/python3.11/it/it.h"][1] == b"int it;"
    assert f"{PREFIX}/lib/it.so" in found
    assert {f"{SITE}/pure.py", f"{SITE}/plat.py"} <= set(found)
    assert found[f"{SITE}/it-1.0.dist-info/INSTALLER"][1] == b"wherry\n"
    mode, script = found[f"{PREFIX}/bin/it"]
    assert mode == 0o755
    assert script.startswith(b"#!/opt/venv/bin/python\n")
    assert b"from it import main\n" in script
    assert b"sys.exit(main.run())" in script
    assert not any("__pycache__" in name for name in found)
    assert f"{SITE}/it-1.0.dist-info/RECORD" not in found


def test_modules_of_test_suites_are_not_compiled(tmp_path: Path) -> None:
    files = {"it/__init__.py": "", "it/tests/test_a.py": "", "it/testing.py": "", "it-1.0.data/scripts/x.py": ""}
    with Wheel(str(wheels.make(tmp_path, "it", files=files)), "it 1.0", "3.11") as wheel:
        assert [item.path for item in wheel.sources()] == [f"{SITE}/it/__init__.py", f"{SITE}/it/testing.py"]


@pytest.mark.parametrize(
    "name",
    ["../evil.py", "/etc/passwd", "it/../../evil", "it//x", "./it.py", "it/.wh.numpy", ".wh..wh..opq", "a\\b", "a\nb",
     "it-1.0.data/scripts/../../../bin/sh", "it-1.0.data/data/../../../etc/passwd", "x" * 300],
)  # fmt: skip
def test_hostile_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(Corrupt, match="hostile path"):
        placed(wheels.make(tmp_path, "it", files={name: "x"}))


@pytest.mark.parametrize("name", ["../../evil", "a/b", ".."])
def test_hostile_entry_points(tmp_path: Path, name: str) -> None:
    with pytest.raises(Corrupt):
        placed(wheels.make(tmp_path, "it", scripts={name: "it:main"}))


def test_links_and_devices(tmp_path: Path) -> None:
    for mode in (0o120777, 0o020666):
        with pytest.raises(Corrupt, match="not a regular file"):
            placed(wheels.make(tmp_path, "it", mode=mode))


def test_two_files_of_one_name(tmp_path: Path) -> None:
    path = wheels.make(tmp_path, "it")
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("it.py", "y = 2")
    with pytest.raises(Corrupt, match=r"two files it\.py"):
        placed(path)
    both = {"it.py": "", "it-1.0.data/purelib/it.py": "x"}
    with pytest.raises(Corrupt, match="two files as"):
        placed(wheels.make(tmp_path, "it", files=both))


def test_what_is_no_wheel(tmp_path: Path) -> None:
    path = tmp_path / "it-1.0-py3-none-any.whl"
    for data in (b"no zip at all", b"PK\5\6" + bytes(18)):
        path.write_bytes(data)
        with pytest.raises(Corrupt, match="not a valid wheel"):
            placed(path)
    whole = wheels.make(tmp_path, "it", files={"it.py": "x = 1\n" * 1000}).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WherryError):
        placed(path)


def test_a_scheme_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="not contained in a valid"):
        placed(wheels.make(tmp_path, "it", files={"it-1.0.data/etc/passwd": "x"}))


def test_a_newer_format(tmp_path: Path) -> None:
    old = wheels.WHEEL
    try:
        wheels.WHEEL = old.replace("1.0", "2.0")
        with pytest.raises(Corrupt, match="Incompatible Wheel-Version"):
            placed(wheels.make(tmp_path, "it"))
    finally:
        wheels.WHEEL = old
