"""Every operation of Docker's description of its API, and each answer held against it."""

from __future__ import annotations

import io
import json
import tarfile
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from support.command import Wherry
from support.described import Described
from support.registry import Registry
from support.serving import Served, raw

NOWHERE = "127.0.0.1:1/nosuch"  # a registry that refuses connections
AUTH = {"X-Registry-Auth": "e30="}


def name() -> str:
    return "d-" + uuid.uuid4().hex[:8]


def tar(path: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(path)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.timeout(240)
def test_every_operation_answers_as_described(as_root: Wherry, registry: Registry) -> None:
    served = Served(as_root)
    api = Described(served)
    try:
        web = _containers(api)
        _streams(api, web)
        _files(api, web)
        _commands(api, web)
        _images(api, web, registry)
        _volumes_and_networks(api, web)
        _system(api)
        api.call("DELETE /containers/{id}", {"force": 1, "v": 1}, id=web, status=204)
        _what_there_is_none_of(api)
        assert api.operations - api.seen == set()
    finally:
        if left := as_root.ok("ps", "-aq", "--filter", "name=d-").split():
            as_root.ok("rm", "-f", "-v", *left)
        served.close()


def _containers(api: Described) -> str:
    """The life of one, to the point where it runs; its name."""
    web = name()
    body: dict[str, Any] = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", "echo begun; exec sleep 1000"],
        "Env": ["A=1"],
        "Labels": {"made-by": "described"},
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9},
        "HostConfig": {
            "Memory": 64 << 20,
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]},
            "Tmpfs": {"/t": "size=1m"},
            "Binds": [f"{web}:/v", "/etc/hostname:/mnt/hostname:ro"],
            "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        },
    }
    api.call("POST /containers/create", {"name": web}, body, status=201)
    api.call("POST /containers/create", {"name": web}, body, status=409)
    api.call("POST /containers/create", None, {"Image": name()}, status=404)
    api.call("POST /containers/create", None, {"Image": 1}, status=400)
    api.call("GET /containers/{id}/json", id=web, status=200)
    api.call("POST /containers/{id}/start", id=web, status=204)
    api.call("POST /containers/{id}/start", id=web, status=304)
    shown = api.call("GET /containers/{id}/json", {"size": 1}, id=web, status=200)
    assert shown["SizeRw"] >= 0 and shown["State"]["Running"]
    api.call("GET /containers/{id}/json", id="nosuch", status=404)
    assert web in json.dumps(api.call("GET /containers/json", {"all": 1, "size": 1}, status=200))
    api.call("GET /containers/json", {"filters": "x"}, status=400)
    assert api.call("GET /containers/{id}/top", {"ps_args": "-ef"}, id=web, status=200)["Processes"]
    api.call("POST /containers/{id}/pause", id=web, status=204)
    api.call("GET /containers/{id}/json", id=web, status=200)
    api.call("POST /containers/{id}/unpause", id=web, status=204)
    api.call("POST /containers/{id}/unpause", id=web, status=409)
    api.call("POST /containers/{id}/update", None, {"Memory": 65 << 20, "MemorySwap": 130 << 20}, id=web, status=200)
    for change in ("stop", "kill", "restart", "pause", "unpause", "start", "rename", "update", "resize", "wait"):
        api.call(f"POST /containers/{{id}}/{change}", {"name": "x", "h": 1, "w": 1}, {}, id="nosuch", status=404)
    api.call("POST /containers/{id}/rename", {"name": f"{web}-b"}, id=web, status=204)
    api.call("POST /containers/{id}/rename", {"name": web}, id=f"{web}-b", status=204)
    api.call("POST /containers/{id}/kill", {"signal": "KILL"}, id=web, status=204)
    ended = api.call("POST /containers/{id}/wait", {"condition": "not-running"}, id=web, status=200)
    assert ended["StatusCode"] == 137
    api.call("POST /containers/{id}/kill", id=web, status=409)
    api.call("POST /containers/{id}/stop", id=web, status=304)
    api.call("POST /containers/{id}/restart", {"t": 0}, id=web, status=204)
    api.call("POST /containers/{id}/stop", {"t": 0}, id=web, status=204)
    api.call("GET /containers/{id}/json", id=web, status=200)
    api.call("DELETE /containers/{id}", id="nosuch", status=404)
    api.call("POST /containers/{id}/start", id=web, status=204)
    api.call("DELETE /containers/{id}", id=web, status=409)
    api.call("POST /containers/prune", {"filters": json.dumps({"label": [name()]})}, status=200)
    return web


