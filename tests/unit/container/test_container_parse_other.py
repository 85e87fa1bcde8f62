"""--device, --gpus, --env-file, --label-file."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.container import parse_device, parse_file
from wherry.container.options import DeviceMapping, DeviceRequest
from wherry.errors import InvalidArgument


def test_device() -> None:
    assert parse_device.device("/dev/null") == (DeviceMapping("/dev/null", "/dev/null"),)
    assert parse_device.device("/dev/null:r") == (DeviceMapping("/dev/null", "/dev/null", "r"),)
    assert parse_device.device("/dev/null:/dev/x:rw") == (DeviceMapping("/dev/null", "/dev/x", "rw"),)


def test_device_with_a_star(tmp_path: Path) -> None:
    for name in ("video1", "video0", "audio"):
        (tmp_path / name).touch()
    found = parse_device.device(f"{tmp_path}/video*:r")
    assert [device.path_on_host for device in found] == [f"{tmp_path}/video0", f"{tmp_path}/video1"]
    with pytest.raises(InvalidArgument, match="can't have dst"):
        parse_device.device("/dev/video*:/dev/x")


@pytest.mark.parametrize(
    "text", ["", ":", "dev/null", "/dev/null:dev/x", "/dev/null:/dev/x:rwx", "/a:/b:r:w", "/a:/b:rr"]
)
def test_device_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_device.device(text)


def test_cdi_names() -> None:
    assert parse_device.is_cdi("vendor.com/class=name")
    assert not parse_device.is_cdi("/dev/null:/dev/a=b")
    assert parse_device.cdi_request(("v/c=n",)) == DeviceRequest("cdi", device_ids=("v/c=n",))


def test_cgroup_rule() -> None:
    assert parse_device.cgroup_rule("c 13:* rwm") == "c 13:* rwm"
    for text in ("c 13:*", "x 1:1 r", "c 1 r", "c 1:1 q", "c 1:1  r", "c 1:1 rwmr", "c -1:1 r"):
        with pytest.raises(InvalidArgument, match="invalid device cgroup format"):
            parse_device.cgroup_rule(text)


def test_gpus() -> None:
    gpu = (("gpu",),)
    assert parse_device.gpus("all") == DeviceRequest(count=-1, capabilities=gpu)
    assert parse_device.gpus("2") == DeviceRequest(count=2, capabilities=gpu)
    assert parse_device.gpus('"device=0,2"') == DeviceRequest(device_ids=("0", "2"), capabilities=gpu)
    assert parse_device.gpus("driver=nvidia,count=all,capabilities=utility") == DeviceRequest(
        "nvidia", -1, capabilities=(("utility", "gpu"),)
    )
    assert parse_device.gpus("driver=nvidia").count == 1
    for text in ("some", "count=x", "a=b", "count=1,count=2", "all,count=2", '"device=0,1",count=2'):
        with pytest.raises(InvalidArgument):
            parse_device.gpus(text)


def test_environment() -> None:
    files = [("f", b"\xef\xbb\xbfA=1\n# no\n\n  B = x\n".replace(b"B = x", b"B= x ") + b"C\nD\n")]
    environ = {"C": "from outside", "E": "e"}
    entries = parse_file.environment(files, ("E", "F", "G=", "H=a=b"), environ)
    assert entries == ("A=1", "B= x ", "C=from outside", "E=e", "F", "G=", "H=a=b")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"=x", "no variable name on line '=x'"),
        (b"a b=x", "variable 'a b' contains whitespaces"),
        (b"A=1\n\xff=1", "invalid utf8 bytes at line 2"),
        (b"A=\0", "NUL"),
        (b"A=" + b"x" * 70_000, "longer than"),
    ],
)
def test_environment_refused(content: bytes, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        parse_file.environment([("vars", content)], (), {})


def test_labels() -> None:
    assert parse_file.labels([("f", b"a=1\nb\n")], ("a=2", "c")) == (("a", "2"), ("b", ""), ("c", ""))
    with pytest.raises(InvalidArgument, match="empty name"):
        parse_file.labels([], ("=x",))


def test_seccomp_profile_is_compacted() -> None:
    assert parse_file.compact_profile(b'{ "a" : 1 }\n', "p") == '{"a":1}'
    for content in (b"{", b"[]", b"\xff"):
        with pytest.raises(InvalidArgument, match="seccomp profile"):
            parse_file.compact_profile(content, "p")
