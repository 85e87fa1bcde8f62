"""Hostile layers: whatever a tar says, nothing outside of the layer's directory is read, written or changed.

Every tar of the corpus is applied next to a directory that must not change, as whoever runs the tests and, for root, as
root too; that it is refused is fine, that it is unpacked inside the root is fine as well.
"""

from __future__ import annotations

import ast
import gzip
import io
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from support import tars
from support.hostile import LINKS, OUT, UP, Yard, ladder, long
from support.tars import END, Dribble, directory, hardlink, header, member, pax, symlink
from wherry.errors import Corrupt, WherryError
from wherry.layers import erofs_image, erofs_index, erofs_layer
from wherry.layers.apply import Applied, ApplyOptions, Limits, apply
from wherry.layers.compression import Limits as Expansion
from wherry.layers.compression import reader
from wherry.layers.erofs_tree import Directory, check, merge

SOURCE = Path(__file__).parents[2] / "src"
OPTIONS = [ApplyOptions(whiteouts="overlay-user", ownership="ignore", devices="skip")]
if os.geteuid() == 0:
    OPTIONS.append(ApplyOptions())


def run(place: Yard, data: bytes, options: ApplyOptions = OPTIONS[0]) -> Applied | None:
    """The report, or None where the layer was refused."""
    fd = os.open(place.layer, os.O_RDONLY)
    try:
        return apply(Dribble(data + END), fd, options)
    except Corrupt as error:
        assert "\n" not in str(error) and "\x1b" not in str(error)
        return None
    finally:
        os.close(fd)
        os.chmod(place.layer, 0o755)


@pytest.fixture(params=OPTIONS, ids=lambda options: options.ownership)
def yard(request: pytest.FixtureRequest, base: Path) -> Iterator[Callable[[bytes], tuple[Applied | None, Path]]]:
    """``yard(members)``: apply them; afterwards nothing outside has changed."""
    place = Yard(base)

    def unpack(data: bytes) -> tuple[Applied | None, Path]:
        fresh = not os.listdir(place.layer)
        applied = run(place, data, request.param)
        if fresh and request.param.ownership == "keep":
            assert indexed(data) == applied
        return applied, place.layer

    yield unpack
    assert place.look() == place.before


def indexed(data: bytes) -> Applied | None:
    """The same tar kept as it is: refused, or not, like one that is unpacked; its image can be written."""
    with open(os.memfd_create("tar"), "r+b") as tar, open(os.memfd_create("heads"), "r+b") as heads:
        try:
            found = erofs_layer.index(Dribble(data + END), (tar.fileno(), heads.fileno()))
        except Corrupt as error:
            assert "\n" not in str(error) and "\x1b" not in str(error)
            return None
    assert found.root is not None, found.reason
    root = Directory(0o40755, 0, 0, 0, 0)
    merge(root, erofs_index.load(erofs_index.dump(erofs_index.Layer(found.root, len(data), found.blocks))).root)
    try:
        check(root)
        erofs_image.build(root, [found.blocks], bytes(16))
    except Corrupt:
        assert found.applied.missing_links
    return found.applied


Unpack = Callable[[bytes], tuple[Applied | None, Path]]


def refused(unpack: Unpack, data: bytes) -> None:
    assert unpack(data)[0] is None


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", UP + "tmp/evil", "..", "../", "./../evil", "/../evil", "a/../..", "..//evil"]
)
def test_cve_2007_4559_names_that_climb(yard: Unpack, name: str) -> None:
    refused(yard, long(name, member("x", b"evil")))
    refused(yard, directory(name + "/"))
    refused(yard, symlink(name, "x"))


def test_cve_2007_4559_absolute_names_stay_inside(yard: Unpack) -> None:
    applied, layer = yard(long(f"{OUT}/evil", member("x", b"evil")) + long(f"//{OUT}/file", member("x", b"evil")))
    assert applied is not None
    assert (layer / f"{OUT[1:]}/evil").read_text() == "evil"


