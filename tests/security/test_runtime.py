"""Attacks on container runtimes that worked elsewhere, named after their ids, and how they end here."""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from support.bundle import PYTHON, Bundle

pytestmark = pytest.mark.needs("root", "user-namespaces", "idmapped-mounts")


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _script(bundle: Bundle, name: str, text: str) -> None:
    (bundle.root / name).write_text(text)
    (bundle.root / name).chmod(0o755)


def test_cve_2019_5736_proc_self_exe_is_not_the_interpreter(host_bundle: Bundle) -> None:
    """The entry point is ``#!/proc/self/exe``: what runs is the sealed stub, which finds no channel and ends."""
    before = _digest(PYTHON)
    _script(host_bundle, "attack", "#!/proc/self/exe\n")
    found = host_bundle.run("/attack")
    assert found.code == 127, found
    assert "ython" not in found.err
    assert _digest(PYTHON) == before


def test_cve_2019_5736_the_stub_cannot_be_written() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "src"))
    from wherry.runtime import shield

    descriptor = shield.make(3)
    try:
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
        with pytest.raises(OSError):
            os.ftruncate(descriptor, 0)
        with pytest.raises(OSError):
            os.close(os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY))
            os.pwrite(os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR), b"x", 0)
    finally:
        os.close(descriptor)


def test_cve_2019_5736_exec_shows_no_interpreter(bundle: Bundle) -> None:
    """A process inside looks at every other process's executable while others enter.

    With a user namespace even CAP_SYS_PTRACE must not help: those who enter are not dumpable from birth.
    """
    before = _digest(PYTHON)
    if bundle.mode != "host":
        for names in bundle.spec["process"]["capabilities"].values():
            names.append("CAP_SYS_PTRACE")
    look = "while :; do for p in /proc/[0-9]*; do e=$(readlink $p/exe) && echo $e; done; done > /tmp/seen 2>/dev/null"
    bundle.spec["process"]["args"] = ["sh", "-c", look]
    one = {**bundle.spec["process"], "args": ["true"]}
    found = bundle.run(exec=[one] * 20, signal=signal.SIGKILL)
    assert all(answer.get("code") == 0 for answer in found.answer["exec"]), found.answer
    places = (bundle.root / "tmp/seen", bundle.directory / "upper/tmp/seen")
    seen = {line for place in places if place.exists() for line in place.read_text().splitlines()}
    assert "/bin/busybox" in seen
    assert not [line for line in seen if "ython" in line]
    assert _digest(PYTHON) == before


@pytest.mark.parametrize("target", ["/proc", "/proc/sys", "/proc/self/attr", "/proc//self/../self"])
def test_cve_2019_16884_and_19921_nothing_is_mounted_over_proc(bundle: Bundle, target: str) -> None:
    volume = bundle.directory / "volume"
    volume.mkdir()
    entry = {"destination": target, "type": "bind", "source": str(volume), "options": ["bind"]}
    bundle.spec["mounts"].append(entry)
    found = bundle.run("true")
    assert found.error and "/proc" in found.error[1], found


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
@pytest.mark.parametrize("place", ["/proc", "/proc/sys", "/proc/self/attr"])
def test_cve_2019_19921_a_link_to_proc_is_no_way_in(bundle: Bundle, kind: str, place: str) -> None:
    (bundle.root / "innocent").symlink_to(place)
    volume = bundle.directory / "volume"
    volume.mkdir()
    options = ["bind"] if kind == "bind" else []
    entry = {"destination": "/innocent", "type": kind, "source": str(volume), "options": options}
    bundle.spec["mounts"].append(entry)
    found = bundle.run("true")
    assert found.error and "inside /proc" in found.error[1]


