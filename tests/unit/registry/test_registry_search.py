"""Docker Hub's search, as a server like it answers."""

from __future__ import annotations

import json

import pytest

from support.clients import QUICK
from support.faulty import Faulty
from wherry.errors import Unavailable
from wherry.registry.client import Client
from wherry.registry.config import Endpoint
from wherry.registry.search import Result, search, split


@pytest.mark.parametrize(
    ("term", "found"),
    [("python", ("docker.io", "python")), ("team/python", ("docker.io", "team/python")),
     ("reg.example/team/py", ("reg.example", "team/py")), ("localhost/x", ("localhost", "x")),
     ("Reg.Example:5000/", ("reg.example:5000", ""))],
)  # fmt: skip
def test_where_to_look(term: str, found: tuple[str, str]) -> None:
    assert split(term) == found


def test_docker_hub() -> None:
    answer = {"results": [{"name": "python", "description": "a\x1b[31m language", "star_count": 9, "is_official": True},
                          {"name": "me/python"}, {"name": "third"}]}  # fmt: skip
    with Faulty() as server, Client(QUICK) as client:
        server.routes = [lambda exchange: exchange.reply(200, json.dumps(answer).encode()) or True]
        hub = Endpoint(server.host, "docker.io", ("http",))
        found = search(client, "docker.io", "py thon", 2, hub)
        assert found == (Result("python", "a [31m language", 9, True), Result("me/python"))
        (seen,) = server.seen
        assert seen.path == "/v1/search?q=py+thon&n=2"
        assert "authorization" not in seen.headers


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"results": 5}', b'{"results": [5]}', b'{"results": [{}]}'])
def test_answers_that_are_none(body: bytes) -> None:
    with Faulty() as server, Client(QUICK) as client:
        server.routes = [lambda exchange: exchange.reply(200, body) or True]
        with pytest.raises(Unavailable, match="not understood"):
            search(client, "docker.io", "x", 5, Endpoint(server.host, "docker.io", ("http",)))
