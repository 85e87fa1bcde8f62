"""The package's byte code in one file: used where it fits, left aside where a source has changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wherry.oci import reference

SOURCE = Path(__file__).parent.parent.parent / "src" / "wherry"
ASK = """
import sys
sys.path.insert(0, {root!r})
from wherry import precompiled
precompiled.install({root!r} + "/")
import wherry.oci.reference as r, wherry.linux
loaders = [type(module.__spec__.loader).__name__ for module in (r, wherry.linux)]
print(loaders[0], r.__file__, r.parse("x").familiar(), loaders[1])
{more}
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package without byte code."""
    shutil.copytree(SOURCE, tmp_path / "wherry", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def ask(root: Path, more: str = "") -> list[str]:
    script = ASK.format(root=str(root), more=more)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def refresh(root: Path) -> list[str]:
    return ask(root, "print(precompiled.refresh())")


def test_modules_come_from_the_file_once_it_is_written(package: Path) -> None:
    assert refresh(package)[0] == "SourceFileLoader"
    path = str(package / "wherry" / "oci" / "reference.py")
    assert ask(package) == ["Precompiled", path, "x", "Precompiled"]
    assert refresh(package)[-1] == "False"  # nothing has changed


def test_a_changed_source_is_imported_itself_and_the_file_written_again(package: Path) -> None:
    refresh(package)
    changed = package / "wherry" / "oci" / "reference.py"
    changed.write_text(changed.read_text() + "\n# changed\n")
    assert ask(package)[0] == "SourceFileLoader"
    assert ask(package)[3] == "Precompiled"
    assert refresh(package)[-1] == "True"
    assert ask(package)[0] == "Precompiled"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"99              x", b"5               \xff\xff\xff\xff\xff"])
def test_a_damaged_file_does_no_harm(package: Path, content: bytes) -> None:
    refresh(package)
    (file,) = (package / "wherry" / "__pycache__").glob("precompiled.*[0-9]")
    file.write_bytes(content)
    assert ask(package)[0] == "SourceFileLoader"


def test_another_interpreter_does_not_use_it(package: Path) -> None:
    refresh(package)
    (file,) = (package / "wherry" / "__pycache__").glob("precompiled.*[0-9]")
    file.write_bytes(file.read_bytes().replace(sys.version.encode(), sys.version[::-1].encode()))
    assert ask(package)[0] == "SourceFileLoader"


def test_what_only_people_read_is_left_out(package: Path) -> None:
    refresh(package)
    found = ask(
        package,
        "print(r.__doc__, r.parse.__doc__, r.Reference.__doc__, len(r.parse.__annotations__))\n"
        "print(*r.Reference._fields, r.parse.__code__.co_firstlineno)\n"
        "print('__future__' in sys.modules)\n"
        "print(r.parse.__code__.co_flags & __import__('__future__').annotations.compiler_flag)",
    )[4:]
    assert found[:4] == ["None", "None", "None", "0"]
    assert found[4:-2] == [*reference.Reference._fields, str(reference.parse.__code__.co_firstlineno)]
    assert found[-2:] == ["False", str(annotations.compiler_flag)]


def test_what_has_not_changed_is_not_compiled_again(package: Path) -> None:
    refresh(package)
    changed = package / "wherry" / "oci" / "reference.py"
    changed.write_text(changed.read_text() + "\n# changed\n")
    compiled = ask(
        package,
        "made, compile = [], precompiled._compile\n"
        "precompiled._compile = lambda source: made.append(source) or compile(source)\n"
        "print(precompiled.refresh(), *made)",
    )[4:]
    assert compiled == ["True", str(changed)]