def _streams(api: Described, web: str) -> None:
    assert b"begun" in api.call("GET /containers/{id}/logs", {"stdout": 1}, id=web, status=200)
    api.call("GET /containers/{id}/logs", {}, id=web, status=400)
    figures = api.call("GET /containers/{id}/stats", {"stream": 0, "one-shot": 1}, id=web, status=200)
    assert figures["memory_stats"]["usage"] > 0
    api.call("GET /containers/{id}/stats", {"stream": 0}, id="nosuch", status=404)
    api.call("POST /containers/{id}/attach", {"stream": 1}, id="nosuch", status=404)
    raw(api.served, f"/v1.50/containers/{web}/attach?stream=1&stdout=1").close()  # 101
    api.call("POST /containers/{id}/attach", {"logs": 1, "stdout": 1}, id=web, status=200)
    terminal = name()
    body = {"Image": "busybox", "Cmd": ["cat"], "Tty": True, "OpenStdin": True}
    api.call("POST /containers/create", {"name": terminal}, body, status=201)
    api.call("POST /containers/{id}/resize", {"h": 10, "w": 20}, id=terminal, status=409)
    api.call("POST /containers/{id}/start", id=terminal, status=204)
    api.call("POST /containers/{id}/resize", {"h": 10, "w": 20}, id=terminal, status=200)
    _web_socket(api, terminal)
    api.call("DELETE /containers/{id}", {"force": 1}, id=terminal, status=204)