class _Exchange(threading.Thread):
    """Swaps two names with each other until told to stop (renameat2(2), RENAME_EXCHANGE)."""

    def __init__(self, one: Path, other: Path) -> None:
        super().__init__(daemon=True)
        self._names = os.fsencode(one), os.fsencode(other)
        self._over = threading.Event()
        self._library = ctypes.CDLL(None, use_errno=True)

    def run(self) -> None:
        while not self._over.is_set():
            self._library.renameat2(-100, self._names[0], -100, self._names[1], 2)

    def stop(self) -> None:
        self._over.set()
        self.join()


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_cve_2021_30465_and_cve_2024_45310_exchanged_mount_points(host_bundle: Bundle, kind: str) -> None:
    """A part of a mount's destination in a shared volume changes into a link to the host while containers start."""
    shared, victim = host_bundle.directory / "shared", host_bundle.directory / "victim"
    (shared / "way").mkdir(parents=True)
    victim.mkdir()
    (shared / "link").symlink_to(victim)
    source = host_bundle.directory / "source"
    source.mkdir()
    (source / "file").write_text("payload")
    what = source / "file" if kind == "file" else source
    host_bundle.spec["mounts"] += [
        {"destination": "/volume", "type": "bind", "source": str(shared), "options": ["rbind"]},
        {"destination": "/volume/way/to/point", "type": "bind", "source": str(what), "options": ["rbind"]},
    ]
    exchange = _Exchange(shared / "way", shared / "link")
    exchange.start()
    try:
        results = [host_bundle.run("true") for _ in range(15)]
    finally:
        exchange.stop()
    assert any(found.code == 0 for found in results)
    assert list(victim.iterdir()) == []
    assert str(victim) not in Path("/proc/self/mountinfo").read_text()


def test_cve_2022_24769_cve_2022_29162_cve_2022_27649_no_inheritable_capabilities(bundle: Bundle) -> None:
    process = bundle.spec["process"]
    process["capabilities"]["inheritable"] = ["CAP_NET_RAW", "CAP_CHOWN"]
    assert bundle.sh("grep CapInh /proc/self/status").lines() == ["CapInh:\t0000000000000000"]
    one = {**process, "args": ["grep", "CapInh", "/proc/self/status"]}
    found = bundle.run("sleep", "60", exec=[one], signal=signal.SIGKILL)
    assert found.answer["exec"][0]["out"] == "CapInh:\t0000000000000000\n"


@pytest.mark.parametrize("network", ["none", "host"])
def test_cve_2023_25809_cgroups_stay_read_only_without_a_cgroup_namespace(
    rootless_bundle: Bundle, network: str
) -> None:
    linux = rootless_bundle.spec["linux"]
    dropped = ("cgroup",) if network == "none" else ("cgroup", "network")
    linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] not in dropped]
    for entry in rootless_bundle.spec["mounts"]:
        if entry["destination"] == "/sys/fs/cgroup":
            entry["options"] = ["nosuid"]  # not even asked to be read-only
    script = (
        "for f in $(ls -d /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null); do echo 0 > $f; done"
    )
    found = rootless_bundle.sh(script + "; mkdir /sys/fs/cgroup/cpu/escape /sys/fs/cgroup/escape")
    assert found.error is None
    assert found.err.count("Read-only file system") + found.err.count("Permission denied") >= 2
    assert not os.path.exists("/sys/fs/cgroup/cpu/escape")
    mounts = rootless_bundle.run("mount").lines()
    assert all("(ro," in line for line in mounts if " type cgroup" in line)


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_cve_2023_27561_and_cve_2023_28642_proc_or_sys_is_a_link(bundle: Bundle, name: str) -> None:
    (bundle.root / name).rmdir()
    (bundle.root / name).symlink_to("tmp")
    found = bundle.run("true")
    assert found.error and "symbolic link" in found.error[1], found


@pytest.mark.parametrize("number", range(3, 31))
def test_cve_2024_21626_working_directory_behind_a_descriptor(user_bundle: Bundle, number: int) -> None:
    user_bundle.spec["process"]["cwd"] = f"/proc/self/fd/{number}"
    found = user_bundle.run("pwd")
    assert found.error and "/proc/self/fd/" in found.error[1], found


