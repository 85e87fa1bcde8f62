"""Compose v2: the one in PATH, or Debian 13's."""

from __future__ import annotations

import functools
import os
import platform
import shutil
from pathlib import Path

from support.debian import fetch

_DEBS = {
    "pool/main/d/docker-compose/docker-compose_2.26.1-4_amd64.deb": (
        "47681197cb2b1ab88206b42a1a92fc75f50d9530a6322d03494a473eed0408ea"
    )
}
_PLACE = Path(f"/var/tmp/wherry-test-compose-{os.geteuid()}")
_PLUGIN = "usr/libexec/docker/cli-plugins/docker-compose"


@functools.cache
def compose() -> str:
    """The program, or ""."""
    for place in ("/usr/libexec", "/usr/lib", "/usr/local/lib"):
        there = f"{place}/docker/cli-plugins/docker-compose"
        if os.access(there, os.X_OK):
            return there
    if platform.machine() != "x86_64" or shutil.which("dpkg") is None or not fetch(_DEBS, _PLACE):
        return ""
    return str(_PLACE / _PLUGIN)
