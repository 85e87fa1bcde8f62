"""Real images for tests, made from the distribution's own packages: no registry and no download.

`Layer` writes a tar entry by entry (also the strange ones that an attack needs), `Image` is a configuration and
its layers, `Built` is an image on disk as an OCI layout.  `busybox()` and `python()` are built once per machine
into a cache that every user may read; parallel builders wait for each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

EPOCH = 1_700_000_000
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GOARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "riscv64": "riscv64"}
ARCHITECTURE = GOARCH.get(platform.machine(), platform.machine())

OCI = {
    "index": "application/vnd.oci.image.index.v1+json",
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "none": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
DOCKER = {
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "none": "application/vnd.docker.image.rootfs.diff.tar",
    "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "zstd": "application/vnd.docker.image.rootfs.diff.tar.zstd",
}
Compression = Literal["none", "gzip", "zstd"]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layer:
    """A layer being written.  Every method returns the layer, so calls chain; order is kept."""

    def __init__(self, *, compression: Compression = "gzip", format: int = tarfile.PAX_FORMAT) -> None:
        self.compression = compression
        self._format = format
        self._entries: list[tuple[tarfile.TarInfo, bytes | Path | None]] = []

    def raw(self, info: tarfile.TarInfo, data: bytes | Path | None = None) -> Layer:
        """An entry exactly as given; for the entries no honest tar has."""
        if isinstance(data, bytes):
            info.size = len(data)
        self._entries.append((info, data))
        return self

    def entry(
        self, path: str, kind: bytes, *, mode: int, uid: int = 0, gid: int = 0, mtime: float = EPOCH, link: str = "",
        xattrs: dict[str, str] | None = None, data: bytes | Path | None = None, device: tuple[int, int] = (0, 0),
    ) -> Layer:  # fmt: skip
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.uid, info.gid, info.mtime, info.linkname = kind, mode, uid, gid, mtime, link
        info.devmajor, info.devminor = device
        if isinstance(data, Path):
            info.size = data.stat().st_size
        info.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in (xattrs or {}).items()}
        return self.raw(info, data)

    def directory(self, path: str, mode: int = 0o755, **more: Any) -> Layer:
        return self.entry(path, tarfile.DIRTYPE, mode=mode, **more)

    def file(self, path: str, data: bytes | str | Path = b"", mode: int = 0o644, **more: Any) -> Layer:
        content = data.encode() if isinstance(data, str) else data
        return self.entry(path, tarfile.REGTYPE, mode=mode, data=content, **more)

    def symlink(self, path: str, target: str, **more: Any) -> Layer:
        return self.entry(path, tarfile.SYMTYPE, mode=0o777, link=target, **more)

    def hardlink(self, path: str, target: str, mode: int = 0o644, **more: Any) -> Layer:
        """Another name for *target*; *mode* should be the target's, some extractors apply it."""
        return self.entry(path, tarfile.LNKTYPE, mode=mode, link=target, **more)

    def fifo(self, path: str, mode: int = 0o644, **more: Any) -> Layer:
        return self.entry(path, tarfile.FIFOTYPE, mode=mode, **more)

    def device(self, path: str, kind: Literal["c", "b"], major: int, minor: int, mode: int = 0o666) -> Layer:
        type_ = tarfile.CHRTYPE if kind == "c" else tarfile.BLKTYPE
        return self.entry(path, type_, mode=mode, device=(major, minor))

    def whiteout(self, path: str) -> Layer:
        """Delete *path* of the layers below."""
        head, _, name = path.rpartition("/")
        return self.file(f"{head}/.wh.{name}" if head else f".wh.{name}")

    def opaque(self, directory: str) -> Layer:
        """Hide what the layers below have in *directory*."""
        return self.file(f"{directory}/.wh..wh..opq")

    def host(self, path: Path, name: str) -> Layer:
        """A file, link or directory of this machine under another name, owned by root."""
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            return self.directory(name, mode, mtime=int(status.st_mtime))
        if stat.S_ISLNK(status.st_mode):
            return self.symlink(name, os.readlink(path), mtime=int(status.st_mtime))
        return self.file(name, path, mode, mtime=int(status.st_mtime))

    def write(self, out: Any) -> None:
        """The uncompressed tar."""
        with tarfile.open(fileobj=out, mode="w|", format=self._format) as tar:
            for info, data in self._entries:
                if isinstance(data, Path):
                    with data.open("rb") as stream:
                        tar.addfile(info, stream)
                else:
                    tar.addfile(info, io.BytesIO(data) if data is not None else None)

    def tar(self) -> bytes:
        buffer = io.BytesIO()
        self.write(buffer)
        return buffer.getvalue()


