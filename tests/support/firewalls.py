"""Other programs' firewalls, each in the network namespace of a test: firewalld, ufw, and Docker's own rules.

``allow()`` is what docs/networks.md tells people to run; ``reload()`` the program's own way to load its rules again;
``rules()`` all that it has in the kernel.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from support import places
from support.dockerd import Dockerd
from support.netns import Namespace

DOCUMENTED = Path(__file__).parents[2] / "docs/networks.md"
_BUS = """<busconfig><type>system</type><listen>unix:path={bus}</listen><policy context="default"><allow user="*"/>
<allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="*"/></policy></busconfig>"""


def documented(program: str) -> list[list[str]]:
    """The commands that the documentation has for a program."""
    (line,) = [line for line in DOCUMENTED.read_text().splitlines() if line.startswith(f"| {program}")]
    (commands,) = re.findall(r"`([^`]*)`", line)
    return [command.split() for command in commands.split("; ")]


class Firewall:
    """See the module."""

    title = ""
    warning = "chain FORWARD of table ip filter drops what it does not know"

    def __init__(self, machine: Namespace) -> None:
        self.machine = machine
        self.directory = places.make(type(self).__name__.lower())
        self.prefix: tuple[str, ...] = ("nsenter", f"--net={machine.path}", "--")
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def run(self, *command: str, env: dict[str, str] | None = None) -> str:
        argv, env = [*self.prefix, *command], os.environ | (env or {})
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def allow(self) -> None:
        for command in documented(self.title):
            self.run(*command)

    def rules(self) -> str:
        """Its tables, without counts."""
        listed = self.run("nft", "list", "ruleset")
        tables = [part for part in re.split(r"^(?=table )", listed, flags=re.M) if not part.startswith("table inet wh")]
        return re.sub(r"counter packets \d+ bytes \d+", "counter", "".join(tables))

    def start(self) -> None:
        raise NotImplementedError

    def reload(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Firewalld(Firewall):
    """Debian's, with a message bus of its own and its default zone, public."""

    title = "firewalld"
    warning = "chain filter_FORWARD of table inet firewalld drops what it does not know"

    def start(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        bus = self.directory / "bus"
        (self.directory / "bus.conf").write_text(_BUS.format(bus=bus))
        self._env = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus}"}
        config = self.directory / "config"
        for name in ("zones", "policies", "services", "icmptypes", "helpers", "ipsets"):
            (config / name).mkdir(parents=True)
        shutil.copy("/etc/firewalld/firewalld.conf", config)
        self._spawn("dbus-daemon", f"--config-file={self.directory}/bus.conf", "--nofork", "--nopidfile")
        self._wait(bus.exists)
        self._spawn(
            "firewalld", "--nofork", "--nopid", "--system-config", str(config),
            "--log-file", str(self.directory / "log"),
        )  # fmt: skip
        self._wait(lambda: self._answers("--state"))

    def _spawn(self, *command: str) -> None:
        with (self.directory / command[0]).open("wb") as out:
            argv = [*self.prefix, *command]
            self._running.append(subprocess.Popen(argv, env=os.environ | self._env, stdout=out, stderr=out))

    def _wait(self, condition: object, timeout: float = 60) -> None:
        end = time.monotonic() + timeout
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < end and not any(one.poll() is not None for one in self._running), [
                path.read_text() for path in self.directory.iterdir() if path.is_file()
            ]
            time.sleep(0.1)

    def _answers(self, *words: str) -> bool:
        argv = [*self.prefix, "firewall-cmd", *words]
        return not subprocess.run(argv, env=os.environ | self._env, capture_output=True, check=False).returncode

    def allow(self) -> None:
        for command in documented(self.title):
            self.run(*command, env=self._env)

    def reload(self) -> None:
        self.run("firewall-cmd", "--reload", env=self._env)

    def stop(self) -> None:
        for one in reversed(self._running):
            one.terminate()
            one.wait()


class Ufw(Firewall):
    """Debian's, with copies of its files in a mount namespace of the test's; it lets in what it is told to."""

    title = "ufw"
    _SCRIPT = (
        'mount --bind "$0/ufw" /etc/ufw && mount --bind "$0/default" /etc/default/ufw && mount -t tmpfs tmpfs /run'
        " && echo ready && exec sleep infinity"
    )

    def start(self) -> None:
        shutil.copytree("/etc/ufw", self.directory / "ufw")
        shutil.copy("/etc/default/ufw", self.directory / "default")
        command = ["unshare", "--mount", "sh", "-c", self._SCRIPT, str(self.directory)]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None and self._holder.stdout.readline() == "ready\n"
        where = f"--mount=/proc/{self._holder.pid}/ns/mnt"
        self.prefix = ("nsenter", where, f"--net={self.machine.path}", "--")
        self.run("ufw", "--force", "enable")

    def reload(self) -> None:
        self.run("ufw", "reload")

    def stop(self) -> None:
        self._holder.kill()
        self._holder.communicate()


class Docker(Firewall):
    """A Docker daemon with bridges and rules, which forwards for nobody else."""

    title = "Docker"

    def start(self) -> None:
        self.daemon = Dockerd(prefix=self.prefix, networks=True)

    def reload(self) -> None:
        """What it does when firewalld has lost its rules: here, by a start."""
        self.daemon.close()
        self.daemon = Dockerd(prefix=self.prefix, networks=True)

    def stop(self) -> None:
        self.daemon.close()
