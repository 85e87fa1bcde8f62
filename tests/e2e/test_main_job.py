"""The main job, whole: a reference in a registry becomes an isolated process, with limits, in one command."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import pytest

from support.command import Wherry
from support.images import Built
from support.registry import Registry

FACTS = """
import os, sys, json, socket
def read(path):
    try:
        return open(path).read().strip()
    except OSError:
        return None
print(json.dumps({
    "version": sys.version_info[:2],
    "memory": read("/sys/fs/cgroup/memory/memory.limit_in_bytes") or read("/sys/fs/cgroup/memory.max"),
    "quota": read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or read("/sys/fs/cgroup/cpu.max").split()[0],
    "shm": os.statvfs("/dev/shm").f_frsize * os.statvfs("/dev/shm").f_blocks,
    "ids": read("/proc/self/uid_map").split(),
    "data": read("/app/data.txt"),
}))
"""


@pytest.mark.needs("root")
def test_pull_and_run_with_limits(wherry: Wherry, registry: Registry, python_image: Built) -> None:
    name = f"{registry.host}/team/python-{uuid.uuid4().hex[:8]}:1"
    registry.push(python_image, name.partition("/")[2])
    result = wherry("run", "--rm", "-m", "256m", "--cpus", ".5", name, "python3", "-c", FACTS)
    assert result.code == 0, str(result)
    facts = json.loads(result.out)
    assert facts["memory"] == str(256 << 20)
    assert facts["quota"] == "50000"
    assert facts["shm"] == 256 << 20
    assert facts["ids"][2] == "65536"
    assert facts["data"] == "42"
    assert f"Unable to find image '{name}' locally" in result.err
    assert result.err.count("Pull complete") == 3
    assert f"Status: Downloaded newer image for {name}" in result.err
    again = wherry("run", "--rm", "--network", "none", name, "python3", "/app/hello.py")
    assert again.out.startswith("hello from 3.")
    assert again.err == ""


def test_pull_and_run_rootless(wherry_as: object, rootless: object, registry: Registry, python_image: Built) -> None:
    box: Wherry = wherry_as(rootless)  # type: ignore[operator]
    name = f"{registry.host}/user/python-{uuid.uuid4().hex[:8]}:1"
    registry.push(python_image, name.partition("/")[2])
    assert box.ok("run", "--rm", "--init", name, "python3", "/app/hello.py").startswith("hello")
    assert box.ok("images", "--format", "{{.Repository}}:{{.Tag}}") == name + "\n"


def test_a_user_with_a_single_id(wherry_as: object, rootless_single: object, busybox: Built, scratch: Path) -> None:
    box: Wherry = wherry_as(rootless_single)  # type: ignore[operator]
    archive = busybox.docker_archive(scratch / "busybox.tar", "busybox")
    archive.chmod(0o644)
    box.load(archive)
    assert box.ok("run", "--rm", "busybox", "sh", "-c", "id -u; echo x > /etc/new; cat /etc/new").split() == ["0", "x"]
    result = box("run", "--rm", "-u", "1000", "busybox", "true")
    assert result.code == 125
    assert "user 1000 does not exist in the container" in result.err


@pytest.mark.needs("root", "runc")
def test_the_same_bundle_by_runc(as_root: Wherry) -> None:
    command = ("-m", "64m", "-e", "A=b", "-h", "ship", "busybox", "sh", "-c", PROBE)
    assert as_root.ok("run", "--rm", "--runtime", "runc", *command) == as_root.ok("run", "--rm", *command)
    result = as_root("run", "--rm", "--runtime", "runc", "busybox", "nothere")
    assert result.code == 127
    assert as_root("run", "--rm", "--runtime", "runc", "busybox", "sh", "-c", "exit 9").code == 9
    assert as_root("run", "--rm", "--runtime", "nothere", "busybox", "true").code == 125


PROBE = (
    "id; env | sort; hostname; grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/self/uid_map;"
    " cat /sys/fs/cgroup/memory/memory.limit_in_bytes; cat /etc/hosts; ls /dev | grep -v core; stat -c %a /tmp;"
    " ulimit -n"
)


@pytest.mark.needs("root")
def test_devices_by_cdi(as_root: Wherry) -> None:
    """A CDI spec gives what --device vendor/class=name and --gpus ask for; a made-up vendor stands for the GPU's."""
    spec = {
        "cdiVersion": "0.6.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": "all", "containerEdits": {"env": ["GPU=all"]}},
                    {"name": "0", "containerEdits": {"env": ["GPU=0"],
                                                     "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/zero",
                                                                      "type": "c", "major": 1, "minor": 5}]}}],
        "containerEdits": {"mounts": [{"hostPath": "/etc/os-release", "containerPath": "/driver",
                                       "options": ["ro", "bind"]}]},
    }  # fmt: skip
    directory = Path("/var/run/cdi")
    existed = directory.exists()
    directory.mkdir(exist_ok=True)
    path = directory / f"wherry-test-{uuid.uuid4().hex[:8]}.json"
    path.write_text(json.dumps(spec))
    try:
        script = "echo $GPU; test -s /driver && echo driver; head -c 2 /dev/gpu0 | wc -c"
        out = as_root.ok("run", "--rm", "--device", "nvidia.com/gpu=0", "busybox", "sh", "-c", script)
        assert out.split() == ["0", "driver", "2"]
        assert as_root.ok("run", "--rm", "--gpus", "all", "busybox", "sh", "-c", "echo $GPU") == "all\n"
        result = as_root("run", "--rm", "--device", "nvidia.com/gpu=7", "busybox", "true")
        assert result.code == 125
        assert "nvidia.com/gpu=7" in result.err
    finally:
        path.unlink()
        if not existed:
            shutil.rmtree(directory)