def compress(data: bytes, how: Compression) -> bytes:
    if how == "none":
        return data
    if how == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=3).compress(data)
    return gzip.compress(data, 6, mtime=0)


@dataclass
class Image:
    """A configuration and layers; nothing is on disk before `build`."""

    layers: list[Layer | bytes] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    architecture: str = ARCHITECTURE
    os: str = "linux"
    variant: str = ""
    media_types: dict[str, str] = field(default_factory=lambda: OCI)
    annotations: dict[str, str] = field(default_factory=dict)

    def build(self, directory: Path, base: Built | None = None) -> Built:
        """Write the image into *directory* as an OCI layout, on top of *base* where one is given."""
        blobs = directory / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        descriptors: list[dict[str, Any]] = []
        diff_ids: list[str] = []
        history: list[dict[str, Any]] = []
        if base is not None:
            for descriptor in base.manifest["layers"]:
                source = base.blob_path(descriptor["digest"])
                target = blobs / source.name
                if not target.exists():
                    _link_or_copy(source, target)
            descriptors += base.manifest["layers"]
            diff_ids += base.config["rootfs"]["diff_ids"]
            history += base.config["history"]
        for number, layer in enumerate(self.layers):
            tar = layer if isinstance(layer, bytes) else layer.tar()
            how: Compression = "gzip" if isinstance(layer, bytes) else layer.compression
            diff_ids.append(sha256(tar))
            descriptors.append(_put(blobs, compress(tar, how), self.media_types[how]))
            history.append({"created": "2023-11-14T22:13:20Z", "created_by": f"layer {number}"})
        inherited = dict(base.config["config"]) if base else {"Env": [PATH], "Cmd": ["sh"]}
        document: dict[str, Any] = {
            "created": "2023-11-14T22:13:20Z",
            "architecture": self.architecture,
            "os": self.os,
            "config": inherited | self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        }
        if self.variant:
            document["variant"] = self.variant
        return write_layout(directory, document, descriptors, self.media_types, self.annotations)


def write_layout(
    directory: Path, config: dict[str, Any], layers: list[dict[str, Any]], media_types: dict[str, str] = OCI,
    annotations: dict[str, str] | None = None,
) -> Built:  # fmt: skip
    """Write the configuration, a manifest over *layers* (whose blobs are there) and the index of an OCI layout."""
    blobs = directory / "blobs" / "sha256"
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_types["manifest"],
        "config": _put(blobs, json.dumps(config).encode(), media_types["config"]),
        "layers": layers,
    }
    if annotations:
        manifest["annotations"] = annotations
    descriptor = _put(blobs, json.dumps(manifest).encode(), media_types["manifest"])
    descriptor["platform"] = {name: config[name] for name in ("architecture", "os", "variant") if name in config}
    descriptor["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "mediaType": OCI["index"], "manifests": [descriptor]})
    )
    return Built(directory)


@dataclass(frozen=True)
class Built:
    """An image in an OCI layout of its own."""

    layout: Path

    def blob_path(self, digest: str) -> Path:
        algorithm, _, encoded = digest.partition(":")
        return self.layout / "blobs" / algorithm / encoded

    def blob(self, digest: str) -> bytes:
        return self.blob_path(digest).read_bytes()

    @property
    def descriptor(self) -> dict[str, Any]:
        """Of the manifest, as index.json has it."""
        found: dict[str, Any] = json.loads((self.layout / "index.json").read_bytes())["manifests"][0]
        return found

    @property
    def digest(self) -> str:
        """Of the manifest."""
        return str(self.descriptor["digest"])

    @property
    def manifest(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.blob(self.digest))
        return document

    @property
    def id(self) -> str:
        """The image id: the digest of its configuration."""
        return str(self.manifest["config"]["digest"])

    @property
    def config(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.blob(self.id))
        return document

    def oci_archive(self, path: Path, name: str = "latest") -> Path:
        """Write the layout as one tar; *name* becomes the reference in its index."""
        index = json.loads((self.layout / "index.json").read_bytes())
        annotations = {"org.opencontainers.image.ref.name": name}
        if "/" in name or ":" in name:
            annotations["io.containerd.image.name"] = name
        index["manifests"][0]["annotations"] = annotations
        with tarfile.open(path, "w") as tar:
            for file in sorted(self.layout.rglob("*")):
                if file.name == "index.json":
                    _add(tar, "index.json", json.dumps(index).encode())
                elif file.is_file():
                    tar.add(file, str(file.relative_to(self.layout)), recursive=False)
        return path

    def docker_archive(self, path: Path, *names: str) -> Path:
        """Write what `docker save` wrote before version 25: plain layers and manifest.json."""
        manifest = self.manifest
        config = self.blob(self.id)
        layers: list[str] = []
        with tarfile.open(path, "w") as tar:
            for descriptor in manifest["layers"]:
                data = self.blob(descriptor["digest"])
                if descriptor["mediaType"].endswith("gzip"):
                    data = gzip.decompress(data)
                elif descriptor["mediaType"].endswith("zstd"):
                    import zstandard

                    data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
                name = f"{hashlib.sha256(data).hexdigest()}/layer.tar"
                if name not in layers:
                    _add(tar, name, data)
                layers.append(name)
            name = self.id.partition(":")[2] + ".json"
            _add(tar, name, config)
            entry = {"Config": name, "RepoTags": list(names) or None, "Layers": layers}
            _add(tar, "manifest.json", json.dumps([entry]).encode())
        return path