def test_cve_2024_21626_exec_and_open_descriptors(bundle: Bundle) -> None:
    base = {**bundle.spec["process"], "args": ["ls", "/proc/self/fd"]}
    ways = [{**base, "cwd": f"/proc/self/fd/{number}/.."} for number in range(3, 20)]
    found = bundle.run("sleep", "60", exec=[base, *ways], signal=signal.SIGKILL)
    first, *others = found.answer["exec"]
    assert first["out"].split() == ["0", "1", "2", "3"]  # 3 is ls's own
    assert all("error" in one for one in others), others
    bundle.spec["process"]["cwd"] = "/tmp/way"
    (bundle.root / "tmp/way").symlink_to("/proc/self/fd/7")
    assert bundle.run("pwd").error


def test_cve_2025_31133_masks_are_the_hosts_null_device(bundle: Bundle) -> None:
    """/dev/null in the image is a link to what an attacker wants to have in place of a mask."""
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    (bundle.root / "dev/null").symlink_to("/proc/sys/kernel/core_pattern")
    assert bundle.sh("ls -ln /proc/keys").lines()[0].split()[4:6] == ["1,", "3"]
    bundle.spec["mounts"] = [one for one in bundle.spec["mounts"] if not one["destination"].startswith("/dev")]
    found = bundle.sh("echo '|/evil' > /proc/keys")
    assert found.error, found  # a link where a device belongs is refused
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_cve_2025_52565_the_console_is_bound_over_no_link(bundle: Bundle) -> None:
    bundle.spec["process"]["terminal"] = True
    bundle.spec["mounts"] = [one for one in bundle.spec["mounts"] if one["destination"] != "/dev"]
    (bundle.root / "dev/console").symlink_to("/proc/sys/kernel/core_pattern")
    found = bundle.run("true")
    assert found.error and "terminal" in found.error[1], found


def test_cve_2025_52881_sysctls_go_to_procfs_only(bundle: Bundle) -> None:
    """The image brings a file where the kernel's would be, and no procfs is mounted over it."""
    place = bundle.root / "proc/sys/net/ipv4"
    place.mkdir(parents=True)
    (place / "ip_unprivileged_port_start").write_text("image\n")
    bundle.spec["mounts"] = [one for one in bundle.spec["mounts"] if one["destination"] != "/proc"]
    bundle.spec["linux"]["maskedPaths"] = bundle.spec["linux"]["readonlyPaths"] = []
    bundle.spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "99"}
    assert bundle.sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start").lines() == ["image"]


@pytest.mark.parametrize(
    "name", ["net.ipv4..ip_forward", "kernel.core_pattern", "net/../kernel/core_pattern", "fs.file-max"]
)
def test_cve_2025_52881_only_sysctls_of_own_namespaces(bundle: Bundle, name: str) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    bundle.spec["linux"]["sysctl"] = {name: "1"}
    found = bundle.run("true")
    assert found.error and found.error[0] == "InvalidArgument", found
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_cve_2026_41579_dev_is_a_link(bundle: Bundle) -> None:
    victim = bundle.directory / "victim"
    victim.mkdir(mode=0o777)
    for target in ("/etc", str(victim), "../victim"):
        if (bundle.root / "dev").is_symlink():
            (bundle.root / "dev").unlink()
        else:
            (bundle.root / "dev").rmdir()
        (bundle.root / "dev").symlink_to(target)
        found = bundle.run("true")
        assert found.error and "symbolic link" in found.error[1], found
    assert os.listdir(bundle.root / "etc") == ["passwd"]
    assert os.listdir(victim) == []


def test_cve_2022_36109_and_cve_2023_25173_supplementary_groups_are_dropped(user_bundle: Bundle) -> None:
    user_bundle.spec["process"]["user"] = {"uid": 1000, "gid": 1000}
    assert user_bundle.run("id", "-G").lines() == ["1000"]
    one = {**user_bundle.spec["process"], "args": ["id", "-G"]}
    found = user_bundle.run("sleep", "60", exec=[one], signal=signal.SIGKILL)
    assert found.answer["exec"][0]["out"] == "1000\n"


