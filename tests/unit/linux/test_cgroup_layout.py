"""Which hierarchies a host has, from the texts of /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.errors import InvalidArgument
from wherry.linux import cgroup
from wherry.linux.cgroup.layout import normal_path

V1 = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
35 31 0:32 / /mnt/again rw - cgroup cgroup rw,memory
"""


def unified(tmp_path: Path, controllers: str, root: str = "/") -> str:
    (tmp_path / "cgroup.controllers").write_text(controllers)
    return f"40 31 0:40 {root} {tmp_path} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_v1() -> None:
    layout = cgroup.detect(V1, "3:memory:/user/x\n2:cpu,cpuacct:/\n1:name=systemd:/user.slice\n")
    assert layout.version == "v1"
    assert layout.controllers["cpuacct"] == layout.controllers["cpu"] == "/sys/fs/cgroup/cpu,cpuacct"
    assert layout.controllers["memory"] == "/sys/fs/cgroup/memory"
    assert layout.hierarchies() == ("/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/systemd")
    assert layout.own["/sys/fs/cgroup/memory"] == "/user/x"
    assert (layout.carrier("memory"), layout.carrier("devices"), layout.carrier("pids")) == ("v1", "", "")


def test_v2(tmp_path: Path) -> None:
    layout = cgroup.detect(unified(tmp_path, "cpu memory pids\n"), "0::/user.slice/a b\n")
    assert layout.version == "v2"
    assert layout.unified == str(tmp_path)
    assert layout.own == {str(tmp_path): "/user.slice/a b"}
    assert layout.hierarchies() == ()
    assert [layout.carrier(name) for name in ("memory", "devices", "freezer", "io")] == ["v2", "v2", "v2", ""]


def test_hybrid(tmp_path: Path) -> None:
    layout = cgroup.detect(V1 + unified(tmp_path, "hugetlb\n"), "3:memory:/\n0::/\n")
    assert layout.version == "hybrid"
    assert (layout.carrier("hugetlb"), layout.carrier("memory"), layout.carrier("freezer")) == ("v2", "v1", "v2")


def test_systemd_with_unified_beside_it(tmp_path: Path) -> None:
    """systemd's own named hierarchy alone does not make a v1 host."""
    named = "34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    assert cgroup.detect(named + unified(tmp_path, "memory"), "").version == "v2"


def test_none() -> None:
    layout = cgroup.detect("22 1 8:1 / / rw - ext4 /dev/vda rw\n", "")
    assert (layout.version, layout.hierarchies(), layout.unified) == ("none", (), "")


def test_inside_a_container_without_a_cgroup_namespace(tmp_path: Path) -> None:
    """The mount shows /docker/abc as its top while /proc/self/cgroup counts from the real one."""
    line = unified(tmp_path, "", "/docker/abc")
    assert cgroup.detect(line, "0::/docker/abc/x\n").own[str(tmp_path)] == "/x"
    assert cgroup.detect(line, "0::/docker/abc\n").own[str(tmp_path)] == "/"
    assert cgroup.detect(line, "0::/docker/abcd\n").own == {}
    assert cgroup.detect(unified(tmp_path, ""), "0::/../other\n").own == {}


def test_spaces_in_a_mount_point() -> None:
    line = "40 31 0:40 / /mnt/my\\040groups rw - cgroup cgroup rw,memory\n"
    assert cgroup.detect(line, "").controllers == {"memory": "/mnt/my groups"}


def test_this_host() -> None:
    layout = cgroup.detect()
    assert layout.version in ("v1", "v2", "hybrid", "none")
    assert all(os.path.isdir(directory) for directory in layout.controllers.values())


def test_delegation_is_the_highest_writable_ancestor(tmp_path: Path) -> None:
    layout = cgroup.detect(unified(tmp_path, "memory"), "0::/a/b/c\n")
    for path in ("a/b/c", "a/b", "a", "."):
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
    assert layout.delegated() is None
    for path in ("a/b/c", "a/b"):
        for file in ("cgroup.procs", "cgroup.subtree_control"):
            (tmp_path / path / file).touch()
    assert layout.delegated() == "/a/b"


@pytest.mark.parametrize(
    ("path", "found"),
    [("/wherry/x", "/wherry/x"), ("wherry/x/", "/wherry/x"), ("//a/./b", "/a/b"), ("", "/"), ("a:b", "/a:b")],
)
def test_paths(path: str, found: str) -> None:
    assert normal_path(path) == found


@pytest.mark.parametrize("path", ["/../x", "a/../../b", "a\0b", "a\nb"])
def test_paths_that_could_leave(path: str) -> None:
    with pytest.raises(InvalidArgument):
        normal_path(path)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("foo.slice:wherry:id", "/foo.slice/wherry-id.scope"),
        ("a-b.slice:wherry:id", "/a.slice/a-b.slice/wherry-id.scope"),
        (":wherry:id", "/system.slice/wherry-id.scope"),
        ("-.slice:wherry:id", "/wherry-id.scope"),
        ("foo.slice::id", "/foo.slice/id.scope"),
    ],
)
def test_slices(given: str, found: str) -> None:
    assert normal_path(given) == found


@pytest.mark.parametrize("given", ["foo:wherry:id", "-a.slice:w:i", "a--b.slice:w:i", "a-.slice:w:i"])
def test_bad_slices(given: str) -> None:
    with pytest.raises(InvalidArgument, match="slice"):
        normal_path(given)
