"""A lock of a folder: written once, the same again, and refused when the folder asks for something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.package_index import Index
from wherry.env import locking
from wherry.env.debian.package import DebianBase, DebPackage
from wherry.env.inputs import project
from wherry.env.lock import ImageBase, Lock
from wherry.env.locking import Request
from wherry.env.spec import Wishes
from wherry.errors import Conflict, InvalidArgument, NotFound, NotSupported, Unavailable

SUM = "0" * 64


def deb(name: str, version: str) -> DebPackage:
    return DebPackage(name, version, "amd64", "debian", f"pool/{name}.deb", SUM, 1)


BOOKWORM = DebianBase(
    "bookworm", "3.11", "2026-11-28T00:00:00Z", (),
    tuple([(each, (deb("libc6", "2.36-9+deb12u13"), deb("python3.11-minimal", "3.11.2-6+deb12u5")))
           for each in ("amd64", "arm64")]),
)  # fmt: skip


@pytest.fixture
def bases(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bases that were looked up; the archive is not asked."""
    asked: list[Any] = []

    def debian(_engine: object, spec: Any, *_rest: object) -> DebianBase:
        asked.append(spec.base)
        return BOOKWORM.replace(system=spec.system)

    monkeypatch.setattr(locking, "_debian", debian)
    return asked


@pytest.fixture(autouse=True)
def cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("cache")
    (directory / "images").mkdir()
    monkeypatch.setattr("wherry.env.cache.directory", lambda _engine: str(directory))


def lock(folder: Path, old: Lock | None = None, **request: Any) -> Lock:
    wishes = locking.wishes_of(old, folder) if old else Wishes(python="3.11")
    made = locking.lock(None, project.read(folder, wishes), old, Request(**request)).lock  # type: ignore[arg-type]
    locking.write(project.new_lock_path(folder), made)
    return made


