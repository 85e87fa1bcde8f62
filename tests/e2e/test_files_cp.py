"""`wherry cp`: both ways, as root and rootless, of containers that run and that do not."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import tars
from support.command import Wherry, wait_for


@pytest.fixture
def yard(box: Wherry) -> Iterator[Path]:
    """A directory of the caller's own with a tree in it."""
    place = box.directory / f"yard-{os.urandom(4).hex()}"
    tree = place / "tree"
    (tree / "sub/empty").mkdir(parents=True)
    (tree / "file").write_text("content\n")
    (tree / "twin").hardlink_to(tree / "file")
    (tree / "sub/program").write_bytes(os.urandom(300_000))
    (tree / "sub/program").chmod(0o755)
    (tree / "sub/ümlaut and space").write_text("x")
    (tree / "link").symlink_to("file")
    (tree / "dangling").symlink_to("/nowhere")
    os.mkfifo(tree / "fifo")
    (tree / "sub/empty").chmod(0o700)
    (place / "single").write_text("single\n")
    for path in (place, *sorted(place.rglob("*"), reverse=True)):
        if box.user:
            os.chown(path, box.user.uid, box.user.gid, follow_symlinks=False)
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    yield place
    shutil.rmtree(place)


@contextlib.contextmanager
def container(box: Wherry, state: str, *options: str, script: str = "sleep 1000") -> Iterator[str]:
    """A container that runs, was only created, is paused, or has ended."""
    name = f"{state}-{os.urandom(4).hex()}"
    command = ["create"] if state == "created" else ["run", "-d"]
    command += ["--name", name, "--network", "none", *options, "busybox", "sh", "-c", f"{script}"]
    box.ok(*command)
    try:
        if state == "ended":
            box.ok("wait", name)
        if state == "paused":
            box.ok("pause", name)
        yield name
    finally:
        box("unpause", name)
        box("rm", "-f", "-v", name)