READERS = {
    "env/wheels.py": {"zipfile"},
    "env/sdist.py": {"zipfile"},
    "client/context_archive.py": {"tarfile", "zipfile"},
}
"""Modules that look into wheels, sources and contexts, whose members they read one by one and never extract."""


def test_cve_2007_4559_extractall_is_called_nowhere() -> None:
    for path in (SOURCE / "wherry").rglob("*.py"):
        forbidden = {"tarfile", "zipfile", "shutil.unpack_archive"}
        forbidden -= READERS.get(str(path.relative_to(SOURCE / "wherry")), set())
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not forbidden & set(names), path
            assert getattr(node, "attr", "") not in ("extract", "extractall", "unpack_archive"), path


def test_cve_2025_4517_links_that_realpath_gives_up_on(yard: Unpack) -> None:
    yard(
        ladder(f"../../../../../../..{OUT}")
        + member("escape/evil", b"evil")
        + hardlink("flag", "escape/file")
        + member("flag", b"evil")
    )


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_cve_2025_4330_writing_through_a_link(yard: Unpack, link: bytes) -> None:
    entries = (
        member("l/evil", b"evil") + member("l/file", b"evil") + directory("l/directory", 0o777) + symlink("l/s", "x")
    )
    entries += (
        header("l/pipe", b"6") + member("l/.wh.file") + member("l/.wh..wh..opq") + member("l/directory/.wh.inner")
    )
    applied, layer = yard(link + entries + member("after", b"x"))
    if applied is not None:
        assert (layer / "after").exists()


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_cve_2026_17106_hard_links_through_a_link(yard: Unpack, link: bytes) -> None:
    entries = hardlink("stolen", "l/file") + hardlink("stolen2", "l/directory/inner") + hardlink("l/evil", "mine")
    _, layer = yard(member("mine", b"mine") + link + entries + member("stolen", b"evil"))
    assert not (layer / "stolen2").exists()


@pytest.mark.parametrize("target", ["../outside/file", UP + "etc/passwd", "..", ".", "/", "a/../../outside/file", ""])
def test_cve_2026_17106_hard_links_to_outside(yard: Unpack, target: str) -> None:
    refused(yard, pax({"linkpath": target}) + hardlink("stolen", "x") if target else hardlink("stolen", ""))


def test_cve_2026_17106_hard_links_to_absolute_names_mean_the_layer_s(yard: Unpack) -> None:
    applied, layer = yard(hardlink("stolen", "/etc/passwd") + pax({"linkpath": f"{OUT}/file"}) + hardlink("also", "x"))
    assert applied is None or (not (layer / "stolen").exists() and len(applied.missing_links) == 2)


def test_a_hard_link_to_a_symbolic_link_is_the_link_itself(yard: Unpack) -> None:
    _, layer = yard(symlink("l", "../outside/file") + hardlink("h", "l") + member("h", b"replaced, not followed"))
    assert (layer / "h").is_file() and not (layer / "h").is_symlink() and (layer / "l").is_symlink()


def test_cve_2025_4435_what_is_refused_is_not_unpacked(yard: Unpack) -> None:
    _, layer = yard(member("../evil", b"evil") + member("after", b"after"))
    assert os.listdir(layer) == []


@pytest.mark.parametrize(
    "link", ["../outside", "../outside/file", OUT, f"{OUT}/file"], ids=lambda link: link.replace(OUT, "OUT")
)
def test_cve_2024_12718_attributes_through_a_link(yard: Unpack, link: str) -> None:
    data = (
        symlink("l", link)
        + directory("l", 0o777, mtime=99)
        + symlink("m", link, mtime=99)
        + symlink("m", link, uid=7, mtime=98)
    )
    yard(data + directory("d", 0o777, mtime=99) + symlink("d", link) + member(".wh.m") + header("m", b"6", mode=0o777))


