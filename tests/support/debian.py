"""Packages of another Debian release, from the mirror that apt is configured with; nothing of them is installed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path


def fetch(debs: Mapping[str, str], place: Path) -> bool:
    """Whether the files of *debs* (path on a mirror → SHA-256) are in the directory *place*; once there, they stay."""
    if not place.is_dir():
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="wt-debs-") as aside:
            if not all(_unpack(path, digest, aside) for path, digest in debs.items()):
                return False
            Path(aside, "tree").chmod(0o755)
            try:
                os.rename(f"{aside}/tree", place)
            except OSError:
                pass  # another one was first
    return place.is_dir() and place.lstat().st_uid == os.geteuid()


def _unpack(path: str, digest: str, aside: str) -> bool:
    deb = Path(aside, "package.deb")
    for mirror in _mirrors():
        try:
            with urllib.request.urlopen(f"{mirror}/{path}", timeout=20) as answer:
                data = answer.read()
        except (OSError, ValueError):
            continue
        if hashlib.sha256(data).hexdigest() == digest:
            deb.write_bytes(data)
            done = subprocess.run(["dpkg", "-x", deb, f"{aside}/tree"], capture_output=True, check=False)
            return done.returncode == 0
    return False


def _mirrors() -> list[str]:
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return []
    return sorted(set(done.stdout.split()), key=lambda site: "security" in site)
