"""The Docker engine of Debian 13 (26.1), for a machine whose own is older.

The goals in the table were set against it.  It is fetched once, with its containerd, into a directory of its own that
the benchmarks have first on their PATH; nothing of it is installed, and the machine's own runc, docker-proxy's firewall
programs and docker client serve it.  Where it cannot be had, the Docker that is installed is measured; the table names
the version.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from support.debian import fetch

_DEBS = {
    "pool/main/d/docker.io/docker.io_26.1.5+dfsg1-9+deb13u1+b1_amd64.deb": (
        "53ae1a99f15113f0a0d2226808ec0d24ee31b3b87b87ab8ec35be09a1a2ee13b"
    ),
    "pool/main/c/containerd/containerd_1.7.24~ds1-6+deb13u1_amd64.deb": (
        "ed708deb96fe476a3bce4efa5c0538dfbcf717ab9a7c7944ba7260342c25899c"
    ),
}
_PLACE = Path(f"/var/tmp/wherry-bench-docker-{os.geteuid()}")


def directories() -> list[str]:
    """What comes first on PATH; empty where it cannot be had."""
    if platform.machine() != "x86_64" or not fetch(_DEBS, _PLACE):
        return []
    return [str(_PLACE / "usr/sbin"), str(_PLACE / "usr/bin")]
