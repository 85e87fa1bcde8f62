"""Docker's config.json and credential helpers: which host gets what, and what happens when they are broken."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from wherry.registry.credentials import Credential, Credentials, host_of


def made(tmp_path: Path, document: Any) -> Credentials:
    path = tmp_path / "config.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return Credentials(str(path))


def entry(login: str) -> dict[str, str]:
    return {"auth": base64.b64encode(login.encode()).decode()}


def test_a_login(tmp_path: Path) -> None:
    found = made(tmp_path, {"auths": {"reg.example:5000": entry("me:pass:word")}})
    assert found.get("reg.example:5000") == Credential("me", "pass:word")
    assert found.get("REG.example:5000") == Credential("me", "pass:word")
    assert found.get("reg.example") is None
    assert "pass" not in repr(found.get("reg.example:5000"))


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub(tmp_path: Path, key: str) -> None:
    assert made(tmp_path, {"auths": {key: entry("me:pw")}}).get("docker.io") == Credential("me", "pw")


def test_tokens(tmp_path: Path) -> None:
    found = made(
        tmp_path,
        {
            "auths": {
                "identity": entry("me:") | {"identitytoken": "secret"},
                "ready": {"registrytoken": "jwt"},
                "plain": {"username": "u", "password": "p"},
            }
        },
    )
    assert found.get("identity") == Credential("me", identity_token="secret")
    assert found.get("ready") == Credential(registry_token="jwt")
    assert found.get("plain") == Credential("u", "p")


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("reg", "reg"),
        ("https://reg:5000", "reg:5000"),
        ("http://reg/v1/", "reg"),
        ("https://reg/v2", "reg"),
        ("reg/some/repository", ""),
        ("https://reg/v1/x", ""),
        ("user@reg", ""),
        ("", ""),
        ("https://", ""),
        ("reg#.evil", ""),
    ],
)
def test_keys(key: str, host: str) -> None:
    assert host_of(key) == host


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"auths": 5}', '{"auths": {"h": 5}}', '{"auths": {"h": {"auth": "%%%"}}}', "[" * 100_000,
     '{"auths": {"h": {"auth": "bm9jb2xvbg=="}}}', '{"auths": {"h": {"auth": 7}}}', '{"credHelpers": 7}',
     '{"credsStore": 7}', '{"credHelpers": {"h": null}}', '{"credsStore": "../../bin/sh"}'],
)  # fmt: skip
def test_broken_files_give_nothing(tmp_path: Path, text: str) -> None:
    assert made(tmp_path, text).get("h") is None


def test_what_was_broken_is_told(tmp_path: Path) -> None:
    found = made(tmp_path, "{")
    found.get("h")
    assert f"credentials were not read from {tmp_path}/config.json" in found.note("h")


def test_a_missing_file_is_normal(tmp_path: Path) -> None:
    found = Credentials(str(tmp_path / "none"))
    assert found.get("h") is None
    assert found.note("h") == ""


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    found = Credentials(str(tmp_path / "config.json"))
    assert found.get("h") is None
    assert "not a regular file" in found.note("h")


# -- helpers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``helper(script)``: a program docker-credential-test; what it was asked is in the file ``asked``."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")

    def make(script: str) -> Path:
        path = directory / "docker-credential-test"
        path.write_text(f"#!/bin/sh\necho $1 >> {tmp_path}/asked\ncat >> {tmp_path}/asked\n{script}\n")
        path.chmod(0o755)
        return tmp_path / "asked"

    return make


def answer(**fields: str) -> str:
    return f"echo '{json.dumps(fields)}'"


def test_a_helper_for_one_host(tmp_path: Path, helper: Any) -> None:
    asked = helper(answer(ServerURL="reg:5000", Username="me", Secret="pw"))
    found = made(tmp_path, {"credHelpers": {"reg:5000": "test"}})
    assert found.get("reg:5000") == Credential("me", "pw")
    assert found.get("reg:5000") == Credential("me", "pw")
    assert asked.read_text() == "get\nreg:5000"  # once
    assert found.get("other") is None


def test_a_store_for_all(tmp_path: Path, helper: Any) -> None:
    asked = helper(answer(ServerURL="", Username="<token>", Secret="t"))
    found = made(tmp_path, {"credsStore": "test"})
    assert found.get("docker.io") == Credential(identity_token="t")
    assert asked.read_text() == "get\nhttps://index.docker.io/v1/"


def test_a_store_that_has_none(tmp_path: Path, helper: Any) -> None:
    helper("echo credentials not found in native keychain; exit 1")
    found = made(tmp_path, {"credsStore": "test", "auths": {"reg": entry("me:pw")}})
    assert found.get("reg") == Credential("me", "pw")
    assert found.note("reg") == ""


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "exit status 3"),
        ("echo locked; exit 1", "locked"),
        ("echo nonsense", "not understood"),
        ("echo '[]'", "not understood"),
        (answer(Username="me"), "not understood"),
        ("printf '\\033[2J'; exit 1", ": [2J"),
        (answer(ServerURL="https://evil", Username="me", Secret="pw"), "answered for 'https://evil'"),
    ],
)
def test_a_broken_helper(tmp_path: Path, helper: Any, script: str, words: str) -> None:
    helper(script)
    found = made(tmp_path, {"credHelpers": {"reg": "test"}, "auths": {"reg": entry("other:login")}})
    assert found.get("reg") is None
    assert words in found.note("reg")
    assert found.note("reg").isprintable()


def test_a_missing_helper(tmp_path: Path) -> None:
    found = made(tmp_path, {"credHelpers": {"reg": "nosuch"}})
    assert found.get("reg") is None
    assert found.note("reg") == (
        'error getting credentials: exec: "docker-credential-nosuch": executable file not found in $PATH'
    )
