"""Every command of Docker's client, under every name that it has there: here, or whoever types it is told why not.

The list is what the client's own help shows (recorded by tools/record_docker_client.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wherry.cli.help import GROUPS, incomplete
from wherry.cli.main import COMMANDS, load
from wherry.cli.missing import why
from wherry.cli.parser import UsageError

ROOT = Path(__file__).parents[3]
DOCKER: list[str] = json.loads((ROOT / "tests/golden/docker/commands.json").read_text())


def test_there_is_such_a_list() -> None:
    assert len(DOCKER) > 200 and {"run", "container run", "container ls", "container list", "volume rm"} <= set(DOCKER)


@pytest.mark.parametrize("path", DOCKER)
def test_known(path: str) -> None:
    if path in COMMANDS or path in GROUPS:
        return
    missing, reason = why(path.split())
    assert missing and reason, f"wherry says nothing of {path}"
    with pytest.raises(UsageError) as caught:
        incomplete(path.split())
    assert f"there is no command 'wherry {missing}'" in caught.value.message and caught.value.exit_code == 1


def test_what_is_here_is_not_called_missing() -> None:
    assert not [path for path in (*COMMANDS, *GROUPS) if why(path.split())[0]]


def test_names_of_one_command_lead_to_one_module() -> None:
    for path in DOCKER:
        if path in COMMANDS:
            assert path in load(path).COMMAND.paths, f"{path} is not among the names of its command"
