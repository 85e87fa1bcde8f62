"""What the made-up daemon of record_docker_client.py tells about volumes, disks, containers' use and itself, and the
commands whose output is recorded."""

from __future__ import annotations

from typing import Any


def digest(character: str) -> str:
    return "sha256:" + character * 64


VOLUMES: list[dict[str, Any]] = [
    {
        "CreatedAt": "2023-11-14T22:13:20Z",
        "Driver": "local",
        "Labels": {"com.docker.volume.anonymous": ""},
        "Mountpoint": "/var/lib/docker/volumes/" + "f" * 64 + "/_data",
        "Name": "f" * 64,
        "Options": None,
        "Scope": "local",
    },
    {
        "CreatedAt": "2023-11-14T22:13:20Z",
        "Driver": "local",
        "Labels": {"tier": "front", "a.b-c": "d"},
        "Mountpoint": "/var/lib/docker/volumes/data/_data",
        "Name": "data",
        "Options": {"device": "tmpfs", "o": "size=1m", "type": "tmpfs"},
        "Scope": "local",
    },
]
_USED = [
    {**VOLUMES[0], "UsageData": {"RefCount": 1, "Size": 1234567}},
    {**VOLUMES[1], "UsageData": {"RefCount": 0, "Size": 2000}},
]
DISK_USAGE: dict[str, Any] = {
    "LayersSize": 193245611,
    "Images": [
        {
            "Containers": 1, "Created": 1700000000, "Id": digest("1"), "Labels": None, "ParentId": "",
            "RepoDigests": ["nginx@" + digest("3")], "RepoTags": ["nginx:latest"], "SharedSize": 80000000,
            "Size": 187654321,
        },
        {
            "Containers": 0, "Created": 1500000000, "Id": digest("2"), "Labels": None, "ParentId": "",
            "RepoDigests": [], "RepoTags": ["other:1", "another:2"], "SharedSize": 80000000, "Size": 85591300,
        },
        {
            "Containers": 0, "Created": 1500000000, "Id": digest("5"), "Labels": None, "ParentId": "",
            "RepoDigests": [], "RepoTags": [], "SharedSize": 0, "Size": 1000,
        },
    ],
    "Containers": [
        {
            "Id": "a" * 64, "Names": ["/web"], "Image": "nginx:latest", "ImageID": digest("1"),
            "Command": "nginx -g 'daemon off;'", "Created": 1700000000, "Ports": [], "SizeRw": 12345,
            "SizeRootFs": 187666666, "Labels": {}, "State": "running", "Status": "Up 2 hours",
            "HostConfig": {"NetworkMode": "none"}, "NetworkSettings": {"Networks": {"none": {}}},
            "Mounts": [{"Type": "volume", "Name": "f" * 64, "Source": "", "Destination": "/d", "Driver": "local"}],
        },
        {
            "Id": "b" * 64, "Names": ["/quick"], "Image": "nginx:latest", "ImageID": digest("1"), "Command": "sh",
            "Created": 1500000000, "Ports": [], "SizeRw": 700, "SizeRootFs": 187655021, "Labels": {},
            "State": "exited", "Status": "Exited (0) 3 days ago", "HostConfig": {"NetworkMode": "none"},
            "NetworkSettings": {"Networks": {"none": {}}}, "Mounts": [],
        },
    ],
    "Volumes": _USED,
    "BuildCache": [],
}  # fmt: skip
_MEMORY = {"inactive_file": 5_000_000, "total_inactive_file": 6_000_000}
SAMPLE: dict[str, Any] = {
    "read": "2023-11-14T22:13:21.5Z",
    "preread": "2023-11-14T22:13:20.5Z",
    "pids_stats": {"current": 7, "limit": 100},
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 8, "minor": 0, "op": "read", "value": 1234567},
            {"major": 8, "minor": 0, "op": "write", "value": 89},
            {"major": 8, "minor": 16, "op": "Read", "value": 1000},
        ]
    },
    "num_procs": 0,
    "storage_stats": {},
    "cpu_stats": {
        "cpu_usage": {"total_usage": 3_100_000_000, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "system_cpu_usage": 40_000_000_000,
        "online_cpus": 4,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    },
    "precpu_stats": {
        "cpu_usage": {"total_usage": 3_000_000_000, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "system_cpu_usage": 36_000_000_000,
        "online_cpus": 4,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    },
    "memory_stats": {"usage": 123_456_789, "stats": _MEMORY, "limit": 2_000_000_000},
    "networks": {
        "eth0": {"rx_bytes": 5338, "rx_packets": 36, "rx_errors": 0, "rx_dropped": 0, "tx_bytes": 648,
                 "tx_packets": 8, "tx_errors": 0, "tx_dropped": 0},
        "eth1": {"rx_bytes": 1_000_000, "rx_packets": 36, "rx_errors": 0, "rx_dropped": 0, "tx_bytes": 2,
                 "tx_packets": 8, "tx_errors": 0, "tx_dropped": 0},
    },
    "name": "/web",
    "id": "a" * 64,
}  # fmt: skip
SAMPLES = {
    "a" * 64: SAMPLE,
    "web": SAMPLE,
    "idle": SAMPLE
    | {"name": "/idle", "id": "c" * 64, "precpu_stats": SAMPLE["cpu_stats"], "networks": {}, "memory_stats": {}}
    | {"blkio_stats": {"io_service_bytes_recursive": None}, "pids_stats": {"current": 1}},
}
PRUNED = {
    "/containers/prune": {"ContainersDeleted": ["a" * 64, "b" * 64], "SpaceReclaimed": 12345},
    "/volumes/prune": {"VolumesDeleted": ["data", "other"], "SpaceReclaimed": 1000},
    "/networks/prune": {"NetworksDeleted": ["net1"]},
    "/images/prune": {
        "ImagesDeleted": [{"Untagged": "nginx:latest"}, {"Deleted": digest("1")}],
        "SpaceReclaimed": 187654321,
    },
    "/build/prune": {"CachesDeleted": None, "SpaceReclaimed": 0},
}
ANSWERS: dict[str, Any] = {
    "/volumes": {"Volumes": VOLUMES, "Warnings": None},
    "/volumes/data": VOLUMES[1],
    "/system/df": DISK_USAGE,
    **PRUNED,
    **{f"/containers/{name}/stats": sample for name, sample in SAMPLES.items()},
}


def _port(private: int, public: int = 0, address: str = "", protocol: str = "tcp") -> dict[str, Any]:
    known = {"IP": address, "PrivatePort": private, "PublicPort": public, "Type": protocol}
    return {name: value for name, value in known.items() if value}


_ANY = "0.0.0.0"
PORTS: list[list[dict[str, Any]]] = [
    [],
    [_port(80)],
    [_port(80), _port(443), _port(81), _port(82, protocol="udp")],
    [_port(80, 8080, _ANY), _port(80, 8080, "::")],
    [_port(80, 80, _ANY), _port(80, 80, "::")],
    [_port(80, 80, _ANY), _port(81, 81, _ANY), _port(82, 82, _ANY), _port(90)],
    [_port(8000, 9000, _ANY), _port(8001, 9001, _ANY), _port(8002, 9002, _ANY)],
    [_port(53, 53, "127.0.0.1", "udp"), _port(53, 53, "127.0.0.1"), _port(100), _port(101), _port(103)],
    [_port(80, 80, _ANY), _port(82, 82, _ANY), _port(83, 83, _ANY)],
    [_port(80, 80, "::1"), _port(81, 81, "::1")],
    [_port(80, 80, _ANY), _port(80, 8080, "127.0.0.1"), _port(80, 81, _ANY)],
]
"""What containers publish and expose: `ps -a` of the made-up daemon shows a container for each."""


def _each(words: str, *several: str) -> list[list[str]]:
    return [[*words.split(), *(more.split("~") if more else [])] for more in several]


RUNS = [
    *_each(
        "volume ls", "", "-q", "--format~json", "--format~table", "--format~raw",
        '--format~{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Labels}} {{.Label "tier"}} {{.Links}} {{.Size}}',
        '--format~table {{.Name}}\\t{{.Label "a.b-c"}}\\t{{.Mountpoint}}\\t{{.Size}}\\t{{.Links}}\\t{{.Status}}',
        "--format~{{.Availability}}|{{.Group}}|{{.Status}}",
    ),
    *_each(
        "volume inspect", "data", "-f~json~data", "-f~{{.Mountpoint}} {{.Options}} {{.Labels}}~data",
        '-f~{{index .Labels "a.b-c"}}~data', "-f~{{.Nope}}~data",
    ),
    *_each(
        "system df", "", "-v", "--format~json", "--format~{{.Type}}: {{.TotalCount}} {{.Active}} {{.Size}}",
        "--format~table {{.Type}}\\t{{.Reclaimable}}", "-v~--format~json", "--format~{{json .}}",
        "-v~--format~{{range .Images}}{{.Repository}} {{.UniqueSize}} {{.SharedSize}}|{{end}}{{json .Volumes}}",
        "-v~--format~{{.Images}}",
    ),
    *_each(
        "stats --no-stream", "web", "web~idle", "--no-trunc~web~idle", "--format~json~web~idle",
        "--format~{{.Container}} {{.ID}} {{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}} "
        "{{.PIDs}}~web",
        "--format~table {{.Container}}\\t{{.PIDs}}~web", "nothere",
    ),
    *_each("container prune", "", "-f", "--filter~until=24h~--filter~label=a=b", "-f~--filter~label=a"),
    *_each("volume prune", "", "-f", "-a", "-af", "--filter~label=a", "-a~--filter~all=1"),
    *_each("image prune", "", "-f", "-a", "-af", "--filter~until=24h"),
    *_each("network prune", "", "-f", "--filter~until=24h"),
    *_each(
        "system prune", "", "-f", "-a", "--volumes", "-a~--volumes~--filter~label=x~--filter~label!=y", "-af",
        "-f~--volumes", "--volumes~--filter~until=24h",
    ),
]  # fmt: skip