def test_a_folder_is_locked_once(index: Index, bases: list[Any], tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_text("app\n")
    index.wheel("app", "1.0", ["compat; python_full_version < '3.11.3'"])
    index.wheel("compat")
    made = lock(folder)
    assert [one.name for one in made.packages] == ["app", "compat"]
    assert (made.python, made.requirements, made.base) == ("3.11", ("app",), BOOKWORM)
    assert locking.load(folder) == (made, folder / "pylock.toml")
    index.wheel("app", "2.0")
    assert lock(folder, made) == made
    assert not locking.write(folder / "pylock.toml", made)
    assert bases == ["debian:bookworm"]
    assert {one.name: one.version for one in lock(folder, made, upgrade=("app",)).packages}["app"] == "2.0"
    assert bases == ["debian:bookworm"]
    lock(folder, made, upgrade_base=True)
    lock(folder, made, upgrade_all=True)
    assert bases == ["debian:bookworm"] * 3
    assert [path.name for path in sorted(folder.iterdir())] == ["pylock.toml", "requirements.txt"]


@pytest.mark.usefixtures("bases")
def test_passwords_stay_out_of_the_lock(index: Index, tmp_path: Path) -> None:
    path = index.wheel("app", "1.0")
    url = f"{index.host.replace('http://', 'http://me:secret@')}/files/{path.name}"
    (tmp_path / "requirements.txt").write_text(f"-i {index.url.replace('http://', 'http://me:secret@')}\napp @ {url}\n")
    lock(tmp_path)
    text = (tmp_path / "pylock.toml").read_text()
    assert "secret" not in text
    assert f'"app @ {index.host}/files/{path.name}"' in text


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"requirements.txt": "app\nnew==1\n"}, "new==1 is new"),
        ({"requirements.txt": "app>=1\n"}, "app>=1 is new; app is gone"),
        ({"requirements.txt": "app\n-i https://x/simple\n"}, "constraints, hashes, indexes or settings of uv changed"),
        ({"pyproject.toml": '[tool.wherry.env]\npython = "3.9"\n'},
         "Python 3.11 became 3.9; base debian:bookworm became debian:bullseye"),
        ({"pyproject.toml": '[tool.wherry.env]\nbase = "python:3.11-slim"\n'},
         "base debian:bookworm became python:3.11-slim"),
        ({"pyproject.toml": '[tool.wherry.env]\nsystem = ["git"]\n'}, "system packages (none) became git"),
        ({"pyproject.toml": '[tool.wherry.env]\nworkdir = "/x"\n'}, "the options of the image changed"),
        ({"pyproject.toml": '[tool.wherry.env]\narchitectures = ["arm64"]\n'},
         "architectures amd64 arm64 became arm64"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("bases")
def test_a_lock_of_something_else_is_refused(index: Index, tmp_path: Path, files: dict[str, str], said: str) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_text("app\n")
    index.wheel("app", "1.0")
    lock(folder)
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(Conflict) as caught:
        locking.load(folder)
    assert caught.value.message.endswith(said)
    assert "does not match requirements.txt" in caught.value.message
    assert "wherry env lock" in caught.value.hint


@pytest.mark.parametrize("offline", [True, False])
def test_the_base_without_a_network(
    index: Index, bases: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_text("app\n")
    index.wheel("app", "1.0")

    def nowhere(*_arguments: object) -> DebianBase:
        raise Unavailable("no route to the mirror")

    spec = project.read(folder, Wishes(python="3.11"))
    look_up = locking._debian
    monkeypatch.setattr(locking, "_debian", nowhere)
    with pytest.raises(Unavailable, match="not been looked up" if offline else "no route"):
        locking.lock(None, spec, None, Request(offline=offline))  # type: ignore[arg-type]
    monkeypatch.setattr(locking, "_debian", look_up)
    first = locking.lock(None, spec)  # type: ignore[arg-type]
    monkeypatch.setattr(locking, "_debian", nowhere)
    again = locking.lock(None, spec, None, Request(offline=offline))  # type: ignore[arg-type]
    assert (again.lock, first.from_cache, again.from_cache) == (first.lock, False, True)
    for changed in (spec.replace(system=("git",)), spec.replace(architectures=("amd64",))):
        with pytest.raises(Unavailable):
            locking.lock(None, changed, None, Request(offline=offline))  # type: ignore[arg-type]
    assert bases == ["debian:bookworm"]


@pytest.mark.usefixtures("bases")
def test_the_target_stays_as_it_was_chosen(index: Index, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("app\n")
    index.wheel("app", "1.0")
    made = lock(tmp_path)
    assert made.python == "3.11", "though the newest is 3.13"
    assert locking.load(tmp_path)[0].python == "3.11"
    image = made.replace(base=ImageBase("python:3.11-slim", f"sha256:{SUM}"))
    assert locking.wishes_of(image, tmp_path) == Wishes(python="3.11", base="python:3.11-slim")


def test_without_a_lock(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no lock"):
        locking.load(tmp_path)
    with pytest.raises(NotFound, match="there is no"):
        locking.read(tmp_path / "x.toml")
    (tmp_path / "pylock.toml").write_text('lock-version = "1.0"\n')
    with pytest.raises(InvalidArgument, match="was not written by wherry"):
        locking.read(tmp_path / "pylock.toml")


@pytest.mark.usefixtures("bases")
def test_a_lock_of_another_program_is_kept(tmp_path: Path) -> None:
    theirs = (
        'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "app"\nversion = "1.0"\n'
        f'wheels = [{{url = "https://x/app-1.0-py3-none-any.whl", hashes = {{sha256 = "{SUM}"}}}}]\n'
    )
    (tmp_path / "pylock.toml").write_text(theirs)
    made = lock(tmp_path)
    assert made.requirements == ("app==1.0",)
    assert (tmp_path / "pylock.toml").read_text() == theirs
    assert locking.load(tmp_path) == (made, tmp_path / "pylock.wherry.toml")
    (tmp_path / "pylock.toml").write_text(theirs.replace("1.0-py3", "1.0-py2.py3"))
    with pytest.raises(Conflict, match=r"pylock\.toml changed"):
        locking.load(tmp_path)


def test_base_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, index: Index) -> None:
    (tmp_path / "requirements.txt").write_text("app\n")
    (tmp_path / "pyproject.toml").write_text('[tool.wherry.env]\nbase = "python:3.11-alpine"\n')
    index.wheel("app", "1.0", tag="cp311-cp311-musllinux_1_2_x86_64")
    index.wheel("app", "1.0", tag="cp311-cp311-musllinux_1_2_aarch64")
    index.wheel("app", "2.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    answer = {
        "Descriptor": {"digest": f"sha256:{SUM}"},
        "Platforms": [{"os": "linux", "architecture": each} for each in ("amd64", "arm64")],
    }
    monkeypatch.setattr("wherry.engine.distribution.describe", lambda _engine, _name: answer)
    made = lock(tmp_path)
    assert made.base == ImageBase("python:3.11-alpine", f"sha256:{SUM}")
    assert [(one.version, len(one.wheels)) for one in made.packages] == [("1.0", 2)]
    answer["Platforms"].pop()  # type: ignore[attr-defined]
    with pytest.raises(NotSupported, match=r"the base python:3\.11-alpine is not there for arm64") as caught:
        lock(tmp_path, made, upgrade_base=True)
    assert 'architectures = ["amd64"]' in caught.value.hint


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    made = Lock("3.11", ("amd64",), BOOKWORM, (), (), "")
    with pytest.raises(InvalidArgument, match="cannot write"):
        locking.write(tmp_path / "nope" / "pylock.toml", made)
    (tmp_path / "pylock.toml").mkdir()
    with pytest.raises(InvalidArgument, match="cannot"):
        locking.write(tmp_path / "pylock.toml", made)
    assert [path.name for path in tmp_path.iterdir()] == ["pylock.toml"]
