"""Help texts and manual pages: current, in Docker's layout, and complete."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from wherry.cli import help as helps
from wherry.cli.main import COMMANDS, load

ROOT = Path(__file__).parents[3]
DOCKER: dict[str, str] = json.loads((ROOT / "tests/golden/docker/help.json").read_text())
OPTION = re.compile(r"^  (?:-(\w), |    )--([\w-]+)(?: ([\w-]+))?(?:   |$)", re.MULTILINE)
SAME = ("ps", "load", "tag", "inspect", "image inspect", "version", "info")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cli_docs", ROOT / "tools/cli_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current() -> None:
    pages = generator().pages()
    stale = [
        str(path) for path, text in pages.items() if not (ROOT / path).is_file() or (ROOT / path).read_text() != text
    ]
    assert not stale, "run tools/cli_docs.py and look at what it changes"
    kept = {path for directory in ("docs/man", "tests/golden/help") for path in (ROOT / directory).iterdir()}
    assert kept == {ROOT / path for path in pages if path.parent.name in ("man", "help")}


@pytest.mark.parametrize("name", SAME)
def test_layout_is_dockers(name: str) -> None:
    theirs = DOCKER[name].replace("docker ", "wherry ").replace("Docker ", "Wherry ")
    ours = helps.command_help(load(name).COMMAND, name)
    if name == "image inspect":  # has one option more
        theirs = re.sub(r"\n      --platform(.|\n)*", "\n", theirs)
        assert re.sub(r"\s+", " ", ours) == re.sub(r"\s+", " ", theirs)
        return
    assert ours == theirs


@pytest.mark.parametrize("name", DOCKER)
def test_every_option_of_dockers_is_taken_or_refused(name: str) -> None:
    command = load(name).COMMAND
    taken = {row[0]: row for row in command.options}
    refused = {option: letter for option, letter, _why in command.unsupported}
    for letter, option, kind in OPTION.findall(DOCKER[name]):
        assert option in taken or option in refused, f"--{option}"
        if option in taken:
            assert taken[option][1] == letter, f"--{option}"
            assert taken[option][2] == (kind or "bool"), f"--{option}"
        else:
            assert refused[option] == letter, f"--{option}"


@pytest.mark.parametrize("name", DOCKER)
def test_usage_and_summary_are_dockers(name: str) -> None:
    usage, summary = DOCKER[name].split("\n\n")[:2]
    command = load(name).COMMAND
    assert f"Usage:  docker {name} {command.usage}".rstrip() == usage
    assert summary.replace("Docker", "Wherry") == command.summary


@pytest.mark.parametrize("path", COMMANDS)
def test_every_path_is_an_alias_of_its_command(path: str) -> None:
    assert path in load(path).COMMAND.paths


@pytest.mark.parametrize("path", COMMANDS)
def test_letters_and_names_are_used_once(path: str) -> None:
    command = load(path).COMMAND
    names = [row[0] for row in command.options] + [row[0] for row in command.unsupported]
    letters = [row[1] for row in command.options if row[1]] + [row[1] for row in command.unsupported if row[1]]
    assert len(set(names)) == len(names)
    assert len(set(letters)) == len(letters)


def test_checks_belong_to_options() -> None:
    for path in COMMANDS:
        module = load(path)
        assert set(getattr(module, "CHECKS", {})) <= {row[0] for row in module.COMMAND.options}, path


def test_manual_pages_use_only_known_macros() -> None:
    for page in sorted((ROOT / "docs/man").iterdir()):
        lines = page.read_text().splitlines()
        macros = {line.split()[0] for line in lines if line[:1] in (".", "'")}
        assert macros <= {'.\\"', ".TH", ".SH", ".PP", ".TP", ".br"}, page.name
        assert lines[1].startswith(".TH WHERRY")
