"""The engines and runtimes that are compared, each with state of its own that is removed afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from measure import Failed, PeakMemory, in_child, timed, without_cgroup2

ROOT = Path(__file__).parent.parent
ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "TMPDIR": "/var/tmp",
}
IMAGE = "bench/busybox:latest"


def output(*argv: str | Path) -> str:
    done = subprocess.run(list(map(str, argv)), env=ENV, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, argv))[:200]}: {done.stderr.strip()[-300:]}")
    return done.stdout


def which(name: str) -> str | None:
    return shutil.which(name, path=ENV["PATH"])


class Subject:
    """One thing to measure.  ``name`` is a column of the table, ``version`` what stands in its head.

    ``open`` starts or prepares it and raises `Failed` where it does not work here; ``close`` undoes everything.
    """

    name = ""
    version = ""
    memory_pid = 0  # a daemon that works for the client, 0 when the client does the work

    def __init__(self, directory: Path) -> None:
        self.directory = directory / self.name
        self.directory.mkdir()
        self.log = self.directory / "output"

    def open(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def time(self, argv: list[str]) -> float:
        return timed(argv, ENV, log=self.log)


class Engine(Subject):
    """Has images, and a command line in Docker's words."""

    @property
    def base(self) -> list[str]:
        """The command with the options that lead to storage of its own."""
        raise NotImplementedError

    def load(self, archive: Path) -> None:
        """Take a docker-archive."""
        output(*self.base, "load", "-i", archive)

    def run(self, *arguments: str) -> list[str]:
        """The command that runs a container once, removed afterwards and without a network."""
        return [*self.base, "run", "--rm", "--network", "none", *arguments]

    def peak(self, argv: list[str]) -> float:
        """MB that the command and all below it, or the daemon that works for it, take at most."""
        found: list[PeakMemory] = []

        def watch(pid: int) -> PeakMemory:
            found.append(PeakMemory(self.memory_pid or pid))
            return found[0]

        timed(argv, ENV, log=self.log, watch=watch)
        return found[0].peak / 2**20

    def detached(self, name: str, *arguments: str) -> list[str]:
        """The command that begins a container without a network and leaves it running."""
        words = self.run(*arguments)
        at = words.index("--rm")
        return [*words[:at], "-d", "--name", name, *words[at + 1 :]]

    def created(self, name: str, *arguments: str) -> list[str]:
        """The command that makes a container and does not start it."""
        words = self.run(*arguments)
        at = words.index("--rm")
        return [*words[: at - 1], "create", "--name", name, *words[at + 1 :]]

    def remove(self, *names: str) -> list[str]:
        """The command that removes containers, running ones without giving them time."""
        return [*self.base, "rm", "-f", *names]

    def pull(self, reference: str) -> list[str]:
        return [*self.base, "pull", "-q", reference]

    def run_cold(self, reference: str, *command: str) -> list[str]:
        """The command that pulls *reference* and runs *command* in it."""
        return self.run(reference, *command)

    def push(self, reference: str) -> list[str]:
        return [*self.base, "push", "-q", reference]

    def forget(self, reference: str) -> None:
        """Make the next pull of *reference* a cold one."""
        with contextlib.suppress(Failed):
            output(*self.base, "rmi", "-f", reference)


class Wherry(Engine):
    name = "wherry"
    _options: tuple[str, ...] = ()

    def open(self) -> None:
        self.version = output(ROOT / "wherry", "--version").split()[2].rstrip(",")

    @property
    def base(self) -> list[str]:
        state = ["--root", f"{self.directory}/root", "--run-root", f"{self.directory}/run"]
        return [str(ROOT / "wherry"), *state, *self._options]

    def keep_layers(self, snapshotter: str) -> None:
        """Have layers kept by this snapshotter."""
        config = self.directory / "config"
        config.mkdir()
        (config / "storage.toml").write_text(f'snapshotter = "{snapshotter}"\n')
        self._options = ("--config", str(config))

    def close(self) -> None:
        remove_tree(self.directory)


