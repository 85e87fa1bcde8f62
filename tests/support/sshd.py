"""An ssh server of the test's own on loopback: own keys, own port, gone when it is closed."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from support import places
from support.users import SYSTEM_PATH

_PRIVSEP = Path("/run/sshd")


class Sshd:
    """``programs`` are what there is in the PATH of whoever comes over it, by name, before the system's own for root.

    ``environment`` has an ``ssh`` in front that trusts the server and shows its key, and takes no other configuration.
    """

    def __init__(self, programs: Mapping[str, Sequence[str]]) -> None:
        self.directory = places.make("sshd")
        self.port = _free_port()
        self.user = getpass.getuser()
        if os.geteuid() == 0:
            _PRIVSEP.mkdir(mode=0o755, exist_ok=True)  # stays, as with Debian's own service: others may be using it
        for name in ("host", "client"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / name]
            subprocess.run(command, check=True, capture_output=True)
        shutil.copy(self.directory / "client.pub", self.directory / "authorized")
        self.programs = self.directory / "far"
        self.programs.mkdir()
        for name, argv in programs.items():
            self.add(name, argv)
        self._configure()
        with (self.directory / "log").open("wb") as log:
            command = ["/usr/sbin/sshd", "-D", "-e", "-f", self.directory / "sshd_config"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()

    def add(self, name: str, argv: Sequence[str]) -> None:
        """One more program at the far end."""
        script = self.programs / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, argv))} "$@"\n')
        script.chmod(0o755)

    def _configure(self) -> None:
        directory = self.directory
        server = {
            "Port": self.port, "ListenAddress": "127.0.0.1", "HostKey": directory / "host", "UsePAM": "no",
            "PidFile": "none", "AuthorizedKeysFile": directory / "authorized", "StrictModes": "no",
            "PasswordAuthentication": "no", "PermitRootLogin": "yes", "MaxStartups": "100", "MaxSessions": "100",
            "SetEnv": f"PATH={self.programs}:/usr/sbin LANG=C.UTF-8",
        }  # fmt: skip
        client = {
            "UserKnownHostsFile": directory / "known", "IdentityFile": directory / "client", "BatchMode": "yes",
            "IdentitiesOnly": "yes", "StrictHostKeyChecking": "yes",
        }  # fmt: skip
        for name, options in (("sshd_config", server), ("ssh_config", client)):
            (directory / name).write_text("".join(f"{key} {value}\n" for key, value in options.items()))
        key = " ".join((directory / "host.pub").read_text().split()[:2])
        (directory / "known").write_text(f"[127.0.0.1]:{self.port} {key}\n")
        (directory / "near").mkdir()
        ssh = directory / "near" / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {directory}/ssh_config "$@"\n')
        ssh.chmod(0o755)

    def _wait(self) -> None:
        end = time.monotonic() + 20
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as one:
                if one.recv(4) == b"SSH-":
                    return
            gone = self._process.poll() is not None
            assert not gone and time.monotonic() < end, (self.directory / "log").read_text(errors="replace")
            time.sleep(0.05)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.directory}/near:{SYSTEM_PATH}"}

    @property
    def host(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])
