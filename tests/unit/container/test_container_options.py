"""Options and records: what is written is what is read."""

from __future__ import annotations

import pytest

from wherry.container.options import ContainerOptions, DeviceMapping, DeviceRequest, MountOption, Ulimit
from wherry.container.record import ContainerRecord, MountPoint, new_id

FULL = ContainerOptions(
    image="busybox:1.36",
    name="steady_hopper",
    env=("A=1", "B"),
    cmd=("sh", "-c", "true"),
    entrypoint=("",),
    labels=(("a", "b"), ("c", "")),
    mounts=(MountOption("bind", "/data", "/srv", read_only=True, tmpfs_mode=None),),
    tmpfs=(("/run", "size=1m"),),
    devices=(DeviceMapping("/dev/null", "/dev/nought"),),
    device_requests=(DeviceRequest(count=-1, capabilities=(("gpu", "utility"),)),),
    ulimits=(Ulimit("nofile", 10, 20),),
    memory=6 << 20,
    memory_swappiness=0,
    pids_limit=0,
    masked_paths=(),
)


def test_a_record_survives_json() -> None:
    record = ContainerRecord(
        new_id(), "steady_hopper", 1_700_000_000_123_456_789, options=FULL, path="sh", args=("-c", "true"),
        mounts=(MountPoint("bind", "/data", "/srv", rw=False, options=("rbind",), labels=(("x", "y"),)),),
        id_base=0x70000000,
    )  # fmt: skip
    again = ContainerRecord.from_json(record.to_json())
    assert again == record
    assert again.options.entrypoint == ("",)
    assert again.options.memory_swappiness == 0
    assert again.options.masked_paths == ()


def test_only_what_was_asked_is_written() -> None:
    record = ContainerRecord("a" * 64, "n", 1, options=ContainerOptions(memory=7 << 20))
    assert record.to_json() == f'{{"id":"{"a" * 64}","name":"n","created":1,"options":{{"memory":7340032}},"schema":1}}'


def test_fields_of_a_newer_version_are_left_out() -> None:
    text = '{"id":"x","name":"n","created":1,"later":[1],"options":{"cmd":["a"],"later":2},"mounts":[]}'
    assert ContainerRecord.from_json(text).options == ContainerOptions(cmd=("a",))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"name":"n"}'])
def test_other_documents_are_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        ContainerRecord.from_json(text)


def test_ids_are_hexadecimal_and_never_a_number() -> None:
    for _ in range(200):
        identity = new_id()
        assert len(identity) == 64
        int(identity, 16)
        assert not identity[:12].isdecimal()
