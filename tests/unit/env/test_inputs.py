"""What the files of a project ask for, and what they may not ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.env.inputs import conda, options, project, requirements
from wherry.env.lock import Options
from wherry.env.spec import Spec, Wishes
from wherry.errors import Conflict, InvalidArgument, NotFound, NotSupported, WherryError

SUM = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def read(folder: Path, **wishes: str) -> Spec:
    return project.read(folder, Wishes(**wishes))  # type: ignore[arg-type]


# -- pyproject.toml ----------------------------------------------------------------------------------------------------

PYPROJECT = """
[project]
name = "My.Project"
version = "1"
requires-python = ">=3.9,<3.12"
dependencies = ["numpy >=1.26", "requests"]

[project.optional-dependencies]
plot = ["matplotlib"]
All_Of = ["my-project[plot]", "tqdm"]

[dependency-groups]
test = ["pytest", { include-group = "lint" }]
lint = ["ruff"]
"""


def test_pyproject(folder: Path) -> None:
    found = read(write(folder, pyproject_toml=PYPROJECT))
    assert found.requirements == ("numpy >=1.26", "requests")
    assert (found.python, found.base, found.source) == ("3.11", "debian:bookworm", "pyproject.toml")


def test_extras_and_groups(folder: Path) -> None:
    env = '[tool.wherry.env]\nextras = ["all-of"]\ngroups = ["test"]\n'
    found = read(write(folder, pyproject_toml=PYPROJECT + env))
    assert found.requirements == ("numpy >=1.26", "requests", "matplotlib", "tqdm", "pytest", "ruff")


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ('extras = ["nope"]', NotFound, "has no extra nope"),
        ('groups = ["nope"]', NotFound, "has no dependency group nope"),
        ('python = "3.13"', InvalidArgument, "the project requires Python >=3.9,<3.12, and the environment has 3.13"),
        ('python = "3.10"', InvalidArgument, "no Debian release has Python 3.10"),
        ("python = 3.11", InvalidArgument, "tool.wherry.env.python is 3.11, not a string"),
        ('python = "3"', InvalidArgument, '"3" is not a version of Python'),
        ('base = "debian:potato"', NotSupported, "debian:potato is not known"),
        ('base = "debian:bullseye"\npython = "3.11"', InvalidArgument, "has Python 3.9, not"),
        ('base = "ghcr.io/me/mine"', InvalidArgument, "which Python ghcr.io/me/mine has is not known"),
        ('base = "python:3.9-slim"\nsystem = ["git"]', InvalidArgument, "system packages are for a base from the"),
        ('sytem = ["git"]', InvalidArgument, "tool.wherry.env.sytem is not known"),
        ('system = ["Git!"]', InvalidArgument, '"Git!" is not the name of a Debian package'),
        ('system = "git"', InvalidArgument, "is 'git', not a list of strings"),
        ('workdir = "here"', InvalidArgument, "not an absolute path"),
        ('cuda = "new"', InvalidArgument, "tool.wherry.env.cuda is 'new', not a version such as"),
        ('architectures = ["i386"]', InvalidArgument, "not a list of amd64 and arm64"),
        ('exclude-newer = "yesterday"', InvalidArgument, '"yesterday" is not a date'),
        ('env = { "A=B" = "1" }', InvalidArgument, '"A=B" is not the name of a variable'),
        ("env = { A = 1 }", InvalidArgument, "env.A is 1, not a string"),
        ('from = "nope.txt"', NotFound, "there is no nope.txt"),
        ('from = "sub/x.cfg"', NotFound, "there is no sub/x.cfg"),
    ],
)  # fmt: skip
def test_wrong_options(folder: Path, more: str, kind: type[WherryError], said: str) -> None:
    write(folder, pyproject_toml=f"{PYPROJECT}[tool.wherry.env]\n{more}\n")
    with pytest.raises(kind) as caught:
        read(folder)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("[project", InvalidArgument, "is not TOML"),
        ('[project]\nname = "x"\ndynamic = ["dependencies"]\n', NotSupported, "dependencies are dynamic"),
        ('[project]\nname = "x"\ndependencies = "numpy"\n', InvalidArgument, "not a list of strings"),
        ('[project]\nname = "x"\nrequires-python = "new"\n', InvalidArgument, '"new" is not a range of versions'),
        ('[project]\nname = "x"\nrequires-python = "<3"\n', InvalidArgument, "requires Python <3, and Debian has"),
        ('[project]\nname = "x"\ndependencies = ["y @ git+https://x/y"]\n', NotSupported, "a version control system"),
        ('[project]\nname = "x"\ndependencies = ["y"]\n[tool.uv.sources]\ny = { path = "../y" }\n', NotSupported,
         "tool.uv.sources.y is what a lock cannot keep by hash: path"),
        ('[project]\nname = "x"\n[tool.wherry.env]\ngroups = ["a"]\n[dependency-groups]\na = [{include-group = "a"}]\n',
         InvalidArgument, "a includes itself"),
        ('[project]\nname = "x"\n[tool.wherry.env]\nextras = ["a"]\n[project.optional-dependencies]\na = ["x[a]"]\n',
         InvalidArgument, "a includes itself"),
    ],
)  # fmt: skip
def test_wrong_projects(folder: Path, text: str, kind: type[WherryError], said: str) -> None:
    write(folder, pyproject_toml=text)
    with pytest.raises(kind) as caught:
        read(folder)
    assert said in caught.value.message


def test_options_of_the_image(folder: Path) -> None:
    more = """
