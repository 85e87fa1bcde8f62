"""--volume, --mount, --tmpfs."""

from __future__ import annotations

import pytest

from wherry.container import parse_mount
from wherry.container.options import MountOption
from wherry.errors import InvalidArgument


def test_volume() -> None:
    assert parse_mount.volume("/data") == MountOption("volume", "/data")
    assert parse_mount.volume("name:/data:ro") == MountOption("volume", "/data", "name", read_only=True)
    assert parse_mount.volume("name:/data:nocopy").volume_no_copy
    bind = parse_mount.volume("/srv/../srv/x/:/data//y/:ro,z,rslave")
    assert bind == MountOption(
        "bind", "/data/y", "/srv/x", read_only=True, bind_propagation="rslave", bind_create_mountpoint=True,
        selinux_relabel="z",
    )  # fmt: skip
    assert parse_mount.volume("name:/data", driver="local").volume_driver == "local"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid empty volume spec"),
        (":/data", "invalid spec: :/data: empty section between colons"),
        ("/a:", "empty section between colons"),
        ("/a:/b:ro:x", "invalid volume specification"),
        ("/a:rw", "invalid volume specification: '/a:rw'"),
        ("/a:b", "mount path must be absolute"),
        ("/a:/b:nope", "invalid mode: nope"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/b:ro,ro", "invalid mode: ro,ro"),
        ("/a:/b:shared,slave", "invalid mode"),
        ("/a:/", "destination can't be '/'"),
        ("/a:/b/..", "destination can't be '/'"),
        ("../x:/b", "invalid characters for a local volume name"),
        ("x:/b", "too short"),
        ("name:/b:shared", "propagation is for binds"),
        ("/a:/b:nocopy", "field VolumeOptions must not be specified"),
    ],
)
def test_volume_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        parse_mount.volume(text)


def test_relative_sources() -> None:
    assert parse_mount.absolute_source("./x:/y:ro", "/home/me") == "/home/me/x:/y:ro"
    assert parse_mount.absolute_source(".:/y", "/home/me") == "/home/me:/y"
    assert parse_mount.absolute_source("../x:/y", "/home/me") == "/home/x:/y"
    assert parse_mount.absolute_source("name:/y", "/home/me") == "name:/y"
    assert parse_mount.absolute_source("/data", "/home/me") == "/data"


def test_mount() -> None:
    assert parse_mount.mount("target=/x") == MountOption("volume", "/x")
    assert parse_mount.mount("type=bind,src=./d,dst=/x,readonly", "/home") == MountOption(
        "bind", "/x", "/home/d", read_only=True
    )
    assert parse_mount.mount("type=bind,source=/a,target=/b,bind-create-src").bind_create_mountpoint
    assert parse_mount.mount("type=bind,source=/a,target=/b,bind-recursive=disabled").bind_non_recursive
    assert parse_mount.mount(
        "type=bind,src=/a,dst=/b,ro,bind-propagation=rprivate,bind-recursive=readonly"
    ).bind_read_only_force_recursive
    assert parse_mount.mount("type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=1770") == MountOption(
        "tmpfs", "/t", tmpfs_size_bytes=2 << 20, tmpfs_mode=0o1770
    )
    volume = parse_mount.mount('src=v1,dst=/v,volume-nocopy,volume-label=a=b,"volume-opt=o=addr=1,rw",volume-subpath=s')
    assert volume == MountOption(
        "volume", "/v", "v1", volume_no_copy=True, volume_labels=(("a", "b"),),
        volume_driver_options=(("o", "addr=1,rw"),), volume_subpath="s",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "EOF"),
        ("type=bind", "target is required"),
        ("type=,target=/x", "type is required"),
        ("type=nfs,target=/x", "mount type unknown"),
        ("type=bind,target=/x", "field Source must not be empty"),
        ("type=bind,source=a,target=/x", "must be absolute"),
        ("type=tmpfs,source=/a,target=/x", "field Source must not be specified"),
        ("type=bind,source=/a,target=/x,volume-nocopy", "cannot mix 'volume-\\*' options with mount type 'bind'"),
        ("type=volume,target=/x,tmpfs-size=1m", "cannot mix 'tmpfs-\\*' options"),
        ("type=volume,target=/x,bind-propagation=shared", "cannot mix 'bind-\\*' options"),
        ("type=bind,source=/a,target=/x,bind-propagation=up", "invalid propagation mode: up"),
        ("type=bind,source=/a,target=/x,readonly=maybe", "invalid value for 'readonly'"),
        ("type=bind,source=/a,target=/x,bind-recursive=readonly", "requires 'readonly'"),
        ("type=bind,source=/a,target=/x,ro,bind-recursive=readonly", "requires 'bind-propagation=rprivate'"),
        ("type=tmpfs,target=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
        ("type=tmpfs,target=/x,tmpfs-size=big", "invalid value for tmpfs-size: big"),
        ("target=/x,readonly", "must not set ReadOnly mode when using anonymous volumes"),
        ("source=v1,target=/x,volume-subpath=../e", "subpath must be a relative path within the volume"),
        ("source=v1,target=/x,colour=red", "unexpected key 'colour' in 'colour=red'"),
        ("source=v1,target= /x", "value should not have whitespace"),
        ('source=v"1,target=/x', "bare"),
        ('"source=v1,target=/x', "missing"),
    ],
)
def test_mount_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        parse_mount.mount(text)


def test_csv() -> None:
    assert parse_mount.csv_fields('a,"b,c","d""e",') == ["a", "b,c", 'd"e', ""]


def test_tmpfs() -> None:
    assert parse_mount.tmpfs("/run:size=64m,exec") == ("/run", "size=64m,exec")
    assert parse_mount.tmpfs("/run/") == ("/run", "")
    with pytest.raises(InvalidArgument, match="absolute"):
        parse_mount.tmpfs("run")
