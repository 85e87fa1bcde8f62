"""`wherry env init` adds to what is there and changes nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.env.inputs import project
from wherry.env.spec import Wishes
from wherry.env.starting import init
from wherry.errors import Conflict, InvalidArgument, NotFound, NotSupported, WherryError


def test_an_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / "My Model!"
    folder.mkdir()
    assert init(folder, ("scikit-learn==1.5.2", 'pandas; python_version<"4"'), "3.9", "") == folder / "pyproject.toml"
    found = project.read(folder, Wishes())
    assert found.requirements == ("scikit-learn==1.5.2", 'pandas; python_version<"4"')
    assert (found.python, found.base) == ("3.9", "debian:bullseye")
    assert 'name = "my-model"' in (folder / "pyproject.toml").read_text()
    with pytest.raises(Conflict, match=r"has \[tool\.wherry\.env\] already"):
        init(folder, (), "", "")


def test_beside_a_list(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    init(tmp_path, (), "3.11", "python:3.11-slim")
    found = project.read(tmp_path, Wishes())
    assert (found.requirements, found.base, found.source) == (("numpy",), "python:3.11-slim", "requirements.txt")


def test_into_a_project(tmp_path: Path) -> None:
    before = '[project]\nname = "x"\nversion = "1"\nrequires-python = "<3.12"\n[tool.ruff]\nline-length = 1'
    (tmp_path / "pyproject.toml").write_text(before)
    init(tmp_path, (), "", "")
    text = (tmp_path / "pyproject.toml").read_text()
    assert text == f'{before}\n\n[tool.wherry.env]\npython = "3.11"\n'
    assert project.read(tmp_path, Wishes()).python == "3.11"


@pytest.mark.parametrize(
    ("before", "packages", "python", "base", "kind"),
    [
        ("[project]\nname = 'x'\n", ("numpy",), "", "", Conflict),
        ("[project", (), "", "", InvalidArgument),
        ("[tool]\nwherry = {}\n", ("numpy",), "", "", InvalidArgument),
        ("", ("./x",), "", "", NotSupported),
        ("", (), "3.7", "", InvalidArgument),
        ("", (), "", "debian:sid", NotSupported),
        ("", (), "", "ghcr.io/me/mine", InvalidArgument),
    ],
)
def test_what_is_refused_leaves_the_file_alone(
    tmp_path: Path, before: str, packages: tuple[str, ...], python: str, base: str, kind: type[WherryError]
) -> None:
    path = tmp_path / "pyproject.toml"
    if before:
        path.write_text(before)
    with pytest.raises(kind):
        init(tmp_path, packages, python, base)
    assert (path.read_text() if path.exists() else "") == before


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        init(tmp_path / "nope", (), "", "")
