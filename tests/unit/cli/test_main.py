"""Finding the command, wording errors, exit statuses."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from wherry.cli import main as cli
from wherry.cli.failure import report
from wherry.cli.paths import site_directories
from wherry.errors import Cancelled, CannotInvoke, CommandNotFound, Conflict, InvalidArgument, NotFound, SystemFailure

SOURCE = Path(__file__).parents[3] / "src"


def run(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SOURCE / "wherry/__main__.py"), *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environ,
    )


@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        ([], 0, "Usage:  wherry [OPTIONS] COMMAND\n", ""),
        (["--help"], 0, "Usage:  wherry [OPTIONS] COMMAND\n", ""),
        (["help"], 0, "Usage:  wherry [OPTIONS] COMMAND\n", ""),
        (["help", "ps"], 0, "Usage:  wherry ps [OPTIONS]\n", ""),
        (["help", "image", "ls"], 0, "Usage:  wherry image ls [OPTIONS] [REPOSITORY[:TAG]]\n", ""),
        (["help", "foo"], 1, "", "unknown help topic: foo\n"),
        (["-v"], 0, "Wherry version ", ""),
        (["--version", "ps"], 0, "Wherry version ", ""),
        (["image"], 0, "", "Usage:  wherry image COMMAND\n"),
        (["image", "--help"], 0, "Usage:  wherry image COMMAND\n", ""),
        (["image", "ls", "--help"], 0, "Usage:  wherry image ls [OPTIONS]", ""),
        (["foo"], 1, "", "wherry: unknown command: wherry foo\n\nRun 'wherry --help' for more information\n"),
        (["image", "foo"], 1, "", "wherry: unknown command: wherry image foo\n\nUsage:  wherry image\n\nRun 'wherry"),
        (["image", "--foo"], 125, "", "unknown flag: --foo\n\nUsage:  wherry image"),
        (["--foo"], 125, "", "unknown flag: --foo\n\nUsage:  wherry [OPTIONS] COMMAND [ARG...]\n\nRun 'wherry --"),
        (["-x"], 125, "", "unknown shorthand flag: 'x' in -x\n"),
        (["-H", "bogus://x", "ps"], 1, "", "wherry: unable to parse docker host `bogus://x` (-H): bogus"),
        (["-H", "unix:///nosuch", "-c", "x", "ps"], 1, "", "wherry: conflicting options: cannot specify both --host"),
        (["-H", "unix:///nosuch", "--root", "/x", "ps"], 1, "", "wherry: conflicting options: cannot specify both --"),
        (["-H", "unix:///nosuch", "boot"], 1, "", "wherry: 'wherry boot' works on this machine's own containers and"),
        (["-H", "unix:///nosuch", "ps"], 1, "", "wherry: cannot connect to the engine at unix:///nosuch (-H): no such"),
        (["-c", "nosuch", "ps"], 1, "", 'wherry: context "nosuch": context not found: open '),
        (["ps", "--foo"], 125, "", "unknown flag: --foo\n\nUsage:  wherry ps [OPTIONS]\n\nRun 'wherry ps --help"),
        (["container", "ls", "x"], 1, "", "wherry: 'wherry container ls' accepts no arguments\n\nUsage:  wherry"),
        (["run"], 1, "", "wherry: 'wherry run' requires at least 1 argument\n"),
        (["run", "--foo"], 125, "", "unknown flag: --foo\n"),
        (["run", "--cpu-count", "1", "x"], 125, "", "wherry: --cpu-count is not supported: it is for Windows"),
        (["run", "-it", "x"], 1, "", "the input device is not a TTY\n"),
        (["run", "--rm", "--help"], 0, "Usage:  wherry run [OPTIONS] IMAGE [COMMAND] [ARG...]\n", ""),
        (["--root", "relative", "images"], 1, "", 'wherry: --root "relative": the path must be absolute\n'),
        (["inspect", "--type", "foo", "x"], 1, "", 'wherry: unknown type: "foo": must be one of "container"'),
    ],
)  # fmt: skip
def test_command_lines(arguments: list[str], status: int, out: str, err: str) -> None:
    done = run(*arguments)
    assert done.stderr[: len(err) or None] == err
    assert done.stdout[: len(out) or None] == out
    assert done.returncode == status


@pytest.mark.parametrize(
    ("error", "path", "status", "text"),
    [
        (NotFound("image", "x"), "rmi", 1, "wherry: No such image: x\n"),
        (NotFound("image", "x"), "run", 125, "wherry: No such image: x\n"),
        (Conflict("taken", hint="use another"), "create", 125, "wherry: taken\nuse another\n"),
        (InvalidArgument("bad"), "run", 125, "wherry: bad\n\nRun 'wherry run --help' for more information\n"),
        (InvalidArgument("bad"), "ps", 1, "wherry: bad\n"),
        (CommandNotFound("no foo"), "run", 127, "wherry: no foo\n"),
        (CannotInvoke("no x bit"), "runtime run", 126, "wherry: no x bit\n"),
        (SystemFailure("mount", "fsopen", errno.EPERM), "run", 125, "wherry: mount: fsopen: operation not permitted\n"),
        (Cancelled("stopped"), "pull", 130, ""),
        (KeyboardInterrupt(), "pull", 130, ""),
        (MemoryError(), "run", 125, "wherry: out of memory\n"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), "load", 1, "wherry: open /x: no such"),
        (OSError(errno.ENOSPC, "No space left on device"), "pull", 1, "wherry: no space left on device\nfree"),
        (ZeroDivisionError("oh"), "ps", 1, "wherry: internal error: ZeroDivisionError: oh\n"),
        (Conflict("evil \x1b[2J name\r"), "rm", 1, "wherry: evil \\x1b[2J name\\r\n"),
    ],
)  # fmt: skip
def test_errors(error: BaseException, path: str, status: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(error, path) == status
    shown = capsys.readouterr().err
    assert shown.startswith(text) and bool(shown) == bool(text)


def test_nobody_reads_standard_output() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SOURCE / "wherry/__main__.py"), "help", "run"],
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_debug_shows_where() -> None:
    done = run("--debug", "inspect", "--type", "foo", "x")
    assert done.stderr.startswith("Traceback") and "wherry: unknown type" in done.stderr


def test_libraries_are_found_although_site_is_off(tmp_path: Path) -> None:
    """A third-party module is imported from the environment of the interpreter, at the first import that needs it."""
    code = (
        "import sys; sys.argv[1:] = ['version']\n"
        f"sys.path.append({str(SOURCE)!r})\n"
        "from wherry.cli.main import main\n"
        "main(['version'])\n"
        "assert not any('site-packages' in path for path in sys.path), sys.path\n"
        "import urllib3\n"
        "assert any('-packages' in path for path in sys.path)\n"
        "try:\n    import no_such_module_anywhere\nexcept ModuleNotFoundError:\n    print('ok')\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.endswith("ok\n"), done.stderr


def test_site_directories_follow_pyvenv(tmp_path: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    executable = str(tmp_path / "bin/python")
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    assert site_directories(executable)[0] == str(tmp_path / "lib" / version / "site-packages")
    assert all(path.startswith(str(tmp_path)) for path in site_directories(executable))
    (tmp_path / "pyvenv.cfg").write_text("include-system-site-packages = True\n")
    assert not all(path.startswith(str(tmp_path)) for path in site_directories(executable))


def test_nothing_in_the_working_directory_or_the_environment_is_imported(tmp_path: Path) -> None:
    for name in ("os.py", "wherry.py", "sitecustomize.py", "errno.py"):
        (tmp_path / name).write_text("raise SystemExit(66)")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SOURCE / "wherry/__main__.py"), "-v"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "os.py"), "PYTHONHOME": "/nonexistent"},
    )
    assert done.returncode == 0


def test_byte_code_is_kept_whatever_the_environment_says(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(SOURCE / "wherry", tmp_path / "wherry", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "wherry/__main__.py"), "-v"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert list((tmp_path / "wherry/cli/__pycache__").glob("main.*.pyc"))


def test_run_imports_nothing_of_the_other_commands() -> None:
    code = (
        f"import sys; sys.path.append({str(SOURCE)!r})\n"
        "from wherry.cli.main import main\n"
        "main(['run', '--foo'])\n"
        "print(*sorted(name for name in sys.modules if name.startswith('wherry.')), file=sys.stdout)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert set(done.stdout.split()) == {
        "wherry.cli",
        "wherry.cli.commands",
        "wherry.cli.commands.run",
        "wherry.cli.container_options",
        "wherry.cli.failure",  # for the wrong option
        "wherry.cli.main",
        "wherry.cli.table",
        "wherry.cli.parser",
        "wherry.cli.quote",
        "wherry.container",
        "wherry.container.options",
        "wherry.errors",
        "wherry.record",
    }


def test_every_command_loads() -> None:
    for path in cli.COMMANDS:
        module = cli.load(path)
        assert callable(module.main) and module.__doc__


def test_progress_is_quiet_when_asked() -> None:
    from wherry.engine.progress import Silent

    assert isinstance(cli.Call("pull", {"quiet": True}, [], {}).progress(), Silent)
    assert SimpleNamespace(**cli.Call("x", {}, [], {"root": "/a"}).directories()) == SimpleNamespace(
        root="/a", run="", config=""
    )
