"""Which mounts a container gets, and in which order sources of them win."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.container import propagation, relabel, volumes
from wherry.container.options import ContainerOptions, MountOption
from wherry.container.record import MountPoint
from wherry.errors import Forbidden, InvalidArgument


def test_nothing_asked() -> None:
    assert volumes.plan(ContainerOptions()) == ()


def test_binds_volumes_and_tmpfs() -> None:
    bind, named, anonymous, tmpfs = volumes.plan(
        ContainerOptions(
            binds=("/srv:/data:ro,shared", "cache:/cache:nocopy"),
            mounts=(MountOption("volume", "/anon"), MountOption("tmpfs", "/t", tmpfs_size_bytes=1 << 20)),
        )
    )
    assert bind == MountPoint(
        "bind", "/data", "/srv", mode="ro,shared", rw=False, propagation="shared", options=("rbind",),
        create_source=True, listed=True,
    )  # fmt: skip
    assert (named.name, named.source, named.populate, named.anonymous) == ("cache", "", False, False)
    assert (len(anonymous.name), anonymous.populate, anonymous.anonymous) == (64, True, True)
    assert "size=1048576" in tmpfs.options


def test_image_volumes_give_way() -> None:
    inherited = (MountPoint("volume", "/a", "/v/a", name="a", populate=True), MountPoint("tmpfs", "/z"))
    points = volumes.plan(
        ContainerOptions(
            volumes=("/a", "/b", "/c", "/d", "/d/"), binds=("/host:/b",), tmpfs=(("/c", "size=1m"),)
        ),
        ((inherited, "ro"),),
    )  # fmt: skip
    found = {point.destination: point for point in points}
    assert sorted(found) == ["/a", "/b", "/c", "/d"]
    assert (found["/a"].source, found["/a"].rw, found["/a"].populate) == ("/v/a", False, False)
    assert found["/b"].type == "bind"
    assert found["/c"].type == "tmpfs"
    assert (found["/d"].type, found["/d"].anonymous, found["/d"].populate) == ("volume", True, True)


def test_binds_win_over_volumes_from_but_not_over_each_other() -> None:
    inherited = (MountPoint("volume", "/a", "/v/a", name="a"),)
    (point,) = volumes.plan(ContainerOptions(binds=("/host:/a",)), ((inherited, "rw"),))
    assert point.source == "/host"
    for second in ({"binds": ("/x:/a", "/y:/a")}, {"binds": ("/x:/a",), "tmpfs": (("/a/", ""),)}):
        with pytest.raises(InvalidArgument, match="Duplicate mount point: /a"):
            volumes.plan(ContainerOptions(**second))  # type: ignore[arg-type]


def test_volumes_from_grammar() -> None:
    assert volumes.volumes_from("c") == ("c", "rw")
    assert volumes.volumes_from("c:ro") == ("c", "ro")
    assert volumes.volumes_from("c:ro,z") == ("c", "ro")
    for text in ("", "c:nocopy", "c:shared", "c:ro,rw", "c:"):
        if text == "c:":
            assert volumes.volumes_from(text) == ("c", "rw")
            continue
        with pytest.raises(InvalidArgument):
            volumes.volumes_from(text)


def test_recursive_read_only() -> None:
    def flags(**fields: object) -> tuple[str, ...]:
        return volumes.from_option(MountOption("bind", "/d", "/s", read_only=True, **fields)).options  # type: ignore[arg-type]

    assert flags() == ("rbind",)
    assert flags(bind_non_recursive=True) == ("bind",)
    assert flags(bind_read_only_non_recursive=True) == ("rbind", "ro")
    assert flags(bind_read_only_force_recursive=True) == ("rbind", "rro")


def test_tmpfs_options() -> None:
    assert volumes.tmpfs_options("") == ("noexec", "nosuid", "nodev", "rprivate")
    assert volumes.tmpfs_options("exec,size=1m,mode=1777,size=2m,ro") == (
        "exec", "nosuid", "nodev", "rprivate", "size=2m", "mode=1777", "ro",
    )  # fmt: skip
    assert volumes.tmpfs_options("defaults,suid") == ("noexec", "suid", "nodev", "rprivate")
    for text in ("size", "colour=red", "size=", "lowerdir=/etc", "exec=1"):
        with pytest.raises(InvalidArgument, match="invalid tmpfs option"):
            volumes.tmpfs_options(text)


def test_sources(tmp_path: Path) -> None:
    missing = tmp_path / "a" / "b"
    volumes.check_sources((MountPoint("bind", "/d", str(missing), create_source=True),))
    assert missing.is_dir()
    volumes.check_sources((MountPoint("bind", "/d", str(missing)), MountPoint("volume", "/v", "/nowhere")))
    with pytest.raises(InvalidArgument, match="bind source path does not exist: /nowhere"):
        volumes.check_sources((MountPoint("bind", "/d", "/nowhere"),))
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match="error while creating mount source path"):
        volumes.check_sources((MountPoint("bind", "/d", f"{tmp_path}/file/x", create_source=True),))


MOUNTINFO = r"""21 1 8:1 / / rw,relatime - ext4 /dev/root rw
22 21 0:5 / /shared rw shared:1 - tmpfs t rw
23 21 0:6 / /slave\040x rw master:1 - tmpfs t rw
"""


def test_propagation() -> None:
    def check(source: str, kind: str) -> None:
        propagation.check((MountPoint("bind", "/d", source, propagation=kind),), MOUNTINFO)

    check("/etc", "rprivate")
    check("/shared/x", "rshared")
    check("/shared", "slave")
    check("/slave x/y", "rslave")
    for source, kind, words in (
        ("/etc", "shared", "path /etc is mounted on / but it is not a shared mount"),
        ("/sharedness", "rslave", "path /sharedness is mounted on / but it is not a shared or slave mount"),
        ("/slave x", "rshared", "is not a shared mount"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            check(source, kind)


def test_relabel_spares_the_system(tmp_path: Path) -> None:
    relabel.relabel((MountPoint("bind", "/d", "/usr", relabel="Z"),), "")
    relabel.relabel((MountPoint("bind", "/d", str(tmp_path)),), "system_u:object_r:container_file_t:s0:c1,c2")
    with pytest.raises(Forbidden, match="SELinux relabeling of /usr is not allowed"):
        relabel.relabel((MountPoint("bind", "/d", "/usr", relabel="Z"),), "system_u:object_r:container_file_t:s0")
