"""Where a password may go when somebody logs in, and what an odd configuration may make of it."""

from __future__ import annotations

import json

import pytest

from support.command import Wherry
from support.faulty import Exchange, Faulty


def challenge(realm: str) -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"auths": []}', '{"auths": "x"}', "null", "\x00", '{"a": 1} {"b": 2}', "[" * 100_000]
)
def test_cve_2021_41092_an_odd_file_is_left_and_nothing_is_sent(wherry: Wherry, text: str) -> None:
    """A file that could not be written back without loss ends the login before the password leaves the machine."""
    path = wherry.home / ".docker" / "config.json"
    path.parent.mkdir()
    path.write_text(text)
    with Faulty() as server:
        server.routes = [lambda exchange: exchange.reply(200) or True]
        done = wherry("login", "-u", "me", "--password-stdin", server.host, input="secret")
        if text == "":
            assert done.code == 0
            return
        assert done.code == 1
        assert "is not a configuration file of Docker" in done.err
        assert path.read_text() == text
        assert not any("authorization" in one.headers for one in server.seen)
        assert wherry("logout", server.host).code == 1
        assert path.read_text() == text


def test_cve_2021_41092_nothing_goes_to_docker_hub(wherry: Wherry) -> None:
    """Without a registry that answers, the credentials are kept for nobody else."""
    with Faulty() as server:
        server.routes = [lambda exchange: exchange.fail(500, "UNKNOWN", "broken") or True]
        directory = wherry.directory / "etc"
        directory.mkdir()
        (directory / "registries.toml").write_text("[transport]\nretries = 0\n")
        done = wherry("--config", directory, "login", "-u", "me", "--password-stdin", server.host, input="secret")
        assert done.code == 1
        assert not (wherry.home / ".docker").exists()


def test_the_password_goes_to_the_realm_alone(wherry: Wherry) -> None:
    """CVE-2020-15157 for logins: neither a redirect of the registry nor one of the token server takes it along."""
    with Faulty("127.0.0.2") as tokens, Faulty("127.0.0.3") as thief, Faulty() as server:
        thief.routes = [lambda exchange: exchange.reply(200, b'{"token": "t"}') or True]
        tokens.routes = [lambda exchange: exchange.reply(307, b"", {"Location": f"{thief.url}/token"}) or True]

        def route(exchange: Exchange) -> bool:
            if exchange.headers.get("Authorization"):
                exchange.reply(307, b"", {"Location": f"{thief.url}/v2/"})
            else:
                exchange.fail(401, "UNAUTHORIZED", "no", challenge(f"{tokens.url}/token"))
            return True

        server.routes = [route]
        wherry("login", "-u", "me", "--password-stdin", server.host, input="secret")
        assert tokens.seen
        assert tokens.seen[0].headers["authorization"].startswith("Basic ")
        assert thief.seen
        assert not any("authorization" in one.headers for one in thief.seen)
        assert not any(one.headers.get("authorization", "").startswith("Basic") for one in server.seen)


@pytest.mark.parametrize(
    "realm", ["http://198.51.100.7/token", "http://169.254.169.254/latest", "file:///etc/passwd", ""]
)
def test_cve_2026_48978_odd_realms_see_no_password(wherry: Wherry, realm: str) -> None:
    with Faulty() as server:
        server.routes = [lambda exchange: exchange.fail(401, "UNAUTHORIZED", "no", challenge(realm)) or True]
        done = wherry("login", "-u", "me", "--password-stdin", server.host, input="secret")
        assert done.code == 1
        assert "secret" not in done.err
        assert not any("authorization" in one.headers for one in server.seen)


def test_cve_2026_59891_a_look_alike_host_is_another(wherry: Wherry) -> None:
    """Logging in to one host neither uses nor replaces what is kept for another whose name contains it."""
    path = wherry.home / ".docker" / "config.json"
    path.parent.mkdir()
    others = {"evil-127.0.0.1": {"auth": "eDp5"}, "127.0.0.1": {"auth": "eDp5"}, "127.0.0.1:1": {"auth": "eDp5"}}
    path.write_text(json.dumps({"auths": others}))
    with Faulty() as server:
        server.routes = [lambda exchange: exchange.reply(200) or True]
        wherry.ok("login", "-u", "me", "--password-stdin", server.host, input="secret")
        wherry.ok("logout", server.host)
    assert json.loads(path.read_text()) == {"auths": others}


@pytest.mark.parametrize("server", ["a b", "http://", "x@y", "host/../..", "[::1", "-x.example", "host:99999999"])
def test_servers_that_are_none(wherry: Wherry, server: str) -> None:
    done = wherry("login", "-u", "me", "--password-stdin", "--", server, input="secret")
    assert done.code != 0
    assert not (wherry.home / ".docker").exists()
    assert "internal error" not in done.err
