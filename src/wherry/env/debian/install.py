"""What maintainer scripts of a base's packages would have done, made from what the packages have (decision 0180).

The outcome is one more layer: links, and files that are made of others.  Nothing is executed.
"""

from __future__ import annotations

from wherry.env.debian import alternatives, certificates, elf
from wherry.errors import Conflict
from wherry.layers import tar
from wherry.layers.tarwriter import header, padding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry.env.debian.unpacked import Facts

FORM = "1"  # changes when what is made of the same facts does
_COPIES = (
    ("usr/share/base-passwd/passwd.master", "etc/passwd"), ("usr/share/base-passwd/group.master", "etc/group"),
    ("usr/share/base-files/dot.bashrc", "root/.bashrc"), ("usr/share/base-files/dot.profile", "root/.profile"),
    ("usr/share/base-files/profile", "etc/profile"), ("usr/share/base-files/motd", "etc/motd"),
    ("usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf"),
)  # fmt: skip
_LOCAL = ("bin", "etc", "games", "include", "lib", "sbin", "share", "share/man", "src")
_DIRECTORIES = (
    ("etc", 0o755), ("etc/opt", 0o755), ("media", 0o755), ("mnt", 0o755), ("opt", 0o755), ("root", 0o700),
    ("run", 0o755), ("run/lock", 0o1777), ("srv", 0o755), ("tmp", 0o1777), ("usr/local", 0o755),
    *((f"usr/local/{name}", 0o755) for name in _LOCAL), ("var/opt", 0o755), ("var/tmp", 0o1777),
)  # fmt: skip
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "var/run": "/run", "var/lock": "/run/lock"}
_OPTIONAL = ("lib64", "lib32", "libx32")
_MAIL = 8


def refuse_conflicts(facts: Sequence[Facts]) -> dict[str, set[bytes]]:
    """The files that packages do not get because others, which replace theirs, have them: package → paths.

    Raises `Conflict` for two packages that have the same file, or the link of one where the other has a directory.
    """
    owners: dict[str, tuple[Facts, str]] = {}
    lost: dict[str, set[bytes]] = {}
    for one in facts:
        for path, kind in one.files:
            there = owners.setdefault(path, (one, kind))
            if there[0] is one or (kind == "5" and there[1] == "5"):
                continue
            winner, loser = (one, there[0]) if there[0].package in one.replaces else (there[0], one)
            if loser.package not in winner.replaces or "5" in (kind, there[1]):
                raise Conflict(f"packages {there[0].package} and {one.package} both have /{path}")
            owners[path] = (winner, kind)
            lost.setdefault(loser.package, set()).add(path.encode("utf-8", "surrogateescape"))
    return lost


def finish(facts: Sequence[Facts], architecture: str) -> bytes:
    """The tar of what is made of the packages' files.  Raises `Corrupt` for certificates that are none."""
    kept = {path: data for one in facts for path, data in one.kept}
    there = {path for one in facts for path, _kind in one.files}
    files: dict[str, bytes] = {to: kept[path] for path, to in _COPIES if path in kept}
    links = dict(_LINKS)
    for name in _OPTIONAL:
        if any(path.startswith(f"usr/{name}/") for path in there):
            links[name] = f"usr/{name}"
    trusted = {path: data for path, data in kept.items() if path.startswith("usr/share/ca-certificates/")}
    if trusted:
        more_files, more_links = certificates.files(trusted)
        files |= more_files
        links |= more_links
    libraries = {path: name for one in facts for path, name in one.sonames}
    where = elf.directories({path: data for path, data in kept.items() if path.startswith(elf.CONFIGURATION)})
    files[elf.CACHE], missing = elf.cache(libraries, where, architecture)
    links |= {path: target for path, target in missing.items() if path not in there}
    links |= alternatives.links([offer for one in facts for offer in one.alternatives], there)
    if "usr/share/zoneinfo/Etc/UTC" in there:
        links["etc/localtime"] = "/usr/share/zoneinfo/Etc/UTC"
        files["etc/timezone"] = b"Etc/UTC\n"
    if "etc/dpkg/origins/debian" in there:
        links["etc/dpkg/origins/default"] = "debian"
    return _tar({path: data for path, data in files.items() if path not in there},
                {path: target for path, target in links.items() if path not in there})  # fmt: skip


def _tar(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    """Files, links and the directories above them, which are root's and open to all where nothing else is said."""
    modes = dict(_DIRECTORIES)
    for path in (*files, *links):
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            modes.setdefault("/".join(parts[:depth]), 0o755)
    pieces = []
    for path in sorted({*modes, "var", "var/mail"} | set(files) | set(links), key=lambda one: one.encode()):
        name = path.encode()
        if path in files:
            pieces += [header(name, tar.FILE, size=len(files[path])), files[path], padding(len(files[path]))]
        elif path in links:
            pieces.append(header(name, tar.SYMLINK, mode=0o777, link=links[path].encode()))
        elif path == "var/mail":
            pieces.append(header(name + b"/", tar.DIRECTORY, mode=0o2775, gid=_MAIL))
        else:
            pieces.append(header(name + b"/", tar.DIRECTORY, mode=modes.get(path, 0o755)))
    return b"".join(pieces) + bytes(1024)