[tool.wherry.env]
python = "3.9"
system = ["libgomp1", "git", "git"]
architectures = ["arm64"]
index = "https://index.example/simple"
extra-index = ["https://other.example/simple"]
env = { B = "2", A = "1" }
user = "1000:1000"
workdir = "/work"
cuda = "12.6"
mirror = "http://mirror.example/debian"
exclude-newer = "2026-11-28"
"""
    found = read(write(folder, pyproject_toml=PYPROJECT + more))
    assert (found.base, found.system, found.architectures) == ("debian:bullseye", ("git", "libgomp1"), ("arm64",))
    assert found.lines == ("--index-url https://index.example/simple", "--extra-index-url https://other.example/simple")
    nvidia = (
        ("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"), ("NVIDIA_REQUIRE_CUDA", "cuda>=12.6"),
        ("NVIDIA_VISIBLE_DEVICES", "all"),
    )  # fmt: skip
    assert found.options == Options((("A", "1"), ("B", "2"), *nvidia), "1000:1000", "/work", "12.6")
    assert found.exclude_newer == "2026-11-29T00:00:00Z"
    assert found.mirror == ("http://mirror.example/debian",)
    assert found.digest() == found.replace(mirror=(), folder="/elsewhere").digest()
    assert found.digest() != found.replace(exclude_newer="").digest()
    assert read(write(folder, pyproject_toml=PYPROJECT + "[tool.wherry.env]\ncuda = false\n")).options.cuda == "none"


def test_a_day_ends_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    for zone in ("UTC", "America/New_York", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert options.instant("2026-02-28", "x") == "2026-03-01T00:00:00Z"
        assert options.instant("2026-02-28T12:00:00+02:00", "x") == "2026-02-28T10:00:00Z"
    monkeypatch.undo()
    time.tzset()
    with pytest.raises(InvalidArgument, match="has no time zone"):
        options.instant("2026-02-28T12:00:00", "x")


# -- which file, which target ------------------------------------------------------------------------------------------


def test_which_file_counts(folder: Path) -> None:
    write(folder, pylock_toml='lock-version = "1.0"\n')
    assert read(folder).pins == "pylock.toml"
    write(folder, environment_yml="dependencies: [scipy]\n")
    assert read(folder).requirements == ("scipy",)
    write(folder, requirements_txt="numpy\n")
    assert read(folder).requirements == ("numpy",)
    write(folder, pyproject_toml='[tool.wherry.env]\npython = "3.9"\n')
    assert (read(folder).requirements, read(folder).python) == (("numpy",), "3.9")
    write(folder, pyproject_toml='[project]\nname = "x"\ndependencies = ["pandas"]\n')
    assert read(folder).requirements == ("pandas",)
    write(folder, uv_lock="version = 1\n")
    found = read(folder)
    assert (found.pins, found.uv_lock, found.requirements) == ("uv.lock", True, ("pandas",))
    write(folder, pyproject_toml='[project]\nname = "x"\n[tool.wherry.env]\nfrom = "requirements.txt"\n')
    assert read(folder).requirements == ("numpy",)


def test_nothing_that_counts(folder: Path) -> None:
    with pytest.raises(NotFound, match="no file that says which packages"):
        read(folder)
    write(folder, pyproject_toml="[tool.ruff]\n")
    assert not project.has_inputs(folder)
    with pytest.raises(NotFound, match="No such folder"):
        read(folder / "nope")


def test_a_file_that_is_named_and_not_there(folder: Path) -> None:
    write(folder, requirements_txt="x\n", pyproject_toml='[tool.wherry.env]\nfrom = "nope.txt"\n')
    with pytest.raises(NotFound, match=r"there is no nope\.txt"):
        project.has_inputs(folder)


def test_extras_belong_to_pyproject(folder: Path) -> None:
    write(folder, requirements_txt="x\n", pyproject_toml='[tool.wherry.env]\nextras = ["a"]\n')
    with pytest.raises(
        InvalidArgument, match=r"extras and groups are of pyproject\.toml, and requirements\.txt is read"
    ):
        read(folder)


@pytest.mark.parametrize(
    ("python", "base", "asked", "target"),
    [
        ("", "", "", ("3.13", "debian:trixie")),
        ("", "", "<3.13", ("3.11", "debian:bookworm")),
        ("", "debian", ">=3.9,<3.10", ("3.9", "debian:bullseye")),
        ("3.9", "", "", ("3.9", "debian:bullseye")),
        ("", "debian:bookworm", "", ("3.11", "debian:bookworm")),
        ("", "python:3.12-slim", "", ("3.12", "python:3.12-slim")),
        ("", "docker.io/library/python:3.9@sha256:00", "", ("3.9", "docker.io/library/python:3.9@sha256:00")),
        ("3.10", "ghcr.io/me/mine:1", "", ("3.10", "ghcr.io/me/mine:1")),
    ],
)
def test_targets(python: str, base: str, asked: str, target: tuple[str, str]) -> None:
    assert project.target(python, base, asked, "x") == target


def test_the_command_line_may_not_contradict(folder: Path) -> None:
    write(folder, requirements_txt="x\n", pyproject_toml='[tool.wherry.env]\npython = "3.11"\n')
    with pytest.raises(Conflict, match=r"--python 3\.9: pyproject\.toml says 3\.11"):
        read(folder, python="3.9")
    assert read(folder, python="3.11").python == "3.11"


def test_wishes_alone() -> None:
    found = project.from_wishes(
        Wishes(("scikit-learn==1.5.2", "numpy"), "3.9", system=("git",), index="https://i.example/", cuda="none")
    )
    assert found.requirements == ("numpy", "scikit-learn==1.5.2")
    assert (found.python, found.base, found.system) == ("3.9", "debian:bullseye", ("git",))
    assert (found.lines, found.options) == (("--index-url https://i.example/",), Options(cuda="none"))
    with pytest.raises(NotSupported, match="--with"):
        project.from_wishes(Wishes(("./here",)))
    with pytest.raises(InvalidArgument, match="s390x is not known"):
        project.from_wishes(Wishes(("x",), architectures=("s390x",)))
    with pytest.raises(InvalidArgument, match="cuda"):
        project.from_wishes(Wishes(("x",), cuda="9"))


# -- requirements.txt --------------------------------------------------------------------------------------------------


def test_requirements(folder: Path) -> None:
    write(
        folder,
        requirements_txt=f"""\
