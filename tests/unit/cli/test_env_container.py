"""A folder or an image, and the command, of `wherry env run`."""

from __future__ import annotations

import pytest

from wherry.cli import parser
from wherry.cli.commands import env_run
from wherry.cli.env_container import split
from wherry.env.use import name_of


@pytest.mark.parametrize(
    ("typed", "target", "command"),
    [
        ("-- python x.py", ".", "python x.py"),
        ("-it . -- python -- x", ".", "python -- x"),
        ("team/env:1 python x", "team/env:1", "python x"),
        ("-e A=b folder", "folder", ""),
        ("folder -- -x", "folder", "-x"),
        ("--", ".", ""),
        ("a b -- c", "a", "b -- c"),
    ],
)
def test_what_is_run_where(typed: str, target: str, command: str) -> None:
    _values, rest = parser.parse(env_run.COMMAND, "env run", typed.split(), env_run.CHECKS)
    assert split(rest) == (target, command.split())


@pytest.mark.parametrize(
    ("folder", "name"),
    [("/home/jo/Churn", "churn-env:latest"), ("/x/my  Project_2.0", "my-project-2-0-env:latest"), 
     ("/", "root-env:latest"), ("/x/--", "root-env:latest"), ("/x/été", "t-env:latest")],
)  # fmt: skip
def test_images_are_named_like_their_folders(folder: str, name: str) -> None:
    assert name_of(folder) == name
