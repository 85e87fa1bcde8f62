"""Locks in the words of other tools, and what those tools say of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.pylock import Pylock

from support.package_index import Index
from wherry.env import diff, export, why
from wherry.env.debian.package import DebianBase, DebPackage
from wherry.env.lock import ImageBase, Lock, LockedFile, LockedPackage, Options, marker_of
from wherry.env.sbom import cyclonedx
from wherry.errors import NotFound, NotSupported

SUM = "ab" * 32


def package(name: str, version: str = "1.0", *requires: str, marker: str = "", size: int = 5) -> LockedPackage:
    wheel = LockedFile(f"{name}-{version}-py3-none-any.whl", f"https://x/{name}.whl", SUM, size)
    return LockedPackage(name, version, (wheel,), None, marker, requires)


def deb(name: str, version: str = "1:2+b1") -> DebPackage:
    return DebPackage(name, version, "amd64", "debian", f"pool/{name}.deb", SUM, 1)


DEBIAN = DebianBase(
    "bookworm", "3.11", "2026-11-28T02:53:00Z", ("git",), (("amd64", (deb("git"), deb("python3", "3.11.2-1"))),)
)
LOCK = Lock(
    "3.11", ("amd64", "arm64"), DEBIAN,
    (package("app", "1.0", "core", "helper"), package("core", "2.0", "leaf"), package("gpu", marker=marker_of("amd64")),
     package("helper", "1.0", "leaf"), package("leaf", "1!2.0+local", "app")),
    ("App>=1", "gpu", "leaf"), "sha256:0", Options((("A", 'say "$x" \\'),), "me", "/work"),
)  # fmt: skip
IMAGE = LOCK.replace(base=ImageBase("python:3.11-slim", f"sha256:{SUM}"), options=Options())


@pytest.mark.parametrize("lock", [LOCK, IMAGE, LOCK.replace(packages=(), requirements=())])
@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_bill_of_materials_is_valid(lock: Lock, architecture: str) -> None:
    text = cyclonedx(lock, architecture, "team/env:1")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert text == cyclonedx(lock, architecture, "team/env:1")
    document = json.loads(text)
    references = [each["bom-ref"] for each in document["components"]]
    assert len(set(references)) == len(references)
    assert {each["ref"] for each in document["dependencies"]} <= {*references, "environment"}


def test_bill_of_materials() -> None:
    document = json.loads(cyclonedx(LOCK, "amd64", "x"))
    assert [each["purl"] for each in document["components"]] == [
        "pkg:pypi/app@1.0", "pkg:pypi/core@2.0", "pkg:pypi/gpu@1.0", "pkg:pypi/helper@1.0",
        "pkg:pypi/leaf@1%212.0%2Blocal", "pkg:deb/debian/git@1%3A2%2Bb1?arch=amd64&distro=bookworm",
        "pkg:deb/debian/python3@3.11.2-1?arch=amd64&distro=bookworm",
    ]  # fmt: skip
    edges = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    assert edges["pkg:pypi/app@1.0"] == ["pkg:pypi/core@2.0", "pkg:pypi/helper@1.0"]
    assert [each for each in edges["environment"] if "pypi" in each] == [
        "pkg:pypi/app@1.0", "pkg:pypi/gpu@1.0", "pkg:pypi/leaf@1%212.0%2Blocal",
    ]  # fmt: skip
    arm = json.loads(cyclonedx(LOCK, "arm64", "x"))
    assert "pkg:pypi/gpu@1.0" not in [each["purl"] for each in arm["components"]]
    assert arm["serialNumber"] != document["serialNumber"]


def test_plain_pylock() -> None:
    text = export.pylock(LOCK)
    document = tomllib.loads(text)
    assert "tool" not in document
    assert len(Pylock.from_dict(document).packages) == 5
    assert tomllib.loads(export.pylock(LOCK.replace(packages=())))["packages"] == []


def test_pip_takes_the_requirements(index: Index, tmp_path: Path) -> None:
    """The real pip, with hashes that must match."""
    path = index.wheel("app", "1.0")
    other = index.wheel("gone", "1.0")
    file = LockedFile(path.name, f"{index.host}/files/{path.name}", index.files["app"][path.name]["hashes"]["sha256"])
    app = LockedPackage("app", "1.0", (file,))
    gone = LockedPackage("gone", "1.0", (file,), marker="platform_machine == 'none'")
    lock = LOCK.replace(packages=(app, gone))

    def install(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "requirements.txt").write_text(text)
        command = [sys.executable, "-m", "pip", "install", "--isolated", "--no-deps", "--require-hashes", "--index-url"]
        command += [index.url, "--target", str(tmp_path / "out"), "-r", str(tmp_path / "requirements.txt")]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    done = install(export.requirements(lock))
    assert done.returncode == 0, done.stderr
    assert {each.name for each in (tmp_path / "out").iterdir()} >= {"app.py", "app-1.0.dist-info"}
    assert other.exists() and not (tmp_path / "out" / "gone.py").exists()
    wrong = install(export.requirements(lock).replace(file.sha256, SUM))
    assert wrong.returncode != 0 and "DO NOT MATCH THE HASHES" in wrong.stderr


def test_dockerfile() -> None:
    text = export.dockerfile(LOCK)
    lines = text.splitlines()
    assert "FROM debian:bookworm-slim" in lines
    assert "    git=1:2+b1 python3=3.11.2-1 python3-venv=3.11.2-1 && \\" in lines
    assert 'ENV A="say \\"\\$x\\" \\\\"' in lines
    assert lines[-2:] == ["WORKDIR /work", "USER me"]
    start, end = lines.index("RUN <<'EOF' cat > /opt/venv/requirements.txt"), lines.index("EOF")
    assert "\n".join(lines[start + 1 : end]) + "\n" == export.requirements(LOCK)
    assert f"FROM python:3.11-slim@sha256:{SUM}" in export.dockerfile(IMAGE).splitlines()
    with pytest.raises(NotSupported, match="cannot set B"):
        export.dockerfile(LOCK.replace(options=Options((("B", "1\n2"),))))


def test_why() -> None:
    assert why.lines(why.why(LOCK, "Leaf", "amd64")) == [
        "leaf 1!2.0+local",
        "├── asked for: leaf",
        "├── core 2.0",
        "│   └── app 1.0",
        "│       ├── asked for: App>=1",
        "│       └── leaf 1!2.0+local (see above)",
        "└── helper 1.0",
        "    └── app 1.0 (see above)",
    ]
    assert why.lines(why.why(LOCK, "git", "amd64")) == ["git 1:2+b1", "└── asked for: git, under system"]
    assert "of the base debian:bookworm" in why.lines(why.why(LOCK, "python3", "amd64"))[1]
    for name, architecture, hint in (("cor", "amd64", "there is core"), ("gpu", "arm64", ""), ("git", "arm64", "")):
        with pytest.raises(NotFound) as caught:
            why.why(LOCK, name, architecture)
        assert caught.value.hint == hint


def test_diff_of_locks() -> None:
    changed = LOCK.replace(
        python="3.13",
        base=DEBIAN.replace(release="trixie", packages=(("amd64", (deb("git", "3"), deb("less"))),)),
        packages=(package("app", "2.0", size=2005), package("new"), *LOCK.packages[2:]),
    )
    changes = diff.locks(LOCK, changed)
    assert list(diff.lines(changes)) == [
        "~ python 3.11 -> 3.13",
        "~ base debian:bookworm of 2026-11-28 -> debian:trixie of 2026-11-28",
        "~ app 1.0 -> 2.0",
        "- core 2.0",
        "+ new 1.0",
        "~ git (Debian) 1:2+b1 -> 3",
        "+ less (Debian) 1:2+b1",
        "- python3 (Debian) 3.11.2-1",
    ]
    assert next(one.sizes for one in changes if one.name == "app") == (5, 2005)
    assert diff.locks(LOCK, LOCK) == ()


def test_sizes_of_different_kinds_are_not_compared() -> None:
    lock = diff.of_lock(LOCK, "amd64")
    image = lock.replace(installed=True, packages={**lock.packages, "app": "2.0"}, sizes={"app": 100})
    (change,) = diff.compare(lock, image)
    assert change.sizes == (0, 0)
