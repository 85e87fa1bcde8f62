"""``wherry env build``: from a lock to an image, the same everywhere, and only what changed is made and moved."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import environments, images, leaks, needs, places, wheels
from support.command import Wherry
from support.dockerd import Dockerd, NotHere
from support.registry import Registry
from support.tools import run
from wherry.env.lock import Options

pytestmark = pytest.mark.needs("registry", "debian", "busybox")


def site() -> str:
    return f"opt/venv/lib/python{environments.python_version()}/site-packages"


def inspect(wherry: Wherry, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(wherry.ok("image", "inspect", name))
    return found[0]


def digest(out: str) -> str:
    return out.splitlines()[-1].removeprefix("Digest: ")


def blobs(wherry: Wherry) -> set[str]:
    return {path.name for path in (wherry.root / "blobs" / "sha256").iterdir()}


def test_a_lock_becomes_an_image_that_runs(anyone: Wherry, env_project: Path) -> None:
    out = anyone.ok("env", "build", "-t", "team/env:1", env_project)
    assert out.startswith("Built team/env:1\nDigest: sha256:")
    run_it = ("run", "--rm", "--network", "none", "team/env:1")
    assert anyone.ok(*run_it, "tool") == "alpha /opt/venv True\n"
    code = "import beta, big, sys, os; print(beta.__cached__, os.environ['GREETING'], os.getcwd(), sys.executable)"
    cached = f"/{site()}/__pycache__/beta.cpython-{environments.python_version().replace('.', '')}.pyc"
    assert anyone.ok(*run_it, "python", "-c", code) == f"{cached} hello /workspace /opt/venv/bin/python\n"
    check = f"import importlib.util as u; d = open('{cached}', 'rb').read(); print(d[:4] == u.MAGIC_NUMBER, d[4])"
    assert anyone.ok(*run_it, "python", "-c", check) == "True 1\n", "unchecked, by the hash of the source"
    look = "import os; s = os.stat('/opt/venv/share/beta.txt'); print(oct(s.st_mode), s.st_uid, s.st_mtime)"
    assert anyone.ok(*run_it, "python", "-c", look) == "0o100644 0 0.0\n"
    config = inspect(anyone, "team/env:1")["Config"]
    assert (env_project / "pylock.toml").read_text() == config["Labels"]["wherry.env.lock"]
    again = anyone.ok("env", "build", "-t", "team/env:1", "-t", "team/env:2", env_project)
    assert again == out.replace("Built team/env:1", "Up to date: team/env:1 team/env:2")
    assert anyone.ok("env", "build", "-q", env_project).strip() == inspect(anyone, "team/env:2")["Id"]
    assert anyone.ok("ps", "-aq") == ""


@pytest.mark.needs("root", "faketime")
def test_the_same_digest_everywhere(
    wherry_as: Callable[..., Wherry], env_project: Path, scratch: Path, request: pytest.FixtureRequest
) -> None:
    """Another user, umask, time zone, clock, directory, hash seed and locale; another place for the lock."""
    first = digest(wherry_as().ok("env", "build", env_project))
    elsewhere = scratch / "some where" / "else"
    shutil.copytree(env_project, elsewhere)
    root = wherry_as()
    root.prefix = ("sh", "-c", 'umask 077; exec "$@"', "sh", "faketime", "2033-05-06 07:08:09")
    env = {"TZ": "Asia/Kolkata", "LANG": "C", "PYTHONHASHSEED": "7", "HOME": "/nonexistent", "SOURCE_DATE_EPOCH": "99"}
    assert digest(root.ok("env", "build", elsewhere, env=env, cwd="/")) == first
    user = wherry_as(request.getfixturevalue("rootless"))
    user.prefix = ("sh", "-c", 'umask 002; exec "$@"', "sh")
    assert digest(user.ok("env", "build", elsewhere, env={"TZ": "America/Lima"})) == first
    overlay = wherry_as()
    overlay.keep_layers("overlay")
    assert digest(overlay.ok("env", "build", env_project)) == first


def test_byte_code_does_not_depend_on_its_neighbours(wherry: Wherry, scratch: Path, env_base: tuple[str, str]) -> None:
    """The same wheel compiled alone, and in one process with others whose constants and names are the same."""
    shared = "".join(
        f"def name_{n}(a, b='text {n}', *c):\n    return a.attr_{n} + {n}00 + 1.5, ('t', {n}, b'x')\n\n"
        for n in range(60)
    )
    files = {f"gamma/m{n}.py": shared + f"other_{n} = frozenset(('q', 'r', 's'))\n" for n in range(8)}
    gamma = wheels.make(scratch / "index", "gamma", files=files)
    others = [
        wheels.make(scratch / "index", f"o{n}", files={f"o{n}.py": shared + "import sys\n" * n}) for n in range(5)
    ]
    environments.write(scratch / "alone", env_base, [gamma])
    environments.write(scratch / "together", env_base, [gamma, *others])
    wherry.ok("env", "build", "-t", "alone", scratch / "alone")
    before = {path.name: path.read_bytes() for path in (wherry.root / "cache/env/bytecode").iterdir()}
    assert len(before) == 1
    shutil.rmtree(wherry.root / "cache/env/bytecode")
    shutil.rmtree(wherry.root / "cache/env/layers")
    wherry.ok("rmi", "alone")
    (wherry.root / "cache/env/bytecode").mkdir(mode=0o700)
    (wherry.root / "cache/env/layers").mkdir(mode=0o700)
    wherry.ok("env", "build", "-t", "together", scratch / "together")
    after = {path.name: path.read_bytes() for path in (wherry.root / "cache/env/bytecode").iterdir()}
    assert len(after) == 6
    assert {name: after[name] for name in before} == before


def test_one_changed_package_is_one_layer(
    wherry: Wherry, env_project: Path, scratch: Path, env_base: tuple[str, str], registry_with: Callable[..., Registry]
) -> None:
    """In the store, and in what a push sends: that layer and the two documents."""
    registry = registry_with()
    wherry.ok("env", "build", "-t", f"{registry.host}/env:1", env_project)
    wherry.ok("push", f"{registry.host}/env:1")
    before, sent = blobs(wherry), {path.name for path in registry.storage.rglob("sha256/*/*") if path.is_dir()}
    index = scratch / "index"
    changed = [path for path in index.iterdir() if not path.name.startswith("beta")]
    changed.append(wheels.make(index, "beta", "2.0", files={"beta.py": "import alpha\nVALUE = 2\n"}))
    environments.write(
        scratch / "second", env_base, changed, options=Options(env=(("GREETING", "hello"),), workdir="/workspace")
    )
    wherry.ok("env", "build", "-t", f"{registry.host}/env:2", scratch / "second")
    assert len(blobs(wherry) - before) == 3
    one, two = (inspect(wherry, f"{registry.host}/env:{n}")["RootFS"]["Layers"] for n in (1, 2))
    assert len(one) == len(two)
    assert len(set(two) - set(one)) == 1
    out = wherry.ok("push", f"{registry.host}/env:2")
    assert out.count(": Pushed") == 1
    new = {path.name for path in registry.storage.rglob("sha256/*/*") if path.is_dir()} - sent
    assert new == blobs(wherry) - before


def test_records_list_byte_code_and_every_file(wherry: Wherry, env_project: Path, scratch: Path) -> None:
    wherry.ok("env", "build", "-t", "env", env_project)
    wherry.ok("save", "-o", scratch / "image.tar", "env")
    wherry.ok("image", "copy", "-q", "env", f"oci:{scratch}/layout:1")
    listed = ""
    for blob in (scratch / "layout/blobs/sha256").iterdir():
        data = blob.read_bytes()
        if data[:2] == b"\x1f\x8b" and b"wherry" not in data[:10]:
            with gzip.open(blob) as stream, tarfile.open(fileobj=stream) as tar:
                for member in tar:
                    if member.name.endswith("beta-1.0.dist-info/RECORD"):
                        found = tar.extractfile(member)
                        assert found is not None
                        listed = found.read().decode()
    tag = environments.python_version().replace(".", "")
    assert f"__pycache__/beta.cpython-{tag}.pyc,sha256=" in listed
    assert "../../../share/beta.txt,sha256=" in listed
    assert listed.endswith("beta-1.0.dist-info/RECORD,,\n")


# -- what is refused -------------------------------------------------------------------------------------------------


def refused(wherry: Wherry, folder: Path, *texts: str) -> None:
    """The build fails, with these words and no traceback, and leaves no image, no layer and no container."""
    done = wherry("env", "build", "-t", "refused", folder)
    assert done.code == 1, str(done)
    for text in texts:
        assert text in done.err, str(done)
    assert "Traceback" not in done.err
    assert "refused" not in wherry.ok("images")
    assert wherry.ok("ps", "-aq") == ""
    assert not list((wherry.root / "cache/env").glob("tmp-*"))


def test_what_is_refused(wherry: Wherry, scratch: Path, env_base: tuple[str, str]) -> None:
    index, python = scratch / "index", environments.python_version()
    good = wheels.make(index, "good")

    def lock(*packages: Any, **more: Any) -> Path:
        return environments.write(scratch / "p", env_base, packages, **more).parent

    twin = wheels.make(index, "twin", files={"good.py": "VERSION = 'another'\n", "twin.py": ""})
    refused(wherry, lock(good, twin), "good 1.0", "twin 1.0", f"both install /{site()}/good.py")
    inside = wheels.make(index, "inside", files={"good.py/module.py": ""})
    refused(wherry, lock(good, inside), f"good 1.0 installs /{site()}/good.py and inside 1.0", "good.py/module.py")
    refused(wherry, lock(environments.locked(good, sha256="0" * 64)), "good 1.0", "not what was locked", "lock again")
    refused(wherry, lock(wheels.make(index, "evil", files={"../../../bin/sh": ""})), "evil 1.0", "hostile path")
    over = wheels.make(index, "over", files={"over-1.0.data/scripts/python": "#!/bin/sh\n"})
    refused(wherry, lock(over), "over 1.0", "the environment itself", "/opt/venv/bin/python")
    win = wheels.make(index, "win", tag="cp311-cp311-win_amd64")
    refused(wherry, lock(win), "no wheel of win 1.0", f"Python {python} on {environments.ARCHITECTURE}", "win_amd64")
    old = wheels.make(index, "old", tag="cp27-cp27m-manylinux1_x86_64")
    refused(wherry, lock(old), "no wheel of old 1.0", "glibc 2.")
    refused(wherry, lock(environments.locked(good, name="other")), "good-1.0-py3-none-any.whl", "other 1.0")
    refused(wherry, lock(good, python="3.8"), f"has Python {python}", "wants 3.8")
    gone = environments.locked(good, url=(index / "gone.whl").as_uri(), sha256="1" * 64)
    refused(wherry, lock(gone), "good 1.0 is not at", "gone.whl")
    refused(wherry, lock(good, architectures=("arm64",)), "the lock is not for", "arm64")
    done = wherry("env", "build", index)
    assert done.code == 1
    assert "has no lock" in done.err
    assert "wherry env lock" in done.err
    wherry.ok("env", "build", "-q", lock(good))  # and the store is well


def test_parts_of_one_namespace_may_share_a_file(wherry: Wherry, scratch: Path, env_base: tuple[str, str]) -> None:
    made = [wheels.make(scratch / "index", name, files={"space/__init__.py": "# shared\n", f"space/{name}.py": ""})
            for name in ("one", "two")]  # fmt: skip
    environments.write(scratch / "p", env_base, made)
    wherry.ok("env", "build", "-t", "env", scratch / "p")
    wherry.ok("run", "--rm", "--network", "none", "env", "python", "-c", "import space.one, space.two")


def test_without_a_network_from_what_is_here(wherry: Wherry, env_project: Path, scratch: Path) -> None:
    """The base and the wheels are here; then the index and the registry are gone."""
    first = wherry.ok("env", "build", "-t", "env", env_project)
    shutil.rmtree(scratch / "index")
    wherry.ok("rmi", "env")
    shutil.rmtree(wherry.root / "cache/env/images")
    (wherry.root / "cache/env/images").mkdir()
    wherry.prefix = ("unshare", "--net") if os.geteuid() == 0 else ()
    assert wherry.ok("env", "build", "-t", "env", env_project) == first


# -- other engines ---------------------------------------------------------------------------------------------------


SMALL = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")


@contextlib.contextmanager
def in_podman() -> Iterator[tuple[str, ...]]:
    """The command line of a podman with storage of its own; what it mounts goes with it."""
    place = places.make("podman")
    command = ("podman", "--root", f"{place}/s", "--runroot", f"{place}/r", "--runtime", "runc")
    try:
        yield command
    finally:
        subprocess.run([*command, "rm", "-af"], check=False, capture_output=True)
        for point in reversed(leaks.mounts_of(place)):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.needs("root", "dockerd", "podman", "runc")
@pytest.mark.xdist_group("dockerd")
def test_docker_and_podman_run_it(wherry: Wherry, env_project: Path, registry_with: Callable[..., Registry]) -> None:
    registry = registry_with()
    name = f"{registry.host}/team/env:1"
    wherry.ok("env", "build", "-t", name, env_project)
    pushed = wherry.ok("push", name).splitlines()[-1].split()[2]
    assert pushed == digest(wherry.ok("env", "build", env_project)), "a push changes nothing"
    command = ("tool",)
    expected = "alpha /opt/venv True\n"
    with in_podman() as podman:
        out = run(*podman, "run", "--rm", "--network", "none", *SMALL, "--tls-verify=false", name, *command)
        assert out == expected
    try:
        docker = Dockerd()
    except NotHere:
        pytest.skip(needs.reason("dockerd"))
    try:
        out = run("env", f"HOME={docker.directory}", *docker.argv("pull", name))
        assert f"Digest: {pushed}" in out
        out = run("env", f"HOME={docker.directory}", *docker.argv("run", "--rm", "--network", "none", name, *command))
        assert out == expected
    finally:
        docker.close()


def test_pruned_with_the_system(wherry: Wherry, env_project: Path) -> None:
    """What has not been used for a month, or everything with -a; what is being built with stays."""
    wherry.ok("env", "build", "-t", "env", env_project)
    kept = wherry.root / "cache/env"
    wheels_kept = {path.name for path in kept.rglob("*.whl")}
    wherry.ok("system", "prune", "-f")
    assert {path.name for path in kept.rglob("*.whl")} == wheels_kept
    old = next(path for path in kept.rglob("alpha*.whl"))
    os.utime(old, (1, 1))
    wherry.ok("env", "build", "-t", "env", env_project)  # nothing to do: it is not used
    wherry.ok("system", "prune", "-f")
    assert {path.name for path in kept.rglob("*.whl")} == wheels_kept - {old.name}
    lock = wherry.run_root / "locks/build-cache"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        wherry.ok("system", "prune", "-af")
        assert list(kept.rglob("*.whl"))
    out = wherry.ok("system", "prune", "-af")
    assert "Total reclaimed space: 0B" not in out
    assert [path for path in kept.rglob("*") if path.is_file()] == []
    wherry.ok("env", "build", "-t", "env", env_project)


@pytest.mark.needs("x86_64")
def test_for_another_architecture(
    wherry: Wherry, scratch: Path, registry: Registry, python_image: images.Built
) -> None:
    """Wheels of that architecture on the base of that architecture; the base's Python for this one compiles."""
    other = images.Image([images.Layer().file("arm", "64")], architecture="arm64", variant="v8").build(scratch / "arm")
    document = images.index_of([python_image, other])
    name = registry.push_index([python_image, other], "library/two:1", document, images.OCI["index"])
    index, python = scratch / "index", environments.python_version().replace(".", "")
    pure = wheels.make(index, "pure")
    native = [
        wheels.make(index, "native", tag=f"cp{python}-cp{python}-manylinux2014_{machine}",
                    files={"native/__init__.py": "", "native/machine.txt": machine})
        for machine in ("x86_64", "aarch64")
    ]  # fmt: skip
    both = environments.locked(native[0]).replace(wheels=tuple(environments.locked(one).wheels[0] for one in native))
    environments.write(scratch / "p", (name, images.sha256(document)), [pure, both], architectures=("amd64", "arm64"))
    wherry.ok("env", "build", "-t", "env:arm", "--platform", "linux/arm64", scratch / "p")
    wherry.ok("env", "build", "-t", "env:amd", scratch / "p")
    arm, amd = inspect(wherry, "env:arm"), inspect(wherry, "env:amd")
    assert (arm["Architecture"], arm["Variant"], amd["Architecture"]) == ("arm64", "v8", "amd64")
    shared = set(arm["RootFS"]["Layers"]) & set(amd["RootFS"]["Layers"])
    assert len(shared) == 2, "the pure package, and the environment itself"
    wherry.ok("env", "verify", "env:arm")
    wherry.ok("create", "--name", "look", "--platform", "linux/arm64", "env:arm", "x")
    wherry.ok("cp", f"look:/{site()}/native/machine.txt", scratch / "machine.txt")
    assert (scratch / "machine.txt").read_text() == "aarch64"
    assert "environments are made for linux" in wherry("env", "build", "--platform", "windows/amd64", scratch / "p").err


def test_nothing_to_do_loads_nothing_to_do_it_with(wherry: Wherry, env_project: Path) -> None:
    wherry.ok("env", "build", "-t", "env", env_project)
    python, *rest = wherry.argv("env", "build", "-t", "env", env_project)
    done = subprocess.run(
        [python, "-X", "importtime", *rest], env=wherry.environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("Up to date: env\n"), done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "wherry.env.build" in loaded
    unneeded = ("urllib3", "ssl", "installer", "packaging", "zipfile", "isal", "socket", "wherry.env.debian.image")
    assert not {name for name in loaded if name.startswith(unneeded)}
