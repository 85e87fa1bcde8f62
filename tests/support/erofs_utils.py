"""fsck.erofs of an erofs-utils that knows blocks of 512 bytes (1.6 and later).

Debian 12 has an older one.  Where PATH has none that is new enough, Debian 13's is fetched, with the C library that it
wants, into a directory of its own; nothing of it is installed.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from support.debian import fetch

_DEBS = {
    "pool/main/e/erofs-utils/erofs-utils_1.8.6-1_amd64.deb": (
        "81042b8c0c3eb63699aa7d0763dceedc675a747d9f5cfebf914b4160233f411e"
    ),
    "pool/main/g/glibc/libc6_2.41-12+deb13u1_amd64.deb": (
        "0a51c7ba7c59b3c664b836fe33c5184e6f5a869f57e86613381e954d74282b66"
    ),
}
_PLACE = Path(f"/var/tmp/wherry-test-erofs-utils-{os.geteuid()}")
_LOADER = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")


@functools.cache
def fsck() -> tuple[str, ...]:
    """The command, without arguments; empty where there is none."""
    there = shutil.which("fsck.erofs", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin")
    if there and _new_enough((there,)):
        return (there,)
    if platform.machine() != "x86_64" or shutil.which("dpkg") is None:
        return ()
    if not fetch(_DEBS, _PLACE):
        return ()
    libraries = ":".join(str(_PLACE / one) for one in _LIBRARIES)
    command = (str(_PLACE / _LOADER), "--library-path", libraries, str(_PLACE / "usr/bin/fsck.erofs"))
    return command if _new_enough(command) else ()


def _new_enough(command: tuple[str, ...]) -> bool:
    try:
        answer = subprocess.run([*command, "-V"], capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return False
    found = re.search(r"(\d+)\.(\d+)", answer.stdout + answer.stderr)
    return found is not None and (int(found[1]), int(found[2])) >= (1, 6)