# a comment
-r more/base.txt
--constraint=limits.txt
-i https://index.example/simple
--extra-index-url https://other.example/simple # why
--no-binary numpy,scipy
--pre
Flask[async] >= 2 ; python_version < "4"  # web
pandas==2.2.3 \\
    --hash=sha256:{SUM} \\
    --hash sha256:{"cd" * 32}
wheel-of-mine @ https://files.example/mine-1-py3-none-any.whl#frag
""",
        more__base_txt="numpy\n-r ../requirements-x.txt\n",
        limits_txt="numpy<2\n",
    )
    (folder / "requirements-x.txt").write_text("six\r\n")
    found = requirements.read(folder / "requirements.txt", "requirements.txt")
    assert found.requirements == (
        "numpy", "six", 'Flask[async] >= 2 ; python_version < "4"', "pandas==2.2.3",
        "wheel-of-mine @ https://files.example/mine-1-py3-none-any.whl#frag",
    )  # fmt: skip
    assert found.constraints == ("numpy<2",)
    assert found.hashes == (("pandas", (SUM, "cd" * 32)),)
    assert found.lines == (
        "--index-url https://index.example/simple", "--extra-index-url https://other.example/simple",
        "--no-binary numpy", "--no-binary scipy", "--pre",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("\n-e .\n", NotSupported, "requirements.txt:2: . is a folder to be installed in place"),
        ("x\n./y\n", NotSupported, 'requirements.txt:2: "./y" is not a release'),
        ("https://files.example/x-1.whl\n", NotSupported, "is not a release of a package"),
        ("dir/x.whl\n", NotSupported, "is not a release of a package"),
        ("x @ git+https://x/y\n", NotSupported, "a version control system"),
        ("x @ ./y.whl\n", NotSupported, "a place that a lock cannot keep"),
        ("x y\n", InvalidArgument, 'requirements.txt:1: "x y" is not a requirement'),
        (">=1\n", InvalidArgument, "is not a requirement"),
        ("x==1 --hash=md5:00\n", NotSupported, "hashes by md5 are not supported"),
        ("x==1 --hash=sha256:00\n", InvalidArgument, "is not a SHA-256 sum"),
        ("x==1 --global-option=a\n", NotSupported, "options of one requirement"),
        ("--find-links wheels/\n", NotSupported, "cannot name files of this machine"),
        ("--trusted-host x\n", NotSupported, "--trusted-host is not supported"),
        ("-r nope.txt\n", NotFound, "cannot read nope.txt: no such file or directory"),
        ("-r https://x/y.txt\n", NotSupported, "is not a file"),
        ("-r requirements.txt\n", InvalidArgument, "is included by itself"),
    ],
)
def test_wrong_requirements(folder: Path, text: str, kind: type[WherryError], said: str) -> None:
    write(folder, requirements_txt=text)
    with pytest.raises(kind) as caught:
        read(folder)
    assert said in caught.value.message


def test_requirements_that_are_no_text(folder: Path) -> None:
    (folder / "requirements.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidArgument, match="is not UTF-8"):
        read(folder)


# -- environment.yml ---------------------------------------------------------------------------------------------------


def test_conda(folder: Path) -> None:
    write(
        folder,
        environment_yml="""\