def index_of(images: Iterable[Built], media_types: dict[str, str] = OCI) -> bytes:
    """A multi-platform index over *images*, as bytes; the images' own blobs are pushed apart."""
    manifests = []
    for image in images:
        descriptor = dict(image.descriptor)
        descriptor.pop("annotations", None)
        manifests.append(descriptor)
    return json.dumps({"schemaVersion": 2, "mediaType": media_types["index"], "manifests": manifests}).encode()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(data), EPOCH
    tar.addfile(info, io.BytesIO(data))


def _put(blobs: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = sha256(data)
    path = blobs / digest.partition(":")[2]
    if not path.exists():
        path.write_bytes(data)
        path.chmod(0o644)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


# -- the distribution's files ----------------------------------------------------------------------------------------

MERGED = ("bin", "sbin", "lib", "lib64", "libx32", "lib32")
MERGED_DIRECTORIES = ("", ".", *MERGED, *(f"usr/{name}" for name in MERGED))
UNWANTED = ("usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/lintian/", "usr/share/info/")
BUSYBOX_PACKAGES = ("busybox-static",)
LIBRARY_PACKAGES = (
    "libc6", "zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libuuid1", "libsqlite3-0",
    "libcrypt1",
)  # fmt: skip

NGINX_PACKAGES = (
    "libc6", "zlib1g", "libssl3", "libcrypt1", "libpcre2-8-0", "libtinfo6", "bash", "nginx-common", "nginx",
)  # fmt: skip
NGINX = """\
user alice;
worker_processes 1;
pid /run/nginx.pid;
events { worker_connections 64; }
http { server { listen 80; root /usr/share/nginx/html; } }
"""


class NoPackages(Exception):
    """This machine has no dpkg, or a package can neither be found nor fetched."""


def python_packages() -> tuple[str, ...]:
    """The packages of the distribution's own Python, whatever its version is."""
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Depends}", "python3-minimal"], capture_output=True, text=True, check=False
    ).stdout
    version = next(
        (word for word in found.replace(",", " ").split() if word.startswith("python3.")), "python3.11-minimal"
    )
    version = version.removesuffix("-minimal")
    return (f"{version}-minimal", f"lib{version}-minimal", f"lib{version}-stdlib", "python3-minimal")


def merged(path: str) -> str:
    """Where a packaged path is on a system whose /bin and /lib are links into /usr."""
    path = path.removeprefix("./").strip("/")
    return f"usr/{path}" if path.split("/")[0] in MERGED else path


@contextlib.contextmanager
def package_files(packages: Iterable[str], scratch: Path) -> Iterator[dict[str, Path]]:
    """name in the image → file on this machine, for all files of *packages*; fetched where not installed."""
    if shutil.which("dpkg-query") is None:
        raise NoPackages("this machine has no dpkg")
    files: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        for package in packages:
            listing = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True, check=False)
            if listing.returncode == 0:
                paths = {merged(line): Path(line) for line in listing.stdout.splitlines() if line.startswith("/")}
            else:
                paths = _fetch(package, Path(directory) / package)
            for name, path in paths.items():
                if name not in MERGED_DIRECTORIES and not name.startswith(UNWANTED) and os.path.lexists(path):
                    files[name] = path
        yield files


