"""The look for what tests leave: it kills what it finds, so it must take nobody else's process for a test's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support import leaks
from support.command import wait_for


@pytest.mark.needs("root")
def test_whose_mount_namespace_has_a_copy_of_our_mounts_is_not_ours(scratch: Path) -> None:
    """As a rootless pull has while another test's containers are mounted."""
    (scratch / "point").mkdir()
    (scratch / "file").touch()
    subprocess.run(["mount", "-t", "tmpfs", "none", scratch / "point"], check=True)
    ours = os.readlink("/proc/self/ns/mnt")
    other = subprocess.Popen(["unshare", "--user", "--map-root-user", "--mount", "sleep", "60"])
    own = subprocess.Popen(["tail", "-f", scratch / "file"])
    try:
        wait_for(lambda: os.readlink(f"/proc/{other.pid}/ns/mnt") != ours)
        assert str(scratch / "point") in Path(f"/proc/{other.pid}/mountinfo").read_text()
        wait_for(lambda: own.pid in leaks.processes_of(scratch))
        assert leaks.processes_of(scratch) == [own.pid]
    finally:
        for one in (other, own):
            one.kill()
            one.wait()