name: lab
channels: [conda-forge]
dependencies:
  - python=3.9
  - pip
  - conda-forge::scikit-learn=1.5
  - numpy==1.26.4
  - pandas >=2,<3
  - scipy 1.13.*
  - pytorch
  - dask=2024.1=pyhd8ed1ab_0
  - pip:
      - requests[socks]>=2
variables:
  OMP_NUM_THREADS: 1
""",
    )
    found = read(folder)
    assert found.requirements == (
        "scikit-learn==1.5.*", "numpy==1.26.4", "pandas>=2,<3", "scipy==1.13.*", "torch", "dask==2024.1",
        "requests[socks]>=2",
    )  # fmt: skip
    assert (found.python, found.base) == ("3.9", "debian:bullseye")
    assert found.options.env == (("OMP_NUM_THREADS", "1"),)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("dependencies: [numpy, cudatoolkit=11, r-base, libgcc-ng, _openmp_mutex, gxx_linux-64]", NotSupported,
         "only conda has cudatoolkit, r-base, libgcc-ng, _openmp_mutex, gxx_linux-64"),
        ("dependencies: [python>=3.9]", NotSupported, "does not say which Python"),
        ("dependencies: ['numpy=1|2']", NotSupported, "has no equal"),
        ("dependencies: [{pip: ['-r x.txt']}]", NotSupported, "-r x.txt is not supported"),
        ("dependencies: [{npm: [x]}]", InvalidArgument, "neither text nor a list for pip"),
        ("depends: []", InvalidArgument, "depends is not known"),
        ("[]", InvalidArgument, "there is no table in it"),
        ("a: [", InvalidArgument, "is not YAML"),
        ("variables: [1]", InvalidArgument, "variables is not a table"),
    ],
)  # fmt: skip
def test_wrong_conda(folder: Path, text: str, kind: type[WherryError], said: str) -> None:
    write(folder, environment_yml=text)
    with pytest.raises(kind) as caught:
        read(folder)
    assert said in caught.value.message


@pytest.mark.parametrize("name", ["librosa", "libclang", "gitpython", "make-it-so", "gox", "tkinter-x", "yamllint"])
def test_names_that_the_index_has(folder: Path, name: str) -> None:
    write(folder, environment_yml=f"dependencies: [{name}]")
    assert conda.read(folder / "environment.yml", "x").requirements == (name,)
