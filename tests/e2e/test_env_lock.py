"""``wherry env init``, ``lock``, ``why``, ``export``, ``diff`` and ``ls``, from a folder to an image and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import environments
from support.command import Result, Wherry, wait_for
from support.images import Built
from support.package_index import Index
from support.registry import Registry

pytestmark = pytest.mark.needs("registry", "debian", "busybox")


@pytest.fixture
def index(scratch: Path) -> Iterator[Index]:
    (scratch / "index").mkdir()
    found = Index(scratch / "index")
    yield found
    found.close()


@pytest.fixture
def project(scratch: Path, index: Index, registry: Registry, python_image: Built) -> Path:
    """A folder that asks for one package, on the distribution's Python in a registry."""
    base = registry.push(python_image, "library/python-for-locks:3")
    index.wheel("app", "1.0", ["core"])
    index.wheel("core", "1.0")
    folder = scratch / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_text("app\n")
    (folder / "pyproject.toml").write_text(
        f'[tool.wherry.env]\npython = "{environments.python_version()}"\nbase = "{base}"\n'
        f'architectures = ["{environments.ARCHITECTURE}"]\nindex = "{index.url}"\nenv = {{ NAME = "value" }}\n'
    )
    return folder


@pytest.fixture
def env(wherry: Wherry) -> Wherry:
    """The command line with a cache of uv's of its own."""
    wherry.env |= {"UV_CACHE_DIR": str(wherry.directory / "uv"), "UV_HTTP_RETRIES": "0"}
    return wherry


def said(result: Result) -> str:
    assert result.code == 1, result
    return result.err


def test_from_a_folder_to_an_image_and_back(env: Wherry, project: Path, index: Index) -> None:
    out = env.ok("env", "lock", cwd=project)
    assert out.startswith(f"Wrote pylock.toml: 2 packages, Python {environments.python_version()} on ")
    text = (project / "pylock.toml").read_text()
    assert env.ok("env", "lock", cwd=project).startswith("pylock.toml is up to date: 2 packages")
    assert env.ok("env", "lock", "--check", cwd=project) == "pylock.toml matches requirements.txt\n"
    assert env.ok("env", "why", "core", cwd=project) == "core 1.0\n└── app 1.0\n    └── asked for: app\n"
    env.ok("env", "build", "-t", "team/env:1", cwd=project)
    assert env.ok("run", "--rm", "team/env:1", "python", "-c", "import app, os; print(os.environ['NAME'])") == "value\n"
    assert env.ok("env", "diff", ".", "team/env:1", cwd=project).startswith("No difference: 2 packages")

    index.wheel("core", "2.0")
    index.wheel("extra", "1.0")
    (project / "requirements.txt").write_text("app\nextra\n")
    for command in (("env", "build"), ("env", "lock", "--check")):
        assert "does not match requirements.txt: extra is new" in said(env(*command, cwd=project))
    assert (project / "pylock.toml").read_text() == text
    out = env.ok("env", "lock", "-P", "core", cwd=project)
    assert out.splitlines()[:2] == ["~ core 1.0 -> 2.0", "+ extra 1.0"]
    env.ok("env", "build", "-t", "team/env:2", cwd=project)
    result = env("env", "diff", "team/env:1", "team/env:2")
    assert (result.code, [line.split("  ")[0] for line in result.out.splitlines()]) == (
        1, ["~ core 1.0 -> 2.0", "+ extra 1.0"],
    )  # fmt: skip

    table = env.ok("env", "ls").splitlines()
    assert [line.split()[0] for line in table] == ["NAME", "team/env:1", "team/env:2"]
    assert env.ok("env", "ls", "--format", "{{.Name}} {{.Packages}}") == "team/env:1 2\nteam/env:2 3\n"
    assert len(env.ok("env", "ls", "-q").split()) == 2
    assert "app==1.0" in env.ok("env", "export", "team/env:1")
    document = json.loads(env.ok("env", "export", "-f", "cyclonedx", "team/env:2"))
    assert document["metadata"]["component"]["name"] == "team/env:2"
    env.ok("env", "export", "-f", "pylock", "-o", project / "pylock.other.toml", cwd=project)
    assert "tool.wherry" not in (project / "pylock.other.toml").read_text()


