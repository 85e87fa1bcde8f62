"""CDI specs: looked up, checked, carried out on a spec."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from wherry.container import cdi, devices, parse_device
from wherry.container.options import ContainerOptions, DeviceMapping, DeviceRate, DeviceRequest
from wherry.errors import InvalidArgument, NotFound, NotSupported

NVIDIA = {
    "cdiVersion": "0.5.0",
    "kind": "nvidia.com/gpu",
    "devices": [
        {"name": name, "containerEdits": {"deviceNodes": [{"path": f"/dev/nvidia{name}", "hostPath": "/dev/null"}]}}
        for name in ("0", "1")
    ]
    + [{"name": "all", "containerEdits": {"deviceNodes": [{"path": "/dev/nv", "hostPath": "/dev/zero"}]}}],
    "containerEdits": {
        "env": ["NVIDIA_VISIBLE_DEVICES=void"],
        "mounts": [{"hostPath": "/usr/lib/libcuda.so", "containerPath": "/usr/lib/libcuda.so", "options": ["ro"]}],
        "hooks": [{"hookName": "createContainer", "path": "/usr/bin/nvidia-ctk", "args": ["nvidia-ctk", "hook"]}],
        "additionalGids": [44],
    },
}


def registry(tmp_path: Path, **specs: Any) -> cdi.Registry:
    for name, content in specs.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / f"{name}.{'yaml' if isinstance(content, str) else 'json'}").write_text(text)
    return cdi.Registry((str(tmp_path),))


def empty_spec() -> dict[str, Any]:
    return {
        "process": {"env": ["A=1", "NVIDIA_VISIBLE_DEVICES=all"], "user": {"additionalGids": [0]}},
        "linux": {"resources": {"devices": []}},
        "mounts": [],
    }


def test_gpus(tmp_path: Path) -> None:
    known = registry(tmp_path, nvidia=NVIDIA)
    names = [cdi.device_names(parse_device.gpus(text), known) for text in ("all", "2", '"device=1"', "device=0")]
    assert names == [
        ["nvidia.com/gpu=all"], ["nvidia.com/gpu=0", "nvidia.com/gpu=1"], ["nvidia.com/gpu=1"], ["nvidia.com/gpu=0"],
    ]  # fmt: skip


def test_edits_are_carried_out_once(tmp_path: Path) -> None:
    found = cdi.edits((parse_device.gpus("2"),), registry(tmp_path, nvidia=NVIDIA))
    spec = empty_spec()
    cdi.apply(spec, found)
    assert [device["path"] for device in spec["linux"]["devices"]] == ["/dev/nvidia0", "/dev/nvidia1"]
    assert spec["linux"]["devices"][0]["major"] == 1
    assert spec["linux"]["resources"]["devices"][0]["access"] == "rwm"
    assert spec["process"]["env"] == ["A=1", "NVIDIA_VISIBLE_DEVICES=void"]
    assert spec["process"]["user"]["additionalGids"] == [0, 44]
    assert spec["mounts"] == [
        {
            "destination": "/usr/lib/libcuda.so", "type": "bind", "source": "/usr/lib/libcuda.so",
            "options": ["rbind", "ro"],
        }
    ]  # fmt: skip
    assert spec["hooks"] == {"createContainer": [{"path": "/usr/bin/nvidia-ctk", "args": ["nvidia-ctk", "hook"]}]}


def test_yaml_and_precedence(tmp_path: Path) -> None:
    first, second = tmp_path / "etc", tmp_path / "run"
    first.mkdir()
    second.mkdir()
    text = "cdiVersion: 0.6.0\nkind: v.com/c\ndevices:\n- name: a\n  containerEdits:\n    env: [FROM={}]\n"
    (first / "v.yaml").write_text(text.format("etc"))
    (second / "v.yml").write_text(text.format("run"))
    found = cdi.edits((parse_device.cdi_request(("v.com/c=a",)),), cdi.Registry((str(first), str(second))))
    assert found["env"] == ["FROM=run"]


def test_two_specs_of_one_directory_conflict(tmp_path: Path) -> None:
    one = {"cdiVersion": "0.5.0", "kind": "v.com/c", "devices": [{"name": "a", "containerEdits": {"env": ["A=1"]}}]}
    known = registry(tmp_path, one=one, two=one)
    with pytest.raises(InvalidArgument, match="more than one spec describes"):
        cdi.edits((parse_device.cdi_request(("v.com/c=a",)),), known)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    known = registry(tmp_path)
    with pytest.raises(NotFound, match=r'could not select device driver "" with capabilities: \[\[gpu\]\]') as caught:
        cdi.edits((parse_device.gpus("all"),), known)
    assert "nvidia-ctk" in caught.value.hint
    with pytest.raises(NotFound, match=r"unresolvable CDI devices v.com/c=a"):
        cdi.edits((parse_device.cdi_request(("v.com/c=a",)),), known)
    known = registry(tmp_path, nvidia=NVIDIA)
    with pytest.raises(NotFound, match=r"unresolvable CDI devices nvidia.com/gpu=2"):
        cdi.edits((parse_device.gpus("3"),), known)
    with pytest.raises(NotSupported):
        cdi.edits((parse_device.gpus("options=a=b"),), known)
    with pytest.raises(InvalidArgument, match="invalid CDI device name"):
        cdi.edits((DeviceRequest("cdi", device_ids=("../x",)),), known)


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "no-slash", "devices": []},
        {"kind": "v.com/c"},
        {"kind": "v.com/c", "devices": [{"name": "../x"}]},
        {"kind": "v.com/c", "devices": [{"name": "a", "containerEdits": {"env": ["A"]}}]},
        {"kind": "v.com/c", "devices": [{"name": "a", "containerEdits": {"deviceNodes": [{}]}}]},
        {"kind": "v.com/c", "devices": [{"name": "a", "containerEdits": {"hooks": [{"hookName": "x", "path": "/x"}]}}]},
        {"kind": "v.com/c", "devices": [{"name": "a", "containerEdits": {"mounts": "all"}}]},
        "{unclosed: [",
        "- a list",
    ],
)
def test_a_bad_spec_stops_only_its_own_devices(tmp_path: Path, spec: Any) -> None:
    known = registry(tmp_path, bad=spec, nvidia=NVIDIA)
    assert len(known.problems) == 1
    assert "nvidia.com/gpu=0" in known.devices


def test_devices_of_the_host(tmp_path: Path) -> None:
    (node,) = devices.resolve(ContainerOptions(devices=(DeviceMapping("/dev/null", "/dev/nought", "r"),)))
    assert (node.path, node.type, node.major, node.minor, node.access) == ("/dev/nought", "c", 1, 3, "r")
    assert node.host_path == "/dev/null"
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    assert devices.resolve(ContainerOptions(devices=(DeviceMapping(str(link), "/dev/z"),)))[0].minor == 5
    for path, words in (("/dev/missing", "no such file or directory"), (str(tmp_path), "not a device node")):
        with pytest.raises(InvalidArgument, match=words):
            devices.resolve(ContainerOptions(devices=(DeviceMapping(path, path),)))
    privileged = {node.path for node in devices.resolve(ContainerOptions(privileged=True))}
    assert "/dev/null" in privileged
    assert not any(path.startswith(("/dev/pts", "/dev/shm", "/dev/console")) for path in privileged)


def test_block_devices() -> None:
    for entry in os.scandir("/dev"):
        if stat.S_ISBLK(entry.stat(follow_symlinks=False).st_mode):
            options = ContainerOptions(blkio_device_read_bps=(DeviceRate(entry.path, 1),))
            assert devices.block_numbers(options)[0][0] == entry.path
            break
    for path, words in (("/dev/null", "is not a block device"), ("/dev/missing", "no such file")):
        with pytest.raises(InvalidArgument, match=words):
            devices.block_numbers(ContainerOptions(blkio_weight_device=(DeviceRate(path, 1),)))
