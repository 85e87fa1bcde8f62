"""A Docker daemon of the tests' own: own socket and storage; gone when it is closed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from support import leaks, places
from support.users import SYSTEM_PATH

CGROUPS = Path("/sys/fs/cgroup")


class NotHere(Exception):
    """The daemon does not start on this machine; the text is what it said last."""


class Dockerd:
    """``argv("ps", "-a")`` is a command line of the client; ``client`` and ``server`` are the versions.

    Without ``networks`` it has no bridge and makes no firewall rules; with them, ``prefix`` is to put it in a network
    namespace of its own.
    """

    def __init__(self, *, prefix: tuple[str, ...] = (), networks: bool = False) -> None:
        self.directory = places.make("dockerd")
        self.socket = self.directory / "docker.sock"
        self.env = {"PATH": SYSTEM_PATH, "HOME": str(self.directory), "LANG": "C.UTF-8", "TMPDIR": str(self.directory)}
        self._cgroups = self._own_cgroups()
        (self.directory / "daemon.json").write_text("{}")
        options = ["--config-file", self.directory / "daemon.json", "-H", f"unix://{self.socket}"]
        options += ["--data-root", self.directory / "data", "--exec-root", self.directory / "exec"]
        options += ["--pidfile", self.directory / "pid"]
        if not networks:
            options += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*prefix, "dockerd", *map(str, options)], env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self.client, self.server = self._versions()
        except BaseException:
            self.close()
            raise

    def argv(self, *arguments: str | Path) -> list[str]:
        return ["docker", "-H", f"unix://{self.socket}", *map(str, arguments)]

    def close(self) -> None:
        """End the daemon and what it runs, and remove its storage, mounts and cgroups."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        leaks.sweep(self.directory)
        for point in reversed(leaks.mounts_of(self.directory)):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        for top in self._own_cgroups() - self._cgroups:
            for directory, _names, _files in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)

    def _versions(self) -> tuple[str, str]:
        end = time.monotonic() + 30
        command = self.argv("version", "-f", "{{.Client.Version}} {{.Server.Version}}")
        while True:
            if self._process.poll() is not None or time.monotonic() > end:
                raise NotHere((self.directory / "log").read_text(errors="replace")[-300:])
            done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                client, server = done.stdout.split()
                return client, server.partition("+")[0]
            time.sleep(0.1)

    @staticmethod
    def _own_cgroups() -> set[Path]:
        tops = [CGROUPS, *(path for path in CGROUPS.glob("*") if path.is_dir())]
        return {top / "docker" for top in tops if (top / "docker").is_dir()}
