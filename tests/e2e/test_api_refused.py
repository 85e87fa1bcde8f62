"""What Docker's API refuses, and how; what it takes although it has no effect (Docker 28)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from support.serving import Served

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def made(served: Served) -> Iterator[str]:
    """A container with a terminal, which runs."""
    one = served.ok("run", "-dt", "busybox", "sleep", "1000").strip()
    yield one
    served.ok("rm", "-f", one)


def ask(served: Served, method: str, path: str, body: Any = None) -> tuple[int, str]:
    data = b"" if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    status, answer = served.ask(method, f"/v1.50{path}", data, headers)
    return status, answer.decode()


CREATE = [
    ({"HostConfig": {"Runtime": "no-such"}}, "unknown or invalid runtime name: no-such"),
    ({"Runtime": "no-such"}, "unknown or invalid runtime name: no-such"),
    ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}}, 'invalid port specification: \\"x\\"'),
    ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "70000"}]}}}, 'invalid port specification: \\"70000\\"'),
    ({"HostConfig": {"PortBindings": {"x/tcp": [{"HostPort": "80"}]}}}, 'invalid port specification: \\"x\\"'),
    ({"HostConfig": {"PortBindings": {"80/icmp": [{"HostPort": "80"}]}}}, "invalid proto: icmp"),
    ({"HostConfig": {"DeviceCgroupRules": ["all"]}}, "invalid device cgroup format 'all'"),
    (
        {
            "HostConfig": {
                "Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/x", "VolumeOptions": {"NoCopy": True}}]
            }
        },
        "field VolumeOptions must not be specified",
    ),
    ({"Healthcheck": {"Test": ["CMD", "true"], "Retries": -1}}, "Retries in Healthcheck cannot be negative"),
    ({"HostConfig": {"ExtraHosts": ["alone"]}}, 'bad format for add-host: \\"alone\\"'),
]


@pytest.mark.parametrize(("body", "message"), CREATE, ids=[message for _body, message in CREATE])
def test_containers_that_cannot_be(served: Served, body: dict[str, Any], message: str) -> None:
    status, answer = ask(served, "POST", "/containers/create", {"Image": "busybox", **body})
    assert status == 400 and message in answer, answer


def test_ports_and_hosts_that_can_be(served: Served) -> None:
    ports = {"80/tcp": [{"HostPort": ""}, {"HostPort": "0"}, {"HostPort": "8000-8010"}], "53/udp": []}
    host = {"PortBindings": ports, "ExtraHosts": ["a:10.0.0.1", "b:host-gateway", "c=::1"], "Runtime": "wherry"}
    status, answer = ask(served, "POST", "/containers/create", {"Image": "busybox", "HostConfig": host})
    assert status == 201, answer
    _status, shown = ask(served, "GET", f"/containers/{json.loads(answer)['Id']}/json")
    kept = json.loads(shown)["HostConfig"]
    assert kept["ExtraHosts"] == host["ExtraHosts"] and kept["PortBindings"]["80/tcp"][2]["HostPort"] == "8000-8010"
    assert json.loads(shown)["Config"]["OnBuild"] is None
    assert ask(served, "POST", "/containers/create", {"Image": "busybox", "HostConfig": kept})[0] == 201  # as it came
    for one in json.loads(ask(served, "GET", "/containers/json?all=1&filters=" + quote('{"status":["created"]}'))[1]):
        served.ok("rm", one["Id"])


@pytest.mark.parametrize(
    "size", ["", "h=5", "w=5", "h=x&w=5", "h=-1&w=5", "h=70000&w=5", f"h=5&w={1 << 70}", "h=²&w=5"]
)
def test_sizes_of_terminals(served: Served, made: str, size: str) -> None:
    size = quote(size, "=&")
    assert ask(served, "POST", f"/containers/{made}/resize?{size}")[0] == 400
    command = json.loads(ask(served, "POST", f"/containers/{made}/exec", {"Cmd": ["true"], "Tty": True})[1])["Id"]
    assert ask(served, "POST", f"/exec/{command}/resize?{size}")[0] == 400
    assert ask(served, "POST", f"/containers/{made}/resize?h=31&w=77")[0] == 200
    assert served.ok("exec", made, "stty", "-F", "/proc/1/fd/0", "size") == "31 77\n"


def test_start_has_no_body(served: Served) -> None:
    one = json.loads(ask(served, "POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"]})[1])["Id"]
    try:
        status, answer = ask(served, "POST", f"/containers/{one}/start", {"Binds": ["/etc:/host"]})
        assert status == 400 and "non-empty request body was deprecated" in answer
        assert ask(served, "POST", f"/containers/{one}/start", {})[0] == 204
    finally:
        served.ok("rm", "-f", one)


def test_keys_to_detach_with(served: Served, made: str) -> None:
    before = served.descriptors()
    for _ in range(3):
        status, answer = ask(served, "POST", f"/containers/{made}/attach?stream=1&stdin=1&stdout=1&detachKeys=zz")
        assert status == 400 and "invalid detach keys (zz)" in answer
    assert served.descriptors() <= before + 1


def test_networks(served: Served) -> None:
    name = f"r-{uuid.uuid4().hex[:8]}"
    status, answer = ask(served, "POST", "/networks/create", {"Name": name, "Scope": "swarm"})
    assert status == 403 and "cannot create a swarm scoped network" in answer
    assert ask(served, "GET", "/networks/none?scope=swarm")[0] == 404
    assert ask(served, "GET", "/networks/none?scope=local&verbose=true")[0] == 200
    status, answer = ask(served, "GET", "/networks/none?verbose=zz")
    assert status == 400 and "invalid value for verbose" in answer
    assert all(one["Containers"] == {} for one in json.loads(ask(served, "GET", "/networks")[1]))


def test_filters(served: Served, made: str) -> None:
    status, answer = ask(served, "POST", "/images/prune?filters=" + quote('{"dangling":["zz"]}'))
    assert status == 400 and "invalid filter 'dangling=zz'" in answer
    status, answer = ask(served, "GET", "/containers/json?filters=" + quote('{"isolation":["default"]}'))
    assert status == 200 and made in [one["Id"] for one in json.loads(answer)]


def test_what_there_is_nothing_of(served: Served) -> None:
    for method, path in (
        ("POST", "/info"),
        ("DELETE", "/containers/json"),
        ("GET", "/nothing"),
        ("PUT", "/images/json"),
    ):
        status, answer = ask(served, method, path)
        assert (status, json.loads(answer)) in (
            (404, {"message": "page not found"}),
            (404, {"message": "No such container: json"}),
        )
    status, answer = ask(served, "POST", "/build/cancel?id=x")
    assert status == 501 and "does not build images" in answer


def test_info_has_what_clients_read(served: Served) -> None:
    found = json.loads(ask(served, "GET", "/info")[1])
    assert found["IndexServerAddress"] == "https://index.docker.io/v1/" and found["SystemTime"].endswith("Z")
    assert found["RegistryConfig"]["IndexConfigs"]["docker.io"]["Official"] is True
    assert found["Swarm"]["RemoteManagers"] is None and found["DefaultRuntime"] in found["Runtimes"]


def test_other_platforms(served: Served) -> None:
    """An image is for one; what is asked of another is not there."""
    own = json.loads(ask(served, "GET", "/images/busybox/json")[1])
    served.ok("tag", "busybox", "other:1")
    for name, status in ((own["Architecture"], 200), ("s390x", 404)):
        wanted = quote(json.dumps({"os": "linux", "architecture": name}))
        for path in (f"/images/busybox/json?platform={wanted}", f"/images/busybox/history?platform={wanted}"):
            found, answer = ask(served, "GET", path)
            assert found == status and (status == 200 or "not for linux/s390x" in answer), answer
    assert ask(served, "DELETE", f"/images/other:1?platforms={wanted}")[0] == 404
    both = f"platforms={wanted}&platforms=" + quote(json.dumps({"os": "linux", "architecture": own["Architecture"]}))
    assert ask(served, "DELETE", f"/images/other:1?{both}")[0] == 200
    assert ask(served, "GET", "/images/other:1/json")[0] == 404


def test_the_first_size_of_a_terminal(served: Served) -> None:
    body = {"Image": "busybox", "Cmd": ["stty", "size"], "Tty": True, "HostConfig": {"ConsoleSize": [33, 99]}}
    one = json.loads(ask(served, "POST", "/containers/create", body)[1])["Id"]
    try:
        assert json.loads(ask(served, "GET", f"/containers/{one}/json")[1])["HostConfig"]["ConsoleSize"] == [33, 99]
        served.ok("start", one)
        served.ok("wait", one)
        assert served.ok("logs", one) == "33 99\r\n"
    finally:
        served.ok("rm", "-f", one)
    body["HostConfig"] = {"ConsoleSize": [70000, 1]}
    assert ask(served, "POST", "/containers/create", body)[0] == 400


def test_credentials_that_cannot_be_read_are_none(served: Served) -> None:
    for header in ("null", "zz", "e30=", "bnVsbA=="):
        status, answer = served.ask("POST", "/v1.50/images/no-such/push?tag=1", b"", {"X-Registry-Auth": header})
        assert status == 404 and b"does not exist locally" in answer, answer


@pytest.mark.parametrize("host", [{}, {"NetworkMode": "bridge"}, {"NetworkMode": "host"}, {"PublishAllPorts": True}])
def test_a_container_that_is_to_have_no_network(served: Served, host: dict[str, Any]) -> None:
    """``network_disabled`` of the SDK, for code that nobody trusts."""
    body = {"Image": "busybox", "Cmd": ["ip", "-o", "addr"], "NetworkDisabled": True, "MacAddress": "02:00:00:00:00:77"}
    body |= {
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {"bridge": {}}},
        "ExposedPorts": {"80/tcp": {}},
    }
    one = json.loads(ask(served, "POST", "/containers/create", body)[1])["Id"]
    try:
        shown = served.ok("start", "-a", one)
        assert "127.0.0.1" in shown and {line.split()[1] for line in shown.splitlines()} == {"lo"}
    finally:
        served.ok("rm", "-f", one)


@pytest.mark.parametrize(
    "when", ["9" * 20, "9" * 5000, "9" * 10, "9999-12-31T00:00:00Z", "0002-01-01T00:00:00Z", "2000000h", "0" * 30]
)
def test_times_that_are_far_away(served: Served, made: str, when: str) -> None:
    for path in (f"/containers/{made}/logs?stdout=1&since={when}", f"/containers/{made}/logs?stdout=1&until={when}"):
        status, answer = ask(served, "GET", path)
        assert status == 200, answer
    status, answer = ask(served, "GET", f"/events?since={when}&until=1")
    assert status == 200 or (status == 400 and "cannot be after" in answer), answer
