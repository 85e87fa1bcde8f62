"""The package as pip installs it, and the launcher of a checkout."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import ROOT, reachable, wait_for
from support.users import SINGLE_UID, SYSTEM_PATH, run_as

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("installation")]
ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}", "LANG": "C.UTF-8"}
PIP = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}


def run(
    *argv: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = ENVIRONMENT | PIP | {"HOME": str(cwd or "/nonexistent")} | (env or {})
    return subprocess.run(list(map(str, argv)), env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def copy_checkout(target: Path) -> Path:
    """A checkout without the environments that this one has."""
    target.mkdir(parents=True)
    for name in ("wherry", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy2(ROOT / name, target / name)
    for name in ("src", "tools", "bin"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    checkout = copy_checkout(tmp_path_factory.mktemp("build") / "checkout")
    done = run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", checkout / "dist", checkout, cwd=checkout)
    assert done.returncode == 0, done.stderr
    return next((checkout / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment whose path has a blank, with the wheel and its dependencies."""
    environment = tmp_path_factory.mktemp("an environment") / "env"
    assert run(sys.executable, "-m", "venv", environment).returncode == 0
    done = run(environment / "bin" / "python", "-m", "pip", "install", "-q", wheel, cwd=environment)
    assert done.returncode == 0, done.stderr
    return environment