def listing(raw: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {one.name: (one.type, one.mode, one.uid, one.gid, one.linkname) for one in tar}


@pytest.mark.parametrize("state", ["running", "created", "ended"])
def test_a_tree_goes_in_and_comes_out_the_same(box: Wherry, yard: Path, state: str) -> None:
    script = "true" if state == "ended" else "sleep 1000"
    with container(box, state, script=script) as name:
        box.ok("cp", yard / "tree", f"{name}:/tree")
        found = listing(box("cp", f"{name}:/tree", "-").raw)
        assert {fields[2:4] for fields in found.values()} == {(0, 0)}
        assert found["tree/twin"][0] == tarfile.LNKTYPE or found["tree/file"][0] == tarfile.LNKTYPE
        box.ok("cp", f"{name}:/tree", yard / "back")
        assert tars.tree(yard / "back") == tars.tree(yard / "tree")
        mine = (yard / "tree").stat()
        assert (yard / "back").stat().st_uid == mine.st_uid and (yard / "back").stat().st_mtime == 1_700_000_000
        if state == "running":
            assert box.ok("exec", name, "cat", "/tree/link") == "content\n"


def test_where_a_copy_goes(box: Wherry, yard: Path) -> None:
    """docker-cp(1): what a slash, a dot and what is there already mean; seen the same with Docker 20.10."""
    missing = "Could not find the file"
    with container(box, "running", script="mkdir /d /d/sub; echo old > /f; ln -s /d /ld; ln -s f /lf; sleep 1000") as c:
        wait_for(lambda: box("cp", f"{c}:/lf", "-").code == 0)
        single, tree = yard / "single", f"{yard}/tree"
        for source, target, result in (
            (single, "/new", "/new"), (single, "/d", "/d/single"), (single, "/d/", "/d/single"), (single, "/f", "/f"),
            (single, "/ld", "/d/single"), (single, "/ld/x", "/d/x"), (single, "/lf", "/f"), (single, "new2", "/new2"),
            (tree, "/t1", "/t1/file"), (tree, "/t1", "/t1/tree/file"), (f"{tree}/.", "/t1/tree", "/t1/tree/file"),
            (f"{tree}/.", "/t2", "/t2/file"), (f"{tree}/.", "/t3/", "/t3/file"), (tree, "/d/..", "/tree/file"),
        ):  # fmt: skip
            box.ok("exec", c, "sh", "-c", f"rm -f {result}; case {result} in /f) echo old > /f; esac")
            box.ok("cp", source, f"{c}:{target}")
            assert box.ok("exec", c, "cat", result) in ("single\n", "content\n"), (source, target)
        for source, target, words in (
            (single, "/nodir/", "no such directory"), (single, "/no/x", f"{missing} /no in container {c}"),
            (tree, "/f", "cannot copy directory"), (yard / "nosuch", "/", f"lstat {yard}/nosuch: no such file or "
             "directory"), (single, "/f/", "no such directory"),
            (single, "/proc/x", "/proc lies in a file system of the kernel"),
        ):  # fmt: skip
            result = box("cp", source, f"{c}:{target}")
            assert (result.code, result.err.splitlines()[0]) == (1, f"wherry: {words}")
        assert box.ok("exec", c, "cat", "/f") == "single\n"


def test_where_a_copy_comes_out(box: Wherry, yard: Path) -> None:
    missing = "Could not find the file"
    script = "mkdir -p /d/sub; echo x > /d/f; ln -s /d /ld; ln -s d/f /lf; sleep 1000"
    with container(box, "running", script=script) as c:
        wait_for(lambda: box("cp", f"{c}:/lf", "-").code == 0)
        (yard / "there").mkdir()
        if box.user:
            os.chown(yard / "there", box.user.uid, box.user.gid)
        for options, source, target, result in (
            ([], "/d/f", "", "f"), ([], "/d/f", "x1", "x1"), ([], "/d", "x2", "x2/f"), ([], "/d", "there", "there/d/f"),
            ([], "/d/.", "there", "there/f"), ([], "/d/.", "x3", "x3/f"), ([], "/ld/", "x4", "x4/f"),
            (["-L"], "/ld", "x5", "x5/f"), (["-L"], "/ld", "there", "there/ld/f"), (["-L"], "/lf", "", "lf"),
            ([], "d/../d/f", "x6", "x6"), (["-a"], "/d/f", "x7", "x7"),
        ):  # fmt: skip
            box.ok("cp", *options, f"{c}:{source}", yard / target)
            assert (yard / result).read_text() == "x\n", (source, target)
        box.ok("cp", f"{c}:/ld", yard / "copied-link")
        assert os.readlink(yard / "copied-link") == "/d"
        (yard / "f").unlink()
        (yard / "f").mkdir()
        for source, target, words in (
            ("/d", "single", "cannot copy directory"), ("/d/f", "no/x", f"invalid output path: stat {yard}/no: no "
             "such file or directory"), ("/nosuch", "", f"{missing} /nosuch in container {c}"),
            ("/d/f/", "", f"{c}:/d/f/: not a directory"), ("/proc/version", "", f"{missing} /proc/version in container "
             f"{c}"), ("/d/f", "", f'cannot overwrite directory "{yard}/f" with non-directory "{yard}"'),
            ("/d/f", "nodir/", "no such directory"),
        ):  # fmt: skip
            result = box("cp", f"{c}:{source}", f"{yard}/{target}")
            assert (result.code, result.err.splitlines()[0]) == (1, f"wherry: {words}")
        assert box("cp", f"{c}:/d/f", "/dev/null").err.endswith("must be a directory or a regular file: got a device\n")
        names = list(listing(box("cp", f"{c}:/", "-").raw))
        assert "/etc/passwd" in names and "/dev" in names and "/dev/null" not in names and "/proc/version" not in names


def test_archives_on_standard_input_and_output(box: Wherry) -> None:
    data = tars.directory("a", 0o750, uid=3, gid=4) + tars.member("a/f", b"x", uid=1000, gid=50, mode=0o4711)
    with container(box, "running") as name:
        box.ok("exec", name, "mkdir", "/in")
        box.ok("cp", "-", f"{name}:/in", input=data + tars.END)
        assert box.ok("exec", name, "stat", "-c", "%a %u %g", "/in/a", "/in/a/f") == "750 3 4\n4711 1000 50\n"
        found = listing(box("cp", f"{name}:/in/a/.", "-").raw)
        assert found["./f"] == (b"0", 0o4711, 1000, 50, "") and list(found) == [".", "./f"]
        for target, content, words in (
            ("/etc/passwd", data, f'destination "{name}:/etc/passwd" must be a directory'),
            ("/nosuch", data, f'destination "{name}:/nosuch" must be a directory'),
            ("/in", b"junk", "archive is cut short: unexpected end of the tar stream"),
            ("/in", tars.member("a"), 'cannot overwrite directory "/in/a" with non-directory "/in"'),
            ("/in/a", tars.directory("f"), 'cannot overwrite non-directory "/in/a/f" with directory "/in/a"'),
            ("/in", tars.header("a/f", size=5000) + b"cut", "archive is cut short: unexpected end of the tar stream"),
        ):  # fmt: skip
            result = box("cp", "-", f"{name}:{target}", input=content)
            assert (result.code, result.err) == (1, f"wherry: {words}\n")
        assert box.ok("exec", name, "sh", "-c", "cat /in/a/f; ls -A /in/a") == "xf\n"  # the old one is still there


def test_owners(box: Wherry, yard: Path) -> None:
    """Copies belong to the container's root, or with -a to the same ids."""
    if os.geteuid() == 0 and box.user is None:
        os.chown(yard / "single", 1000, 1001)
        (yard / "single").chmod(0o4755)
    with container(box, "running") as name:
        box.ok("cp", yard / "single", f"{name}:/plain")
        assert box.ok("exec", name, "stat", "-c", "%a %u %g", "/plain") in ("755 0 0\n", "644 0 0\n")
        if box.user is None:
            box.ok("cp", "-a", yard / "single", f"{name}:/archive")
            assert box.ok("exec", name, "stat", "-c", "%a %u %g", "/archive") == "4755 1000 1001\n"
            box.ok("cp", "-a", f"{name}:/archive", yard / "back")
            status = (yard / "back").stat()
            assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o4755, 1000, 1001)


