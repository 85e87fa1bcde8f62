"""Whole specs for a dozen sets of options: ``specs/NAME.json``.

``WHERRY_UPDATE_GOLDEN=1`` writes them anew; the difference is then for a person to read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from wherry.container import check, merge, spec, users, volumes
from wherry.container.facts import DeviceNode, Facts
from wherry.container.options import ContainerOptions, DeviceMapping, DeviceRate, MountOption, Ulimit
from wherry.container.record import ContainerRecord
from wherry.linux.ids import IdMap
from wherry.oci.image import ImageConfig

SPECS = Path(__file__).parent / "specs"
ID = "0123456789abcdef" * 4
BASE = 0x70000000
IMAGE = ImageConfig(
    env=("PATH=/usr/bin:/bin", "LANG=C.UTF-8"),
    entrypoint=("/entry.sh",),
    cmd=("serve",),
    user="app:data",
    working_dir="/srv",
    volumes=("/srv/state", "/../../etc/keys"),
    labels=(("maintainer", "nobody"),),
)
BARE = ImageConfig(cmd=("sh",))
PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"
GROUP = b"root:x:0:\ndata:x:50:app\nvideo:x:44:app\n"
ETC = {"etc_hosts": "/c/hosts", "etc_hostname": "/c/hostname", "etc_resolv_conf": "/c/resolv.conf"}
ROOTLESS = {
    "rootless": True,
    "idmapped_binds": False,
    "makes_devices": False,
    "uid_map": (IdMap(0, 1000, 1), IdMap(1, 100000, 65536)),
    "gid_map": (IdMap(0, 1000, 1), IdMap(1, 100000, 65536)),
}

CASES: dict[str, tuple[ImageConfig, dict[str, Any], dict[str, Any], int]] = {
    "plain": (BARE, {"network_mode": "none"}, ETC, BASE),
    "image": (IMAGE, {}, ETC, BASE),
    "limits": (
        BARE,
        {
            "memory": 256 << 20, "memory_reservation": 128 << 20, "nano_cpus": 500_000_000, "cpu_shares": 512,
            "cpuset_cpus": "0", "pids_limit": 100, "blkio_weight": 300,
            "blkio_device_write_bps": (DeviceRate("/dev/sda", 1 << 20),), "oom_score_adj": 500,
            "ulimits": (Ulimit("nofile", 1024, 2048), Ulimit("memlock", -1, -1)),
        },
        {**ETC, "block_devices": (("/dev/sda", 8, 0),)},
        BASE,
    ),
    "terminal": (
        BARE,
        {
            "tty": True, "open_stdin": True, "hostname": "box", "domainname": "example", "env": ("A=1", "LANG"),
            "init": True,
        },
        ETC,
        BASE,
    ),
    "mounts": (
        IMAGE,
        {
            "binds": ("/data:/data:ro", "/share:/share:rshared", "cache:/cache"),
            "mounts": (
                MountOption("bind", "/one", "/src/one", bind_non_recursive=True, bind_propagation="private"),
                MountOption("bind", "/two", "/src/two", read_only=True, bind_read_only_non_recursive=True),
                MountOption("tmpfs", "/scratch", tmpfs_size_bytes=1 << 20, tmpfs_mode=0o1770),
            ),
            "tmpfs": (("/run", "size=64m,exec"),),
            "readonly_rootfs": True,
        },
        ETC,
        BASE,
    ),
    "userns-host": (BARE, {"userns_mode": "host", "binds": ("/data:/data",)}, ETC, 0),
    "privileged": (
        BARE,
        {"privileged": True},
        {**ETC, "devices": (DeviceNode("/dev/kvm", "c", 10, 232, 0o660, 0, 108),), "seccomp": {"defaultAction": "x"}},
        0,
    ),
    "capabilities": (
        BARE,
        {
            "cap_add": ("SYS_PTRACE", "net_admin"), "cap_drop": ("MKNOD", "CAP_AUDIT_WRITE"), "user": "1000:50",
            "group_add": ("video", "99"), "security_opt": ("no-new-privileges", "label=disable"),
        },
        {**ETC, "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}},
        BASE,
    ),
    "drop-all": (
        BARE,
        {"cap_drop": ("ALL",), "security_opt": ("seccomp=unconfined", "systempaths=unconfined")},
        ETC,
        BASE,
    ),
    "devices": (
        BARE,
        {
            "devices": (DeviceMapping("/dev/null", "/dev/nought", "rw"),), "device_cgroup_rules": ("c 13:* rwm",),
            "sysctls": (("net.core.somaxconn", "1024"), ("kernel.shmmax", "1000000")),
        },
        {**ETC, "devices": (DeviceNode("/dev/nought", "c", 1, 3, 0o666, access="rw", host_path="/dev/null"),)},
        BASE,
    ),
    "host-everything": (
        BARE,
        {
            "network_mode": "host", "pid_mode": "host", "ipc_mode": "host", "uts_mode": "host", "cgroupns_mode": "host",
        },
        {**ETC, "hostname": "outside"},
        BASE,
    ),
    "joined": (
        BARE,
        {"network_mode": "container:a", "ipc_mode": "container:a", "pid_mode": "container:a"},
        {
            **ETC,
            "namespace_paths": (
                ("network", "/proc/7/ns/net"), ("ipc", "/proc/7/ns/ipc"), ("pid", "/proc/7/ns/pid"),
                ("user", "/proc/7/ns/user"),
            ),
            "uid_map": (IdMap(0, BASE, 65536),), "gid_map": (IdMap(0, BASE, 65536),), "shm_source": "/run/a/shm",
        },
        0,
    ),
    "rootless": (BARE, {"network_mode": "host", "binds": ("/data:/data",)}, {**ETC, **ROOTLESS}, 0),
    "rootless-one-id": (
        BARE,
        {"network_mode": "none"},
        {**ETC, **ROOTLESS, "uid_map": (IdMap(0, 1000, 1),), "gid_map": (IdMap(0, 1000, 1),)},
        0,
    ),
}  # fmt: skip


def made(name: str) -> dict[str, Any]:
    """The spec of one case, through every step that the engine takes."""
    image, asked, facts, id_base = CASES[name]
    options = merge.merge(ContainerOptions(**asked), image)
    check.check(options, cpus=4, cpuset="0-3", mems="0")
    path, *args = merge.command(options)
    points = tuple(
        point.replace(source=f"/volumes/{point.name if not point.anonymous else 'anonymous'}/_data")
        if point.type == "volume"
        else point
        for point in volumes.plan(options)
    )
    record = ContainerRecord(
        ID, "golden", 1, options=options, path=path, args=tuple(args), mounts=points, id_base=id_base
    )
    record = ContainerRecord.from_json(record.to_json())
    identity = users.resolve(options.user, options.group_add, PASSWD, GROUP)
    return dict(spec.build(record, Facts(identity=identity, **facts)))


@pytest.mark.parametrize("name", CASES)
def test_spec(name: str) -> None:
    text = json.dumps(made(name), indent=1) + "\n"
    path = SPECS / f"{name}.json"
    if os.environ.get("WHERRY_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def test_no_file_without_a_case() -> None:
    assert {path.stem for path in SPECS.glob("*.json")} == set(CASES)
