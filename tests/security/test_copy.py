"""Copies in and out of containers: whatever a container or an archive does, nothing outside is read or changed."""

from __future__ import annotations

import ctypes
import gzip
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from support import images, tars
from support.command import Wherry, wait_for
from support.hostile import LINKS, OUT, UP, Yard, ladder
from support.tars import END, Dribble, directory, hardlink, header, member, pax, symlink
from wherry.errors import WherryError
from wherry.layers.extract import Extracted, ExtractOptions, extract
from wherry.layers.pack import Packer
from wherry.layers.source import Source

HOW = [ExtractOptions(owner=(), keep_kinds=True), ExtractOptions(lenient=True)]
LIBC = ctypes.CDLL(None, use_errno=True)
EXCHANGE = 2


@pytest.fixture(params=HOW, ids=["keep-kinds", "replace"])
def unpack(request: pytest.FixtureRequest, base: Path) -> Iterator[Callable[[bytes], Extracted | None]]:
    """``unpack(members)``: extract them next to a directory that must not change; None when they are refused."""
    place = Yard(base)

    def run(data: bytes) -> Extracted | None:
        root = os.open(place.layer, os.O_PATH | os.O_DIRECTORY)
        try:
            with Source(Dribble(data + END)) as source:
                return extract(source, root, b"", request.param)
        except WherryError as error:
            assert "\n" not in str(error) and "\x1b" not in str(error)
            return None
        finally:
            os.close(root)

    yield run
    assert place.look() == place.before
    assert not [path for path in place.layer.rglob(".wherry-*") if not path.is_symlink()]


Unpack = Callable[[bytes], Extracted | None]


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_cve_2018_15664_links_that_an_archive_brings(unpack: Unpack, link: bytes) -> None:
    for entry in (
        member("l/evil", b"evil"), member("l/file", b"evil"), directory("l/directory", 0o777), header("l/pipe", b"6"),
        symlink("l/s", "x"), hardlink("stolen", "l/file"), hardlink("stolen2", "l/directory/inner"),
        member("mine") + hardlink("l/evil", "mine"), member("l", b"evil", mode=0o777),
    ):  # fmt: skip
        unpack(link + entry)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", UP + "tmp/evil", "..", "/../evil", "..//evil"])
def test_names_that_climb_are_refused(unpack: Unpack, name: str) -> None:
    for entry in (member("x", b"evil"), directory("x"), symlink("x", "y"), header("x", b"6")):
        assert unpack(pax({"path": name}) + entry) is None


@pytest.mark.parametrize(
    "target",
    ["../outside/file", UP + "etc/passwd", f"{OUT}/file", "..", "/", "nosuch"],
    ids=str.split("up far absolute dots root missing"),
)
def test_hard_links_to_what_is_not_in_the_tree_are_refused(unpack: Unpack, target: str) -> None:
    assert unpack(pax({"linkpath": target}) + hardlink("stolen", "x")) is None


def test_the_ladder(unpack: Unpack) -> None:
    unpack(ladder(f"../../../../../../..{OUT}") + member("escape/evil", b"evil") + hardlink("flag", "escape/file"))


def test_cve_2021_41089_modes_and_owners_of_files_that_are_there(unpack: Unpack, base: Path) -> None:
    """No entry changes the mode of a file through a link, or of one with another name elsewhere."""
    outside, layer = base / "yard/outside/file", base / "yard/layer"
    os.link(outside, layer / "other-name")
    (layer / "link").symlink_to(outside)
    before = outside.stat()
    unpack(member("other-name", b"evil", mode=0o4777) + member("link", b"evil", mode=0o4777))
    unpack(symlink("l2", str(outside)) + directory("l2", 0o777) + member("l2", b"x", mode=0o777))
    for name in ("other-name", "link"):
        (layer / name).unlink(missing_ok=True)
    after = outside.stat()
    assert outside.read_text() == "secret"
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)


def exchange(parent: Path, one: str, other: str, stop: threading.Event) -> None:
    """Swap two names as fast as the kernel does."""
    fd = os.open(parent, os.O_PATH)
    first, second = os.fsencode(one), os.fsencode(other)
    while not stop.is_set():
        LIBC.renameat2(fd, first, fd, second, EXCHANGE)
    os.close(fd)