def test_volumes_binds_and_read_only_places(box: Wherry, yard: Path) -> None:
    options = ["-v", "files:/vol", "-v", f"{yard}/tree:/bound", "-v", f"{yard}/tree:/fixed:ro", "--tmpfs", "/tmp"]
    for state in ("running", "created"):
        with container(box, state, "--read-only", *options) as name:
            box.ok("cp", yard / "single", f"{name}:/vol/{state}")
            box.ok("cp", yard / "single", f"{name}:/bound/{state}")
            assert (yard / "tree" / state).read_text() == "single\n"
            assert (yard / "tree" / state).stat().st_uid == (yard / "tree").stat().st_uid
            assert f"vol/{state}" in listing(box("cp", f"{name}:/vol", "-").raw)
            for target, words in (("/x", "container rootfs is marked read-only"), ("/etc/x", "container rootfs"),
                                  ("/fixed/x", "mounted volume is marked read-only")):  # fmt: skip
                result = box("cp", yard / "single", f"{name}:{target}")
                assert result.code == 1 and words in result.err
            if state == "running":
                box.ok("cp", yard / "single", f"{name}:/tmp/x")
                busy = box("cp", yard / "single", f"{name}:/etc/hosts")
                assert busy.code == 1
    box("volume", "rm", "files")


