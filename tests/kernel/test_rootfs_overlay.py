"""The overlay that a snapshotter describes, mounted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.overlays import Store
from support.tars import directory, hardlink, member, symlink

pytestmark = pytest.mark.needs("root")


def test_whiteouts_hide_what_is_below(store: Store) -> None:
    one = store.add(
        directory("d") + member("d/a", b"1") + member("d/b", b"2") + directory("o") + member("o/a") + member("f")
    )
    two = store.add(
        directory("d")
        + member("d/.wh.a")
        + directory("o")
        + member("o/.wh..wh..opq")
        + member("o/new")
        + member(".wh.f")
    )
    three = store.add(member(".wh.o") + directory("o", 0o711) + member("o/last") + member("d/a", b"3"))
    assert sorted(store.tree(store.snapshotter.mounts((one, two), ""))) == ["", "d", "d/b", "o", "o/new"]
    whole = store.tree(store.snapshotter.mounts((one, two, three), ""))
    assert sorted(whole) == ["", "d", "d/a", "d/b", "o", "o/last"]


def test_directories_keep_their_attributes_with_a_fix_up(store: Store) -> None:
    base = store.add(directory("tmp", 0o1777, uid=5, mtime=9) + directory("home", 0o711))
    upper = store.add(member("tmp/a", b"x") + member("home/u/b", b"y"))
    without = store.tree(store.snapshotter.mounts((base, upper), "x"[:0]))
    assert without["tmp"]["mode"] == "0o40755"
    with_it = store.tree(store.snapshotter.mounts(store.fix_up((base, upper)), ""))
    assert (with_it["tmp"]["mode"], with_it["tmp"]["owner"], with_it["tmp"]["mtime"]) == (
        "0o41777",
        (5, 0),
        9_000_000_000,
    )
    assert with_it["home"]["mode"] == "0o40711" and with_it["home/u"]["mode"] == "0o40755"
    assert {"tmp/a", "home/u/b"} < set(with_it)


def test_hard_links_into_a_layer_below(store: Store) -> None:
    base = store.add(directory("usr") + directory("usr/bin", 0o711) + member("usr/bin/perl", b"perl", mode=0o755))
    replaced = store.add(directory("usr") + directory("usr/bin", 0o711) + member("usr/bin/perl", b"newer", mode=0o755))
    linked = store.add(hardlink("usr/bin/perl5", "usr/bin/perl") + symlink("p", "usr/bin/perl5"))
    deleted = store.add(member("usr/bin/.wh.perl"))
    for stack, expected in (
        ((base, linked), b"perl"),
        ((base, replaced, linked), b"newer"),
        ((base, linked, deleted), b"perl"),
    ):
        fixed = store.fix_up(stack)
        seen = store.shell(store.snapshotter.mounts(fixed, ""), "cat p; stat -c %a usr/bin")
        assert seen == expected.decode() + "711\n"
        store.snapshotter.remove(fixed[-1])


def test_changes_go_to_the_container(store: Store) -> None:
    layer = store.add(directory("d") + member("d/a", b"1") + member("gone", b"2"))
    store.snapshotter.make_upper("c1", 0, 0)
    mount = store.snapshotter.mounts((layer,), "c1")
    store.shell(mount, "echo more >> d/a; rm gone; mkdir new; chmod 700 new")
    assert store.shell(mount, "cat d/a; ls -1") == "1more\nd\nnew\n"
    assert Path(store.snapshotter.path(layer), "d/a").read_bytes() == b"1"
    assert Path(store.snapshotter.path(layer), "gone").exists()
    store.snapshotter.remove_upper("c1")
    assert os.listdir(store.containers / "c1") == []


def test_the_upper_belongs_to_the_container_s_root(store: Store) -> None:
    store.snapshotter.make_upper("c1", 1_700_000_000, 1_700_000_001)
    for name in ("upper", "work"):
        status = os.stat(store.containers / "c1" / name)
        assert (status.st_uid, status.st_gid) == (1_700_000_000, 1_700_000_001)


def test_a_layer_may_be_in_an_image_twice(store: Store) -> None:
    one = store.add(member("a", b"1") + member("b", b"1"))
    two = store.add(member("a", b"2") + member(".wh.b"))
    assert store.shell(store.snapshotter.mounts((one, two, one), ""), "cat a b") == "11"


def test_an_image_without_layers(store: Store) -> None:
    store.snapshotter.make_upper("c1", 0, 0)
    assert store.shell(store.snapshotter.mounts((), "c1"), "touch new; ls -a") == ".\n..\nnew\n"


def test_as_many_layers_as_docker_allows(store: Store) -> None:
    diff_ids = tuple(store.add(member(f"file{number}", b"x") + member("last", b"%d" % number)) for number in range(127))
    mount = store.snapshotter.mounts(diff_ids, "")
    assert store.shell(mount, "cat last; ls | wc -l") == "126128\n"


def test_a_setuid_file_is_out_of_reach_of_other_users(store: Store) -> None:
    layer = store.add(member("su", b"#!", mode=0o4755))
    path = f"{store.snapshotter.path(layer)}/su"
    script = f"import os,sys; os.setresuid(60124,60124,60124); sys.exit(os.access({path!r}, os.F_OK))"
    assert subprocess.run(["python3", "-c", script], check=False).returncode == 0