@pytest.mark.needs("network")
class TestInstalled:
    def test_runs(self, installed: Path, tmp_path: Path) -> None:
        done = run(installed / "bin" / "wherry", "--version", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.lower().startswith("wherry version")

    def test_runs_through_links(self, installed: Path, tmp_path: Path) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "first").symlink_to(installed / "bin" / "wherry")
        (tmp_path / "bin" / "wherry").symlink_to("../first")
        done = run("wherry", "--version", env={"PATH": f"{tmp_path}/bin:{SYSTEM_PATH}"}, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    def test_finds_its_dependencies(self, installed: Path, tmp_path: Path) -> None:
        """`pull` needs urllib3, which only the environment has; nothing listens on port 9."""
        done = run(installed / "bin" / "wherry", "--root", tmp_path / "root", "--run-root", tmp_path / "run",
                   "pull", "127.0.0.1:9/nothing", cwd=tmp_path)  # fmt: skip
        assert done.returncode == 1 and "ModuleNotFoundError" not in done.stderr, done.stderr

    def test_does_not_read_the_current_directory(self, installed: Path, tmp_path: Path) -> None:
        for name in ("os", "sys", "gc", "wherry", "site", "usercustomize"):
            (tmp_path / f"{name}.py").write_text("raise SystemExit(99)\n")
        done = run(installed / "bin" / "wherry", "--version", env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    def test_holds_all_files(self, wheel: Path) -> None:
        import zipfile

        names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("wherry/")}
        source = ROOT / "src"
        wanted = {str(path.relative_to(source)) for path in (source / "wherry").rglob("*") if path.is_file()}
        assert {name for name in wanted if "__pycache__" not in name} == names

    def test_elsewhere_than_in_an_environment(self, wheel: Path, tmp_path: Path) -> None:
        """The layout of `pip install --user` and of a system's own Python: no interpreter next to the script."""
        prefix = tmp_path / "prefix"
        done = run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--prefix", prefix, wheel, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        done = run(prefix / "bin" / "wherry", "--version", cwd=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def checkout(scratch: Path) -> Iterator[Path]:
    """A fresh checkout in a directory whose name has a blank, open to everybody."""
    scratch.chmod(0o755)
    yield copy_checkout(scratch / "a checkout")


def environment_of(checkout: Path) -> Path:
    return checkout / ".cache" / "env"


@pytest.mark.needs("network")
class TestLauncher:
    def test_first_uses_at_once_make_one_environment(self, checkout: Path) -> None:
        processes = [
            subprocess.Popen([checkout / "wherry", "--version"], env=ENVIRONMENT | PIP | {"HOME": "/nonexistent"},
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]  # fmt: skip
        outputs = [process.communicate(timeout=300) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        assert sum("making a Python environment" in err for _out, err in outputs) == 1, outputs
        self.check_interpreter(checkout)
        self.check_second_use(checkout)
        self.check_environments(checkout)
        self.check_interrupted(checkout)

    def check_interpreter(self, checkout: Path) -> None:
        """It is the system's own where that will do, although PATH begins with another."""
        system = Path("/usr/bin/python3")
        will_do = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"
        if system.exists() and run(system, "-I", "-S", "-c", will_do).returncode == 0:
            assert (environment_of(checkout) / "bin" / "python").resolve() == system.resolve()

    def check_second_use(self, checkout: Path) -> None:
        """Nothing but the interpreter is started, from anywhere, through a link, by a relative path."""
        link = checkout.parent / "link"
        link.symlink_to("a checkout/wherry")
        for command, directory in ((link, Path("/")), ("./wherry", checkout), ("../wherry", checkout / "src")):
            done = run(command, "--version", cwd=directory, env={"PATH": "/usr/bin:/bin"})
            assert done.returncode == 0 and not done.stderr, done.stderr

    def check_environments(self, checkout: Path) -> None:
        """What `wherry env` needs is there as well: it comes as far as asking for the base."""
        state = ("--root", checkout.parent / "root", "--run-root", checkout.parent / "run")
        wanted = ("--with", "idna", "--python", "3.11", "--base", "127.0.0.1:9/nothing")
        done = run(checkout / "wherry", *state, "env", "lock", *wanted, cwd=checkout.parent)
        assert done.returncode == 1 and "cannot pin the base 127.0.0.1:9/nothing" in done.stderr, done.stderr

    def check_interrupted(self, checkout: Path) -> None:
        """An environment without its last file is made anew."""
        (environment_of(checkout) / "ready").unlink()
        shutil.rmtree(environment_of(checkout) / "lib")
        process = subprocess.Popen([checkout / "wherry", "--version"], env=ENVIRONMENT | PIP, start_new_session=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        wait_for((environment_of(checkout) / "lib").exists, 60)  # it has begun, and is not ready
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (environment_of(checkout) / "ready").exists()
        done = run(checkout / "wherry", "--version")
        assert done.returncode == 0, done.stderr

    def test_without_a_network(self, checkout: Path) -> None:
        nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_EXTRA_INDEX_URL": "", "PIP_RETRIES": "0",
                   "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": "",
                   "UV_INDEX_URL": "http://127.0.0.1:9/"}  # fmt: skip
        done = run(checkout / "wherry", "--version", env=nowhere)
        assert done.returncode == 125
        assert "cannot install what Wherry needs" in done.stderr and "Traceback" not in done.stderr, done.stderr
        assert not (environment_of(checkout) / "ready").exists()

    def test_python_too_old(self, checkout: Path, tmp_path: Path) -> None:
        for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
            (tmp_path / name).write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit\nexit 1\n')
            (tmp_path / name).chmod(0o755)
        for tool in ("sh", "readlink"):
            (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
        text = (checkout / "tools" / "environment").read_text()
        (checkout / "tools" / "environment").write_text(text.replace("/usr/bin/python3", "/nonexistent/python3"))
        done = run(checkout / "wherry", "--version", env={"PATH": str(tmp_path)})
        assert done.returncode == 125
        assert "Python 3.11 or newer is needed" in done.stderr and "3.9.2" in done.stderr

    def test_python_that_is_named(self, checkout: Path) -> None:
        done = run(checkout / "wherry", "--version", env={"PYTHON": sys.executable})
        assert done.returncode == 0, done.stderr
        assert (environment_of(checkout) / "bin" / "python").resolve() == Path(sys.executable).resolve()

    @pytest.mark.needs("root")
    def test_another_user(self, checkout: Path, scratch: Path) -> None:
        """Who may not write in the checkout gets an environment in the cache of their own."""
        home = scratch / "home"
        home.mkdir()
        os.chown(home, SINGLE_UID, SINGLE_UID)
        env = PIP | {"HOME": str(home)}
        if reachable(Path(sys.executable)):
            env["PATH"] = ENVIRONMENT["PATH"]
        done = run_as(SINGLE_UID, [checkout / "wherry", "--version"], env)
        assert done.returncode == 0, done.stderr.decode()
        assert (Path(f"{home}/.cache/wherry/env{checkout}") / "ready").exists()
        again = run_as(SINGLE_UID, [checkout / "wherry", "--version"], env)
        assert again.returncode == 0 and not again.stderr


def test_launcher_starts_no_process_of_its_own(tmp_path: Path) -> None:
    """With an environment in place there is one exec and nothing else: no commands, no subshells."""
    checkout = copy_checkout(tmp_path / "checkout")
    environment = checkout / ".cache" / "env"
    (environment / "bin").mkdir(parents=True)
    (environment / "ready").touch()
    (environment / "bin" / "python").write_text('#!/bin/sh\necho "$$" "$PPID" "$@"\n')
    (environment / "bin" / "python").chmod(0o755)
    process = subprocess.Popen(
        [checkout / "wherry", "a b", "", "c"], env={"PATH": "/nonexistent"}, stdout=subprocess.PIPE
    )
    out, _ = process.communicate()
    assert out.decode() == f"{process.pid} {os.getpid()} -I -S {checkout}/src/wherry/__main__.py a b  c\n"
