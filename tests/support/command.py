"""The command line as tests type it: the package's own entry point, with state directories of the test's own."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support import leaks, places
from support.users import SYSTEM_PATH, User

ROOT = Path(__file__).parent.parent.parent
MAIN = ROOT / "src" / "wherry" / "__main__.py"


@dataclass(frozen=True)
class Result:
    """What a command wrote and how it ended; texts are UTF-8 with replacement characters."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str
    raw: bytes = b""

    def __str__(self) -> str:
        return f"$ {' '.join(self.argv)}\nexit status {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}---"


def reachable(path: Path) -> bool:
    """Whether everybody may get at *path*."""
    path = path.resolve()
    return all(part.stat().st_mode & stat.S_IXOTH for part in path.parents) and bool(path.stat().st_mode & stat.S_IROTH)


@functools.cache
def interpreter_for_everybody() -> tuple[str, str]:
    """(python, __main__.py) that every user can run: the ones at hand, or stand-ins where those are private to root.

    The stand-in is a small environment around another interpreter of the same version, or around a copy of this one.
    """
    packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    if os.geteuid() != 0 or all(map(reachable, (MAIN, packages, Path(sys.executable)))):
        return sys.executable, str(MAIN)
    copy = places.make("code")
    atexit.register(shutil.rmtree, copy, True)
    copy.chmod(0o755)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = next((path for path in (Path("/usr/bin"), Path("/usr/local/bin")) if (path / version).exists()), None)
    if base is None or not reachable(base / version):
        ignore = shutil.ignore_patterns("test", "tests", "site-packages", "idlelib", "*.a", "__pycache__")
        shutil.copytree(sys.base_prefix, copy / "base", symlinks=True, ignore=ignore)
        base = copy / "base" / "bin"
    (copy / "env" / "bin").mkdir(parents=True)
    (copy / "env" / "bin" / "python").symlink_to(base / version)
    (copy / "env" / "pyvenv.cfg").write_text(f"home = {base}\n")
    library = copy / "env" / "lib" / version
    library.mkdir(parents=True)
    main = MAIN
    if not reachable(MAIN):
        shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
        main = copy / "src" / "wherry" / "__main__.py"
    if reachable(packages):
        (library / "site-packages").symlink_to(packages)
    else:
        ignore = shutil.ignore_patterns("mypy*", "ruff*", "pip*", "hypothesis*", "__pycache__")
        shutil.copytree(packages, library / "site-packages", ignore=ignore)
    subprocess.run(["chmod", "-R", "go=u-w", copy], check=True)
    return str(copy / "env" / "bin" / "python"), str(main)


@dataclass
class Wherry:
    """``wherry("run", …)`` runs a command and returns a `Result`; ``wherry.ok(…)`` wants status 0 and returns stdout.

    ``root`` and ``run_root`` are the state directories, removed with everything in them by `close`; ``home`` holds
    nothing but what the test writes, so no credentials of the person who runs the tests are seen.
    """

    directory: Path
    user: User | None = None
    env: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    @classmethod
    def make(cls, user: User | None = None) -> Wherry:
        # short: the path of a unix socket has 107 bytes
        directory = places.make("state")
        (directory / "home").mkdir(mode=0o700)
        (directory / "config").mkdir()
        (directory / "config" / "networks.toml").write_text("keep-bridge = 0\n")
        if user is not None and os.geteuid() == 0:
            for path in (directory, directory / "home"):
                os.chown(path, user.uid, user.gid)
        return cls(directory, user)

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def run_root(self) -> Path:
        return self.directory / "run"

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def argv(self, *arguments: str | Path) -> list[str]:
        """The whole command, for tests that start it themselves."""
        python, main = interpreter_for_everybody() if self.user else (sys.executable, str(MAIN))
        state = ["--root", str(self.root), "--run-root", str(self.run_root)]
        state += ["--config", str(self.directory / "config")]
        return [*self.prefix, python, "-I", "-S", main, *state, *map(str, arguments)]

    def environment(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        base = dict(self.user.env) if self.user else {"HOME": str(self.home), "PATH": SYSTEM_PATH, "LANG": "C.UTF-8"}
        return base | self.env | (extra or {})

    def popen(
        self, *arguments: str | Path, env: dict[str, str] | None = None, **more: object
    ) -> subprocess.Popen[bytes]:
        """Start a command; the caller waits for it."""
        options: dict[str, object] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options |= {"cwd": str(self.directory)}
        options |= dict(self.user.identity) if self.user else {}
        return subprocess.Popen(self.argv(*arguments), env=self.environment(env), **(options | more))  # type: ignore[call-overload,no-any-return]

    def __call__(
        self, *arguments: str | Path, input: str | bytes | None = None, env: dict[str, str] | None = None,
        timeout: float = 120, **more: object,
    ) -> Result:  # fmt: skip
        data = input.encode() if isinstance(input, str) else input
        stdin = subprocess.PIPE if data is not None else subprocess.DEVNULL
        process = self.popen(*arguments, env=env, **({"stdin": stdin} | more))
        try:
            out, err = process.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"no end after {timeout} s: {arguments}\n{out!r}\n{err!r}") from None
        text = (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace")
        return Result(("wherry", *map(str, arguments)), process.returncode, *text, raw=out or b"")

    def ok(self, *arguments: str | Path, **more: object) -> str:
        result = self(*arguments, **more)  # type: ignore[arg-type]
        assert result.code == 0, str(result)
        return result.out

    def keep_layers(self, snapshotter: str) -> None:
        """Have layers that come from now on kept as ``storage.toml`` says."""
        directory = self.directory / "config"
        directory.mkdir(exist_ok=True)
        (directory / "storage.toml").write_text(f'snapshotter = "{snapshotter}"\n')

    def load(self, archive: Path) -> str:
        """`wherry load -i`; returns what it printed."""
        return self.ok("load", "-i", archive)

    def close(self) -> None:
        """Remove the state and everything that still lives in it, whatever the test left behind."""
        leaks.sweep(self.directory)
        if self.user is not None:
            User.remove(User(self.user.uid, self.user.gid, self.directory, {}))
        shutil.rmtree(self.directory, ignore_errors=True)


def kill_and_wait(pid: int, timeout: float = 10) -> None:
    """SIGKILL to a process that the test started, and wait until it is gone (it need not be a child)."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + timeout
    while time.monotonic() < end and leaks.alive(pid):
        time.sleep(0.01)


@contextlib.contextmanager
def killed_at(pid: int, call: str, number: int | str) -> Iterator[None]:
    """Meanwhile the process *pid* gets SIGKILL at the *number*-th time that it makes a system call.  Needs strace."""
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
    with subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(pid), *inject]) as tracer:

        def is_traced() -> bool:
            try:
                return f"TracerPid:\t{tracer.pid}\n" in Path(f"/proc/{pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                return True  # it made the call by itself: killed it is

        try:
            wait_for(is_traced)
            yield
        finally:
            tracer.terminate()


def wait_for(condition: object, timeout: float = 20, *, step: float = 0.02) -> None:
    """Until ``condition()`` is true; AssertionError after *timeout* seconds."""
    end = time.monotonic() + timeout
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, f"{condition} stayed false for {timeout} s"
        time.sleep(step)


def arguments(text: str) -> Sequence[str]:
    """A command line split as a shell would."""
    import shlex

    return shlex.split(text)
