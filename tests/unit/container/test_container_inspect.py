"""Docker's container JSON."""

from __future__ import annotations

from wherry import fastjson
from wherry.container.inspect import Places, inspect, rfc3339
from wherry.container.options import ContainerOptions, MountOption, Ulimit
from wherry.container.record import ContainerRecord, MountPoint
from wherry.container.state import State

RECORD = ContainerRecord(
    "ab" * 32, "steady_hopper", 1_700_000_000_120_000_000, image_id="sha256:" + "0" * 64, path="sh",
    args=("-c", "x"),
    options=ContainerOptions(
        image="busybox", cmd=("sh", "-c", "x"), env=("A=1",), memory=64 << 20, labels=(("l", "v"),),
        network_mode="none", ulimits=(Ulimit("core", 0, -1),),
        mounts=(MountOption("bind", "/d", "/s", read_only=True),),
        volumes=("/v",), exposed_ports=("80/tcp",), tmpfs=(("/run", "size=1m"),),
    ),
    mounts=(
        MountPoint("bind", "/d", "/s", rw=False, propagation="rprivate"),
        MountPoint("volume", "/v", "/var/lib/wherry/volumes/x/_data", name="x"),
        MountPoint("tmpfs", "/run"),
    ),
    id_base=0x70000000,
)  # fmt: skip


def test_top_level_fields() -> None:
    shown = inspect(RECORD, State("exited", exit_code=3, started_at=1, finished_at=2), Places(log="/l", hosts="/h"))
    assert fastjson.loads(fastjson.dumps(shown)) == shown
    for field in (
        "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver "
        "Platform MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings"
    ).split():
        assert field in shown
    assert shown["Created"] == "2023-11-14T22:13:20.12Z"
    assert shown["Name"] == "/steady_hopper"
    assert (shown["Path"], shown["Args"]) == ("sh", ["-c", "x"])
    assert shown["State"]["Status"] == "exited"
    assert shown["State"]["ExitCode"] == 3
    assert shown["Wherry"]["UserNamespace"] is True


def test_config_and_host_config() -> None:
    shown = inspect(RECORD, State(), Places())
    config, host = shown["Config"], shown["HostConfig"]
    assert config["Hostname"] == "ab" * 6
    assert config["Cmd"] == ["sh", "-c", "x"]
    assert config["Entrypoint"] is None
    assert config["Volumes"] == {"/v": {}}
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert config["Labels"] == {"l": "v"}
    assert host["NetworkMode"] == "none"
    assert (host["Memory"], host["MemorySwap"], host["ShmSize"]) == (64 << 20, 128 << 20, 64 << 20)
    assert host["Mounts"] == [{"Type": "bind", "Source": "/s", "Target": "/d", "ReadOnly": True}]
    assert host["Tmpfs"] == {"/run": "size=1m"}
    assert host["Ulimits"] == [{"Name": "core", "Hard": -1, "Soft": 0}]
    assert "/proc/kcore" in host["MaskedPaths"]


def test_mounts() -> None:
    bind, volume = inspect(RECORD, State(), Places())["Mounts"]
    assert bind == {
        "Type": "bind", "Source": "/s", "Destination": "/d", "Mode": "", "RW": False, "Propagation": "rprivate",
    }  # fmt: skip
    assert (volume["Name"], volume["Driver"]) == ("x", "local")


def test_a_fallback_is_said() -> None:
    record = RECORD.replace(id_base=0, userns_fallback="/d: its file system has no id-mapped mounts")
    shown = inspect(record, State(), Places())
    assert shown["HostConfig"]["UsernsMode"] == "host"
    assert "/d" in shown["Wherry"]["UserNamespaceFallback"]


def test_privileged_has_no_masks() -> None:
    shown = inspect(RECORD.replace(options=RECORD.options.replace(privileged=True)), State(), Places())
    assert shown["HostConfig"]["MaskedPaths"] is None


def test_times() -> None:
    assert rfc3339(0) == "0001-01-01T00:00:00Z"
    assert rfc3339(1_000_000_000) == "1970-01-01T00:00:01Z"
    assert rfc3339(1_000_000_001) == "1970-01-01T00:00:01.000000001Z"