def _web_socket(api: Described, terminal: str) -> None:
    """Typed at a terminal, and its echo, in frames of RFC 6455."""
    api.call("GET /containers/{id}/attach/ws", {"stream": 1}, id=terminal, status=400)  # no web socket
    api.call("GET /containers/{id}/attach/ws", {"stream": 1}, id="nosuch", status=404)
    one = api.served.connect()
    one.sendall(
        f"GET /v1.50/containers/{terminal}/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: docker\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    found = b""
    while b"\r\n\r\n" not in found:
        found += one.recv(4096)
    assert found.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in found
    one.sendall(b"\x82\x86\0\0\0\0typed\r")  # a binary message of six bytes, masked with zeros
    while b"typed\r\ntyped\r\n" not in found.replace(b"\x82", b""):
        piece = one.recv(4096)
        assert piece, found
        found += bytes(byte for byte in piece if byte >= 32 or byte in b"\r\n")
        found = found.replace(b"\x82\x0e", b"")
    one.close()


def _files(api: Described, web: str) -> None:
    api.call("PUT /containers/{id}/archive", {"path": "/tmp"}, tar("new", b"content"), id=web, status=200)
    api.call("PUT /containers/{id}/archive", {"path": "/tmp"}, tar("new", b""), id="nosuch", status=404)
    api.call("PUT /containers/{id}/archive", {"path": "/tmp"}, b"no archive" * 100, id=web, status=400)
    api.call("HEAD /containers/{id}/archive", {"path": "/tmp/new"}, id=web, status=200)
    api.call("HEAD /containers/{id}/archive", {"path": "/nosuch"}, id=web, status=404)
    packed = api.call("GET /containers/{id}/archive", {"path": "/tmp/new"}, id=web, status=200)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == ["new"]
    api.call("GET /containers/{id}/archive", {"path": "/nosuch"}, id=web, status=404)
    api.call("GET /containers/{id}/archive", id=web, status=400)
    changes = api.call("GET /containers/{id}/changes", id=web, status=200)
    assert {"Path": "/tmp/new", "Kind": 1} in changes
    api.call("GET /containers/{id}/changes", id="nosuch", status=404)
    assert len(api.call("GET /containers/{id}/export", id=web, status=200)) > 1 << 20
    api.call("GET /containers/{id}/export", id="nosuch", status=404)


def _commands(api: Described, web: str) -> None:
    body = {"Cmd": ["sh", "-c", "exit 3"], "AttachStdout": True}
    made = api.call("POST /containers/{id}/exec", None, body, id=web, status=201)["Id"]
    api.call("POST /containers/{id}/exec", None, body, id="nosuch", status=404)
    api.call("POST /containers/{id}/exec", None, {"Cmd": []}, id=web, status=400)
    assert api.call("GET /exec/{id}/json", id=made, status=200)["ExitCode"] is None
    api.call("POST /exec/{id}/start", None, {"Detach": False}, id=made, status=200)
    assert api.call("GET /exec/{id}/json", id=made, status=200)["ExitCode"] == 3
    api.call("POST /exec/{id}/start", None, {}, id=made, status=409)
    api.call("POST /exec/{id}/start", None, {}, id="nosuch", status=404)
    made = api.call("POST /containers/{id}/exec", None, {"Cmd": ["cat"], "Tty": True}, id=web, status=201)["Id"]
    api.call("POST /exec/{id}/start", None, {"Detach": True, "Tty": True}, id=made, status=200)
    assert api.call("GET /exec/{id}/json", id=made, status=200)["Running"]
    api.call("POST /exec/{id}/resize", {"h": 10, "w": 20}, id=made, status=200)
    api.call("POST /exec/{id}/resize", {"h": 10, "w": 20}, id="nosuch", status=404)
    api.call("GET /exec/{id}/json", id="nosuch", status=404)


def _images(api: Described, web: str, registry: Registry) -> None:
    other = f"{registry.host}/{name()}"
    assert api.call("GET /images/json", {"all": 1, "digests": 1, "shared-size": 1}, status=200)
    shown = api.call("GET /images/{name}/json", name="busybox", status=200)
    api.call("GET /images/{name}/json", name="nosuch", status=404)
    assert api.call("GET /images/{name}/history", name="busybox:latest", status=200)
    api.call("GET /images/{name}/history", name="nosuch", status=404)
    api.call("POST /images/{name}/tag", {"repo": other, "tag": "1"}, name="busybox", status=201)
    api.call("POST /images/{name}/tag", {"repo": "Wrong"}, name="busybox", status=400)
    api.call("POST /images/{name}/tag", {"repo": other}, name="nosuch", status=404)
    api.call("POST /images/{name}/push", {"tag": "1"}, name=other, headers=AUTH, status=200)
    api.call("POST /images/{name}/push", {"tag": "2"}, name=other, headers=AUTH, status=404)
    api.call("GET /distribution/{name}/json", name=f"{other}:1", status=200)
    api.call("DELETE /images/{name}", name=f"{other}:1", status=200)
    api.call("DELETE /images/{name}", name="nosuch", status=404)
    api.call("POST /images/create", {"fromImage": other, "tag": "1"}, status=200)
    api.call("POST /images/create", {"fromImage": NOWHERE}, status=503)
    both = api.call("GET /images/get", {"names": ["busybox", f"{other}:1"]}, status=200)
    assert api.call("GET /images/{name}/get", name="busybox", status=200)
    api.call("GET /images/{name}/get", name="nosuch", status=404)
    api.call("DELETE /images/{name}", name=f"{other}:1", status=200)
    told = api.call("POST /images/load", body=both, status=200)
    assert f"{other}:1".encode() in told if isinstance(told, bytes) else told
    assert b"errorDetail" in api.call("POST /images/load", body=b"no archive" * 100, status=200)
    api.call("POST /images/create", {"fromSrc": "-", "repo": other, "tag": "2"}, tar("f", b"x"), status=200)
    made = api.call("POST /commit", {"container": web, "repo": other, "tag": "3"}, {"Cmd": ["cat"]}, status=201)["Id"]
    assert api.call("GET /images/{name}/json", name=made, status=200)["Config"]["Cmd"] == ["cat"]
    api.call("POST /commit", {"container": "nosuch"}, status=404)
    for tag in "123":
        api.call("DELETE /images/{name}", {"force": 1}, name=f"{other}:{tag}", status=200)
    api.call("POST /images/prune", {"filters": json.dumps({"label": [name()]})}, status=200)
    api.call("GET /images/search", {"term": f"{registry.host}/x"}, status=200)
    api.call("POST /auth", None, {"username": "a", "password": "b", "serveraddress": registry.host}, status=200)
    assert shown["RepoTags"]


def _volumes_and_networks(api: Described, web: str) -> None:
    volume, net = name(), name()
    api.call("POST /volumes/create", None, {"Name": volume, "Labels": {"a": "b"}}, status=201)
    api.call("POST /volumes/create", None, {"Name": "/"}, status=400)
    assert volume in json.dumps(api.call("GET /volumes", status=200))
    api.call("GET /volumes/{name}", name=volume, status=200)
    api.call("GET /volumes/{name}", name="nosuch", status=404)
    api.call("PUT /volumes/{name}", {"version": 1}, {}, name=volume, status=503)
    api.call("DELETE /volumes/{name}", name=volume, status=204)
    api.call("DELETE /volumes/{name}", name=volume, status=404)
    api.call("DELETE /volumes/{name}", name=web, status=409)
    api.call("POST /volumes/prune", {"filters": json.dumps({"label": [volume]})}, status=200)
    api.call("POST /networks/create", None, {"Name": net, "Labels": {"a": "b"}, "EnableIPv6": True}, status=201)
    api.call("POST /networks/create", None, {"Name": net}, status=409)
    api.call("POST /networks/{id}/connect", None, {"Container": web}, id=net, status=200)
    api.call("GET /containers/{id}/json", id=web, status=200)
    api.call("GET /networks", status=200)
    assert api.call("GET /networks/{id}", {"verbose": 1}, id=net, status=200)["Containers"]
    api.call("GET /networks/{id}", id="nosuch", status=404)
    api.call("DELETE /networks/{id}", id=net, status=403)
    api.call("POST /networks/{id}/disconnect", None, {"Container": web}, id=net, status=200)
    api.call("POST /networks/{id}/connect", None, {"Container": web}, id="nosuch", status=404)
    api.call("DELETE /networks/{id}", id=net, status=204)
    api.call("DELETE /networks/{id}", id="bridge", status=403)
    api.call("DELETE /networks/{id}", id=net, status=404)
    api.call("POST /networks/prune", {"filters": json.dumps({"label": [net]})}, status=200)


def _system(api: Described) -> None:
    assert api.call("GET /info", status=200)["ID"]
    assert api.call("GET /version", status=200)["ApiVersion"] == "1.50"
    assert api.call("GET /_ping", status=200) in ("OK", b"OK")
    api.call("HEAD /_ping", status=200)
    assert set(api.call("GET /system/df", status=200)) >= {"Images", "Containers", "Volumes", "BuildCache"}
    api.call("GET /system/df", {"type": "nosuch"}, status=400)
    told = api.call("GET /events", {"since": "0", "until": f"{time.time():.6f}"}, status=200)
    assert {"container", "image", "volume", "network"} <= {one["Type"] for one in told}
    api.call("GET /events", {"since": "x"}, status=400)


def _what_there_is_none_of(api: Described) -> None:
    refused = api.call("POST /build", body=tar("Dockerfile", b"FROM busybox\n"), status=501)
    assert "wherry env build" in refused["message"]
    api.call("POST /build/prune", status=200)
    api.call("POST /session", status=501)
    assert api.call("GET /plugins", status=200) == []
    for method, path in sorted(api.operations - api.seen):
        if path.startswith("/plugins/"):
            named = "{name}" in path
            api.call(f"{method} {path}", {"remote": "x", "name": "y"}, name="x", status=404 if named else 501)
        elif path in ("/swarm/init", "/swarm/join"):
            api.call(f"{method} {path}", None, {}, status=501)
        else:
            answer = api.call(f"{method} {path}", None, {} if method == "POST" else None, id="x", status=503)
            assert "not a swarm manager" in answer["message"] or "not part of a swarm" in answer["message"]


def test_the_description_is_the_one_that_its_notice_names() -> None:
    described = json.loads((Path(__file__).parent.parent / "golden/api/engine-api.json").read_text())
    assert (described["swagger"], described["info"]["version"]) == ("2.0", "1.51")
    assert len(described["paths"]) == 97
