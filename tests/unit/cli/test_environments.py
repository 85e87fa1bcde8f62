"""What the commands of `wherry env` have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.cli.environments import follow_pip, is_lock, locked_architecture
from wherry.env.lock import ImageBase, Lock
from wherry.errors import InvalidArgument


@pytest.mark.parametrize(
    ("environ", "added"),
    [
        ({}, {}),
        ({"PIP_INDEX_URL": "https://a/"}, {"UV_DEFAULT_INDEX": "https://a/"}),
        ({"PIP_EXTRA_INDEX_URL": "https://a/ https://b/"}, {"UV_INDEX": "https://a/ https://b/"}),
        ({"PIP_INDEX_URL": "https://a/", "UV_INDEX_URL": "https://b/"}, {}),
        ({"PIP_INDEX_URL": "", "UV_INDEX": ""}, {}),
    ],
)
def test_indexes_of_pip(environ: dict[str, str], added: dict[str, str]) -> None:
    given = dict(environ)
    follow_pip(given)
    assert given == environ | added


def test_what_is_a_lock_and_what_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    for source in (".", "here", "./nope", "/nope", "nope.toml"):
        assert is_lock(source)
    for source in ("team/env:1", "nope", "registry.example:5000/x"):
        assert not is_lock(source)


def test_which_architecture_is_looked_at() -> None:
    lock = Lock("3.11", ("arm64",), ImageBase("x", ""), (), (), "")
    assert locked_architecture(lock, "") == "arm64"
    assert locked_architecture(lock.replace(architectures=("amd64", "arm64")), "linux/arm64") == "arm64"
    with pytest.raises(InvalidArgument, match="not for amd64, but for arm64"):
        locked_architecture(lock, "linux/amd64")
    with pytest.raises(InvalidArgument, match="made for linux"):
        locked_architecture(lock, "windows/amd64")
