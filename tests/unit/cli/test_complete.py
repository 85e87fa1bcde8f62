"""What may follow on a command line: by the tables of commands and options, and by the names in a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.cli.complete import ARGUMENTS, complete, main, split
from wherry.cli.main import COMMANDS
from wherry.engine.engine import Engine
from wherry.engine.paths import find
from wherry.store import containers, volumes
from wherry.store.containers import ContainerRow


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with containers in every state, and a volume."""
    root = tmp_path / "root"
    engine = Engine(find({"HOME": str(tmp_path)}, root=str(root), run=str(tmp_path / "run")))
    for number, (name, status) in enumerate(
        (("web", "running"), ("worker", "paused"), ("old", "exited"), ("new", "created"))
    ):
        containers.insert(engine.db, ContainerRow(f"{number:064x}", name, status=status))
    volumes.create(engine.db, volumes.VolumeRow("data"))
    engine.db.close()
    found = find({"HOME": str(tmp_path)}, root=str(root), run=str(tmp_path / "run"))
    monkeypatch.setattr("wherry.engine.paths.find", lambda *_a, root="", **_run: found.replace(root=root or found.root))
    return tmp_path


def names(line: str) -> list[str]:
    words = split(f"wherry {line}")
    return [name for name, _what in complete(words[:-1], words[-1])[0]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stop ", ["web", "worker"]),
        ("stop w", ["web", "worker"]),
        ("stop web wo", ["worker"]),
        ("stop web w", ["worker"]),
        ("container stop -t 5 we", ["web"]),
        ("start ", ["new", "old"]),
        ("exec -it -w /x ", ["web"]),
        ("unpause ", ["worker"]),
        ("context use ", ["default"]),
        ("--context d", ["default"]),
        ("-H unix:///nosuch stop ", []),
        ("rename ", ["new", "old", "web", "worker"]),
        ("rename old ", []),
        ("volume rm ", ["data"]),
        ("volume r", ["rm"]),
        ("system ", ["check", "df", "dial-stdio", "events", "info", "prune"]),
        ("vol", ["volume"]),
        ("nothing ", []),
        ("ps --no-t", ["--no-trunc"]),
        ("ps --la", ["--last", "--latest"]),
        ("run --pul", ["--pull"]),
        ("run --pull ", ["always", "missing", "never"]),
        ("run --pull=m", ["--pull=missing"]),
        ("run --rm --network no", ["none"]),
        ("run --volumes-from we", ["web"]),
        ("run -v da", ["data"]),
        ("run --cap-add NET_A", ["NET_ADMIN"]),
        ("--ro", ["--root"]),
        ("--debug unp", ["unpause"]),
        ("-D stop we", ["web"]),
        ("inspect da", ["data"]),
        ("kill -s US", ["USR1", "USR2"]),
        ("env l", ["lock", "ls"]),
        ("env export -f ", ["requirements", "pylock", "dockerfile", "cyclonedx"]),
        ("env lock --python=3.1", ["--python=3.11", "--python=3.13"]),
        ("env diff web w", ["worker"]),
    ],
)
def test_candidates(line: str, expected: list[str]) -> None:
    assert names(line) == expected


@pytest.mark.parametrize(
    ("line", "files"),
    [("run image ", True), ("run --env-file ", True), ("exec web ", True), ("stop ", False), ("ps ", False),
     ("load -i ", True), ("run -v ", True), ("volume rm ", False), ("--config ", True),
     ("env diff ", True), ("env lock ", True), ("env verify ", False), ("env why ", True)],
)  # fmt: skip
def test_where_files_may_follow(line: str, files: bool) -> None:
    words = split(f"wherry {line}")
    assert complete(words[:-1], words[-1])[1] is files


def test_no_store_is_no_error(tmp_path: Path) -> None:
    assert names(f"--root {tmp_path}/none stop ") == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("wherry ", [""]),
        ("wherry stop", ["stop"]),
        ("wherry  stop\t'a b' \"c \\\" d\" e\\ f ''", ["stop", "a b", 'c " d', "e f", ""]),
        ("wherry run 'open qu", ["run", "open qu"]),
        ("wherry --root=/x y:z", ["--root=/x", "y:z"]),
    ],
)
def test_lines_are_split_as_shells_do(line: str, expected: list[str]) -> None:
    assert split(line) == expected


def test_for_bash_what_stands_before_the_last_break_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--line", "wherry run --pull=a"])
    assert capsys.readouterr().out == "always\n:4\n"
    main(["run", "--pull=a"])
    assert capsys.readouterr().out == "--pull=always\n:4\n"


def test_every_command_in_the_table_is_one() -> None:
    later = {"commit", "export", "network_connect", "network_disconnect", "network_inspect", "network_rm"}
    assert set(ARGUMENTS) - later <= set(COMMANDS.values())
