"""``wherry login`` and ``logout``: Debian's registry with passwords and tokens, helpers, Docker's file."""

from __future__ import annotations

import base64
import json
import os
import ssl
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.command import Wherry
from support.faulty import Faulty
from support.images import Built
from support.registry import PASSWORD, USER, Authority, Registry
from support.terminal import Terminal

Start = Callable[..., Registry]
HELPER = """#!/bin/sh
echo "$@" >> {directory}/arguments
case $1 in
store) cat > {directory}/secret ;;
get) cat {directory}/secret 2>&- || {{ echo credentials not found in native keychain; exit 1; }} ;;
erase) cat > {directory}/erased; rm -f {directory}/secret ;;
esac
"""


def config(wherry: Wherry) -> Path:
    return wherry.home / ".docker" / "config.json"


def trusting(wherry: Wherry, registry: Registry) -> list[str]:
    """Options that make the registry's authority known."""
    if registry.ca is None:
        return []
    directory = wherry.directory / "etc" / "certs.d" / registry.host
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ca.crt").write_bytes(registry.ca.read_bytes())
    return ["--config", str(wherry.directory / "etc")]


@pytest.mark.needs("registry")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("auth", ["htpasswd", "token"])
def test_login_pull_logout(wherry: Wherry, registry_with: Start, busybox: Built, auth: str, tls: bool) -> None:
    registry = registry_with(tls=tls, auth=auth)
    name = registry.push(busybox, "private/busybox:1")
    more = trusting(wherry, registry)
    assert wherry(*more, "pull", name).code == 1
    done = wherry(*more, "login", "-u", USER, "--password-stdin", registry.host, input=PASSWORD + "\n")
    assert (done.code, done.out) == (0, "Login Succeeded\n"), str(done)
    assert f"WARNING! Your credentials are stored unencrypted in '{config(wherry)}'.\n" in done.err
    expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert json.loads(config(wherry).read_text()) == {"auths": {registry.host: {"auth": expected}}}
    assert stat.S_IMODE(config(wherry).stat().st_mode) == 0o600
    assert stat.S_IMODE(config(wherry).parent.stat().st_mode) == 0o700
    wherry.ok(*more, "pull", name)
    again = wherry.ok(*more, "login", registry.host)
    assert again == f"Authenticating with existing credentials... [Username: {USER}]\nLogin Succeeded\n"
    out = wherry.ok(*more, "logout", f"https://{registry.host}/v1/")
    assert out == f"Removing login credentials for {registry.host}\n"
    assert json.loads(config(wherry).read_text()) == {"auths": {}}
    assert wherry(*more, "pull", name).code == 1
    assert wherry.ok("logout", registry.host) == out, "no error when there is none"


@pytest.mark.needs("registry")
@pytest.mark.parametrize("auth", ["htpasswd", "token"])
def test_what_is_wrong_is_not_kept(wherry: Wherry, registry_with: Start, auth: str) -> None:
    registry = registry_with(auth=auth)
    done = wherry("--debug", "login", "-u", USER, "--password-stdin", registry.host, input="hunter2hunter2")
    assert done.code == 1
    assert "401 Unauthorized" in done.err if auth == "htpasswd" else "wrong password" in done.err
    assert "hunter2" not in done.out + done.err
    assert not config(wherry).exists()
    assert "hunter2" not in registry.log


def test_nobody_there(wherry: Wherry) -> None:
    done = wherry("login", "-u", "a", "--password-stdin", "127.0.0.1:9", input="b")
    assert done.code == 1
    assert "connection refused" in done.err
    assert not config(wherry).exists()


@pytest.mark.needs("registry", "htpasswd")
def test_a_terminal_is_asked_without_echo(wherry: Wherry, registry_with: Start) -> None:
    registry = registry_with(auth="htpasswd")
    with Terminal(wherry, "login", registry.host) as terminal:
        terminal.expect("Username: ")
        terminal.type(USER + "\n")
        terminal.expect("Password: ")
        terminal.type(PASSWORD + "\n")
        shown = terminal.expect("Login Succeeded")
        assert PASSWORD not in shown
        assert terminal.end() == 0
        assert terminal.mode_is_restored()
    with Terminal(wherry, "login", "-u", USER, registry.host) as terminal:
        terminal.expect("Password: ")
        terminal.type(b"\x03")
        assert terminal.end() == 130
        assert terminal.mode_is_restored()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-u", "me", "-p", "x", "--password-stdin"], "--password and --password-stdin are mutually exclusive"),
        (["--password-stdin"], "Must provide --username with --password-stdin"),
        (["-u", "me"], "Cannot perform an interactive login from a non TTY device"),
        (["-u", "me:you", "-p", "x"], "without a colon"),
        ([], "Cannot perform an interactive login from a non TTY device"),
    ],
)
def test_wrong_requests(wherry: Wherry, options: list[str], words: str) -> None:
    done = wherry("login", *options, "127.0.0.1:9")
    assert done.code == 1
    assert words in done.err


@pytest.mark.needs("registry", "htpasswd")
def test_a_password_in_the_arguments_is_warned_of(wherry: Wherry, registry_with: Start) -> None:
    registry = registry_with(auth="htpasswd")
    done = wherry("login", "-u", USER, "-p", PASSWORD, registry.host)
    assert done.code == 0
    assert done.err.startswith("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")


@pytest.fixture
def helper(wherry: Wherry) -> Path:
    """The directory of a credential helper ``test`` that is on the PATH of ``wherry``."""
    directory = wherry.directory / "helper"
    directory.mkdir()
    program = directory / "docker-credential-test"
    program.write_text(HELPER.format(directory=directory))
    program.chmod(0o755)
    wherry.env["PATH"] = f"{directory}:{os.environ['PATH']}"
    return directory


