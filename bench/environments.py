"""An environment of numpy, scipy, scikit-learn and pandas: `wherry env build` of a lock against `docker build` of the
usual three lines, on the same base, from the same index on loopback, with the same versions."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

import subjects
from support import environments, images, places
from support import wheels as made
from support.registry import Registry

DOCKERFILE = """\
FROM {base}
COPY requirements.txt .
RUN python3 -m pip install --no-cache-dir -i {index} -r requirements.txt
"""
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas")
CHANGED = "changed"  # the package that has another version each time


def _pip() -> Path:
    """pip's own wheel, from PyPI; kept on this machine."""
    directory = Path(places.PLACE) / "wherry-bench-pip"
    directory.mkdir(exist_ok=True)
    if not list(directory.glob("pip-*.whl")):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", directory, "pip"]
        subprocess.run([*map(str, command)], check=True)
    return next(directory.glob("pip-*.whl"))


def base() -> images.Built:
    """Debian's Python, its C++ library, and pip."""

    def build(directory: Path, files: dict[str, Path]) -> images.Built:
        known: set[str] = set()
        libraries = images.add_files(
            images.Layer(), {name: path for name, path in files.items() if ".so" in name}, known
        )
        site = f"usr/local/lib/python{environments.python_version()}/dist-packages"
        pip = images.Layer()
        seen: set[str] = set()
        with zipfile.ZipFile(_pip()) as archive:
            for name in sorted(archive.namelist()):
                path = f"{site}/{name}"
                for end in [at for at, letter in enumerate(path) if letter == "/"]:
                    if path[:end] not in seen:
                        seen.add(path[:end])
                        pip.directory(path[:end])
                if not name.endswith("/"):
                    pip.file(path, archive.read(name))
        config = {"Env": [images.PATH, "LANG=C.UTF-8", "PIP_BREAK_SYSTEM_PACKAGES=1", "PIP_ROOT_USER_ACTION=ignore"]}
        return images.Image([libraries, pip], config).build(directory, base=images.python())

    return images.cached("python-with-pip", (*images.BUSYBOX_PACKAGES, "libstdc++6", "libgcc-s1"), build)


def wheels() -> list[Path]:
    """The wheels of the environment with all that they need, from PyPI; kept on this machine."""
    directory = Path(places.PLACE) / "wherry-bench-env"
    if not directory.exists():
        part = directory.with_suffix(".part")
        command = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "-d", part]
        command += ["--python-version", environments.python_version(), *PACKAGES]
        subprocess.run([*map(str, command)], check=True)
        part.rename(directory)
    return sorted(directory.glob("*.whl"))


class Index:
    """Wheels as a package index on loopback (PEP 503: a page of links for each name)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "index"
        self.wheels: list[Path] = []
        handler = functools.partial(_Quiet, directory=str(self.directory))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        for wheel in wheels():
            self.add(wheel)

    def add(self, wheel: Path) -> Path:
        name = wheel.name.split("-")[0].lower().replace("_", "-")
        target = self.directory / "simple" / name / wheel.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(wheel, target)
        self.wheels.append(target)
        return target

    def link(self, wheel: Path) -> str:
        return f"{self.url}/{wheel.relative_to(self.directory)}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Project:
    """The same packages as a lock and as a Dockerfile; `change` gives one of them another version."""

    def __init__(self, directory: Path, index: Index, reference: str, digest: str) -> None:
        self.directory = directory / "project"
        self._index, self._base, self._reference = index, (reference, digest), reference
        self._others, self._number = list(index.wheels), 0
        self.directory.mkdir()
        self.change()

    def change(self) -> None:
        self._number += 1
        text = "".join(f"def function_{n}(a, b={n}):\n    return a * {n} + b\n\n" for n in range(200))
        files = {f"{CHANGED}/m{n}.py": text for n in range(20)} | {f"{CHANGED}/__init__.py": f"V = {self._number}\n"}
        new = self._index.add(made.make(self.directory / "made", CHANGED, f"1.{self._number}", files=files))
        packages = [environments.locked(wheel, self._index.link(wheel)) for wheel in (*self._others, new)]
        environments.write(self.directory / "lock", self._base, packages)
        pins = "".join(f"{one.name}=={one.version}\n" for one in packages)
        docker = self.directory / "docker"
        docker.mkdir(exist_ok=True)
        (docker / "requirements.txt").write_text(pins)
        (docker / "Dockerfile").write_text(
            DOCKERFILE.format(base=f"{self._reference}", index=f"{self._index.url}/simple")
        )


class Building:
    """One engine that builds the project; ``registry`` is where it pushes."""

    def __init__(self, engine: subjects.Engine, project: Project, base: str) -> None:
        self.engine, self._project = engine, project
        self._registry = Registry()
        self._name = f"{self._registry.host}/bench/env"
        self._number = 0
        self._build: Callable[[str], list[str]]
        if isinstance(engine, subjects.Wherry):
            self._build = lambda name: [*engine.base, "env", "build", "-t", name, str(project.directory / "lock")]
        else:
            self._build = lambda name: [
                *engine.base, "build", "-q", "--network", "host", "-t", name, str(project.directory / "docker"),
            ]  # fmt: skip
        subjects.output(*engine.base, "pull", "-q", base)
        self.build()

    def build(self) -> float:
        """The project as it is now: milliseconds."""
        return self.engine.time(self._build(f"{self._name}:now"))

    def first(self) -> float:
        """From the base and the downloads that an engine keeps, nothing else."""
        subjects.output(*self.engine.base, "rmi", "-f", f"{self._name}:now")
        if isinstance(self.engine, subjects.Wherry):
            for part in ("layers", "bytecode", "images", "interpreters"):
                for path in (self.engine.directory / "root/cache/env" / part).iterdir():
                    path.unlink()
            subjects.output(*self.engine.base, "image", "prune", "-f")
        else:
            subjects.output(*self.engine.base, "builder", "prune", "-af")
        return self.build()

    def pushed(self) -> float:
        """MB that come to a registry by a push of the image as it is now."""
        before = self._stored()
        subjects.output(*self.engine.base, "push", f"{self._name}:now")
        return (self._stored() - before) / 1e6

    def _stored(self) -> int:
        return sum(path.stat().st_size for path in self._registry.storage.rglob("data") if path.is_file())

    def close(self) -> None:
        self._registry.close()


@contextlib.contextmanager
def opened(engines: dict[str, subjects.Engine], directory: Path):  # type: ignore[no-untyped-def]
    """(builders by name, project), everything gone afterwards."""
    with contextlib.ExitStack() as stack:
        registry = stack.enter_context(Registry())
        index = Index(directory)
        stack.callback(index.close)
        image = base()
        reference = registry.push(image, "library/python-pip:3")
        project = Project(directory, index, reference, image.digest)
        found: dict[str, Building] = {}
        for name, engine in engines.items():
            if name != "podman":  # its build is another program's, buildah's
                found[name] = Building(engine, project, reference)
                stack.callback(found[name].close)
        yield found, project
