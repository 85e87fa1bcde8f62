"""What tests need of the machine, whether it is there, and whether its absence is an excuse (tests/skips.toml).

``python tests/support/needs.py`` prints the Debian packages that are missing, one per line.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

TABLE: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent.parent / "skips.toml").read_text())
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}") is not None


def _exit_status_of_child(function: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def user_namespaces() -> bool:
    """Whether somebody who is not root may make a user namespace."""

    def attempt() -> None:
        import ctypes

        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):  # CLONE_NEWUSER
            raise OSError(ctypes.get_errno(), "unshare")

    return _exit_status_of_child(attempt) == 0


def idmapped_mounts() -> bool:
    """Whether /var/tmp can be mounted with other ids; asked of the package, which has to know."""
    if os.geteuid() != 0 or tuple(int(part) for part in platform.release().split(".")[:2]) < (5, 19):
        return False
    kind = subprocess.run(["stat", "-f", "-c", "%T", "/var/tmp"], capture_output=True, text=True, check=False).stdout
    return kind.strip() in ("ext2/ext3", "xfs", "btrfs", "f2fs", "tmpfs", "overlayfs")


def cgroup_v1() -> bool:
    return any(line.split()[2] == "cgroup" for line in Path("/proc/mounts").read_text().splitlines())


def cgroup_v2() -> bool:
    for line in Path("/proc/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            controllers = Path(line.split()[1]) / "cgroup.controllers"
            return controllers.exists() and bool(controllers.read_text().split())
    return False


def cgroup_v2_limits() -> bool:
    for line in Path("/proc/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            controllers = (Path(line.split()[1]) / "cgroup.controllers").read_text().split()
            return {"memory", "cpu", "pids"} <= set(controllers)
    return False


def erofs() -> bool:
    version = tuple(int(part) for part in platform.release().split(".")[:2])
    return version >= (6, 12) and "\terofs\n" in Path("/proc/filesystems").read_text()


def compose() -> bool:
    """Whether there is Compose v2; gets it where that is possible."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from support.compose import compose as found

    return bool(found())


def erofs_utils() -> bool:
    """Whether there is a current fsck.erofs; gets one where that is possible."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from support.erofs_utils import fsck

    return bool(fsck())


def security_module(name: str) -> Callable[[], bool]:
    def active() -> bool:
        path = Path("/sys/kernel/security/lsm")
        return path.exists() and name in path.read_text().split(",")

    return active


def network() -> bool:
    """Whether pip can find a package (also where PyPI is behind a mirror)."""
    probe = [sys.executable, "-m", "pip", "index", "versions", "--timeout", "5", "--retries", "0", "packaging"]
    return subprocess.run(probe, capture_output=True, check=False, timeout=60).returncode == 0


def interface(kind: str) -> Callable[[], bool]:
    """Whether the kernel can make such an interface on top of another."""
    make = f"ip link add v0 type veth && ip link add link v0 name v9 type {kind}"
    command = ["unshare", "--net", "sh", "-c", make]
    return lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0


PROBES: dict[str, Callable[[], bool]] = {
    "root": lambda: os.geteuid() == 0,
    "user-namespaces": user_namespaces,
    "idmapped-mounts": idmapped_mounts,
    "cgroup-v1": cgroup_v1,
    "cgroup-v2": cgroup_v2,
    "cgroup-v2-limits": cgroup_v2_limits,
    "vm": program("qemu-system-x86_64"),
    "erofs": erofs,
    "erofs-utils": erofs_utils,
    "apparmor": security_module("apparmor"),
    "selinux": security_module("selinux"),
    "ipvlan": interface("ipvlan mode l2"),
    "vlan": interface("vlan id 5"),
    "x86_64": lambda: platform.machine() == "x86_64",
    "debian": program("dpkg-query"),
    "ca-certificates": lambda: any(Path("/usr/share/ca-certificates").rglob("*.crt")),
    "gzip": program("gzip"),
    "network": network,
    "registry": program("docker-registry"),
    "busybox": program("busybox"),
    "htpasswd": program("htpasswd"),
    "openssl": program("openssl"),
    "nginx": program("nginx"),
    "runc": program("runc"),
    "crun": program("crun"),
    "compose": compose,
    "docker-client": program("docker"),
    "dockerd": lambda: os.geteuid() == 0 and program("dockerd")() and program("docker")(),
    "skopeo": program("skopeo"),
    "umoci": program("umoci"),
    "podman": program("podman"),
    "buildah": program("buildah"),
    "uidmap": program("newuidmap"),
    "capsh": program("capsh"),
    "strace": program("strace"),
    "iproute2": program("ip"),
    "iperf3": program("iperf3"),
    "nft": program("nft"),
    "firewalld": lambda: program("firewalld")() and program("dbus-daemon")(),
    "ufw": program("ufw"),
    "dig": program("dig"),
    "pasta": program("pasta"),
    "slirp4netns": program("slirp4netns"),
    "journald": lambda: os.path.exists("/lib/systemd/systemd-journald") and os.path.exists("/etc/machine-id"),
    "dnsmasq": program("dnsmasq"),
    "faketime": program("faketime"),
    "sshd": lambda: os.access("/usr/sbin/sshd", os.X_OK) and program("ssh")(),
    "zsh": program("zsh"),
    "fish": program("fish"),
}


@functools.cache
def present(name: str) -> bool:
    """Whether the machine has *name*; raises KeyError for what skips.toml does not list."""
    TABLE[name]
    return PROBES[name]()


def reason(name: str) -> str:
    """The text of a skip for want of *name*; `excused` knows it again."""
    return f"needs {name}: {TABLE[name]['why']}"


def excused(text: str) -> bool:
    """Whether a skip with this reason is one that skips.toml allows here and now."""
    if not text.startswith("needs "):
        return False
    name = text.removeprefix("needs ").partition(":")[0]
    allowed = TABLE.get(name, {}).get("allowed", "")
    return allowed == "host" or (allowed == "unprivileged" and os.geteuid() != 0)


def missing_packages() -> list[str]:
    """The Debian packages to install for the tests to run in full."""
    return [entry["package"] for name, entry in TABLE.items() if "package" in entry and not present(name)]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{package}\n" for package in missing_packages()))