@pytest.mark.needs("registry", "htpasswd")
@pytest.mark.parametrize("kind", ["credsStore", "credHelpers"])
def test_a_helper_keeps_it(
    wherry: Wherry, registry_with: Start, helper: Path, busybox: Built, kind: str
) -> None:  # fmt: skip
    registry = registry_with(auth="htpasswd")
    name = registry.push(busybox, "private/busybox:1")
    config(wherry).parent.mkdir()
    document: dict[str, Any] = {kind: "test" if kind == "credsStore" else {registry.host: "test"}}
    config(wherry).write_text(json.dumps(document))
    done = wherry("login", "-u", USER, "--password-stdin", registry.host, input=PASSWORD)
    assert (done.code, done.err) == (0, ""), str(done)
    assert json.loads(config(wherry).read_text()) == document | {"auths": {registry.host: {}}}
    kept = json.loads((helper / "secret").read_text())
    assert kept == {"ServerURL": registry.host, "Username": USER, "Secret": PASSWORD}
    wherry.ok("pull", name)
    wherry.ok("logout", registry.host)
    assert (helper / "erased").read_text() == registry.host
    assert PASSWORD not in (helper / "arguments").read_text()
    assert json.loads(config(wherry).read_text()) == document | {"auths": {}}


@pytest.mark.needs("registry", "htpasswd")
def test_a_helper_that_is_missing_keeps_nothing(wherry: Wherry, registry_with: Start) -> None:
    """Never into the file instead, and never to another registry (CVE-2021-41092)."""
    registry = registry_with(auth="htpasswd")
    config(wherry).parent.mkdir()
    config(wherry).write_text('{"credsStore": "nosuch"}')
    done = wherry("login", "-u", USER, "--password-stdin", registry.host, input=PASSWORD)
    assert done.code == 1
    assert 'exec: "docker-credential-nosuch": executable file not found' in done.err
    assert config(wherry).read_text() == '{"credsStore": "nosuch"}'


@pytest.mark.needs("registry")
def test_an_identity_token_takes_the_password_s_place(wherry: Wherry, registry_with: Start, busybox: Built) -> None:
    registry = registry_with(auth="token")
    assert registry.tokens is not None
    registry.tokens.identity = "an-identity-token"
    name = registry.push(busybox, "private/busybox:1")
    done = wherry("login", "-u", USER, "--password-stdin", registry.host, input=PASSWORD)
    assert (done.code, done.out, done.err) == (0, "Login Succeeded\n", "")
    entry = json.loads(config(wherry).read_text())["auths"][registry.host]
    assert entry["identitytoken"] == "an-identity-token"
    assert base64.b64decode(entry["auth"]).decode() == f"{USER}:"
    wherry.ok("pull", name)
    assert "grant_type=refresh_token" in (registry.tokens.requests[-1][1] or "")


@pytest.mark.needs("registry", "htpasswd")
def test_everything_else_in_the_file_stays(wherry: Wherry, registry_with: Start) -> None:
    registry = registry_with(auth="htpasswd")
    real = wherry.home / "dotfiles.json"
    other = {
        "psFormat": "table {{.ID}}",
        "auths": {"other.example": {"auth": "eDp5", "odd": 1}},
        "HttpHeaders": {"é": "x"},
    }
    real.write_text(json.dumps(other))
    real.chmod(0o644)
    config(wherry).parent.mkdir()
    config(wherry).symlink_to(real)
    wherry.ok("login", "-u", USER, "--password-stdin", registry.host, input=PASSWORD)
    assert config(wherry).is_symlink()
    found = json.loads(real.read_text())
    assert list(found) == list(other)
    assert found["auths"].pop(registry.host)
    assert found == other
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert sorted(path.name for path in wherry.home.iterdir()) == [".docker", "dotfiles.json"]


@pytest.mark.needs("registry", "skopeo", "htpasswd")
def test_other_tools_read_it_and_we_read_theirs(wherry: Wherry, registry_with: Start, busybox: Built) -> None:
    registry = registry_with(auth="htpasswd")
    name = registry.push(busybox, "private/busybox:1")
    wherry.ok("login", "-u", USER, "--password-stdin", registry.host, input=PASSWORD)
    skopeo = ["skopeo", "inspect", "--tls-verify=false", "--authfile", str(config(wherry)), f"docker://{name}"]
    subprocess.run(skopeo, check=True, capture_output=True)
    wherry.ok("logout", registry.host)
    login = ["skopeo", "login", "--tls-verify=false", "--authfile", str(config(wherry)), "-u", USER, "--password-stdin"]
    subprocess.run([*login, registry.host], input=PASSWORD.encode(), check=True, capture_output=True)
    wherry.ok("pull", name)


@pytest.mark.needs("openssl")
def test_a_client_certificate(wherry: Wherry, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    certificate, key = authority.issue("client")
    with Faulty(tls=context) as server:
        server.routes = [lambda exchange: exchange.path != "/v2/" or exchange.reply(200) or True]
        directory = wherry.directory / "etc" / "certs.d" / server.host
        directory.mkdir(parents=True)
        (directory / "ca.crt").write_bytes(authority.ca.read_bytes())
        command = ["--config", str(wherry.directory / "etc"), "login", "-u", "a", "--password-stdin", server.host]
        assert wherry(*command, input="b").code == 1
        (directory / "client.cert").write_bytes(certificate.read_bytes())
        (directory / "client.key").write_bytes(key.read_bytes())
        wherry.ok(*command, input="b")
