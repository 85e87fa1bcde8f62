"""Completion in the shells themselves."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Wherry
from support.terminal import Terminal
from support.users import SYSTEM_PATH


@pytest.fixture
def container(as_root: Wherry) -> Iterator[str]:
    """One with a name that its beginning tells from all others."""
    name = uuid.uuid4().hex[:12] + "-completed"
    as_root.ok("create", "--name", name, "busybox")
    yield name
    as_root.ok("rm", name)


@pytest.fixture
def path(as_root: Wherry, tmp_path: Path) -> str:
    """$PATH with a `wherry` that uses the test's store."""
    script = tmp_path / "wherry"
    words = " ".join(f"'{word}'" for word in as_root.argv())
    # the options that name the store follow `__complete`, as they do when somebody has typed them
    head, tail = words.split(" '--root' ")
    script.write_text(
        f"#!/bin/sh\ncase $1:$2 in __complete:--line) shift 2; line=$1; shift\n"
        f'exec {head} __complete --line "wherry --root {tail.replace(chr(39), "")} ${{line#wherry}}";;\n'
        f'__complete:*) shift; exec {head} __complete \'--root\' {tail} "$@";;\nesac\nexec {words} "$@"\n'
    )
    script.chmod(0o755)
    return f"{tmp_path}:{SYSTEM_PATH}"


def shell(path: str, *argv: str) -> list[str]:
    home = path.partition(":")[0]  # fish writes there
    done = subprocess.run(argv, env={"PATH": path, "HOME": home, "LANG": "C.UTF-8"}, capture_output=True,
                          text=True, check=False, timeout=60)  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["start", "NAME"], "FULL"),
        (["rm", "-f", "NAME"], "FULL"),
        (["volu"], "volume"),
        (["ps", "--no-t"], "--no-trunc"),
        (["run", "--pull", "=", "mis"], "missing"),
        (["rmi", "busybox", ":", "lat"], "latest"),
    ],
)
def test_bash(path: str, container: str, words: list[str], expected: str) -> None:
    """``words`` as bash cuts them, at = and : as well."""
    words = [word.replace("NAME", container[:8]) for word in words]
    line = "wherry " + " ".join(words).replace(" = ", "=").replace(" : ", ":")
    code = (
        'source <(wherry completion bash); COMP_WORDS=(wherry "${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1));'
        "COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; _wherry; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    assert shell(path, "bash", "-c", code, "bash", line, *words) == [expected.replace("FULL", container)]


@pytest.mark.needs("fish")
def test_fish(path: str, container: str) -> None:
    code = "wherry completion fish | source; complete -C $argv[1]"
    assert shell(path, "fish", "-c", code, f"wherry start {container[:8]}") == [container]
    assert shell(path, "fish", "-c", code, "wherry volu") == ["volume\tManage volumes"]
    assert shell(path, "fish", "-c", code, "wherry run --pull ") == ["always", "missing", "never"]
    assert shell(path, "fish", "-c", code, "wherry rmi busybox:lat") == ["busybox:latest"]


class Zsh(Wherry):
    """An interactive zsh in the place of wherry."""

    def argv(self, *arguments: str | Path) -> list[str]:
        return ["zsh", "-f", "-i", *map(str, arguments)]


@pytest.mark.needs("zsh")
def test_zsh(as_root: Wherry, path: str, container: str) -> None:
    zsh = Zsh(as_root.directory, env={"PATH": path, "PS1": "ready> "})
    with Terminal(zsh, columns=200) as terminal:
        terminal.expect("ready> ")
        terminal.type("autoload -Uz compinit; compinit -u -D; source <(wherry completion zsh); echo so''urced\r")
        terminal.expect("sourced")
        terminal.type(f"wherry start {container[:8]}\t")
        terminal.expect(container[8:])
        terminal.type("\x15wherry rmi busybox:lat\t")
        terminal.expect("busybox:latest")
        terminal.type("\x15exit\r")
        assert terminal.end() == 0


def test_a_shell_that_is_none_of_these(as_root: Wherry) -> None:
    result = as_root("completion", "tcsh")
    assert result.code == 1 and "no completion for the shell tcsh" in result.err
