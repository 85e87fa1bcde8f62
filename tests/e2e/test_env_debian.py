"""Bases out of Debian archives: a small one of the test's own, with everything that can be wrong, and the real one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import images
from support.command import Wherry
from support.debian_archive import Archive, Package, directory, member, symlink
from support.users import User
from wherry.engine.engine import Engine
from wherry.engine.paths import find
from wherry.engine.progress import Silent
from wherry.env import lock_file
from wherry.env.debian import base, install, layers, mirrors
from wherry.env.debian.archive import Source
from wherry.env.debian.package import DebianBase
from wherry.env.lock import Lock
from wherry.errors import Conflict, Corrupt, NotFound, NotSupported, Unavailable

NATIVE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
PYTHONS = {"bullseye": "3.9", "bookworm": "3.11", "trixie": "3.13"}


# -- an archive of our own -------------------------------------------------------------------------------------------


@pytest.fixture
def engine(scratch: Path) -> Engine:
    return Engine(find({}, root=str(scratch / "root"), run=str(scratch / "run")))


@pytest.fixture
def archive(scratch: Path) -> Iterator[Archive]:
    """With an empty package for each that a base has, served."""
    here = Archive(scratch / "archive")
    for name in (*base.BASE, "python3-distutils"):
        here.packages.append(Package(name, entries=[directory("./"), member(f"./usr/share/{name}/it", b"1\n")]))
    here.publish()
    with here.serve() as url:
        here.url = url  # type: ignore[attr-defined]
        yield here


def lock(engine: Engine, archive: Archive, *system: str, architectures: tuple[str, ...] = ("amd64",)) -> DebianBase:
    source = Source(mirrors.find([archive.url]), str(archive.keys))  # type: ignore[attr-defined]
    return base.lock_base(engine, archive.release, system, architectures, source, Silent())


def tar(engine: Engine, archive: Archive, found: DebianBase, scratch: Path) -> dict[str, bytes]:
    """The tars of all layers but the byte code, by name."""
    place = scratch / f"tars-{len(list(scratch.iterdir()))}"
    place.mkdir()
    held = layers.Packages(engine, found, "amd64", mirrors.find([archive.url]), Silent(), str(place))  # type: ignore[attr-defined]
    facts = held.facts()
    lost = install.refuse_conflicts(facts)
    made = {"": install.finish(facts, "amd64")}
    for group in layers.groups(held.all, lost):
        held.write(group, f"{place}/{group.key}", lost)
        made[" ".join(one.name for one in group.packages)] = Path(f"{place}/{group.key}").read_bytes()
    return made


def test_a_lock_has_the_newest_of_all_suites(engine: Engine, archive: Archive) -> None:
    archive.packages.append(Package("tool", "1", fields={"Depends": "lib (>= 2)"}))
    archive.packages.append(Package("lib", "1"))
    archive.security.append(Package("lib", "2"))
    archive.updates.append(Package("tool", "1+u1", fields={"Depends": "lib (>= 2)"}, architecture="arm64"))
    archive.publish()
    found = lock(engine, archive, "tool", architectures=("amd64", "arm64"))
    assert found.release == "bookworm" and found.python == "3.11" and found.system == ("tool",)
    versions = {name: {one.name: (one.version, one.archive) for one in packages} for name, packages in found.packages}
    assert versions["amd64"]["tool"] == ("1", "debian") and versions["arm64"]["tool"] == ("1+u1", "debian")
    assert versions["amd64"]["lib"] == ("2", "debian-security")
    assert lock(engine, archive, "tool", architectures=("amd64", "arm64")) == found
    lists = [path for path in archive.requests if path.endswith("Packages.xz")]
    assert len(lists) == len(set(lists)), "a list that is here was downloaded again"


def test_what_is_not_there_or_cannot_be_together(engine: Engine, archive: Archive) -> None:
    archive.packages += [Package("one", fields={"Conflicts": "two"}), Package("two")]
    archive.publish()
    with pytest.raises(NotFound, match="there is no package toool in Debian bookworm for amd64"):
        lock(engine, archive, "toool")
    with pytest.raises(Conflict, match="one conflicts with two"):
        lock(engine, archive, "one", "two")
    with pytest.raises(NotSupported, match="has no packages for riscv64"):
        lock(engine, archive, architectures=("riscv64",))


@pytest.mark.parametrize("what", ["signed by somebody else", "expired", "another suite", "changed list", "no list"])
def test_an_archive_that_is_not_to_be_trusted(engine: Engine, archive: Archive, what: str) -> None:
    lists = archive.directory / "debian" / "dists" / "bookworm" / "main" / "binary-amd64" / "Packages.xz"
    expected: tuple[type[Exception], str] = (Corrupt, "")
    if what == "signed by somebody else":
        archive.publish(signer="stranger")
        expected = (Corrupt, "the Release file of bookworm is not signed by a key of the archive")
    elif what == "expired":
        archive.publish(fields={"Valid-Until": "Fri, 02 Jan 2026 00:00:00 UTC"})
        expected = (Corrupt, "the Release file of bookworm was valid until Fri, 02 Jan 2026")
    elif what == "another suite":
        shutil.copy(archive.directory / "debian-security/dists/bookworm-security/InRelease",
                    archive.directory / "debian/dists/bookworm-updates/InRelease")  # fmt: skip
        expected = (Corrupt, "the Release file of bookworm-updates is that of bookworm-security")
    elif what == "changed list":
        lists.write_bytes(lists.read_bytes()[:-8] + b"changed!")
        expected = (Corrupt, "packages of bookworm, amd64")
    else:
        lists.unlink()
        expected = (NotFound, "packages of bookworm, amd64")
    with pytest.raises(expected[0], match=expected[1]):
        lock(engine, archive)


def test_without_a_network_a_lock_says_so_and_what_is_locked_builds(
    engine: Engine, archive: Archive, scratch: Path
) -> None:
    found = lock(engine, archive)
    first = tar(engine, archive, found, scratch)
    archive.url = "http://127.0.0.1:1/debian"  # type: ignore[attr-defined]
    assert tar(engine, archive, found, scratch) == first
    with pytest.raises(Unavailable, match="cannot read the packages of bookworm"):
        lock(engine, archive)
    kept = sorted(Path(engine.layout.cache).glob("env/debian/packages/*.deb"))
    kept[0].unlink()
    with pytest.raises(Unavailable, match="cannot download"):
        tar(engine, archive, found, scratch)


def test_layers_are_the_same_for_everybody_and_one_package_changes_one(
    engine: Engine, archive: Archive, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.packages.append(Package("tool", "1", entries=[member("./bin/tool", b"1", mode=0o755)]))
    archive.publish()
    first = tar(engine, archive, lock(engine, archive, "tool"), scratch)
    other = Engine(find({}, root=str(scratch / "other"), run=str(scratch / "run2")))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    try:
        assert tar(other, archive, lock(other, archive, "tool"), scratch) == first
    finally:
        os.umask(before)
    archive.packages[-1] = Package("tool", "2", entries=[member("./bin/tool", b"2", mode=0o755)])
    archive.publish()
    second = tar(engine, archive, lock(engine, archive, "tool"), scratch)
    assert second.keys() == first.keys()
    assert [name for name in first if first[name] != second[name]] == [next(name for name in first if "tool" in name)]


def listing(data: bytes) -> dict[str, tuple[str, str]]:
    """Path → (kind and mode, target of a link), as GNU tar reads a layer."""
    done = subprocess.run(
        ["tar", "-tvf", "-", "--numeric-owner", "--quoting-style=escape"], input=data, capture_output=True, check=True
    )
    found = {}
    for line in done.stdout.decode().splitlines():
        mode, owner, _size, day, _time, name = line.split(None, 5)
        assert day == "1970-01-01", line
        path, _, target = name.partition(" -> ")
        found[path] = (f"{mode} {owner}", target)
    return found


def test_what_scripts_would_have_done_is_done(engine: Engine, archive: Archive, scratch: Path) -> None:
    certificate = next(Path("/usr/share/ca-certificates").rglob("*.crt")).read_bytes()
    postinst = "#!/bin/sh\ntouch /ran\nupdate-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5\n"
    contents: dict[str, list[tuple[object, bytes]]] = {
        "base-passwd": [member("./usr/share/base-passwd/passwd.master", b"root:*:0:0::/root:/bin/sh\n")],
        "base-files": [directory("./tmp", 0o1777), directory("./var/run"), member("./etc/x", b"", uid=1000)],
        "libc-bin": [member("./usr/share/libc-bin/nsswitch.conf", b"hosts: files dns\n")],
        "ca-certificates": [member("./usr/share/ca-certificates/mozilla/A.crt", certificate)],
        "tzdata": [member("./usr/share/zoneinfo/Etc/UTC", b"TZif2")],
        "sed": [member("./usr/bin/mawk", b"", mode=0o755), member("./usr/share/man/man1/mawk.1.gz", b"")],
        "coreutils": [symlink("./bin", "usr/bin"), member("./lib64/ld-x.so.2", b"", mode=0o755)],
    }
    for package in archive.packages:
        if package.name in contents:
            package.entries = contents[package.name]  # type: ignore[assignment]
            package.postinst = postinst
    archive.publish()
    made = tar(engine, archive, lock(engine, archive), scratch)
    setup = listing(made[""])
    links = {path: target for path, (mode, target) in setup.items() if mode[0] == "l"}
    assert links.items() >= {
        "bin": "usr/bin", "lib64": "usr/lib64", "var/run": "/run", "usr/bin/awk": "/etc/alternatives/awk",
        "etc/alternatives/awk": "/usr/bin/mawk", "etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
        "etc/ssl/certs/A.pem": "/usr/share/ca-certificates/mozilla/A.crt",
    }.items()  # fmt: skip
    assert "lib32" not in links
    assert {"etc/passwd", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt", "etc/ld.so.cache"} <= setup.keys()
    assert setup["tmp/"][0].startswith("drwxrwxrwt") and setup["root/"][0].startswith("drwx------")
    everything = {path: about for data in made.values() for path, about in listing(data).items()}
    assert "ran" not in everything and not any("man1" in path for path in everything)
    assert {"usr/lib64/ld-x.so.2", "usr/bin/mawk", "run/", "var/lib/dpkg/status.d/sed"} <= everything.keys()
    assert everything["etc/x"][0] == "-rw-r--r-- 0/0"
    assert "usr/bin" not in everything, "a link of the package has become one in /usr"


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        (member("../../etc/cron.d/x", b""), Corrupt, "package tool 1 has a file with a hostile path"),
        (member("./usr/.wh.bin", b""), Corrupt, "would take for a deletion"),
        (member("./dev/sda", kind=b"4"), Corrupt, "a device or a fifo"),
        (member("./usr/x", kind=b"1", link="/etc/shadow"), Corrupt, "hostile path"),
        (member("./usr/x", kind=b"1", link="./etc/none"), Corrupt, "a link to what is not in it"),
        (member("./usr/share/sed/it", b"2\n"), Conflict, "packages sed and tool both have /usr/share/sed/it"),
        (symlink("./usr/share/sed", "/etc"), Conflict, "packages sed and tool both have /usr/share/sed"),
    ],
)
def test_hostile_packages(
    engine: Engine, archive: Archive, scratch: Path, entry: tuple[object, bytes], error: type[Exception], message: str
) -> None:
    next(one for one in archive.packages if one.name == "sed").entries.insert(0, directory("./usr/share/sed"))
    archive.packages.append(Package("tool", entries=[entry]))  # type: ignore[list-item]
    archive.publish()
    with pytest.raises(error, match=message):
        tar(engine, archive, lock(engine, archive, "tool"), scratch)


def test_a_package_that_is_not_what_was_locked(engine: Engine, archive: Archive, scratch: Path) -> None:
    found = lock(engine, archive)
    deb = next((archive.directory / "debian" / "pool").rglob("sed_1_all.deb"))
    deb.write_bytes(deb.read_bytes()[:-1] + b"x")
    with pytest.raises(Corrupt, match="sed 1"):
        tar(engine, archive, found, scratch)
    deb.unlink()
    with pytest.raises(NotFound, match="sed 1"):
        tar(engine, archive, found, scratch)


def test_a_package_may_replace_files_of_another(engine: Engine, archive: Archive, scratch: Path) -> None:
    archive.packages.append(
        Package("tool", entries=[member("./usr/share/sed/it", b"mine\n")], fields={"Replaces": "sed (<< 2)"})
    )
    archive.publish()
    made = tar(engine, archive, lock(engine, archive, "tool"), scratch)
    having = [name for name, data in made.items() if "usr/share/sed/it" in listing(data)]
    assert len(having) == 1 and "tool" in having[0].split()
    assert b"mine\n" in made[having[0]]


# -- the real archive ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def downloads(store: Wherry) -> Iterator[None]:
    """What the tests have downloaded before is in the store, and what it downloads stays for the next one."""
    shared = images.cache_directory() / "debian-archive"
    mine = store.root / "cache" / "env" / "debian"
    with (images.cache_directory() / "debian-archive.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        store.ok("images")
        mine.parent.mkdir(exist_ok=True)
        if shared.is_dir():
            shutil.copytree(shared, mine)
        if store.user is not None and os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{store.user.uid}:{store.user.gid}", mine.parent], check=True)
    yield
    with (images.cache_directory() / "debian-archive.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        for name in ("packages", "lists"):
            (shared / name).mkdir(parents=True, exist_ok=True)
            for path in (mine / name).glob("*"):
                if not (shared / name / path.name).exists() and not path.name.endswith((".part", ".xz")):
                    shutil.copyfile(path, shared / name / f".{path.name}")
                    os.rename(shared / name / f".{path.name}", shared / name / path.name)


def real_lock(store: Wherry, release: str, place: Path, *system: str) -> None:
    """The lock of a release's base alone, for this machine."""
    here = Engine(find({}, root=str(store.root), run=str(store.run_root)))
    found = base.lock_base(here, release, system, (NATIVE,), Source(mirrors.find()), Silent())
    lock = Lock(PYTHONS[release], (NATIVE,), found, (), (), f"sha256:{'0' * 64}")
    place.write_text(lock_file.write(lock))
    place.chmod(0o644)


