"""The two people who are not root, for the rootless half of the tests.

``wherry-test`` (uid 60123) has an account and 65,536 subordinate ids, as `useradd` gives them; the other (uid 60124)
has neither an account nor subordinate ids.  Root adds the account's lines once; they stay, and do no harm: it has no
password, no shell and no home.  When the tests are run by somebody who is not root, that person is both of them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support import places

NAME, UID, SINGLE_UID = "wherry-test", 60123, 60124
RANGE = (1_610_612_736, 65536)  # 0x60000000, far from what useradd hands out
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def ensure_account() -> None:
    """Write the lines of ``wherry-test`` into the account files where they are missing (root only)."""
    if os.geteuid() != 0:
        return
    lines = {
        "/etc/passwd": f"{NAME}:x:{UID}:{UID}:Wherry tests:/nonexistent:/usr/sbin/nologin",
        "/etc/group": f"{NAME}:x:{UID}:",
        "/etc/subuid": f"{NAME}:{RANGE[0]}:{RANGE[1]}",
        "/etc/subgid": f"{NAME}:{RANGE[0]}:{RANGE[1]}",
    }
    with Path("/etc/.pwd.lock").open("a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # lckpwdf(3)
        for path, line in lines.items():
            text = Path(path).read_text() if Path(path).exists() else ""
            if not any(one.startswith(f"{NAME}:") for one in text.splitlines()):
                with Path(path).open("a") as file:
                    file.write(("" if text.endswith("\n") or not text else "\n") + line + "\n")


@dataclass
class User:
    """Somebody with a home of their own; ``run`` runs a program as that person."""

    uid: int
    gid: int
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, uid: int) -> User:
        """A user whose HOME and XDG directories are new, empty, theirs and reachable."""
        home = places.make("user")
        env = {
            "HOME": str(home),
            "PATH": SYSTEM_PATH,
            "LANG": "C.UTF-8",
            "XDG_DATA_HOME": str(home / "share"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_RUNTIME_DIR": str(home / "run"),
        }
        for name in ("share", "config", "cache", "run"):
            (home / name).mkdir(mode=0o700)
        if os.geteuid() == 0:
            for path in (home, *home.iterdir()):
                os.chown(path, uid, uid)
        return cls(uid, uid if os.geteuid() == 0 else os.getegid(), home, env)

    @property
    def identity(self) -> dict[str, object]:
        """Keyword arguments for `subprocess` that make the child this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if os.geteuid() == 0 else {}

    def run(
        self, argv: Sequence[str | Path], *, env: dict[str, str] | None = None, input: str | bytes | None = None,
        timeout: float = 120, cwd: str | Path | None = None,
    ) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
        data = input.encode() if isinstance(input, str) else input
        return subprocess.run(
            list(argv), input=data, stdin=subprocess.DEVNULL if data is None else None, capture_output=True,
            check=False, env=self.env | (env or {}), timeout=timeout, cwd=cwd or self.home,
            **self.identity,  # type: ignore[call-overload]
        )  # fmt: skip

    def remove(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        if self.home.exists():  # files of subordinate ids, which only root of a user namespace may remove
            subprocess.run(
                ["unshare", "--user", "--map-root-user", "--map-auto", "rm", "-rf", self.home], check=False,
                capture_output=True,
            )  # fmt: skip


def run_as(
    uid: int, argv: Sequence[str | Path], env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run *argv* as *uid*, without supplementary groups and with a small environment."""
    identity: dict[str, object] = {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.run(
        list(argv), stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120, cwd="/",
        env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"} | (env or {}), **identity,  # type: ignore[call-overload]
    )  # fmt: skip
