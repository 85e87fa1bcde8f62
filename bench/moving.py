"""Images on the move: a machine-learning image until its container has run, and a push after one layer changed."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import layer
import measure
import subjects
from support import images, places
from support.registry import Registry

WHEELS = ("numpy", "scipy", "scikit-learn", "pandas", "joblib", "threadpoolctl", "cloudpickle", "narwhals",
          "python-dateutil", "pytz", "six", "tzdata")  # fmt: skip
PYTHON = "/usr/bin/python3"
SITE = "usr/local/lib/python3/site-packages"
LAYERS, LAYER_SIZE = 20, 16 << 20


def wheels() -> list[Path]:
    """The wheels that Debian's Python would install, from PyPI; kept on this machine."""
    directory = Path(places.PLACE) / "wherry-bench-wheels"
    directory.mkdir(exist_ok=True)
    version = subprocess.run([PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True,
                             text=True, check=True).stdout.strip()  # fmt: skip
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", directory]
    command += [
        "--python-version",
        version,
        "--platform",
        "manylinux_2_28_x86_64",
        "--platform",
        "manylinux2014_x86_64",
    ]
    for name in WHEELS:
        known = name.replace("-", "_").lower()
        if not any(path.name.lower().startswith(f"{known}-") for path in directory.glob("*.whl")):
            subprocess.run([*map(str, command), name], check=True)
    return sorted(directory.glob("*.whl"))


LIBRARIES = ("stdc++.so.6", "gcc_s.so.1", "ffi.so.8", "bz2.so.1.0", "lzma.so.5", "z.so.1", "expat.so.1", "crypto.so.3",
             "ssl.so.3", "uuid.so.1")  # fmt: skip


def libraries() -> images.Layer:
    """The shared libraries of this machine that Python's and the wheels' extensions are linked with."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    layer = images.Layer()
    for name in LIBRARIES:
        for line in known.splitlines():
            if line.split()[:1] == [f"lib{name}"] and "x86-64" in line:
                path = Path(line.split()[-1]).resolve()
                layer.file(f"usr/lib/x86_64-linux-gnu/lib{name}", path.read_bytes(), 0o755)
                break
    return layer


def machine_learning(changed: str = "") -> images.Built:
    """Debian's Python, its libraries, and a layer for each wheel: 16 layers.

    ``changed`` is the beginning of the name of a wheel that has another version: one more file in its layer.
    """
    base = images.python()

    def build(directory: Path, _files: dict[str, Path]) -> images.Built:
        layers: list[images.Layer | bytes] = [libraries()]
        for wheel in wheels():
            one = images.Layer()
            known: set[str] = set()
            if changed and wheel.name.startswith(changed):
                one.file("another-version", wheel.name)
            with zipfile.ZipFile(wheel) as archive:
                for name in sorted(archive.namelist()):
                    path = f"{SITE}/{name}"
                    for end in [at for at, letter in enumerate(path) if letter == "/"]:
                        if path[:end] not in known:
                            known.add(path[:end])
                            one.directory(path[:end])
                    if not name.endswith("/"):
                        one.file(path, archive.read(name), 0o755 if ".so" in name else 0o644)
            layers.append(one)
        environment = [images.PATH, f"PYTHONPATH=/{SITE}"]
        return images.Image(layers, {"Env": environment}).build(directory, base=base)

    made_of = hashlib.sha256(" ".join([*(one.name for one in wheels()), *LIBRARIES, changed]).encode()).hexdigest()
    return images.cached(f"machine-learning-{made_of[:8]}", images.BUSYBOX_PACKAGES, build)


def twenty(directory: Path, number: int) -> images.Built:
    """busybox and twenty layers of 16 MB; the last is another for each ``number``."""
    text, code = layer._material(layer.random.Random(layer.SEED))
    layers: list[images.Layer | bytes] = []
    for at in range(LAYERS):
        chance = layer.random.Random(at if at < LAYERS - 1 else 1000 + number)
        data = layer._piece(chance, text + code, LAYER_SIZE)
        layers.append(images.Layer().file(f"data/{at}", data))
    directory.mkdir()
    return images.Image(layers).build(directory, base=images.busybox())


def pull_and_run(kind: type[subjects.Engine], disk: Path, reference: str, *, peaks: bool) -> float:
    """From an empty store to the end of ``true``: milliseconds, or with ``peaks`` MB of memory at most."""
    engine = kind(disk)
    found: list[measure.PeakMemory] = []

    def watch(pid: int) -> measure.PeakMemory:
        found.append(measure.PeakMemory(engine.memory_pid or pid))
        return found[0]

    try:
        engine.open()
        os.sync()
        command = engine.run_cold(reference, "true")
        taken = measure.timed(command, subjects.ENV, log=engine.log, watch=watch if peaks else None)
    finally:
        engine.close()
    return found[0].peak / 2**20 if peaks else taken


class Imports:
    """The first import of scikit-learn in a fresh container, nothing in memory; layers kept by ``snapshotter``."""

    def __init__(self, directory: Path, snapshotter: str, reference: str) -> None:
        directory.mkdir()
        self._engine = subjects.Wherry(directory)
        self._engine.keep_layers(snapshotter)
        self._engine.open()
        subjects.output(*self._engine.pull(reference))
        self._command = self._engine.run(reference, PYTHON, "-c", "import sklearn.ensemble")

    def __call__(self) -> float:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
        return self._engine.time(self._command)

    def close(self) -> None:
        self._engine.close()


def second_image(kind: type[subjects.Engine], disk: Path, first: str, second: str) -> float:
    """MB of disk that the second image takes when the first one is there."""
    engine = kind(disk)
    try:
        engine.open()
        subjects.output(*engine.pull(first))
        before = used(disk)
        subjects.output(*engine.pull(second))
        return (used(disk) - before) / 1e6
    finally:
        engine.close()


def used(disk: Path) -> int:
    """Bytes of a file system that are taken, as soon as everything is written."""
    os.sync()
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def layers_apart(first: images.Built, second: images.Built) -> float:
    """MB of the layers of ``second`` that ``first`` has not, compressed and not."""
    have = {one["digest"] for one in first.manifest["layers"]}
    blobs = [second.blob(one["digest"]) for one in second.manifest["layers"] if one["digest"] not in have]
    return sum(len(blob) + len(gzip.decompress(blob)) for blob in blobs) / 1e6


class Changed:
    """Pushes of one engine to a registry of its own, each of an image whose last layer is new there."""

    def __init__(self, engine: subjects.Engine, versions: list[images.Built], directory: Path) -> None:
        self._engine, self._versions, self._archive = engine, versions, directory / f"{engine.name}-twenty.tar"
        self._registry = Registry()
        self._number = 0

    def __call__(self) -> float:
        reference = f"{self._registry.host}/bench/twenty:{self._number}"
        self._versions[self._number].docker_archive(self._archive, reference)
        self._number += 1
        subjects.output(*self._engine.base, "load", "-q", "-i", self._archive)
        return self._engine.time(self._engine.push(reference))

    def close(self) -> None:
        self._registry.close()
        self._archive.unlink(missing_ok=True)