def test_a_container_that_was_changed(env: Wherry, project: Path) -> None:
    env.ok("env", "lock", cwd=project)
    env.ok("env", "build", "-t", "team/env:1", cwd=project)
    site = f"/opt/venv/lib/python{environments.python_version()}/site-packages"
    code = (
        f"import os, shutil; shutil.rmtree('{site}/core-1.0.dist-info'); os.mkdir('{site}/sneaky-9.dist-info');"
        f"open('{site}/sneaky-9.dist-info/METADATA', 'w').write('Name: Sneaky\\nVersion: 9\\n\\n');"
        "print('done', flush=True); import time; time.sleep(600)"
    )
    name = env.ok("run", "-d", "--network", "none", "--user", "0", "team/env:1", "python", "-c", code).strip()
    try:
        wait_for(lambda: "done" in env.ok("logs", name))
        for running in (True, False):
            if not running:
                env.ok("kill", name)
                env.ok("wait", name)
            result = env("env", "diff", "team/env:1", name)
            assert result.code == 1, result
            assert [line.split("  ")[0] for line in result.out.splitlines()] == ["- core 1.0", "+ sneaky 9"]
        assert env("env", "diff", "-q", "team/env:1", name).out == ""
        assert json.loads(env("env", "diff", "--json", name, "team/env:1").out.splitlines()[0])["after"] == "1.0"
    finally:
        env.ok("rm", "-f", name)


def test_what_fails_leaves_the_lock_alone(env: Wherry, project: Path, index: Index) -> None:
    env.ok("env", "lock", cwd=project)
    before = (project / "pylock.toml").read_bytes()
    index.wheel("rival", "1.0", ["core>=2"])
    (project / "requirements.txt").write_text("app\nrival\n")
    message = " ".join(said(env("env", "lock", cwd=project)).split())
    assert "cannot lock requirements.txt: No solution found" in message
    assert "rival depend on core>=2" in message
    index.close()
    (project / "requirements.txt").write_text("app\nnew-one\n")
    message = said(env("env", "lock", cwd=project))
    assert "cannot lock requirements.txt without a network" in message
    assert "new-one was not found in the cache" in message
    assert (project / "pylock.toml").read_bytes() == before
    assert sorted(path.name for path in project.iterdir()) == ["pylock.toml", "pyproject.toml", "requirements.txt"]


def test_a_lock_with_marks_of_a_merge(env: Wherry, project: Path) -> None:
    env.ok("env", "lock", cwd=project)
    before = (project / "pylock.toml").read_text()
    (project / "pylock.toml").write_text("<<<<<<< ours\n" + before)
    assert "is not TOML" in said(env("env", "build", cwd=project))
    result = env("env", "lock", cwd=project)
    assert (result.code, "its versions are not kept" in result.err) == (0, True), result
    assert (project / "pylock.toml").read_text() == before
    assert "requirements.txt is not TOML" in said(env("env", "lock", "-o", "requirements.txt", cwd=project))
    assert (project / "requirements.txt").read_text() == "app\n"


def test_words_of_the_command_line(env: Wherry, project: Path, scratch: Path) -> None:
    assert "--with has nothing to do with the project" in said(env("env", "lock", "--with", "x", cwd=project))
    assert "--cuda goes with --with" in said(env("env", "lock", "--cuda", "12.6", cwd=project))
    assert "there is no lock" in said(env("env", "build", cwd=scratch)) or "has no lock" in said(
        env("env", "build", cwd=scratch)
    )
    assert "--format nope is not known" in said(env("env", "export", "-f", "nope", cwd=project))
    assert "No such" in said(env("env", "diff", "nope:1", "nope:2"))
    assert "no file that says which packages" in said(env("env", "lock", scratch / "index"))
    out = env.ok("env", "init", "--python", "3.11", "--with", "numpy", scratch)
    assert out.endswith("'wherry env lock' is next\n")
    assert '"numpy",' in (scratch / "pyproject.toml").read_text()


def test_without_a_project(env: Wherry, index: Index, scratch: Path, project: Path) -> None:
    """``--with``: what is typed alone decides, and a folder without other files takes the lock as it is."""
    base = (project / "pyproject.toml").read_text().split('base = "')[1].split('"')[0]
    folder = scratch / "empty"
    folder.mkdir()
    version = environments.python_version()
    words = ("--with", "app", "--python", version, "--base", base, "--index", index.url)
    assert f"the base {base} is not there for" in said(env("env", "lock", *words, cwd=folder))
    words = words[:-2]
    env.env |= {"PIP_INDEX_URL": index.url}  # which uv does not read
    out = env.ok("env", "lock", *words, "--platform", f"linux/{environments.ARCHITECTURE}", cwd=folder)
    assert out.startswith("Wrote pylock.toml: 2 packages")
    assert env.ok("env", "build", "-q", cwd=folder).startswith("sha256:")