def test_a_container_with_an_init(box: Wherry, yard: Path) -> None:
    with container(box, "running", "--init") as name:
        box.ok("cp", yard / "single", f"{name}:/new")
        box.ok("cp", f"{name}:/new", yard / "back")
        assert (yard / "back").read_text() == "single\n"


def test_a_paused_container(box: Wherry, yard: Path) -> None:
    with container(box, "running") as name:
        if box("pause", name).code:
            return  # this user has no freezer
        box.ok("cp", yard / "single", f"{name}:/new")
        box.ok("cp", f"{name}:/new", yard / "back")
        assert (yard / "back").read_text() == "single\n"


def test_a_full_disk_leaves_nothing_half_made(box: Wherry, yard: Path) -> None:
    (yard / "big").write_bytes(bytes(3 << 20))
    with container(box, "running", "--tmpfs", "/small:size=1m") as name:
        box.ok("cp", yard / "single", f"{name}:/small/big")
        result = box("cp", yard / "big", f"{name}:/small/big")
        assert (result.code, result.err) == (1, "wherry: no space left on device while writing '/big'\n")
        assert box.ok("exec", name, "ls", "-A", "/small") == "big\n"
        assert box.ok("exec", name, "cat", "/small/big") == "single\n"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_copy_leaves_no_half_file(box: Wherry, how: signal.Signals) -> None:
    with container(box, "running") as name:
        read, write = os.pipe()
        process = box.popen("cp", "-", f"{name}:/tmp", stdin=read, start_new_session=True)
        os.close(read)
        os.write(write, tars.member("whole") + tars.header("half", size=1 << 20) + bytes(100_000))
        wait_for(lambda: "whole" in box.ok("exec", name, "ls", "-A", "/tmp"))
        process.send_signal(how)
        os.close(write)
        assert process.wait(30) in (-how, 128 + how)
        process.communicate()
        assert box.ok("exec", name, "ls", "-A", "/tmp") == "whole\n"


def test_memory_stays_flat(as_root: Wherry) -> None:
    """300 MB out of a container and into it, in processes that may not have as much memory."""
    box = as_root
    with container(box, "running") as name:
        box.ok("exec", name, "sh", "-c", "dd if=/dev/zero of=/tmp/big bs=1M count=300 2>/dev/null; mkdir /tmp/in")
        script = f"ulimit -v 280000; {' '.join(box.argv('cp', f'{name}:/tmp/big', '-'))}"
        script += f" | {' '.join(box.argv('cp', '-', f'{name}:/tmp/in'))}"
        subprocess.run(["sh", "-c", script], env=box.environment(), check=True)
        assert box.ok("exec", name, "sh", "-c", "cmp /tmp/big /tmp/in/big && echo same") == "same\n"


def test_what_is_printed(box: Wherry, yard: Path) -> None:
    with container(box, "created") as name:
        assert box("cp", yard / "single", f"{name}:/x").err == ""
        result = box("cp", "-q=false", yard / "single", f"{name}:/x")
        assert (result.code, result.out, result.err) == (0, "", f"Successfully copied 2.05kB to {name}:/x\n")
        result = box("cp", "-q=false", f"{name}:/x", yard / "y")
        assert result.err == f"Successfully copied 2.05kB to {yard}/y\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a:/x", "b:/y"], "copying between containers is not supported"),
        (["x", "y"], "must specify at least one container source"),
        (["./a:x", "/b:y"], "must specify at least one container source"),
        (["", "c:/"], "source can not be empty"),
        (["x", ""], "destination can not be empty"),
        (["nosuch:/x", "."], "No such container: nosuch"),
        (["-", "-"], "must specify at least one container source"),
        (["nosuch:", "."], "bad parameter: path cannot be empty"),
    ],
)
def test_wrong_arguments(as_root: Wherry, arguments: list[str], words: str) -> None:
    result = as_root("cp", *arguments)
    assert (result.code, result.out, result.err) == (1, "", f"wherry: {words}\n")