@pytest.fixture
def race(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """(root, outside): in the root, ``volume/d`` is a directory at one moment and a link to outside at the next."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for path in (root / "volume/d/sub", outside / "sub"):
        path.mkdir(parents=True)
    (root / "volume/d/sub/file").write_text("inside")
    (outside / "sub/file").write_text("secret")
    (root / "volume/link").symlink_to(outside)
    stop = threading.Event()
    thread = threading.Thread(target=exchange, args=(root / "volume", "d", "link", stop))
    before = tars.tree(outside)
    thread.start()
    yield root, outside
    stop.set()
    thread.join()
    assert tars.tree(outside) == before


ROUNDS = 150


def test_cve_2023_0778_cve_2018_15664_reading_while_names_are_exchanged(race: tuple[Path, Path]) -> None:
    """A volume, or any other directory, that the container changes while it is copied out (podman: CVE-2019-10152)."""
    root = os.open(race[0], os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(ROUNDS):
        out = io.BytesIO()
        packer = Packer(out)
        packer.tree(root, b"all")
        packer.end()
        assert b"secret" not in out.getvalue()
    os.close(root)


@pytest.mark.parametrize("base", [b"volume/d", b"volume", b""])
def test_cve_2019_10152_cve_2026_41568_writing_while_names_are_exchanged(race: tuple[Path, Path], base: bytes) -> None:
    root = os.open(race[0], os.O_PATH | os.O_DIRECTORY)
    inner = {b"volume/d": "", b"volume": "d/", b"": "volume/d/"}[base]
    data = directory(f"{inner}sub", 0o777) + member(f"{inner}sub/file", b"new", mode=0o777) + member(f"{inner}new")
    for _ in range(ROUNDS):
        try:
            with Source(io.BytesIO(data + END)) as source:
                extract(source, root, base, ExtractOptions(owner=(), keep_kinds=True))
        except WherryError:
            pass
    os.close(root)


@pytest.mark.needs("debian", "busybox", "strace")
def test_cve_2019_14271_the_root_of_the_copying_process_stays_the_hosts(anyone: Wherry) -> None:
    """Whatever would be loaded while a copy goes on comes from the host: neither chroot(2) nor setns(2) of mounts."""
    load(anyone)
    anyone.ok("run", "-d", "--name", "target", "--network", "none", "busybox", "sleep", "1000")
    trace = anyone.directory / "trace"
    trace.mkdir(mode=0o777)
    trace.chmod(0o777)
    plain = anyone.prefix
    try:
        anyone.prefix = ("strace", "-f", "-qq", "-o", f"{trace}/calls", "-e", "trace=chroot,pivot_root,setns,execve")
        anyone.ok("cp", "target:/etc/passwd", str(anyone.directory / "passwd"))
        anyone.ok("cp", "/etc/hostname", "target:/new")
    finally:
        anyone.prefix = plain
    calls = (trace / "calls").read_text()
    assert "chroot(" not in calls and "pivot_root(" not in calls and "CLONE_NEWNS" not in calls
    assert "CLONE_NEWUSER" in calls
    anyone.ok("rm", "-f", "target")


def load(wherry: Wherry) -> None:
    archive = images.busybox().docker_archive(wherry.directory / "busybox.tar", "busybox:latest")
    archive.chmod(0o644)
    wherry.load(archive)


@pytest.mark.needs("debian", "busybox")
def test_ghsa_x86f_5xw2_fm2r_no_decompressor_of_the_container_is_run(anyone: Wherry) -> None:
    load(anyone)
    names = "gzip gunzip unpigz pigz xz unxz zstd unzstd bzip2 tar"
    traps = f"for name in {names}; do rm -f /bin/$name; printf '#!/bin/sh\\ntouch /ran\\n' > /usr/local/bin/$name; "
    traps += "cp /usr/local/bin/$name /usr/bin/$name; chmod 755 /usr/bin/$name /usr/local/bin/$name; done; sleep 1000"
    anyone.ok("run", "-d", "--name", "target", "--network", "none", "busybox", "sh", "-c", traps)
    wait_for(lambda: anyone("cp", "target:/usr/bin/tar", "-").code == 0)
    data = member("plain", b"x") + END
    for name, packed in (("gz", gzip.compress(data)), ("zst", zstandard.compress(data)), ("tar", data)):
        anyone.ok("exec", "target", "mkdir", f"/{name}")
        anyone.ok("cp", "-", f"target:/{name}", input=packed)
        assert anyone.ok("exec", "target", "cat", f"/{name}/plain") == "x"
    assert "No such file" in anyone("exec", "target", "ls", "/ran").err
    anyone.ok("rm", "-f", "target")


@pytest.mark.needs("debian", "busybox")
def test_cve_2026_42306_mount_points_behind_links_are_made_in_the_container(anyone: Wherry) -> None:
    """A stopped container's mounts are put together where its own links say, inside its root."""
    load(anyone)
    outside = anyone.directory / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    anyone.ok("run", "--name", "first", "--network", "none", "-v", "vol:/a/b/c", "busybox", "sh", "-c",
              f"echo x > /a/b/c/in-volume; ln -s {outside} /link")  # fmt: skip
    anyone.ok("run", "--name", "target", "--network", "none", "-v", "vol:/link/data", "busybox", "sh", "-c", "true")
    anyone.ok("cp", "first:/link", "-")
    anyone.ok("create", "--name", "linked", "--network", "none", "-v", "vol:/mnt/x/y", "busybox", "true")
    replace = tarfile_of(symlink("mnt", str(outside)))
    anyone("cp", "-", "linked:/", input=replace)
    anyone("cp", "linked:/mnt/x", str(anyone.directory / "out"))
    anyone("cp", "/etc/hostname", f"first:{outside}/evil")
    anyone("cp", "/etc/hostname", "first:/link/evil")
    assert os.listdir(outside) == []
    anyone.ok("rm", "-v", "first", "target", "linked")


def tarfile_of(*members: bytes) -> bytes:
    return b"".join(members) + END


@pytest.mark.needs("debian", "busybox")
def test_links_of_a_container_lead_nowhere_on_the_host(anyone: Wherry) -> None:
    load(anyone)
    secret = anyone.directory / "secret"
    secret.write_text("secret")
    links = f"ln -s {secret} /file; ln -s {anyone.directory} /dir; ln -s /proc/1/root /root-of-1; "
    links += "ln -s /proc/self/cwd /cwd; sleep 1000"
    anyone.ok("run", "-d", "--name", "target", "--network", "none", "busybox", "sh", "-c", links)
    wait_for(lambda: anyone("cp", "target:/cwd", "-").code == 0)
    for options in ([], ["-L"]):
        for path in ("/file", "/dir/secret", "/dir/.", f"/root-of-1{secret}", "/cwd/secret", f"/cwd{secret}"):
            result = anyone("cp", *options, f"target:{path}", "-")
            assert b"secret" not in result.raw.replace(b"/secret", b""), (path, result)
        for path in ("/dir/new", "/dir/", "/file", "/root-of-1/new", "/cwd/new"):
            anyone("cp", "/etc/hostname", f"target:{path}")
    assert secret.read_text() == "secret" and not (anyone.directory / "new").exists()
    assert not (anyone.directory / "hostname").exists()
    anyone.ok("rm", "-f", "target")


@pytest.mark.needs("root", "debian", "busybox")
def test_a_container_gives_the_host_no_rights(wherry: Wherry, tmp_path: Path) -> None:
    """No set-user-id program and no device of a container comes out as one of the host's root."""
    load(wherry)
    wherry.ok("run", "--name", "target", "--privileged", "--network", "none", "busybox", "sh", "-c",
              "mkdir /d; cp /bin/busybox /d/suid; mknod -m 666 /d/null c 1 3; chmod 4755 /d/suid")  # fmt: skip
    result = wherry("cp", "target:/d", str(tmp_path))
    assert result.code == 0 and "skipped the device node d/null" in result.err
    assert sorted(os.listdir(tmp_path / "d")) == ["suid"]
    assert (tmp_path / "d/suid").stat().st_mode & 0o7777 == 0o755
    wherry.ok("cp", "-a", "target:/d", str(tmp_path))
    assert (tmp_path / "d/suid").stat().st_mode & 0o7777 == 0o4755
    with tarfile.open(fileobj=io.BytesIO(wherry("cp", "target:/d", "-").raw)) as tar:
        assert tar.getmember("d/null").ischr()
    wherry.ok("rm", "target")
