"""What becomes of the files of packages: paths, alternatives, certificates, the libraries' cache."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from wherry.env.debian import alternatives, certificates, elf, mirrors, paths, unpacked
from wherry.env.debian.package import DebPackage
from wherry.errors import Corrupt, InvalidArgument


@pytest.mark.parametrize(
    ("name", "path"),
    [("./bin/bash", "usr/bin/bash"), ("./lib64/ld.so", "usr/lib64/ld.so"), ("./usr/bin/x", "usr/bin/x"), ("./", ""),
     ("./var/run/x/", "run/x"), ("./var/lock", "run/lock"), ("./library/x", "library/x"),
     ("./var/running", "var/running")],
)  # fmt: skip
def test_usr_is_merged(name: str, path: str) -> None:
    assert paths.place(name.encode(), "app 1") == path.encode()


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "./a/../../x", "a//b", "a/./b", "a\nb", "a\0b", "x/.wh.y", ".wh..wh..opq", "x" * 5000],
)
def test_hostile_paths_are_refused(name: str) -> None:
    with pytest.raises(Corrupt, match=r"package app 1 has"):
        paths.place(name.encode(), "app 1")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("usr/share/man/man1/x.1", False), ("usr/share/doc/x/changelog.gz", False), ("usr/share/doc/x/copyright", True),
     ("usr/share/locale/de/x.mo", False), ("usr/share/locale/locale.alias", True), ("usr/share/mandala", True),
     ("usr/share/doc/x/sub/copyright", False), ("usr/lib/x", True)],
)  # fmt: skip
def test_what_an_image_does_not_need_is_left_out(path: str, wanted: bool) -> None:
    assert paths.is_wanted(path.encode()) == wanted


@pytest.mark.parametrize("name", ["../x", "a/../../b", "A", "", "x\n"])
def test_a_name_in_a_lock_is_no_path(name: str, tmp_path: Path) -> None:
    package = DebPackage(name, "1", "amd64", "debian", "pool/x.deb", "0" * 64, 1)
    with (tmp_path / "out").open("wb") as out, pytest.raises(Corrupt, match="is no name of a package"):
        unpacked.unpack(str(tmp_path / "none"), package, "amd64", out)


SCRIPT = """\
if [ "$1" = configure ]; then
    update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\
        --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz \\
        --slave /usr/bin/nawk nawk /usr/bin/mawk && true
    update-alternatives --install /usr/bin/x x "$tool" 5
    update-alternatives --install /etc/../x x /usr/bin/x 5
    update-alternatives --remove awk /usr/bin/mawk