@pytest.mark.parametrize("name", ["", ".", "./", "/", "//", "a/.."])
def test_cve_2024_12718_the_root_itself(yard: Unpack, name: str) -> None:
    """An entry for the root may be a directory, and nothing else."""
    applied, layer = yard(header(name, b"5", mode=0o711, mtime=7))
    assert applied is not None and layer.stat().st_mtime == 7
    for kind in (b"1", b"2", b"3", b"6", *([] if name.endswith("/") else [b"0"])):
        refused(yard, header(name, kind, link="x"))


def test_ghsa_c72p_9xmj_rx3w_modes_through_a_link(yard: Unpack) -> None:
    """A directory that becomes a link before its mode is set at the end."""
    yard(
        directory("d", 0o777)
        + member("d/x")
        + symlink("d", f"{OUT}")
        + directory("e", 0o777)
        + member(".wh.e")
        + symlink("e", f"{OUT}/file")
    )
    yard(
        directory("p", 0o777)
        + directory("p/q", 0o777)
        + symlink("p", f"{OUT}")
        + symlink("r", f"{OUT}")
        + directory("r/directory", 0o777)
    )


@pytest.mark.parametrize("mark", [".wh..", ".wh...", ".wh.", "a/.wh..", "a/.wh...", "a/.wh."])
def test_whiteouts_of_dots(yard: Unpack, mark: str) -> None:
    refused(yard, directory("a") + member(mark))


@pytest.mark.parametrize(
    "mark",
    [
        "../.wh.outside",
        "../.wh..wh..opq",
        "../outside/.wh..wh..opq",
        "a/../../.wh.outside",
        ".wh.a/b",
        ".wh.a/.wh..wh..opq",
    ],
)
def test_whiteouts_outside(yard: Unpack, mark: str) -> None:
    refused(yard, member(mark))


def test_whiteouts_through_a_link(yard: Unpack) -> None:
    yard(
        symlink("l", f"{OUT}")
        + member("l/.wh.file")
        + member("l/.wh..wh..opq")
        + symlink("m", "..")
        + member("m/outside/.wh..wh..opq")
    )


def test_a_whiteout_does_not_follow_what_it_replaces(yard: Unpack) -> None:
    applied, layer = yard(symlink("l", f"{OUT}/file") + member(".wh.l") + symlink("d", f"{OUT}") + member(".wh.d"))
    assert applied is not None and (layer / "l").is_symlink()


