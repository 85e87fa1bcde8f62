"""OCI bundles with busybox for the tests of the runtime, run by `runtime_driver` in an interpreter of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DRIVER = Path(__file__).parent / "runtime_driver.py"
#: First host id of the range that these tests map: outside of what the engine leases.
BASE = 0x6F000000
#: An interpreter that an unprivileged user can read: the one that runs the tests may be in root's home.
PYTHON = next((path for path in ("/usr/bin/python3",) if os.access(path, os.X_OK)), sys.executable)
USER = 54321
APPLETS = (
    "sh true false ls cat id mount umount sleep ps stty tty readlink echo hostname touch ln mkdir mknod dd kill grep"
)
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/nonesuch", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_NET_RAW"]
MOUNTS: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    {
        "destination": "/sys/fs/cgroup",
        "type": "cgroup",
        "source": "cgroup",
        "options": ["ro", "nosuid", "noexec", "nodev"],
    },
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=1m"],
    },
]


@dataclass
class Result:
    """What a container did.  ``error`` is (class, message, hint, exit code) when it could not be run."""

    code: int | None
    out: str
    err: str
    error: tuple[str, str, str, int] | None
    answer: dict[str, Any] = field(default_factory=dict)

    def lines(self) -> list[str]:
        assert self.error is None, (self.error, self.err)
        return self.out.splitlines()


class Bundle:
    """A scratch directory with a root file system and a specification to change."""

    def __init__(self, directory: Path, mode: str) -> None:
        """``mode``: "user" (root, with a user namespace), "host" (root, without), "rootless"."""
        self.directory = directory
        self.mode = mode
        self.name = f"wherry-test-{uuid.uuid4().hex[:12]}"
        self.root = directory / "rootfs"
        for name in ("bin", "etc", "tmp", "root", "home", "proc", "sys", "dev"):
            (self.root / name).mkdir(parents=True)
        shutil.copy2(shutil.which("busybox") or "/bin/busybox", self.root / "bin/busybox")
        for applet in APPLETS.split():
            (self.root / "bin" / applet).symlink_to("busybox")
        (self.root / "tmp").chmod(0o1777)
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        for name in ("upper", "work"):
            (directory / name).mkdir()
        self.uid = USER if mode == "rootless" else 0
        self.spec = self._spec()
        owner = {"user": BASE, "rootless": USER, "host": 0}[mode]
        for path in (directory / "upper", directory / "work"):
            os.chown(path, owner, owner)
        if mode == "rootless":
            for place, _, names in os.walk(directory):
                for name in ("", *names):
                    os.chown(os.path.join(place, name), USER, USER, follow_symlinks=False)

    def _spec(self) -> dict[str, Any]:
        namespaces = [{"type": name} for name in ("mount", "pid", "ipc", "uts", "network", "cgroup")]
        linux: dict[str, Any] = {
            "namespaces": namespaces,
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READ_ONLY),
            "cgroupsPath": f"/wherry/{self.name}",
        }
        if self.mode != "host":
            namespaces.append({"type": "user"})
            one = {"containerID": 0, "hostID": BASE, "size": 65536}
            if self.mode == "rootless":
                one = {"containerID": 0, "hostID": USER, "size": 1}
            linux["uidMappings"] = linux["gidMappings"] = [one]
        return {
            "ociVersion": "1.2.0",
            "hostname": "boat",
            "root": {"path": str(self.root)},
            "mounts": json.loads(json.dumps(MOUNTS)),
            "process": {
                "args": ["true"],
                "cwd": "/",
                "env": ["PATH=/bin"],
                "user": {"uid": 0, "gid": 0},
                "noNewPrivileges": False,
                "capabilities": {name: list(CAPABILITIES) for name in ("bounding", "effective", "permitted")},
            },
            "linux": linux,
        }

    def overlay(self) -> dict[str, Any] | None:
        """The root as engine gives it: an overlay over the directory; none without a user namespace."""
        if self.mode == "host":
            return None
        mount: dict[str, Any] = {
            "type": "overlay",
            "lower": [str(self.root)],
            "upper": str(self.directory / "upper"),
            "work": str(self.directory / "work"),
        }
        return {**mount, "idmap": True} if self.mode == "user" else {**mount, "options": ["userxattr"]}

    def run(self, *args: str, stdin: bytes = b"", rootfs: Any = ..., **request: Any) -> Result:
        """Run the specification with these arguments to its end.  Further keywords are `runtime_driver`'s."""
        if args:
            self.spec["process"]["args"] = list(args)
        asked = {
            "spec": self.spec,
            "rootfs": self.overlay() if rootfs is ... else rootfs,
            "bundle": str(self.directory),
            "id": self.name,
            "uid": self.uid,
            **request,
        }
        question, answer = self.directory / "question", self.directory / "answer"
        question.write_text(json.dumps(asked))
        answer.write_bytes(b"")
        # descriptors 3 and 4 by the shell: subprocess would have to keep them open under other numbers
        command = ["/bin/sh", "-c", 'exec "$0" -I -S "$1" 3<"$2" 4>"$3"', PYTHON, DRIVER, question, answer]
        # a person has groups, which the container must not have
        groups = [4, 44] if os.geteuid() == 0 else None
        done = subprocess.run(
            command, input=stdin, capture_output=True, timeout=60, check=False, extra_groups=groups
        )  # fmt: skip
        text = answer.read_text()
        assert text, f"the driver died: {done.returncode} {done.stderr.decode()}"
        found = json.loads(text)
        error = tuple(found["error"]) if "error" in found else None
        return Result(found.get("code"), done.stdout.decode(), done.stderr.decode(), error, found)

    def sh(self, script: str, **request: Any) -> Result:
        """Run a shell script."""
        return self.run("sh", "-c", script, **request)