fi
"""


def test_alternatives_are_read_from_scripts() -> None:
    (awk,) = alternatives.parse(SCRIPT)
    better = awk.replace(priority=9, link=awk.link.replace(target="/usr/bin/gawk"), slaves=())
    gone = better.replace(priority=10, link=awk.link.replace(target="/usr/bin/gone"))
    there = {"usr/bin/mawk", "usr/bin/gawk"}
    assert alternatives.links([awk], there) == {
        "usr/bin/awk": "/etc/alternatives/awk", "etc/alternatives/awk": "/usr/bin/mawk",
        "usr/bin/nawk": "/etc/alternatives/nawk", "etc/alternatives/nawk": "/usr/bin/mawk",
    }  # fmt: skip
    assert alternatives.links([awk, better, gone], there)["etc/alternatives/awk"] == "/usr/bin/gawk"
    assert "usr/bin/nawk" not in alternatives.links([awk, better], there)


@pytest.mark.needs("ca-certificates")
def test_certificates_are_linked_as_openssl_looks_for_them() -> None:
    """All that this machine has, by the links that update-ca-certificates has made here."""
    found = {str(path)[1:]: path.read_bytes() for path in Path("/usr/share/ca-certificates").rglob("*.crt")}
    files, links = certificates.files(found)
    assert files["etc/ssl/certs/ca-certificates.crt"].count(b"BEGIN CERTIFICATE") == len(found)
    hashes = {path: target for path, target in links.items() if path[-2:] == ".0"}
    assert len(hashes) > 100
    for path, target in hashes.items():
        assert os.readlink(f"/{path}") == target


def test_what_is_no_certificate_is_refused() -> None:
    for text in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(Corrupt, match=r"/usr/share/ca-certificates/x\.crt is no certificate"):
            certificates.files({"usr/share/ca-certificates/x.crt": text})


def test_the_cache_of_libraries_says_what_ldconfig_finds(tmp_path: Path) -> None:
    """Of this machine's C library and what is beside it; read back by ldconfig itself."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    triplet = f"{os.uname().machine}-linux-gnu"
    directory = Path(f"/usr/lib/{triplet}")
    libraries = {}
    for path in [*directory.glob("libc*.so*"), *directory.glob("libz*.so*"), *directory.glob("libm.*")]:
        if path.is_file() and not path.is_symlink():
            name = elf.soname(path.read_bytes(), architecture)
            if name:
                libraries[str(path)[1:]] = name
    assert "libc.so.6" in libraries.values()
    where = elf.directories({"etc/ld.so.conf.d/a.conf": f"# a\n/lib/{triplet}\n/usr/lib/{triplet}/\n".encode()})
    assert where == [f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib", "/usr/lib"]
    data, links = elf.cache(libraries, where, architecture)
    (tmp_path / "cache").write_bytes(data)
    ldconfig = next(path for path in ("/sbin/ldconfig", "/usr/sbin/ldconfig") if os.path.exists(path))
    done = subprocess.run([ldconfig, "-p", "-C", tmp_path / "cache"], capture_output=True, text=True, check=True)
    shown = {line.split(" => ")[1] for line in done.stdout.splitlines() if " => " in line}
    assert shown == {f"/lib/{triplet}/{name}" for name in libraries.values()}
    assert all(path.rpartition("/")[0] == f"usr/lib/{triplet}" for path in links)


def test_libraries_are_sorted_as_the_loader_searches() -> None:
    names = ["libz.so.1", "liba.so.10", "liba.so.9", "liba.so", "libab.so.1", "lib9.so"]
    data, _links = elf.cache({f"usr/lib/{name}": name for name in names}, ["/usr/lib"], "amd64")
    order = sorted(names, key=lambda name: data.index(f"\0/usr/lib/{name}\0".encode()))
    assert order == ["lib9.so", "libz.so.1", "libab.so.1", "liba.so.10", "liba.so.9", "liba.so"]


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF\2\1", b"\x7fELF\2\1" + bytes(10) + b"\3\0\x3e\0" + b"\xff" * 60, b"x" * 99]
)
def test_what_is_no_library_has_no_soname(data: bytes) -> None:
    assert elf.soname(data, "amd64") == ""


def test_mirrors_are_those_of_apt_on_debian(tmp_path: Path) -> None:
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/apt/sources.list").write_text(
        "# deb http://no/debian x main\ndeb [arch=a] http://one/debian x main\n"
    )
    (tmp_path / "etc/apt/sources.list.d/s.sources").write_text(
        "Types: deb\nURIs: http://other/x\n https://two/debian-security/\nSuites: x\n"
    )
    assert mirrors.find((), str(tmp_path)).debian == "http://deb.debian.org/debian"
    (tmp_path / "etc/os-release").write_text("NAME=x\nID=debian\n")
    assert mirrors.find((), str(tmp_path)) == mirrors.Mirrors("http://one/debian", "https://two/debian-security")
    assert mirrors.find(["http://x/debian/"]).url("debian-security", "a") == "http://x/debian-security/a"
    assert mirrors.find(["http://x/d", "http://y/s"]).url("debian-security", "a") == "http://y/s/a"
    with pytest.raises(InvalidArgument, match="invalid Debian mirror"):
        mirrors.find(["ftp://x/debian"])