class Docker(Engine):
    """A daemon of our own: own socket, own storage, no bridge and no firewall rules."""

    name = "docker"
    prefix: tuple[str, ...] = ()  # that the daemon is started with
    network: tuple[str, ...] = ("--bridge=none", "--iptables=false", "--ip6tables=false")
    _daemon: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        if which("dockerd") is None or which("docker") is None:
            raise Failed("not installed")
        self.socket = self.directory / "docker.sock"
        config = self.directory / "daemon.json"
        config.write_text("{}")
        command = [*self.prefix, "dockerd", "--config-file", config, "-H", f"unix://{self.socket}", "--data-root",
                   self.directory / "data", "--exec-root", self.directory / "exec", "--pidfile", self.directory / "pid",
                   *self.network]  # fmt: skip
        with self.log.open("wb") as log:
            self._daemon = subprocess.Popen(
                list(map(str, command)),
                env=ENV | {"TMPDIR": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.memory_pid = self._daemon.pid
        end = time.monotonic() + 60
        while True:
            if self._daemon.poll() is not None or time.monotonic() > end:
                raise Failed(f"dockerd does not start: {self.log.read_text(errors='replace')[-300:]}")
            with contextlib.suppress(Failed):
                self.version = output(*self.base, "version", "-f", "{{.Server.Version}}").strip().partition("+")[0]
                break
            time.sleep(0.2)
        self.log = self.directory / "client"

    @property
    def base(self) -> list[str]:
        return ["docker", "-H", f"unix://{self.socket}"]

    def close(self) -> None:
        if self._daemon is not None:
            self._daemon.terminate()
            try:
                self._daemon.wait(30)
            except subprocess.TimeoutExpired:
                self._daemon.send_signal(signal.SIGKILL)
                self._daemon.wait()
        remove_tree(self.directory)


class Podman(Engine):
    name = "podman"
    extra: tuple[str, ...] = ()  # options of `run`
    _runtime: tuple[str, ...] = ()

    def open(self) -> None:
        if which("podman") is None:
            raise Failed("not installed")
        self.version = output("podman", "--version").split()[-1]

    @property
    def base(self) -> list[str]:
        return ["podman", "--root", f"{self.directory}/root", "--runroot", f"{self.directory}/run", *self._runtime]

    def load(self, archive: Path) -> None:
        output(*self.base, "load", "-q", "-i", archive)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        small = ("--ulimit", f"nofile={min(limit, 1024)}:{min(limit, 1024)}", "--ulimit", "nproc=1000:1000")
        # its defaults want limits raised and refuse hybrid cgroups; take the first way that works on this machine
        for self._runtime, self.extra in (
            ((), ()),
            ((), small),
            (("--runtime", "runc"), ()),
            (("--runtime", "runc"), small),
        ):
            with contextlib.suppress(Failed):
                output(*self.run(IMAGE, "true"))
                if self._runtime and "(" not in self.version:
                    self.version += f" ({self._runtime[1]})"
                return
        raise Failed("no way of calling it works here: " + self._last_error())

    def _last_error(self) -> str:
        try:
            output(*self.run(IMAGE, "true"))
        except Failed as error:
            return str(error)
        return ""

    def run(self, *arguments: str) -> list[str]:
        return [*self.base, "run", "--rm", "--network", "none", *self.extra, *arguments]

    def remove(self, *names: str) -> list[str]:
        return [*self.base, "rm", "-f", "-t", "0", *names]

    def pull(self, reference: str) -> list[str]:
        return [*self.base, "pull", "-q", "--tls-verify=false", reference]

    def run_cold(self, reference: str, *command: str) -> list[str]:
        words = self.run(reference, *command)
        at = words.index("run") + 1
        return [*words[:at], "--tls-verify=false", *words[at:]]

    def push(self, reference: str) -> list[str]:
        return [*self.base, "push", "-q", "--tls-verify=false", reference]

    def close(self) -> None:
        remove_tree(self.directory)


class Runtime(Subject):
    """Runs a bundle and nothing else."""

    def run_bundle(self, bundle: Path) -> float:
        """Milliseconds."""
        raise NotImplementedError


class OurRuntime(Runtime):
    name = "wherry runtime"

    def open(self) -> None:
        self.version = output(ROOT / "wherry", "--version").split()[2].rstrip(",")

    def run_bundle(self, bundle: Path) -> float:
        state = ["--root", f"{self.directory}/root", "--run-root", f"{self.directory}/run"]
        return self.time([str(ROOT / "wherry"), *state, "runtime", "run", "--bundle", str(bundle), "bench"])


class Foreign(Runtime):
    def open(self) -> None:
        if which(self.name) is None:
            raise Failed("not installed")
        first = output(self.name, "--version").splitlines()[0]
        self.version = first.split()[-1].partition("+")[0]

    def command(self, bundle: Path) -> list[str]:
        return [self.name, "--root", f"{self.directory}/state", "run", "--bundle", str(bundle), "bench"]

    def run_bundle(self, bundle: Path) -> float:
        return self.time(self.command(bundle))


class Runc(Foreign):
    name = "runc"


class Crun(Foreign):
    name = "crun"

    def run_bundle(self, bundle: Path) -> float:
        if not hybrid():
            return super().run_bundle(bundle)
        return in_child(without_cgroup2, lambda: self.time(self.command(bundle)))


def hybrid() -> bool:
    kinds = [line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()]
    return "cgroup" in kinds and "cgroup2" in kinds


def make_bundle(directory: Path, rootfs: Callable[[Path], None]) -> Path:
    """An OCI bundle that runs ``true`` with limits, made by `runc spec` where there is one."""
    directory.mkdir()
    rootfs(directory / "rootfs")
    subprocess.run(["runc", "spec"], cwd=directory, env=ENV, check=True)
    path = directory / "config.json"
    spec = json.loads(path.read_text())
    spec["process"]["terminal"] = False
    spec["process"]["args"] = ["true"]
    spec["process"].pop("rlimits", None)  # raising limits needs more than some machines give root
    spec["root"]["readonly"] = False
    spec["linux"]["cgroupsPath"] = "/wherry-bench"
    spec["linux"]["resources"] |= {
        "memory": {"limit": 256 << 20},
        "cpu": {"quota": 50_000, "period": 100_000},
        "pids": {"limit": 100},
    }
    path.write_text(json.dumps(spec))
    return directory


def remove_tree(directory: Path) -> None:
    """Unmount what an engine left mounted in *directory* and remove it."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed([one for one in points if one.startswith(f"{directory}/")]):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def cgroup_directories() -> set[Path]:
    """Those that the engines compared here make for themselves and leave."""
    names = ("docker", "libpod_parent", "wherry", "wherry-bench", "machine.slice")
    tops = [Path("/sys/fs/cgroup"), *(path for path in Path("/sys/fs/cgroup").glob("*") if path.is_dir())]
    return {top / name for top in tops for name in names if (top / name).is_dir()}


def remove_cgroups(keep: set[Path]) -> None:
    for top in cgroup_directories() - keep:
        for directory, _names, _files in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
