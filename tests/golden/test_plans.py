"""Plans of typical containers, held word for word.  ``WHERRY_UPDATE_GOLDEN=1`` writes them anew."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from wherry.linux import capabilities as caps
from wherry.linux.cgroup import Layout
from wherry.linux.host import Host
from wherry.oci.mount import Mount
from wherry.runtime.plan import plan

PLANS = Path(__file__).parent / "plans"
OVERLAY = Mount("overlay", lower=("/layers/b", "/layers/a"), upper="/c/upper", work="/c/work", idmap=True)


def layout(version: str) -> Layout:
    root = "/sys/fs/cgroup"
    if version == "v2":
        names = ("cpu", "cpuset", "io", "memory", "pids")
        return Layout("v2", dict.fromkeys(names, root), root, frozenset(names), {root: "/user.slice"})
    v1 = {"cpu": f"{root}/cpu,cpuacct", "cpuacct": f"{root}/cpu,cpuacct", "memory": f"{root}/memory"}
    return Layout("hybrid", {**v1, "name=systemd": f"{root}/systemd"}, f"{root}/unified", frozenset(), {})


def host(version: str, *, privileged: bool) -> Host:
    return Host(
        euid=0 if privileged else 1000,
        egid=0 if privileged else 1000,
        kernel=(6, 18),
        machine="x86_64",
        privileged=privileged,
        capabilities=caps.ALL if privileged else 0,
        bounding=caps.ALL,
        interpreter_owner=0,
        apparmor=False,
        selinux=False,
        cgroups=layout(version),
    )


def spec(*without: str, **more: Any) -> dict[str, Any]:
    kinds = [kind for kind in ("mount", "pid", "ipc", "uts", "network", "cgroup") if kind not in without]
    found: dict[str, Any] = {
        "hostname": "boat",
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "options": ["newinstance", "gid=5", "mode=0620"]},
            {"destination": "/sys", "type": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "rprivate"]},
        ],
        "process": {
            "args": ["sh", "-c", "true"],
            "cwd": "/work",
            "env": ["PATH=/bin"],
            "user": {"uid": 1000, "gid": 1000, "additionalGids": [10]},
            "capabilities": {
                "bounding": ["CAP_CHOWN", "CAP_KILL"],
                "effective": ["CAP_CHOWN"],
                "permitted": ["CAP_CHOWN", "CAP_KILL"],
                "inheritable": ["CAP_CHOWN"],
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096}],
            "oomScoreAdj": 100,
        },
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            "cgroupsPath": "/wherry/abc",
            "resources": {"memory": {"limit": 1 << 28}},
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
            "sysctl": {"net.ipv4.ip_forward": "1"} if "network" not in without else {},
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
        },
    }
    linux = more.pop("linux", {})
    process = more.pop("process", {})
    found.update(more)
    found["linux"].update(linux)
    found["process"].update(process)
    return found


def mapped(uid: int, size: int) -> dict[str, Any]:
    one = [{"containerID": 0, "hostID": uid, "size": size}]
    return {"uidMappings": one, "gidMappings": one}


CASES: dict[str, tuple[dict[str, Any], Host, Mount | None]] = {
    "default": (
        spec(linux=mapped(0x70000000, 65536), process={"terminal": True, "consoleSize": {"height": 24, "width": 80}}),
        host("hybrid", privileged=True),
        OVERLAY,
    ),
    "userns-host": (spec(process={"noNewPrivileges": True}), host("v2", privileged=True), OVERLAY.replace(idmap=False)),
    "joined": (
        spec(
            linux={
                **mapped(0x70000000, 65536),
                "namespaces": [
                    {"type": "mount"},
                    {"type": "pid"},
                    {"type": "network", "path": "/run/wherry/netns/abc"},
                    {"type": "ipc", "path": "/proc/42/ns/ipc"},
                ],
                "sysctl": {},
            },
            hostname="",
        ),
        host("v2", privileged=True),
        OVERLAY,
    ),
    "rootless": (
        spec(
            "network",
            linux=mapped(1000, 1),
            process={"user": {"uid": 0, "gid": 0}},
        ),
        host("v2", privileged=False),
        OVERLAY.replace(idmap=False, options=("userxattr",)),
    ),
    "bundle-with-hooks-and-init": (
        spec(
            annotations={"org.wherry.init": "true", "org.wherry.default-rlimits": "RLIMIT_NOFILE"},
            hooks={
                "createRuntime": [{"path": "/hook"}],
                "createContainer": [{"path": "/hook"}],
                "startContainer": [{"path": "/hook"}],
            },
        ),
        host("v2", privileged=True),
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_plan(name: str) -> None:
    document, machine, root = CASES[name]
    before = json.dumps(document)
    operations = plan(document, machine, root, container_id="abc", bundle="/bundle")
    assert json.dumps(document) == before, "plan() changed its argument"
    assert operations == plan(document, machine, root, container_id="abc", bundle="/bundle")
    text = "".join(f"{'outside' if one.outside else 'inside '} {one!r}\n" for one in operations)
    path = PLANS / f"{name}.txt"
    if os.environ.get("WHERRY_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