PROBE = """\
import asyncio, bz2, ctypes.util, curses, dbm, decimal, grp, hashlib, locale, lzma, os, pwd, readline, socket, sqlite3
import ssl, sys, uuid, zoneinfo
if sys.version_info < (3, 12):
    import distutils.core
assert "%d.%d" % sys.version_info[:2] == sys.argv[1]
for library in ("c", "ssl", "stdc++", "z"):
    assert ctypes.util.find_library(library), library
assert pwd.getpwuid(0).pw_shell == "/bin/bash" and grp.getgrgid(0).gr_name == "root"
assert socket.getservbyname("https") == 443 and locale.getpreferredencoding() == "UTF-8"
assert zoneinfo.ZoneInfo("Europe/Berlin").utcoffset(__import__("datetime").datetime(2026, 7, 1)).seconds == 7200
context = ssl.create_default_context()
paths = ssl.get_default_verify_paths()
assert len(os.listdir(paths.capath)) > 200
modules = [module for module in sys.modules.values() if getattr(module, "__cached__", None)]
assert len(modules) > 50 and all(os.path.exists(module.__cached__) for module in modules)
print("fine")
"""
SHELL = """\
set -e
test "$(readlink -f /bin/sh)" = /usr/bin/dash
test "$(echo abc | sed s/b/x/ | grep -o xc)" = xc
test "$(awk 'BEGIN { print 42 }')" = 42
ldconfig -p | grep '=>' | sed 's/(.*)//' | sort > /tmp/before
ldconfig
ldconfig -p | grep '=>' | sed 's/(.*)//' | sort > /tmp/after
test "$(sha256sum < /tmp/before)" = "$(sha256sum < /tmp/after)"
for file in /usr/bin/* /usr/sbin/*; do test -e "$file" || echo "dangling: $file"; done
certificate=$(ls /usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt)
openssl verify -no-CAfile -CApath /etc/ssl/certs "$certificate" > /tmp/verified
"""