def _fetch(package: str, directory: Path) -> dict[str, Path]:
    directory.mkdir(parents=True)
    done = subprocess.run(["apt-get", "download", package], cwd=directory, capture_output=True, text=True, check=False)
    archives = list(directory.glob("*.deb"))
    if done.returncode or not archives:
        raise NoPackages(f"the package {package} is not installed and cannot be fetched")
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "-x", archives[0], tree], check=True)
    return {merged(str(path.relative_to(tree))): path for path in sorted(tree.rglob("*"))}


def add_files(layer: Layer, files: dict[str, Path], known: set[str] | None = None) -> Layer:
    """All of *files* in path order, each directory before what is in it."""
    known = set() if known is None else known
    for name in sorted(files):
        path = files[name]
        for end in [at for at, letter in enumerate(name) if letter == "/"]:
            if name[:end] not in known:
                known.add(name[:end])
                layer.directory(name[:end])
        if stat.S_ISDIR(path.lstat().st_mode):
            if name not in known:
                known.add(name)
                layer.directory(name)
        else:
            layer.host(path, name)
    return layer


PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
alice:x:1000:1000:Alice:/home/alice:/bin/sh
bob:x:1001:1001:Bob:/home/bob:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = """\
root:x:0:
daemon:x:1:
tty:x:5:
staff:x:50:alice
video:x:44:alice,bob
www-data:x:33:
alice:x:1000:
bob:x:1001:
nogroup:x:65534:
"""


def skeleton(layer: Layer, known: set[str]) -> Layer:
    """The directories, links and account files that every system has."""
    for name in ("dev", "etc", "home", "mnt", "opt", "proc", "run", "srv", "sys", "usr", "usr/bin", "usr/lib",
                 "usr/lib64", "usr/local", "usr/local/bin", "usr/sbin", "usr/share", "var", "var/lib"):  # fmt: skip
        known.add(name)
        layer.directory(name)
    for name in ("bin", "sbin", "lib", "lib64"):
        layer.symlink(name, f"usr/{name}")
    layer.directory("root", 0o700)
    layer.directory("tmp", 0o1777).directory("var/tmp", 0o1777)
    layer.directory("home/alice", 0o750, uid=1000, gid=1000).directory("home/bob", 0o750, uid=1001, gid=1001)
    layer.file("etc/passwd", PASSWD).file("etc/group", GROUP).file("etc/shadow", "root:*:19000::::::\n", 0o640, gid=42)
    layer.file("etc/os-release", 'NAME="Wherry test system"\nID=wherry-test\nVERSION_ID=1\n')
    return layer


def add_busybox(layer: Layer, files: dict[str, Path]) -> Layer:
    """busybox and a hard link per applet, as Docker's image of that name has them."""
    binary = files["usr/bin/busybox"]
    layer.file("usr/bin/busybox", binary, 0o755)
    applets = subprocess.run([binary, "--list-full"], capture_output=True, text=True, check=True).stdout.split()
    taken = {"usr/bin/busybox"}
    for applet in applets:
        name = merged(applet)
        if name not in taken and name.startswith(("usr/bin/", "usr/sbin/")):
            taken.add(name)
            layer.hardlink(name, "usr/bin/busybox", 0o755)
    return layer


# -- images everybody uses -------------------------------------------------------------------------------------------


def cache_directory() -> Path:
    """Where built images are kept: one directory per user, readable by all."""
    named = os.environ.get("WHERRY_TEST_CACHE")
    path = Path(named) if named else Path("/var/tmp") / f"wherry-test-images-{os.geteuid()}"
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    if path.stat().st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to somebody else")
    path.chmod(0o755)
    return path


def cached(name: str, packages: Iterable[str], build: Callable[[Path, dict[str, Path]], Built]) -> Built:
    """The image *name*, built now or earlier; the key covers this file and the packages' versions."""
    packages = tuple(packages)
    versions = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n", *packages],
        capture_output=True, text=True, check=False,
    ).stdout if shutil.which("dpkg-query") else ""  # fmt: skip
    key = hashlib.sha256(Path(__file__).read_bytes() + repr(packages).encode() + versions.encode()).hexdigest()[:16]
    cache = cache_directory()
    final = cache / f"{name}-{key}"
    if final.exists():
        return Built(final)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if final.exists():
            return Built(final)
        for old in cache.glob(f"{name}-*.part"):
            shutil.rmtree(old)
        with package_files(packages, cache) as files:
            part = cache / f"{name}-{key}.part"
            part.mkdir()
            build(part, files)
            for directory in (part, *part.rglob("*")):
                directory.chmod(0o755 if directory.is_dir() else 0o644)
            part.rename(final)
    return Built(final)


