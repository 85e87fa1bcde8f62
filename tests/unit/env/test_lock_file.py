"""A lock is the same after it was written and read, other readers of PEP 751 take it, and damage is named."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.pylock import Pylock

from wherry.env import toml
from wherry.env.debian.package import DebianBase, DebPackage
from wherry.env.lock import ImageBase, Lock, LockedFile, LockedPackage, Options, marker_of
from wherry.env.lock_file import read, write
from wherry.errors import InvalidArgument, NotSupported

HASH = "0123456789abcdef" * 4


def _wheel(name: str, size: int = 7) -> LockedFile:
    return LockedFile(name=name, url=f"https://index.example/{name}", sha256=HASH, size=size)


PACKAGES = (
    LockedPackage("joblib", "1.5.3", (_wheel("joblib-1.5.3-py3-none-any.whl"),)),
    LockedPackage(
        "numpy",
        "2.0.2",
        (
            _wheel("numpy-2.0.2-cp39-cp39-manylinux_2_17_x86_64.whl"),
            _wheel("numpy-2.0.2-cp39-abi3-linux_x86_64.whl", 0),
        ),
        _wheel("numpy-2.0.2.tar.gz"),
        marker=marker_of("amd64"),
        requires=("joblib", "scipy"),
    ),
)
DEBS = (
    DebPackage("base-files", "12", "amd64", "debian", "pool/b/base-files_12_amd64.deb", HASH, 3),
    DebPackage("ca-certificates", "1", "all", "debian-security", "pool/c/ca_1_all.deb", HASH, 4),
)
LOCK = Lock(
    python="3.9",
    architectures=("amd64", "arm64"),
    base=DebianBase("bullseye", "3.9", "2026-11-28T02:53:00Z", ("git",), (("amd64", DEBS), ("arm64", DEBS[1:]))),
    packages=PACKAGES,
    requirements=("numpy<3", 'odd; extra == "a\\b"'),
    inputs="sha256:" + HASH,
    options=Options(env=(("A", "1\n2"), ("B C", 'ü"')), user="me", workdir="/work", cuda="12.6"),
    exclude_newer="2026-11-28T00:00:00Z",
)
PLAIN = LOCK.replace(
    base=ImageBase("docker.io/library/python:3.9-slim", "sha256:" + HASH), options=Options(), packages=()
)


@pytest.mark.parametrize("lock", [LOCK, PLAIN, PLAIN.replace(exclude_newer="", architectures=("arm64",))])
def test_round_trip(lock: Lock) -> None:
    text = write(lock)
    assert read(text, "pylock.toml") == lock
    assert write(read(text, "pylock.toml")) == text


@pytest.mark.parametrize("lock", [LOCK, PLAIN])
def test_others_can_read_it(lock: Lock) -> None:
    found = Pylock.from_dict(tomllib.loads(write(lock)))
    assert [(one.name, str(one.version)) for one in found.packages] == [
        (one.name, one.version) for one in lock.packages
    ]


def test_packages_of_an_architecture() -> None:
    assert LOCK.of("amd64") == PACKAGES
    assert LOCK.of("arm64") == PACKAGES[:1]
    assert LOCK.replace(architectures=("amd64",)).of("arm64") == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('python = "3.9"\n', "", "tool.wherry.python is missing"),
        ('python = "3.9"\n', "python = 3.9\n", "tool.wherry.python is 3.9"),
        ('lock-version = "1.0"', "lock-version = 1979-05-27", "lock-version is datetime.date"),
        ('python = "3.9"\n', 'python = "new"\n', "tool.wherry.python is 'new'"),
        ('name = "joblib"', 'name = "../joblib"', "packages[0].name is '../joblib'"),
        ('version = "1.5.3"', 'version = "1 5"', "packages[0].version is '1 5'"),
        ("A = ", '"A=B" = ', "tool.wherry.options.env.A=B is"),
        ("size = 7", "size = true", "packages[0].wheels[0].size is True"),
        ("size = 7", "size = -7", "packages[0].wheels[0].size is -7"),
        (f'"{HASH}"', '"beef"', "packages[0].wheels[0].hashes.sha256 is 'beef'"),
        ('name = "joblib-1.5.3-py3-none-any.whl"', 'name = "../x.whl"', "packages[0].wheels[0].name is '../x.whl'"),
        ("platform_machine == 'x86_64'\"\n", "os_name == 'nt'\"\n", "packages[1].marker is "),
        ('"pool/b/', '"../b/', "tool.wherry.base.packages.amd64[0].path is "),
        ('["amd64", "arm64"]', '["s390x"]', "tool.wherry.architectures is ['s390x']"),
        ("[tool.wherry", "[tool.other", "was not written by wherry"),
        ("\n", "=\n", "is not TOML"),
    ],
)  # fmt: skip
def test_damage_is_named(old: str, new: str, said: str) -> None:
    text = write(LOCK)
    changed = text.replace(old, new) if "tool" in old else text.replace(old, new, 1)
    assert changed != text
    with pytest.raises(InvalidArgument) as caught:
        read(changed, "a/pylock.toml")
    assert "a/pylock.toml" in caught.value.message
    assert said in caught.value.message
    assert caught.value.hint or said == "is not TOML"


@pytest.mark.parametrize(("old", "new"), [("\nversion = 1\n", "\nversion = 2\n"), ('"1.0"', '"2.0"')])
def test_later_versions_are_refused(old: str, new: str) -> None:
    with pytest.raises(NotSupported, match="is not known"):
        read(write(LOCK).replace(old, new), "pylock.toml")


_values = st.recursive(
    st.text() | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), _values, max_size=4))
def test_toml_is_read_back(values: dict[str, toml.Value]) -> None:
    assert tomllib.loads("".join(toml.entry(name, each) for name, each in values.items())) == values
