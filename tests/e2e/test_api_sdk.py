"""The docker SDK for Python against `wherry serve`."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from support.command import Wherry
from support.serving import Served

pytestmark = pytest.mark.timeout(90)  # a stream that never comes costs no more than that


@pytest.fixture(scope="module")
def client(as_root: Wherry) -> Iterator[Any]:
    served = Served(as_root)
    found = served.client()
    yield found
    found.close()
    served.close()


@pytest.fixture
def running(client: Any) -> Iterator[Any]:
    one = client.containers.run("busybox", ["sleep", "1000"], detach=True, labels={"made-by": "test"})
    yield one
    one.remove(force=True)


def test_run_gives_output_and_raises_for_failure(client: Any) -> None:
    import docker.errors

    assert client.ping() and client.version()["ApiVersion"] == "1.50"
    assert client.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo wrong >&2; exit 3"], remove=True, stderr=True)
    assert (caught.value.exit_status, caught.value.stderr) == (3, b"wrong\n")
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("nothere")
    with pytest.raises(docker.errors.APIError, match="already in use"):
        name = uuid.uuid4().hex
        first = client.containers.create("busybox", "true", name=name)
        try:
            client.containers.create("busybox", "true", name=name)
        finally:
            first.remove()


def test_a_container_and_its_streams(client: Any, running: Any) -> None:
    assert running.status in ("created", "running")
    running.reload()
    assert running.status == "running" and running.labels == {"made-by": "test"}
    assert running.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True) == (4, (b"out\n", b"err\n"))
    code, stream = running.exec_run(["sh", "-c", "echo 1; echo 2"], stream=True)
    assert code is None and b"".join(stream) == b"1\n2\n"
    _code, channel = running.exec_run("cat", stdin=True, socket=True)
    channel._sock.sendall(b"typed\n")
    assert channel.read(14)[8:] == b"typed\n"
    channel.close()
    assert [one.id for one in client.containers.list(filters={"label": "made-by=test"})] == [running.id]
    assert running.top()["Titles"][0] == "UID"
    figures = running.stats(stream=False)
    assert figures["memory_stats"]["usage"] > 0 and figures["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    running.pause()
    running.unpause()
    running.kill("TERM")
    running.update(mem_limit="32m", memswap_limit="32m")
    running.rename("renamed-" + uuid.uuid4().hex[:8])
    running.stop(timeout=0)
    assert running.wait()["StatusCode"] in (137, 143)


def test_logs_are_a_stream(client: Any) -> None:
    one = client.containers.run("busybox", ["sh", "-c", "echo one; sleep 0.3; echo two"], detach=True)
    assert b"".join(one.logs(stream=True, follow=True)) == b"one\ntwo\n"
    assert one.logs(tail=1) == b"two\n"
    one.remove()


def test_archives_go_in_and_out(running: Any) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("file")
        entry.size = 7
        archive.addfile(entry, io.BytesIO(b"content"))
    assert running.put_archive("/tmp", packed.getvalue())
    stream, stat = running.get_archive("/tmp/file")
    assert (stat["name"], stat["size"]) == ("file", 7)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        found = archive.extractfile("file")
        assert found is not None and found.read() == b"content"
    assert {"Path": "/tmp/file", "Kind": 1} in running.diff()
    assert len(b"".join(running.export())) > 1 << 20


def test_images(client: Any) -> None:
    import docker.errors

    image = client.images.get("busybox")
    assert "busybox:latest" in image.tags and image.history()
    tag = uuid.uuid4().hex[:8]
    assert image.tag("kept", tag)
    saved = b"".join(client.api.get_image(f"kept:{tag}"))
    client.images.remove(f"kept:{tag}")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(f"kept:{tag}")
    assert [one.id for one in client.images.load(saved)] == [image.id]
    client.images.remove(f"kept:{tag}")
    assert image.id in [one.id for one in client.images.list(name="busybox")]


def test_volumes_and_networks(client: Any) -> None:
    volume = client.volumes.create(labels={"a": "b"})
    assert client.containers.run("busybox", "ls /data", volumes={volume.name: {"bind": "/data"}}, remove=True) == b""
    assert volume.name in [one.name for one in client.volumes.list(filters={"label": "a=b"})]
    volume.remove()
    net = client.networks.create("n-" + uuid.uuid4().hex[:8], driver="bridge")
    one = client.containers.run("busybox", "sleep 1000", network=net.name, detach=True)
    net.reload()
    assert [found.id for found in net.containers] == [one.id]
    net.disconnect(one)
    net.connect(one, aliases=["www"])
    one.remove(force=True)
    net.remove()


def test_a_link_is_shown_and_removed(client: Any) -> None:
    import docker.errors

    low, name = client.api, f"l-{uuid.uuid4().hex[:8]}"
    one = client.containers.run("busybox", "sleep 1000", name=name, detach=True)
    two = client.containers.run("busybox", "sleep 1000", name=f"{name}-two", links={name: "al"}, detach=True)
    try:
        assert low.inspect_container(two.id)["HostConfig"]["Links"] == [f"/{name}:/{name}-two/al"]
        names = {shown["Id"]: shown["Names"] for shown in low.containers()}
        assert names[one.id] == [f"/{name}", f"/{name}-two/al"] and names[two.id] == [f"/{name}-two"]
        with pytest.raises(docker.errors.APIError, match="cannot remove the default link name"):
            low.remove_container(two.id, link=True)
        with pytest.raises(docker.errors.NotFound):
            low.remove_container(f"{name}-two/other", link=True)
        low.remove_container(f"{name}-two/al", link=True)
        assert low.inspect_container(two.id)["HostConfig"]["Links"] is None
        assert {one.id, two.id} <= {shown["Id"] for shown in low.containers()}
        assert b"al " not in two.exec_run("cat /etc/hosts").output
    finally:
        two.remove(force=True)
        one.remove(force=True)


def test_a_network_with_a_subnet_that_it_does_not_use(client: Any) -> None:
    name = f"sdk net/{uuid.uuid4().hex[:8]}"
    config = {"Config": [{"Subnet": "2001:db8:389::/64"}]}
    made = client.api.create_network(name, ipam=config)
    try:
        assert made["Warning"].startswith("the subnet 2001:db8:389::/64 is not used")
        shown = client.api.inspect_network(name)
        assert shown["Id"] == made["Id"] and not shown["EnableIPv6"]
        assert {"Subnet": "2001:db8:389::/64"} in shown["IPAM"]["Config"]
    finally:
        client.api.remove_network(name)


def test_events_come_as_they_happen(client: Any) -> None:
    told = client.events(decode=True, filters={"type": "container"})
    one = client.containers.create("busybox", "true", name="e-" + uuid.uuid4().hex[:8])
    for event in told:
        if event["Actor"]["ID"] == one.id:
            assert (event["Type"], event["Action"]) == ("container", "create")
            break
    told.close()
    one.remove()


def test_what_other_engines_would_use_is_kept_and_shown(client: Any) -> None:
    """Isolation, options of endpoints for other drivers, links to who is not there yet, IPAM without options."""
    low, name = client.api, f"sdk-{uuid.uuid4().hex[:8]}"
    network = low.create_network(name, ipam={"Driver": "default", "Config": []})["Id"]
    assert low.inspect_network(network)["IPAM"]["Options"] is None
    endpoint = low.create_endpoint_config(driver_opt={"com.example.setting": "on"}, links=[(f"{name}-later", "later")])
    made = low.create_container(
        "busybox", ["sh", "-c", "until nslookup later; do sleep 0.1; done"],
        networking_config=low.create_networking_config({name: endpoint}),
        host_config=low.create_host_config(network_mode=name, isolation="default"),
    )["Id"]  # fmt: skip
    other = None
    try:
        shown = low.inspect_container(made)
        place = shown["NetworkSettings"]["Networks"][name]
        assert (shown["HostConfig"]["Isolation"], place["DriverOpts"]) == ("default", {"com.example.setting": "on"})
        assert place["Links"] == [f"{name}-later:later"]
        low.start(made)
        other = client.containers.run("busybox", ["sleep", "1000"], name=f"{name}-later", network=name, detach=True)
        assert low.wait(made, timeout=30)["StatusCode"] == 0
        low.disconnect_container_from_network(made, name)
        low.connect_container_to_network(made, name, links=[("never", "there")])
    finally:
        low.remove_container(made, force=True)
        if other is not None:
            other.remove(force=True)
        low.remove_network(network)