@pytest.mark.parametrize("target", ["/../../etc", "relative", "/a/../../b"])
def test_cve_2022_23648_mount_destinations_stay_inside(bundle: Bundle, target: str) -> None:
    bundle.spec["mounts"].append({"destination": target, "type": "tmpfs", "source": "tmpfs"})
    found = bundle.run("true")
    assert found.error and found.error[0] == "InvalidArgument"


def test_cve_2024_40635_user_ids_do_not_overflow(user_bundle: Bundle) -> None:
    for number in (2**32 - 1, 2**32, -1, 70000):
        user_bundle.spec["process"]["user"] = {"uid": number, "gid": 0}
        found = user_bundle.run("id")
        assert found.error and found.error[0] == "InvalidArgument", number


def test_cve_2019_14271_nothing_is_imported_inside(bundle: Bundle) -> None:
    """Between the birth of the process and execve(2) no module is loaded: after the pivot it would be the image's."""
    process: dict[str, Any] = bundle.spec["process"]
    assert "IMPORT" not in bundle.run("true", tell_imports=True).err
    bundle.spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "99"}
    process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    process["oomScoreAdj"] = 100
    exec_one = {**process, "args": ["true"]}
    found = bundle.run("sleep", "60", exec=[exec_one], signal=signal.SIGKILL, tell_imports=True)
    assert "IMPORT" not in found.err and found.answer["exec"][0]["code"] == 0
    assert "IMPORT" not in bundle.run("nonesuch", tell_imports=True).err
    process["terminal"] = True
    bundle.spec["annotations"] = {"org.wherry.init": "true"}
    assert "IMPORT" not in bundle.run("true", tell_imports=True).err


def test_no_process_of_the_runtime_is_left(bundle: Bundle) -> None:
    bundle.run("true")
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(bundle.directory) not in listed


def test_cve_2019_5736_an_init_of_ours_hides_its_interpreter(bundle: Bundle) -> None:
    """Pid 1 is a Python process, as root as the command: nothing inside may open its executable or its memory."""
    before = _digest(PYTHON)
    bundle.spec["annotations"] = {"org.wherry.init": "true"}
    found = bundle.sh("readlink /proc/1/exe /proc/1/fd/0; cat /proc/1/maps; readlink /proc/self/exe")
    assert found.lines() == ["/bin/busybox"], found
    _script(bundle, "attack", "#!/proc/self/exe\n")
    if bundle.mode == "host":
        assert bundle.run("/attack").code == 127
    assert _digest(PYTHON) == before


def test_ghsa_6g2q_w5j3_fwh4_the_command_line_outside_is_not_seen_inside(bundle: Bundle) -> None:
    """Pid 1 with --init, and whoever enters, are forks of the engine's command, whose options may hold secrets."""
    bundle.spec["annotations"] = {"org.wherry.init": "true"}
    assert bundle.sh("cat /proc/1/cmdline").out.rstrip("\0") == "init"
    del bundle.spec["annotations"]
    look = "while :; do for p in /proc/[0-9]*; do cat $p/cmdline; echo; done; done > /tmp/seen 2>/dev/null"
    bundle.spec["process"]["args"] = ["sh", "-c", look]
    one = {**bundle.spec["process"], "args": ["true"]}
    found = bundle.run(exec=[one] * 20, signal=signal.SIGKILL)
    assert all(answer.get("code") == 0 for answer in found.answer["exec"]), found.answer
    places = (bundle.root / "tmp/seen", bundle.directory / "upper/tmp/seen")
    seen = b"".join(place.read_bytes() for place in places if place.exists())
    assert b"sh\0-c\0while" in seen
    assert b"runtime_driver" not in seen