def test_cve_2025_47290_a_directory_exchanged_while_unpacking(tmp_path: Path) -> None:
    """Somebody who can write to the layer swaps directories for links between two reads of the stream."""
    place = Yard(tmp_path)
    names = [f"d{index}/e{index}" for index in range(40)]
    first = b"".join(directory(name) for name in names)
    second = b"".join(member(f"{name}/evil", b"evil" * 20_000) + directory(name, 0o777) for name in names)

    class Exchanging(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            for index in range(0, 40, 2):
                path = place.layer / f"d{index}"
                if path.is_dir() and not path.is_symlink() and self.tell() > len(first):
                    path.rename(place.layer / f"moved{index}")
                    path.symlink_to(place.outside)
                    (place.outside / f"e{index}").mkdir(exist_ok=True)
            return super().read(min(size or 1, 3000))

    fd = os.open(place.layer, os.O_RDONLY)
    try:
        apply(Exchanging(first + second + END), fd, OPTIONS[0])
    except WherryError:
        pass
    finally:
        os.close(fd)
    for path in place.outside.glob("e*"):
        assert stat.S_IMODE(path.stat().st_mode) != 0o777 and not os.listdir(path)
        path.rmdir()
    assert (place.outside / "file").read_text() == "secret"


def test_cve_2025_47290_the_layer_s_own_name_exchanged(tmp_path: Path) -> None:
    place = Yard(tmp_path)
    fd = os.open(place.layer, os.O_RDONLY)
    place.layer.rename(place.layer.parent / "elsewhere")
    place.layer.symlink_to(place.outside)
    apply(Dribble(member("file", b"evil") + member("evil", b"evil") + END), fd, OPTIONS[0])
    os.close(fd)
    assert sorted(os.listdir(place.layer.parent / "elsewhere")) == ["evil", "file"]
    assert (place.outside / "file").read_text() == "secret" and not (place.outside / "evil").exists()


def negative(field: int, width: int, value: int, kind: bytes = b"0") -> bytes:
    return header("x", kind, patch={field: tars.base256(value, width)})


@pytest.mark.parametrize(
    "data",
    [
        negative(124, 12, -512),
        negative(124, 12, -1),
        negative(124, 12, -(1 << 62)),
        negative(124, 12, -512, b"L"),
        negative(124, 12, -512, b"x"),
        negative(124, 12, -512, b"g"),
        negative(124, 12, -512, b"D"),
        negative(108, 8, -1),
        pax({"size": "-512"}) + header("x"),
        pax({"size": "18446744073709551104"}) + header("x"),
        header("x", patch={124: b"-0000000512\0"}),
    ],
)
def test_cve_2025_8194_negative_sizes_end(yard: Unpack, data: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    refused(yard, data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 2


@pytest.mark.parametrize("size", [1 << 20, 1 << 40, (1 << 63) - 1])
def test_sizes_that_are_not_there(yard: Unpack, size: int) -> None:
    refused(yard, header("x", size=size))


def test_cve_2026_82049_names_that_two_readers_read_differently(yard: Unpack) -> None:
    """A long name, a PAX path, a prefix and a sparse name at once: whichever wins is checked."""
    for name in ("../evil", f"{OUT}/evil", "l/evil"):
        link = symlink("l", f"{OUT}")
        yard(link + member("L", name.encode() + b"\0", b"L") + member("x", b"1"))
        yard(link + pax({"path": name}) + member("L", b"good\0", b"L") + member("x", b"1"))
        yard(link + pax({"path": "good"}) + member("L", name.encode() + b"\0", b"L") + member("x", b"1"))
        yard(link + pax({"GNU.sparse.name": name, "GNU.sparse.map": "0,1", "GNU.sparse.size": "1"}) + member("x", b"1"))
        yard(link + pax({"path": name}, b"g") + member("x", b"1"))
        yard(link + header(name.rpartition("/")[2], prefix=name.rpartition("/")[0].encode()))


def test_cve_2021_20291_a_broken_layer_ends(tmp_path: Path) -> None:
    """No thread waits for bytes that nobody will write, or for room that nobody will make."""
    place = Yard(tmp_path)
    fd = os.open(place.layer, os.O_RDONLY)
    good = member("a", os.urandom(9_000_000))
    for blob in (gzip.compress(good)[:-5000], good[:-5000], member("../x") + good, gzip.compress(good)[:1000] + good):
        done = threading.Event()

        def attempt(blob: bytes = blob, done: threading.Event = done) -> None:
            with pytest.raises(Corrupt):
                apply(reader(io.BytesIO(blob)), fd, OPTIONS[0])
            done.set()

        threading.Thread(target=attempt, daemon=True).start()
        assert done.wait(20)
    os.close(fd)


def test_devices_are_not_made_for_somebody_rootless(yard: Unpack) -> None:
    _, layer = yard(header("mem", b"3", device=(1, 1)) + header("sda", b"4", device=(8, 0)))
    if os.listdir(layer):
        assert os.geteuid() == 0


def test_a_replaced_file_loses_its_set_user_id_bit(yard: Unpack) -> None:
    """An entry never takes over the mode, the owner or the other names of what it replaces."""
    _, layer = yard(member("su", b"good", mode=0o4755) + hardlink("kept", "su") + member("su", b"evil", mode=0o644))
    assert stat.S_IMODE((layer / "su").stat().st_mode) == 0o644
    assert (layer / "kept").read_text() == "good"


@pytest.mark.parametrize(
    "name",
    [
        "trusted.overlay.redirect",
        "trusted.overlay.metacopy",
        "user.overlay.redirect",
        "security.selinux",
        "security.ima",
    ],
)
def test_attributes_that_steer_the_host_are_left_out(yard: Unpack, name: str) -> None:
    _, layer = yard(
        pax({f"SCHILY.xattr.{name}": b"/"}) + directory("d") + pax({f"SCHILY.xattr.{name}": b"/"}) + member("f")
    )
    for path in ("d", "f"):
        assert not os.listxattr(layer / path)


def test_too_many_or_too_large_attributes(yard: Unpack) -> None:
    refused(yard, pax({"SCHILY.xattr.user.big": b"x" * 70_000}) + member("f"))
    refused(yard, pax({f"SCHILY.xattr.user.a{index}": b"x" for index in range(2000)}) + member("f"))
    refused(yard, pax({"SCHILY.xattr.user." + "n" * 300: b"x"}) + member("f"))


def test_pax_bombs(yard: Unpack) -> None:
    refused(yard, header("x", b"x", size=1 << 30) + bytes(1 << 16))
    refused(yard, (pax({"comment": "x" * 100_000})) * 30 + member("f"))
    refused(yard, header("x", b"L", size=1 << 30) + bytes(1 << 16))


def test_sparse_bombs(yard: Unpack) -> None:
    refused(yard, pax({"GNU.sparse.size": str(1 << 60), "GNU.sparse.map": "0,0"}) + member("f"))
    refused(yard, pax({"GNU.sparse.size": "9" * 18, "GNU.sparse.map": "0,1" + ",1,0" * 200_000}) + member("f", b"x"))


def test_many_entries(tmp_path: Path) -> None:
    place = Yard(tmp_path)
    tiny = ApplyOptions(whiteouts="overlay-user", ownership="ignore", limits=Limits(entries=100, directories=50))
    assert run(place, member("f") * 101, tiny) is None
    assert run(place, long("/".join(str(index) for index in range(60)), member("x")), tiny) is None


@pytest.mark.parametrize("make", [lambda data: gzip.compress(data, 1), zstandard.compress], ids=["gzip", "zstd"])
def test_bombs_do_not_fill_the_disk(tmp_path: Path, make: Callable[[bytes], bytes]) -> None:
    place = Yard(tmp_path)
    blob = make(member("bomb", bytes(100 << 20)) + END)
    fd = os.open(place.layer, os.O_RDONLY)
    with pytest.raises(Corrupt, match="bomb"):
        apply(reader(io.BytesIO(blob), limits=Expansion(floor=1 << 20, ratio=50)), fd, OPTIONS[0])
    os.close(fd)
    assert (place.layer / "bomb").stat().st_size < 60 << 20


FLAT = """
import os, resource, sys
from support.tars import END, header
from wherry.layers.apply import apply, ApplyOptions

class Endless:
    def __init__(self):
        self.left = [header("big", size=200 << 20), *[bytes(1 << 18)] * 800]
        self.left += [b"".join(header(f"f{index}-{more}") for more in range(100)) for index in range(200)] + [END]
        self.left.reverse()

    def read(self, size):
        return self.left.pop() if self.left else b""

os.mkdir(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
apply(Endless(), os.open(sys.argv[1], os.O_RDONLY), ApplyOptions(whiteouts="overlay-user", ownership="ignore"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_a_layer(tmp_path: Path) -> None:
    path = os.pathsep.join((str(SOURCE), str(Path(__file__).parents[1])))
    command = [sys.executable, "-c", FLAT, str(tmp_path / "layer")]
    grown = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONPATH": path}).stdout
    assert int(grown) < 16 << 10  # KiB


def test_the_digest_is_of_every_byte(tmp_path: Path) -> None:
    """Bytes that hide after the end of a tar, or in padding, make another layer."""
    seen = set()
    for number, data in enumerate(
        (member("a", b"x") + END, member("a", b"x") + END + b"hidden", member("a", b"x" + bytes(9)))
    ):
        place = tmp_path / str(number)
        place.mkdir()
        fd = os.open(place, os.O_RDONLY)
        seen.add(apply(io.BytesIO(data), fd, OPTIONS[0]).diff_id)
        os.close(fd)
    assert len(seen) == 3
