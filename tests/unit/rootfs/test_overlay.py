"""The part of the snapshotter that is on the way of every run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wherry.oci.mount import Mount
from wherry.rootfs.overlay import OverlaySnapshotter

SOURCE = Path(__file__).parents[3] / "src"
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64

WITHOUT_IO = """
import sys
from wherry.rootfs.overlay import OverlaySnapshotter
snapshotter = OverlaySnapshotter("/layers", "/containers")
calls = []
sys.addaudithook(lambda event, _arguments: calls.append(event))
snapshotter.mounts(("sha256:" + "1" * 64, "sha256:" + "2" * 64), "c", idmap=True)
slow = {"re", "json", "typing", "shutil", "hashlib", "enum", "contextlib"}
print([call for call in calls if not call.startswith("object.")], sorted(slow & set(sys.modules)))
"""


def test_the_mount_of_an_image() -> None:
    snapshotter = OverlaySnapshotter("/l", "/c")
    assert snapshotter.mounts((ONE, TWO), "id", idmap=True) == Mount(
        "overlay", "overlay", ("redirect_dir=off", "metacopy=off"),
        ("/l/" + "2" * 64, "/l/" + "1" * 64), "/c/id/upper", "/c/id/work", True,
    )  # fmt: skip
    assert snapshotter.mounts((ONE,), "", userxattr=True) == Mount(
        "overlay", "overlay", ("userxattr",), ("/l/" + "1" * 64,)
    )


def test_it_does_nothing_but_join_names() -> None:
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{WITHOUT_IO}"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[] []\n"
