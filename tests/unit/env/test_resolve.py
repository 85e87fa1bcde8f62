"""Resolutions by the real uv, against an index of the test's own."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from support import wheels
from support.package_index import Index
from wherry.env import resolve, uv
from wherry.env.inputs import project
from wherry.env.lock import ImageBase, Lock, Options
from wherry.env.resolve import Wanted
from wherry.env.spec import Spec, Wishes
from wherry.errors import Conflict, Corrupt, InvalidArgument, NotSupported, Unavailable

X86, ARM = "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_17_aarch64"
WANTED = Wanted("3.11.2", "glibc 2.36")


def spec(*requirements: str, **changes: object) -> Spec:
    made = project.from_wishes(Wishes(packages=requirements or ("app",), python="3.11"))
    return made.replace(**changes)


def versions(found: resolve.Resolved) -> dict[str, str]:
    return {one.name: one.version for one in found.packages}


def lock_of(found: resolve.Resolved) -> Lock:
    return Lock("3.11", ("amd64", "arm64"), ImageBase("x", "sha256:0"), found.packages, (), "")


def test_files_for_both_architectures(index: Index) -> None:
    index.wheel("app", "1.0", ["Fast_Math>=1", "six; sys_platform == 'linux'", "win; sys_platform == 'win32'"])
    for tag in (
        X86,
        ARM,
        "cp310-cp310-manylinux_2_17_x86_64",
        "cp311-cp311-win_amd64",
        "cp311-cp311-manylinux_2_40_x86_64",
    ):
        index.wheel("fast-math", "1.2", tag=tag)
    index.wheel("six")
    found = resolve.resolve(spec(), WANTED)
    assert versions(found) == {"app": "1.0", "fast-math": "1.2", "six": "1.0"}
    app, fast, six = found.packages
    assert [one.name for one in fast.wheels] == [f"fast_math-1.2-{ARM}.whl", f"fast_math-1.2-{X86}.whl"]
    assert app.requires == ("fast-math", "six")
    assert six.requires == ()
    wheel = app.wheels[0]
    path = index.directory / wheel.name
    assert (wheel.sha256, wheel.size) == (wheels.sha256(path), path.stat().st_size)
    assert wheel.url == f"{index.host}/files/{wheel.name}"
    assert not any(one.marker for one in found.packages)


def test_one_architecture_may_have_other_versions(index: Index) -> None:
    index.wheel("app", "1.0", ["gpu; platform_machine == 'x86_64'", "core"])
    index.wheel("gpu")
    index.wheel("core", "2.0", tag=X86)
    index.wheel("core", "1.0", tag=X86)
    index.wheel("core", "1.0", tag=ARM)
    found = resolve.resolve(spec(), WANTED)
    lock = lock_of(found)
    assert {one.name: one.version for one in lock.of("amd64")} == {"app": "1.0", "core": "2.0", "gpu": "1.0"}
    assert {one.name: one.version for one in lock.of("arm64")} == {"app": "1.0", "core": "1.0"}
    assert [one.marker for one in found.packages if one.name == "gpu"] == ["platform_machine == 'x86_64'"]


def test_the_other_architecture_follows_the_first(index: Index) -> None:
    """Two resolutions of open ranges agree on versions where they can."""
    index.wheel("app", "1.0", ["core"])
    for version in ("1.0", "2.0"):
        index.wheel("core", version, tag=ARM)
    index.wheel("core", "1.0", tag=X86)
    assert versions(resolve.resolve(spec(), WANTED)) == {"app": "1.0", "core": "1.0"}


def test_old_versions_stay(index: Index) -> None:
    index.wheel("app", "1.0", ["core", "six"])
    index.wheel("core", "1.0")
    index.wheel("six", "1.0")
    old = lock_of(resolve.resolve(spec(), WANTED))
    for name in ("app", "core", "six"):
        index.wheel(name, "2.0", ["core", "six"] if name == "app" else ())
    kept = resolve.resolve(spec(), WANTED.replace(old=old))
    assert versions(kept) == {"app": "1.0", "core": "1.0", "six": "1.0"}
    assert lock_of(kept) == old
    one = resolve.resolve(spec(), WANTED.replace(old=old, upgrade=("CORE",)))
    assert versions(one) == {"app": "1.0", "core": "2.0", "six": "1.0"}
    everything = resolve.resolve(spec(), WANTED.replace(old=old, upgrade_all=True))
    assert versions(everything) == {"app": "2.0", "core": "2.0", "six": "2.0"}


def test_files_that_are_too_new_are_left_out(index: Index) -> None:
    index.wheel("app", "1.0", uploaded="2026-01-01T00:00:00Z")
    index.wheel("app", "2.0", uploaded="2026-03-01T12:00:00Z")
    assert versions(resolve.resolve(spec(), WANTED.replace(exclude_newer="2026-03-01T00:00:00Z"))) == {"app": "1.0"}
    assert versions(resolve.resolve(spec(), WANTED.replace(exclude_newer="2026-03-02T00:00:00Z"))) == {"app": "2.0"}


def test_markers_know_the_whole_version(index: Index) -> None:
    index.wheel("app", "1.0", ["compat; python_full_version < '3.11.3'"])
    index.wheel("compat")
    assert versions(resolve.resolve(spec(), WANTED)) == {"app": "1.0", "compat": "1.0"}
    assert versions(resolve.resolve(spec(), WANTED.replace(python="3.11.4"))) == {"app": "1.0"}


def test_conflict_is_explained_in_uvs_words(index: Index) -> None:
    index.wheel("app", "1.0", ["core<2"])
    index.wheel("core", "1.0")
    index.wheel("core", "2.0")
    with pytest.raises(Conflict) as caught:
        resolve.resolve(spec("app", "core>=2"), WANTED)
    said = " ".join(caught.value.message.split())
    assert "cannot lock --with: No solution found" in said
    assert "all versions of app depend on core<2" in said
    assert "you require core>=2" in said
    assert "/tmp" not in said


def test_missing_release_is_named(index: Index) -> None:
    index.wheel("app", "1.0")
    with pytest.raises(Conflict, match="there is no version of app==3"):
        resolve.resolve(spec("app==3"), WANTED)
    with pytest.raises(Conflict, match="nothere was not found in the package registry"):
        resolve.resolve(spec("nothere"), WANTED)


def test_yanked_release_is_passed_over_or_warned_of(index: Index) -> None:
    index.wheel("app", "1.0")
    index.wheel("app", "2.0", yanked="breaks everything")
    assert versions(resolve.resolve(spec("app"), WANTED)) == {"app": "1.0"}
    found = resolve.resolve(spec("app==2.0"), WANTED)
    assert versions(found) == {"app": "2.0"}
    assert found.warnings == ('`app==2.0` is yanked (reason: "breaks everything")',)


def test_wheels_for_other_platforms_alone_are_an_error(index: Index) -> None:
    index.wheel("app", "1.0", tag="cp311-cp311-win_amd64")
    with pytest.raises(Conflict, match=r"no wheels? with a matching platform|manylinux"):
        resolve.resolve(spec("app"), WANTED)


def test_source_distributions(index: Index) -> None:
    index.sdist("app", "1.0", ["core"])
    index.wheel("core")
    app, core = resolve.resolve(spec("app"), WANTED).packages
    assert (app.wheels, app.requires) == ((), ("core",))
    assert app.sdist is not None and app.sdist.name == "app-1.0.tar.gz"
    assert core.wheels


def test_a_source_distribution_that_fails_shows_its_log(index: Index) -> None:
    path = index.sdist("app", "1.0")
    content = index.directory / "setup.py"
    content.write_text("raise SystemExit('no compiler anywhere')\n")

    with tarfile.open(path, "w:gz") as archive:
        archive.add(content, "app-1.0/setup.py")
    index.publish(path, "app")
    index.wheel("setuptools", "80.0", {}, files={  # a back end that runs setup.py as the real one does
        "setuptools/__init__.py": "",
        "setuptools/build_meta.py": "class __legacy__:\n"
        "    def get_requires_for_build_wheel(self, config=None): exec(open('setup.py').read())\n"
        "__legacy__ = __legacy__()\n",
    })  # fmt: skip
    with pytest.raises(Exception, match="no compiler anywhere") as caught:
        resolve.resolve(spec("app"), WANTED)
    assert "cannot lock --with" in str(caught.value)


def test_wheel_by_its_url(index: Index) -> None:
    path = index.wheel("app", "1.0")
    found = resolve.resolve(spec(f"app @ {index.host}/files/{path.name}"), WANTED)
    assert [(one.name, one.version, [each.name for each in one.wheels]) for one in found.packages] == [
        ("app", "1.0", [path.name])
    ]
    assert found.packages[0].wheels[0].sha256 == wheels.sha256(path)


def test_hashes_that_were_asked_for(index: Index) -> None:
    good, _other = index.wheel("app", "1.0", tag=X86), index.wheel("app", "1.0", tag=ARM)
    index.wheel("app", "1.0")
    asked = spec("app", hashes=(("app", (wheels.sha256(good),)),), architectures=("amd64",))
    (app,) = resolve.resolve(asked, WANTED).packages
    assert [one.name for one in app.wheels] == [good.name]
    with pytest.raises(Corrupt, match=r"app 1\.0: none of the index's files has a hash that was asked for"):
        resolve.resolve(asked.replace(hashes=(("app", ("0" * 64,)),)), WANTED)


def test_no_network_works_from_the_cache(index: Index) -> None:
    index.wheel("app", "1.0", ["core"])
    index.wheel("core", "1.0")
    before = resolve.resolve(spec(), WANTED)
    index.wheel("missing-one", "1.0")
    index.close()
    again = resolve.resolve(spec(), WANTED)
    assert again.from_cache
    assert again.packages == before.packages
    for offline in (False, True):
        with pytest.raises(Unavailable) as caught:
            resolve.resolve(spec("app", "missing-one"), WANTED.replace(offline=offline))
        assert "missing-one was not found in the cache" in caught.value.message
        assert caught.value.hint


def test_uvs_own_settings_of_a_project(index: Index, tmp_path: Path) -> None:
    index.wheel("app", "1.0", ["core"])
    for version in ("1.0", "2.0", "3.0b1"):
        index.wheel("core", version)
    other = Index(tmp_path / "other")
    other.directory.mkdir()
    try:
        other.wheel("core", "9.0")
        (tmp_path / "pyproject.toml").write_text(
            '[project]\nname = "x"\nversion = "1"\ndependencies = ["app", "core"]\n'
            '[tool.uv]\nconstraint-dependencies = ["core<2"]\n'
        )
        found = project.read(tmp_path, Wishes(python="3.11"))
        assert versions(resolve.resolve(found, WANTED)) == {"app": "1.0", "core": "1.0"}
        (tmp_path / "pyproject.toml").write_text(
            '[project]\nname = "x"\nversion = "1"\ndependencies = ["app", "core"]\n'
            f'[[tool.uv.index]]\nname = "mine"\nurl = "{other.url}"\nexplicit = true\n'
            '[tool.uv.sources]\ncore = { index = "mine" }\n'
        )
        found = project.read(tmp_path, Wishes(python="3.11"))
        assert versions(resolve.resolve(found, WANTED)) == {"app": "1.0", "core": "9.0"}
    finally:
        other.close()


def test_index_of_the_options(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.wheel("app", "1.0")
    index.wheel("app", "2.0b1")
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    assert versions(resolve.resolve(spec("app", lines=(f"--index-url {index.url}",)), WANTED)) == {"app": "1.0"}
    pre = spec("app", lines=(f"--index-url {index.url}", "--pre"), constraints=("app<9",))
    assert versions(resolve.resolve(pre, WANTED)) == {"app": "2.0b1"}


def test_secrets_stay_out(index: Index) -> None:
    index.wheel("app", "1.0")
    url = index.url.replace("http://", "http://me:secret@")
    found = resolve.resolve(spec("app", lines=(f"--extra-index-url {url}",)), WANTED)
    assert "secret" not in repr(found)


@pytest.mark.usefixtures("index")
def test_what_uv_cannot_read_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match="cannot lock --with: Couldn't parse requirement"):
        resolve.resolve(spec("app===>1"), WANTED)


def test_cuda_chooses_a_backend(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.wheel("app")
    seen: list[list[str]] = []
    real = uv.run
    monkeypatch.setattr(
        uv, "run", lambda arguments, *rest, **more: (seen.append(arguments), real(arguments, *rest, **more))[1]
    )
    resolve.resolve(spec("app", options=Options(cuda="12.6")), WANTED)
    assert all(arguments[arguments.index("--torch-backend") + 1] == "cu126" for arguments in seen)
    assert seen
    with pytest.raises(InvalidArgument, match="cu19"):
        resolve.resolve(spec("app", options=Options(cuda="1.9")), WANTED)
    assert resolve.backend("none") == "cpu"


@pytest.mark.parametrize(
    ("libc", "architecture", "word"),
    [
        ("glibc 2.31", "arm64", "aarch64-manylinux_2_31"),
        ("glibc 2.41", "amd64", "x86_64-manylinux_2_40"),
        ("musl", "amd64", "x86_64-unknown-linux-musl"),
        ("", "arm64", "aarch64-unknown-linux-gnu"),
    ],
)
def test_words_for_platforms(libc: str, architecture: str, word: str) -> None:
    assert resolve.platform(libc, architecture) == word


def test_packages_without_files_are_refused() -> None:
    table = {"name": "x", "version": "1", "vcs": {"type": "git", "url": "https://x", "commit-id": "1"}}
    with pytest.raises(NotSupported, match="x has no file that a lock can keep by hash"):
        resolve.package(table, {})
    with pytest.raises(NotSupported, match=r"no SHA-256 sum of x-1.tar.gz"):
        resolve.package({"name": "x", "sdist": {"url": "https://x/x-1.tar.gz", "hashes": {"md5": "1"}}}, {})


def test_uv_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uv", None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(NotSupported) as caught:
        uv.find()
    assert "wherry[env]" in caught.value.hint


def test_nothing_stays(index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    index.wheel("app", "1.0")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(Conflict):
        resolve.resolve(spec("app==7"), WANTED)
    assert os.listdir(tmp_path / "tmp") == []


def test_a_project_may_forbid_building(index: Index, tmp_path: Path) -> None:
    """No code of a source distribution runs on this machine then."""
    path = index.sdist("app", "1.0")
    ran = tmp_path / "ran"
    (index.directory / "setup.py").write_text(f"open({str(ran)!r}, 'w')\n")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(index.directory / "setup.py", "app-1.0/setup.py")
    index.publish(path, "app")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\ndependencies = ["app"]\n[tool.uv]\nno-build = true\n'
    )
    with pytest.raises(Conflict, match="building from source is disabled"):
        resolve.resolve(project.read(tmp_path, Wishes(python="3.11")), WANTED)
    assert not ran.exists()