def busybox() -> Built:
    """One layer: busybox, its applets as hard links, accounts alice (1000) and bob (1001), /tmp with mode 1777."""

    def build(directory: Path, files: dict[str, Path]) -> Built:
        layer = add_busybox(skeleton(Layer(), set()), files)
        return Image([layer], {"Env": [PATH], "Cmd": ["sh"]}).build(directory)

    return cached("busybox", BUSYBOX_PACKAGES, build)


def python() -> Built:
    """Three layers: busybox and the C library, the distribution's Python, and an application in /app."""

    def build(directory: Path, files: dict[str, Path]) -> Built:
        known: set[str] = set()
        base = add_busybox(skeleton(Layer(), known), files)
        libraries = {name: path for name, path in files.items() if _is_library(name)}
        add_files(base, libraries, known)
        interpreter: dict[str, Path] = {}
        for name, path in files.items():
            if name not in libraries and "busybox" not in name:
                interpreter[name] = path
                compiled = sorted((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*[0-9].pyc"))
                if path.suffix == ".py" and compiled:
                    interpreter[f"{name.rpartition('/')[0]}/__pycache__/{compiled[0].name}"] = compiled[0]
        second = add_files(Layer(), interpreter, known)
        code = 'import sys\nprint("hello from", sys.version.split()[0])\n'
        third = Layer().directory("app").file("app/hello.py", code).file("app/data.txt", "42\n")
        config = {
            "Env": [PATH, "LANG=C.UTF-8", "PYTHONUNBUFFERED=1"],
            "Cmd": ["python3"],
            "WorkingDir": "/app",
            "Labels": {"org.opencontainers.image.title": "python"},
        }
        return Image([base, second, third], config).build(directory)

    return cached("python", BUSYBOX_PACKAGES + LIBRARY_PACKAGES + python_packages(), build)


def nginx() -> Built:
    """Two layers: busybox with bash and the C library, and the distribution's nginx, which serves its welcome page.

    As in the official image, its logs are the standard streams and SIGQUIT stops it.
    """
    wanted = ("usr/sbin/nginx", "usr/share/nginx/html")

    def build(directory: Path, files: dict[str, Path]) -> Built:
        known: set[str] = set()
        base = add_busybox(skeleton(Layer(), known), files)
        libraries = {name: path for name, path in files.items() if _is_library(name) or name == "usr/bin/bash"}
        add_files(base, libraries, known)
        server = add_files(Layer(), {name: path for name, path in files.items() if name.startswith(wanted)}, known)
        for name in ("etc/nginx", "var/log", "var/log/nginx", "var/lib/nginx"):
            server.directory(name)
        server.file("etc/nginx/nginx.conf", NGINX)
        server.symlink("var/log/nginx/access.log", "/dev/stdout").symlink("var/log/nginx/error.log", "/dev/stderr")
        config = {
            "Env": [PATH],
            "Cmd": ["nginx", "-g", "daemon off;"],
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGQUIT",
        }
        return Image([base, server], config).build(directory)

    return cached("nginx", BUSYBOX_PACKAGES + NGINX_PACKAGES, build)


def _is_library(name: str) -> bool:
    """Whether a packaged file is of the multiarch library directory or the dynamic linker."""
    return name.startswith(("usr/lib/x86_64-", "usr/lib/aarch64-", "usr/lib64/", "usr/lib/ld-"))


def everything(directory: Path) -> Built:
    """busybox with every setting an image can have: entry point, user, volumes, working directory, labels, ports."""
    layer = (
        Layer().directory("data", 0o750, uid=1000, gid=1000).file("data/seed", "from the image\n", uid=1000, gid=1000)
    )
    layer.file("usr/local/bin/entry", '#!/bin/sh\necho entry "$@"\nexec "$@"\n', 0o755)
    config = {
        "Env": [PATH, "GREETING=hello", "EMPTY="],
        "Entrypoint": ["/usr/local/bin/entry"],
        "Cmd": ["id"],
        "User": "alice",
        "WorkingDir": "/srv/inside",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": {"role": "everything"},
        "StopSignal": "SIGUSR1",
    }
    return Image([layer], config).build(directory, base=busybox())
