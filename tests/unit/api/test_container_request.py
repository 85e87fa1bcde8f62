"""``POST /containers/create`` makes the same options as the command line does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wherry.api.archives import go_mode
from wherry.api.container_request import options_of, update_of
from wherry.api.fields import parse
from wherry.container.options import ContainerOptions, NetworkOption, PortBinding
from wherry.errors import InvalidArgument, WherryError


def options(document: dict[str, Any], **more: str) -> ContainerOptions:
    return options_of(parse(json.dumps(document).encode()), **more)


def test_what_the_docker_command_sends_for_nothing_asked() -> None:
    """Its whole document with every default is the same as no document."""
    host = {
        "Binds": None, "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}}, "NetworkMode": "default",
        "PortBindings": {}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": False,
        "VolumeDriver": "", "VolumesFrom": None, "ConsoleSize": [24, 80], "CapAdd": None, "CapDrop": None,
        "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": None, "GroupAdd": None,
        "IpcMode": "", "Cgroup": "", "Links": None, "OomScoreAdj": 0, "PidMode": "", "Privileged": False,
        "PublishAllPorts": False, "ReadonlyRootfs": False, "SecurityOpt": None, "UTSMode": "", "UsernsMode": "",
        "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "",
        "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "CpuPeriod": 0, "CpusetCpus": "",
        "Devices": [], "DeviceCgroupRules": None, "DeviceRequests": None, "MemorySwappiness": -1,
        "OomKillDisable": False, "PidsLimit": 0, "Ulimits": [], "CpuCount": 0, "MaskedPaths": None,
        "ReadonlyPaths": None,
    }  # fmt: skip
    document = {"Image": "a", "Env": None, "Cmd": ["true"], "OnBuild": None, "Labels": {}, "HostConfig": host}
    document["NetworkingConfig"] = {"EndpointsConfig": {"default": {"IPAMConfig": None, "Aliases": None}}}
    found = options(document)
    asked_for = ContainerOptions(image="a", cmd=("true",), console_size=(24, 80))
    assert found.replace(pids_limit=None, networks=()) == asked_for
    assert found.networks == (NetworkOption("bridge"),)


def test_what_is_asked_arrives() -> None:
    host = {
        "Memory": 1 << 28, "NanoCpus": 500_000_000, "Binds": ["/a:/b:ro"], "AutoRemove": True,
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "53": [{"HostPort": ""}]},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "NetworkMode": "net",
        "LogConfig": {"Type": "local", "Config": {"max-size": "1m"}}, "Links": ["db:database", "/c:/web/d"],
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}], "Tmpfs": {"/run": "size=1m"},
        "Mounts": [{"Type": "volume", "Source": "v1", "Target": "/v", "VolumeOptions": {"NoCopy": True}}],
    }  # fmt: skip
    body = {
        "Image": "a", "Cmd": "sh -c", "Entrypoint": [""], "Env": ["A=b"], "Tty": True, "HostConfig": host,
        "ExposedPorts": {"80/tcp": {}, "53": {}}, "Healthcheck": {"Test": ["CMD", "true"], "Retries": 2},
        "NetworkingConfig": {"EndpointsConfig": {"net": {"Aliases": ["x"], "IPAMConfig": {"IPv4Address": "10.1.2.3"}}}},
    }  # fmt: skip
    found = options(body, name="/web", platform="linux/amd64")
    assert (found.name, found.platform, found.cmd, found.entrypoint) == ("web", "linux/amd64", ("sh -c",), ("",))
    assert (found.memory, found.nano_cpus, found.binds, found.auto_remove) == (
        1 << 28,
        500_000_000,
        ("/a:/b:ro",),
        True,
    )
    assert found.port_bindings == (PortBinding("80/tcp", "127.0.0.1", "8080"), PortBinding("53/tcp"))
    assert (found.restart_policy, found.restart_retries, found.exposed_ports) == ("on-failure", 3, ("80/tcp", "53/tcp"))
    assert (found.log_driver, found.log_opts, found.health_retries) == ("local", (("max-size", "1m"),), 2)
    links = ("db:database", "c:d")
    assert found.networks == (NetworkOption("net", aliases=("x",), ipv4="10.1.2.3", links=links),)
    assert found.mounts[0].volume_no_copy and found.tmpfs == (("/run", "size=1m"),)


@pytest.mark.parametrize(
    "host",
    [
        {"Isolation": "hyperv"},
        {"CpuCount": 2},
        {"StorageOpt": {"size": "1G"}},
        {"Cgroup": "container:a"},
        {"Mounts": [{"Type": "npipe", "Target": "/a"}]},
        {"Binds": ["a:relative"]},
        {"Tmpfs": {"relative": ""}},
        {"DeviceRequests": [{"Capabilities": ["gpu"]}]},
    ],
)
def test_what_cannot_be_is_refused(host: dict[str, Any]) -> None:
    with pytest.raises(WherryError):
        options({"Image": "a", "HostConfig": host})


def test_an_update() -> None:
    found = update_of(parse(b'{"Memory": 5, "RestartPolicy": {"Name": "always"}}'))
    assert (found.memory, found.restart_policy, found.cpu_shares) == (5, "always", 0)
    with pytest.raises(InvalidArgument):
        update_of(parse(b'{"KernelMemory": 5}'))


@pytest.mark.parametrize(
    ("mode", "theirs"),
    [(0o100644, 0o644), (0o040755, 1 << 31 | 0o755), (0o104755, 1 << 23 | 0o755), (0o120777, 1 << 27 | 0o777)],
)
def test_modes_as_go_writes_them(mode: int, theirs: int) -> None:
    assert go_mode(mode) == theirs
