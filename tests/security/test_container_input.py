"""What an image or a request says about users, groups, volumes, variables, labels and annotations."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from wherry.container import cdi, lookup, merge, parse_file, spec, users, volumes
from wherry.container.facts import Facts, Identity
from wherry.container.options import ContainerOptions
from wherry.container.record import ContainerRecord, MountPoint
from wherry.errors import Corrupt, InvalidArgument
from wherry.oci.image import ImageConfig, parse

PASSWD = b"root:x:0:0:root:/root:/bin/sh\n1000:x:0:0:named like a number:/root:/bin/sh\napp:x:7:7::/:/bin/sh\n"
GROUP = b"root:x:0:\n44:x:0:app\nvideo:x:44:app\n"


@pytest.mark.parametrize(
    "user",
    [
        "4294967296", "4294967295", "2147483648", "-1", "0:4294967296", "app:-1", "18446744073709551616",
        "4294967296:0",
        "+4294967296", "0000000000004294967296",
    ],
)  # fmt: skip
def test_cve_2024_40635_an_id_out_of_range_is_an_error_and_not_root(user: str) -> None:
    with pytest.raises(InvalidArgument, match="must be in range 0-2147483647"):
        users.resolve(user, (), PASSWD, GROUP)


def test_cve_2024_40635_nor_in_the_image_s_own_files() -> None:
    passwd = (
        b"big:x:4294967296:4294967296::/:/bin/sh\nneg:x:-1:0::/:/bin/sh\nempty:x:::::\nword:x:root:root::/:/bin/sh\n"
    )
    for name in ("big", "neg", "empty", "word"):
        with pytest.raises(InvalidArgument, match=f"unable to find user {name}"):
            users.resolve(name, (), passwd, b"")
    with pytest.raises(InvalidArgument, match="Unable to find group big"):
        users.resolve("", ("big",), b"", b"big:x:4294967296:\n")


def test_cve_2022_36109_cve_2023_25173_the_primary_group_is_a_supplementary_one() -> None:
    """Else a program could drop out of a group that is denied access: chgrp deny; chmod 705."""
    for user, primary in (("1000:1000", 1000), ("app", 7), ("app:video", 44), ("", 0), ("7", 7)):
        identity = users.resolve(user, (), PASSWD, GROUP)
        assert identity.gid == primary
        assert identity.groups[0] == primary
        record = ContainerRecord("a" * 64, "n", 1, options=ContainerOptions(), path="true")
        built = spec.build(record, Facts(identity=identity))
        assert primary in built["process"]["user"]["additionalGids"]


def test_cve_2023_25173_groups_of_the_image_and_group_add_are_there() -> None:
    assert users.resolve("app", ("99",), PASSWD, GROUP).groups == (7, 0, 44, 99)


def test_cve_2026_46680_a_number_is_an_id_and_never_a_name() -> None:
    identity = users.resolve("1000", (), PASSWD, GROUP)
    assert (identity.uid, identity.gid) == (1000, 0)
    assert users.resolve("app:44", ("44",), PASSWD, GROUP) == Identity(7, 44, (44,), "/")


def layer(tmp_path: Path) -> Path:
    root = tmp_path / "layer"
    (root / "etc").mkdir(parents=True)
    return root


def test_cve_2026_47262_a_huge_group_file_is_not_read_whole(tmp_path: Path) -> None:
    root = layer(tmp_path)
    with open(root / "etc" / "group", "wb") as group:
        group.truncate(1 << 30)
    began = time.monotonic()
    with pytest.raises(Corrupt, match="/group of the image is larger than"):
        lookup.read((str(root),), "/etc/group", users.MAX_FILE)
    assert time.monotonic() - began < 2


def test_cve_2026_47262_nor_are_members_without_end() -> None:
    many = b"".join(b"g%d:x:%d:app\n" % (number, number) for number in range(users.MAX_GROUPS + 2))
    with pytest.raises(InvalidArgument, match="groups"):
        users.resolve("app", (), PASSWD, many)
    began = time.monotonic()
    users.resolve("app", (), PASSWD, b"\n" * users.MAX_FILE)
    users.resolve("app", (), PASSWD, b"x:x:1:" + b"a," * (users.MAX_FILE // 2 - 10))
    assert time.monotonic() - began < 20


def test_cve_2024_9676_a_fifo_for_passwd_does_not_block(tmp_path: Path) -> None:
    root = layer(tmp_path)
    os.mkfifo(root / "etc" / "passwd")
    os.mkfifo(tmp_path / "host-fifo")
    (root / "etc" / "group").symlink_to(tmp_path / "host-fifo")
    found: list[bytes | None] = []
    names = ("/etc/passwd", "/etc/group")
    thread = threading.Thread(
        target=lambda: found.extend(lookup.read((str(root),), name, users.MAX_FILE) for name in names), daemon=True
    )
    thread.start()
    thread.join(10)
    assert found == [None, None]


def test_cve_2024_9676_links_do_not_leave_the_image(tmp_path: Path) -> None:
    root = layer(tmp_path)
    (tmp_path / "secret").write_text("root:x:0:0:host:/root:/bin/sh\n")
    (root / "etc" / "passwd").symlink_to("../../secret")
    (root / "etc" / "group").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to("loop/loop")
    for name in ("/etc/passwd", "/etc/group", "/loop", "/etc/../../secret"):
        assert lookup.read((str(root),), name, users.MAX_FILE) is None


@pytest.mark.parametrize(
    ("path", "inside"),
    [("/../../etc", "/etc"), ("../../../etc/ssh", "/etc/ssh"), ("/data/../../../root", "/root"), ("//x//y/.", "/x/y")],
)
def test_cve_2022_23648_an_image_volume_stays_in_the_image(path: str, inside: str) -> None:
    options = merge.merge(ContainerOptions(cmd=("x",)), ImageConfig(volumes=(path,)))
    (point,) = volumes.plan(options)
    assert (point.destination, point.type, point.source) == (inside, "volume", "")
    assert "/" not in point.name


@pytest.mark.parametrize("path", ["/", "/..", "", "/a/..", "/a\0b", "/" + "x" * 5000])
def test_cve_2022_23648_paths_that_are_no_place(path: str) -> None:
    options = merge.merge(ContainerOptions(cmd=("x",)), ImageConfig(volumes=(path,)))
    with pytest.raises(InvalidArgument):
        volumes.plan(options)


@pytest.mark.parametrize("path", ["/proc", "/proc/", "/x/../proc", "/proc/self/attr", "/proc/sys", "//proc/1"])
def test_cve_2019_16884_a_volume_does_not_cover_proc(path: str) -> None:
    image = merge.merge(ContainerOptions(cmd=("x",)), ImageConfig(volumes=(path,)))
    with pytest.raises(InvalidArgument, match="inside /proc"):
        volumes.plan(image)
    for asked in (
        ContainerOptions(cmd=("x",), volumes=(path,)),
        ContainerOptions(cmd=("x",), binds=(f"/etc:{path}",)),
        ContainerOptions(cmd=("x",), tmpfs=((path, ""),)),
    ):
        with pytest.raises(InvalidArgument, match="inside /proc"):
            volumes.plan(asked)
    inherited = (MountPoint("volume", os.path.normpath("/" + path.lstrip("/")), "/v", name="v"),)
    with pytest.raises(InvalidArgument, match="inside /proc"):
        volumes.plan(ContainerOptions(), ((inherited, "rw"),))


def test_cve_2019_16884_the_host_s_own_proc_may_be_bound() -> None:
    assert volumes.plan(ContainerOptions(binds=("/proc:/proc",)))[0].source == "/proc"
    assert volumes.plan(ContainerOptions(binds=("/lxcfs/uptime:/proc/uptime",)))


def test_cve_2026_57231_a_bare_name_in_the_image_s_env_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET", "stolen")
    hostile = ("AWS_SECRET", "A*", "*", "=x", "", "OK=1", "NUL=\0", "PATH")
    document = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    document["config"] = {"Env": [entry for entry in hostile if "\0" not in entry], "Cmd": ["x"]}
    configs = [ImageConfig(env=hostile, cmd=("x",))]
    try:
        configs.append(parse(json.dumps(document).encode()))
    except Corrupt:
        pass  # refusing the whole image is as good
    for image in configs:
        options = merge.merge(ContainerOptions(), image)
        env = merge.process_env(options, hostname="h", home="/")
        assert not [entry for entry in env if "AWS" in entry or entry.startswith(("A*", "*", "=")) or "=" not in entry]
        assert options.env == ("OK=1", merge.DEFAULT_PATH)


def test_cve_2026_57231_only_the_command_line_names_variables_of_the_caller() -> None:
    assert parse_file.environment([], ("SEEN",), {"SEEN": "1", "UNSEEN": "2"}) == ("SEEN=1",)
    assert parse_file.environment([], ("*",), {"SEEN": "1"}) == ("*",)


HOSTILE = (
    ("cdi.k8s.io/gpu", "nvidia.com/gpu=all"),
    ("org.wherry.init", "true"),
    ("io.podman.annotations.privileged", "TRUE"),
    ("run.oci.hooks", "/bin/sh"),
    ("$(touch /tmp/x)", "`id`"),
)


def plain_spec(options: ContainerOptions, image: ImageConfig) -> dict[str, object]:
    merged = merge.merge(options, image)
    record = ContainerRecord("a" * 64, "n", 1, options=merged, path="x", id_base=0x70000000)
    return dict(spec.build(record, Facts()))


def test_cve_2026_53488_labels_of_an_image_change_nothing_that_runs() -> None:
    image = ImageConfig(cmd=("x",))
    assert plain_spec(ContainerOptions(), image.replace(labels=HOSTILE)) == plain_spec(ContainerOptions(), image)


def test_cve_2026_53492_annotations_ask_for_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_registry(*_arguments: object) -> None:
        raise AssertionError("CDI specs were read")

    monkeypatch.setattr(cdi.Registry, "__init__", no_registry)
    image = ImageConfig(cmd=("x",), raw=json.dumps({"annotations": dict(HOSTILE)}))
    built = plain_spec(ContainerOptions(annotations=HOSTILE[:1]), image)
    assert built.pop("annotations") == dict(HOSTILE[:1])
    assert built == plain_spec(ContainerOptions(), image)
