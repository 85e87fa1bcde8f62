"""A place where users may open /dev/net/tun, as udev has it everywhere: a mount namespace for the test alone."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from types import TracebackType
from typing import Self

from support import places
from support.netns import Namespace


class Place:
    """``prefix`` is what a command of this user's begins with, to run there, on the network of ``space``."""

    def __init__(self, space: Namespace, uid: int) -> None:
        self._directory = places.make("tun")
        self._directory.chmod(0o755)
        device = self._directory / "tun"
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(10, 200))
        device.chmod(0o666)
        script = (
            "mkdir -p /dev/net; touch /dev/net/tun; mount --bind $0 /dev/net/tun && echo ready && exec sleep infinity"
        )
        command = ["unshare", "--mount", "sh", "-c", script, str(device)]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        where = ("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--net={space.path}")
        self.prefix = (*where, "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.kill()
        self._holder.communicate()
        shutil.rmtree(self._directory)
