"""Versions that another lock decided: nothing is resolved, and what does not suit the target is an error."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support import wheels
from support.package_index import Index
from wherry.env import pins, uv
from wherry.env.inputs import project
from wherry.env.resolve import Wanted
from wherry.env.spec import Wishes
from wherry.errors import Conflict, InvalidArgument, NotSupported

X86, ARM, WIN = "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_17_aarch64", "cp311-cp311-win_amd64"
WANTED = Wanted("3.11.2", "glibc 2.36")
SUM = "ab" * 32


def entry(name: str, *tags: str, more: str = "", version: str = "1.0") -> str:
    files = ", ".join(
        f'{{url = "https://x/{name}-{version}-{tag}.whl", size = 3, hashes = {{sha256 = "{SUM}"}}}}' for tag in tags
    )
    wheels = f"wheels = [{files}]\n" if tags else ""
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{more}{wheels}'


def select(folder: Path, *entries: str, head: str = "") -> pins.Resolved:
    text = f'lock-version = "1.0"\ncreated-by = "x"\n{head}\n' + "\n".join(entries)
    (folder / "pylock.toml").write_text(text)
    return pins.select(project.read(folder, Wishes(python="3.11")), WANTED)


def test_pylock(tmp_path: Path) -> None:
    found = select(
        tmp_path,
        entry("core", X86, ARM, WIN),
        entry("win", WIN, more="marker = \"sys_platform == 'win32'\"\n"),
        entry("compat", "py3-none-any", more="marker = \"python_full_version < '3.11.3'\"\n"),
        entry("app", "py3-none-any", more='dependencies = [{name = "core"}, {name = "win"}]\n'),
        entry("gpu", X86, more="marker = \"platform_machine == 'x86_64'\"\n"),
        entry("old", more=f'sdist = {{name = "old-1.0.tar.gz", url = "https://x/y", hashes = {{sha256 = "{SUM}"}}}}\n'),
        entry("file", more=f'archive = {{url = "https://x/file-1.0.zip", hashes = {{sha256 = "{SUM}"}}}}\n'),
    )
    assert [(one.name, len(one.wheels), one.marker, one.requires) for one in found.packages] == [
        ("app", 1, "", ("core",)), ("compat", 1, "", ()), ("core", 2, "", ()), ("file", 0, "", ()),
        ("gpu", 1, "platform_machine == 'x86_64'", ()), ("old", 0, "", ()),
    ]  # fmt: skip
    assert [wheel.name for wheel in found.packages[2].wheels] == [f"core-1.0-{ARM}.whl", f"core-1.0-{X86}.whl"]
    assert [one.sdist.name for one in found.packages if one.sdist] == ["file-1.0.zip", "old-1.0.tar.gz"]


@pytest.mark.parametrize(
    ("entries", "head", "kind", "said"),
    [
        ([entry("core", X86)], "", InvalidArgument, "not for Python 3.11.2 on arm64: No wheel found"),
        ([entry("core", WIN)], "", InvalidArgument, "'core'"),
        ([], 'packages = []\nrequires-python = ">=3.12"', InvalidArgument, "does not satisfy the Python version"),
        ([], "packages = []\nenvironments = [\"sys_platform == 'win32'\"]", InvalidArgument, "does not satisfy any"),
        ([entry("x", X86, more='vcs = {type = "git", url = "https://x", commit-id = "1"}\n')], "", InvalidArgument,
         "is not a lock of PEP 751"),
        ([entry("x", more='vcs = {type = "git", url = "x", commit-id = "1"}\n')], "", NotSupported,
         "x has no file that a lock can keep by hash"),
        ([entry("x", more='directory = {path = "."}\n')], "", NotSupported, "x has no file that a lock can"),
        (["packages = 1"], "", InvalidArgument, "is not a lock of PEP 751"),
    ],
)  # fmt: skip
def test_wrong_pylocks(tmp_path: Path, entries: list[str], head: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as caught:
        select(tmp_path, *entries, head=head)
    assert said in str(caught.value)
    assert "pylock.toml" in str(caught.value) or kind is NotSupported


def test_versions_of_another_lock_are_not_upgraded(tmp_path: Path) -> None:
    (tmp_path / "pylock.toml").write_text('lock-version = "1.0"\ncreated-by = "x"\npackages = []\n')
    with pytest.raises(InvalidArgument, match=r"the versions are those of pylock\.toml"):
        pins.select(project.read(tmp_path, Wishes()), WANTED.replace(upgrade=("x",)))


def test_uv_lock(index: Index, tmp_path: Path) -> None:
    index.wheel("app", "1.0", ["core", "win; sys_platform == 'win32'"])
    for tag in (X86, ARM, WIN):
        index.wheel("core", "1.0", tag=tag)
    index.wheel("win", "1.0", tag=WIN)
    index.wheel("extra-one", "1.0")
    index.wheel("of-group", "1.0")
    folder = tmp_path / "project"
    folder.mkdir()
    text = (
        '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["app>=1"]\n'
        '[project.optional-dependencies]\nx = ["extra-one"]\n[dependency-groups]\ndev = ["of-group"]\n'
    )
    (folder / "pyproject.toml").write_text(text)
    subprocess.run([uv.find(), "lock", "-q", *uv.python()], cwd=folder, check=True, timeout=60)
    index.wheel("app", "2.0")
    index.close()

    def chosen() -> list[str]:
        return [one.name for one in pins.select(project.read(folder, Wishes(python="3.11")), WANTED).packages]

    assert chosen() == ["app", "core"]
    found = pins.select(project.read(folder, Wishes(python="3.11")), WANTED).packages
    assert (found[0].version, found[0].requires, len(found[1].wheels)) == ("1.0", ("core",), 2)
    assert found[0].wheels[0].sha256 == wheels.sha256(index.directory / found[0].wheels[0].name)
    (folder / "pyproject.toml").write_text(text + '[tool.wherry.env]\nextras = ["x"]\ngroups = ["dev"]\n')
    assert chosen() == ["app", "core", "extra-one", "of-group"]
    for before, after, name in (("app>=1", "app>=2", "app"), ('["app>=1"]', '["app>=1", "new"]', "new")):
        (folder / "pyproject.toml").write_text(text.replace(before, after))
        with pytest.raises(Conflict, match=rf"uv\.lock is not of this pyproject\.toml: it has another {name}"):
            chosen()
