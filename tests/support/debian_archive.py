"""A small Debian archive on loopback, signed with a key of its own, with whatever is wrong that a test wants."""

from __future__ import annotations

import email.utils
import functools
import hashlib
import http.server
import io
import lzma
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARCHITECTURES = ("amd64", "arm64")


def member(path: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "",
           uid: int = 0) -> tuple[tarfile.TarInfo, bytes]:  # fmt: skip
    """One entry of a package."""
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.linkname, info.size, info.uid = kind, mode, link, len(data), uid
    info.mtime = 1_700_000_000
    return info, data


def directory(path: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return member(path, kind=tarfile.DIRTYPE, mode=mode)


def symlink(path: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(path, kind=tarfile.SYMTYPE, mode=0o777, link=target)


def _tar(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _ar(members: list[tuple[str, bytes]]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, data in members:
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
        parts.append(data + b"\n" * (len(data) % 2))
    return b"".join(parts)


@dataclass
class Package:
    """A package; ``fields`` are those of its control file."""

    name: str
    version: str = "1"
    entries: list[tuple[tarfile.TarInfo, bytes]] = field(default_factory=list)
    fields: Mapping[str, str] = field(default_factory=dict)
    postinst: str = ""
    architecture: str = "all"

    def control(self) -> str:
        lines = {"Package": self.name, "Version": self.version, "Architecture": self.architecture, **self.fields}
        return "".join(f"{name}: {value}\n" for name, value in lines.items())

    def deb(self) -> bytes:
        control = [member("./control", self.control().encode())]
        control += [member("./postinst", self.postinst.encode(), mode=0o755)] if self.postinst else []
        return _ar([
            ("debian-binary", b"2.0\n"),
            ("control.tar.xz", lzma.compress(_tar(control))),
            ("data.tar.xz", lzma.compress(_tar(self.entries))),
        ])  # fmt: skip


@functools.cache
def key(name: str) -> Any:
    """A new key; the same for the same name."""
    import pysequoia

    return pysequoia.Tsk.generate(user_id=f"{name} <{name}@example.org>")


class Archive:
    """The files of both archives below ``directory``; `publish` writes the lists, whatever the packages are then."""

    def __init__(self, directory: Path, release: str = "bookworm") -> None:
        self.directory = directory
        self.release = release
        self.packages: list[Package] = []
        self.updates: list[Package] = []
        self.security: list[Package] = []
        self.keys = directory / "keys.asc"
        self.keys.parent.mkdir(parents=True, exist_ok=True)
        self.keys.write_bytes(bytes(str(key("archive").extract_certificate()), "ascii"))

    def publish(self, *, signer: str = "archive", fields: Mapping[str, str] | None = None) -> None:
        release = self.release
        for archive, suite, packages in (
            ("debian", release, self.packages), ("debian", f"{release}-updates", self.updates),
            ("debian-security", f"{release}-security", self.security),
        ):  # fmt: skip
            self._suite(archive, suite, packages, signer, fields or {})

    def _suite(
        self, archive: str, suite: str, packages: list[Package], signer: str, fields: Mapping[str, str]
    ) -> None:  # fmt: skip
        import pysequoia

        root = self.directory / archive
        dists = root / "dists" / suite
        lines = []
        for architecture in ARCHITECTURES:
            stanzas = [self._put(root, one) for one in packages if one.architecture in ("all", architecture)]
            text = "\n".join(stanzas).encode()
            packed = lzma.compress(text)
            place = dists / f"main/binary-{architecture}"
            place.mkdir(parents=True, exist_ok=True)
            (place / "Packages.xz").write_bytes(packed)
            for name, data in (("Packages", text), ("Packages.xz", packed)):
                lines.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-{architecture}/{name}")
        now = time.time()
        about = {
            "Origin": "Test", "Suite": "stable", "Codename": suite,
            "Date": _date(now - 60), "Valid-Until": _date(now + 3600), "Architectures": "all amd64 arm64",
            "Components": "main",
        } | fields  # fmt: skip
        text = "".join(f"{name}: {value}\n" for name, value in about.items() if value)
        text += "SHA256:\n" + "\n".join(lines) + "\n"
        signed = pysequoia.sign(key(signer).signer(), text.encode(), mode=pysequoia.SignatureMode.CLEAR)
        (dists / "InRelease").write_bytes(signed)

    def _put(self, root: Path, package: Package) -> str:
        deb = package.deb()
        path = f"pool/main/{package.name}_{package.version.replace(':', '%3a')}_{package.architecture}.deb"
        path = path.replace("%3a", ".")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(deb)
        return package.control() + f"Filename: {path}\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n"

    @contextmanager
    def serve(self) -> Iterator[str]:
        """The address of the main archive while it is served; ``requests`` has the paths that were asked for."""
        requests: list[str] = []
        self.requests = requests
        root = str(self.directory)

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=root)

            def log_message(self, *_arguments: object) -> None:
                requests.append(self.path)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/debian"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _date(seconds: float) -> str:
    return email.utils.formatdate(seconds).replace("-0000", "UTC")
