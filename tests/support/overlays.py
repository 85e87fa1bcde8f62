"""Snapshotters with unpacked layers, and what their mounts look like, seen in a mount namespace of its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.tars import END, Dribble
from wherry.layers import fixup
from wherry.layers.apply import Applied, ApplyOptions, apply
from wherry.oci.mount import Mount
from wherry.rootfs.overlay import OverlaySnapshotter

_SOURCE = Path(__file__).parents[2] / "src"
_LOOK = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
from support import tars
sys.stdout.buffer.write(pickle.dumps((tars.tree(sys.argv[2]), tars.describe(sys.argv[2], {}))))
"""


class Store:
    """A snapshotter in a directory of the test's own."""

    def __init__(self, directory: Path, options: ApplyOptions | None = None) -> None:
        self.directory = directory
        self.layers = directory / "layers"
        self.containers = directory / "containers"
        self.target = directory / "target"
        for path in (self.layers, self.containers, self.target):
            path.mkdir()
            path.chmod(0o700)
        self.options = options or ApplyOptions()
        self.snapshotter = OverlaySnapshotter(str(self.layers), str(self.containers))
        self.applied: dict[str, Applied] = {}

    def add(self, data: bytes, diff_id: str = "") -> str:
        """Unpack a layer given as tar members, or a whole tar; its diff id."""
        import hashlib

        data = data if data.endswith(END) else data + END
        diff_id = diff_id or "sha256:" + hashlib.sha256(data).hexdigest()
        with self.snapshotter.prepare(diff_id) as staging:
            self.applied[diff_id] = apply(Dribble(data, most=70_000), staging.fd, self.options)
            staging.commit()
        return diff_id

    def fix_up(self, diff_ids: tuple[str, ...]) -> tuple[str, ...]:
        """The diff ids with the fix-up layer on top that they need, if any."""
        stack = [
            fixup.Layer(self.snapshotter.path(one), self.applied[one].implied_dirs, self.applied[one].missing_links)
            for one in diff_ids
        ]
        plan = fixup.plan(stack)
        if not plan.needed:
            return diff_ids
        key = "sha256:" + "f" * 64
        with self.snapshotter.prepare(key) as staging:
            fixup.write(plan, stack, staging.fd)
            staging.commit()
        return (*diff_ids, key)

    def command(self, mount: Mount) -> str:
        """What mounts it on ``target``, for a shell in a mount namespace of its own."""
        changes = [f"upperdir={mount.upper}", f"workdir={mount.work}"] if mount.upper else []
        if len(mount.lower) < 20:
            options = [*mount.options, "lowerdir=" + ":".join(mount.lower), *changes]
            return f"mount -t overlay overlay -o '{','.join(options)}' '{self.target}'"
        separate = (*mount.options, *(f"lowerdir+={lower}" for lower in mount.lower), *changes)
        script = f"from wherry.linux import mount; mount.attach_at(mount.new('overlay', {separate!r}), '{self.target}')"
        (self.directory / "mount.py").write_text(script)
        return f"PYTHONPATH='{_SOURCE}' '{sys.executable}' '{self.directory}/mount.py'"

    def shell(self, mount: Mount, script: str) -> str:
        """The output of a shell script with the overlay mounted on its working directory."""
        whole = f"set -e; {self.command(mount)}; cd '{self.target}'; {script}"
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", whole]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def tree(self, mount: Mount) -> dict[str, Any]:
        """What the mount shows: `support.tars.tree`, and under "" its root."""
        return look(f"{self.command(mount)} &&", str(self.target))


def look(before: str, path: str) -> dict[str, Any]:
    tests = str(Path(__file__).parent.parent)
    whole = f"{before} exec '{sys.executable}' -c \"$0\" '{tests}' '{path}'"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", whole, _LOOK]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=dict(os.environ)).stdout
    tree, root = pickle.loads(answer)
    return {"": root} | tree