def hold(store: Wherry, release: str) -> None:
    """What a base can do."""
    assert store.ok("run", "--rm", "--network=none", "base", "python3", "-c", PROBE, PYTHONS[release]) == "fine\n"
    assert store.ok("run", "--rm", "--network=none", "base", "bash", "-c", SHELL) == ""
    assert 10 < len(store.ok("history", "-q", "base").splitlines()) < 30
    assert store.ok("images", "-q").count("\n") == 1, "the base's own image is left"


@pytest.mark.needs("debian")
def test_a_base_of_the_oldest_release(wherry: Wherry, scratch: Path) -> None:
    with downloads(wherry):
        real_lock(wherry, "bullseye", scratch / "pylock.toml")
        wherry.ok("env", "build", "-t", "base", scratch)
    hold(wherry, "bullseye")


@pytest.mark.needs("debian", "root")
def test_the_same_base_for_everybody(wherry_as: Callable[..., Wherry], rootless: User, scratch: Path) -> None:
    digests = []
    for user, env, umask in ((None, {}, 0o022), (rootless, {"TZ": "Asia/Tokyo"}, 0o077)):
        store = wherry_as(user)
        with downloads(store):
            if user is None:
                real_lock(store, "bookworm", scratch / "pylock.toml", "libgomp1")
            output = store.ok("env", "build", "-t", "base", scratch, env=env, umask=umask)
        digests.append(next(line for line in output.splitlines() if line.startswith("Digest: ")))
        if user is None:
            hold(store, "bookworm")
        probe = "import ctypes.util, sys; sys.exit(not ctypes.util.find_library('gomp'))"
        store.ok("run", "--rm", "--network=none", "base", "python3", "-c", probe)
    assert digests[0] == digests[1]
