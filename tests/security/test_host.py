"""Attacks on the host around a container: its state directories, sockets, memory, and what one container leaves for
the next."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support import images, leaks
from support.command import MAIN, Wherry, wait_for
from support.users import SINGLE_UID, run_as

pytestmark = pytest.mark.needs("root", "busybox", "debian")


def load(wherry: Wherry, image: images.Built, directory: Path, name: str = "victim") -> None:
    wherry.load(image.docker_archive(directory / f"{name}.tar", name))


def run(wherry: Wherry, *arguments: str) -> str:
    return wherry.ok("run", "--rm", "--network", "none", *arguments)


def test_ghsa_x86f_5xw2_fm2r_decompressors_of_the_image_are_never_run(
    wherry: Wherry, busybox: images.Built, tmp_path: Path
) -> None:
    """Layers in gzip and zstd over a base that has its own unpigz, gzip, xz and zstd: nothing outside runs them."""
    flag = tmp_path / "flag"
    tools = images.Layer()
    for name in ("unpigz", "pigz", "gzip", "gunzip", "xz", "zstd", "tar"):
        tools.file(f"usr/local/bin/{name}", f"#!/bin/sh\ntouch {flag} /flag\n", 0o755)
    packed = [images.Layer(compression=how).file(f"from-{how}", how) for how in ("gzip", "zstd", "none")]
    load(wherry, images.Image([tools, *packed]).build(tmp_path / "image", base=busybox), tmp_path)
    assert run(wherry, "victim", "sh", "-c", "cat /from-*; ls /flag 2>/dev/null; true") == "gzipnonezstd"
    assert not flag.exists()


def test_cve_2021_41091_cve_2021_41103_cve_2024_25621_state_is_closed_to_other_users(
    wherry: Wherry, busybox: images.Built, tmp_path: Path
) -> None:
    """Whatever the umask is: nobody but root reaches layers, with their set-user-id programs, or bundles."""
    image = images.Image([images.Layer().file("usr/bin/door", b"#!/bin/sh\n", 0o4755)]).build(
        tmp_path / "i", base=busybox
    )
    archive = image.docker_archive(tmp_path / "victim.tar", "victim")
    os.chmod(wherry.directory, 0o755)
    old = os.umask(0)
    try:
        wherry.keep_layers("overlay")
        wherry.load(archive)
        process = wherry.popen("run", "--rm", "--network", "none", "--name", "open", "victim", "sleep", "60")
        wait_for(lambda: leaks.container_ids(wherry.directory) and "Up" in wherry.ok("ps"))
    finally:
        os.umask(old)
    try:
        doors = list(wherry.root.rglob("door"))
        assert doors, "the layer is unpacked below the root directory"
        for path in (*doors, *wherry.run_root.rglob("config.json"), *wherry.root.glob("wherry.db")):
            assert run_as(SINGLE_UID, ["cat", path]).returncode != 0, path
        for path in (wherry.root, wherry.run_root, *wherry.root.rglob("*"), *wherry.run_root.rglob("*")):
            inside = any(part in ("layers", "volumes") for part in path.relative_to(wherry.directory).parts[:-1])
            if not inside and "upper" not in path.parts and path.is_dir() and not path.is_symlink():
                assert not stat.S_IMODE(path.lstat().st_mode) & 0o022, f"{path} can be written by others"
    finally:
        wherry.ok("rm", "-f", "open")
        process.communicate(timeout=30)


def test_cve_2020_15257_there_are_no_abstract_sockets(wherry: Wherry, busybox: images.Built, tmp_path: Path) -> None:
    """Abstract sockets belong to the network namespace: a container on the host's network would reach them."""

    def abstract() -> set[str]:
        lines = Path("/proc/net/unix").read_text().splitlines()[1:]
        return {name for name in (line.split()[-1] for line in lines) if name.startswith("@")}

    load(wherry, busybox, tmp_path)
    before = abstract()
    process = wherry.popen("run", "--rm", "--network", "host", "victim", "sh", "-c", "cat /proc/net/unix; sleep 1")
    seen: set[str] = set()
    while process.poll() is None:
        seen |= abstract() - before
        time.sleep(0.02)
    assert process.returncode == 0
    out, _ = process.communicate()
    assert not {name for name in seen if "wherry" in name.lower()}
    assert "monitor.sock" not in " ".join(line for line in out.decode().splitlines() if "@" in line)


def test_cve_2020_14370_ghsa_6g2q_w5j3_fwh4_environment_stays_with_its_container(
    wherry: Wherry, busybox: images.Built, tmp_path: Path
) -> None:
    """Neither the host's environment nor another container's is seen."""
    load(wherry, busybox, tmp_path)
    first = run(wherry, "-e", "SECRET=first", "victim", "env")
    assert "SECRET=first" in first
    second = wherry("run", "--rm", "--network", "none", "victim", "env", env={"AWS_SECRET_ACCESS_KEY": "host"})
    assert second.code == 0
    names = {line.partition("=")[0] for line in second.out.splitlines()}
    assert names == {"PATH", "HOSTNAME", "HOME"}


def test_cve_2022_31030_output_without_an_end_does_not_fill_the_memory(
    wherry: Wherry, busybox: images.Built, tmp_path: Path
) -> None:
    """300 MB in one line: the monitor, and the command that shows it, stay small."""
    load(wherry, busybox, tmp_path)
    script = "head -c 300000000 /dev/zero | tr '\\0' x"
    with (tmp_path / "out").open("wb") as out:
        process = wherry.popen("run", "--rm", "--network", "none", "victim", "sh", "-c", script, stdout=out)
        peak = 0
        while process.poll() is None:
            for pid in leaks.processes_of(wherry.directory):
                peak = max(peak, _resident(pid))
            time.sleep(0.05)
    assert process.returncode == 0
    assert (tmp_path / "out").stat().st_size == 300_000_000
    assert 0 < peak < 80 << 20


def _resident(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def test_cve_2025_11395_load_does_not_follow_links_of_the_archive(
    wherry: Wherry, busybox: images.Built, tmp_path: Path
) -> None:
    """An archive whose members are links: to the host, to the parent, to each other."""
    import io
    import tarfile

    secret = tmp_path / "secret"
    secret.write_text("host")
    honest = busybox.docker_archive(tmp_path / "honest.tar", "victim")
    for target in (str(secret), "../../../../../../etc/passwd", "manifest.json", "."):
        evil = tmp_path / "evil.tar"
        with tarfile.open(honest) as source, tarfile.open(evil, "w") as out:
            for member in source:
                if member.name == "manifest.json" or member.name.endswith("layer.tar"):
                    link = tarfile.TarInfo(member.name)
                    link.type, link.linkname = tarfile.SYMTYPE, target
                    out.addfile(link)
                else:
                    file = source.extractfile(member)
                    out.addfile(member, io.BytesIO(file.read()) if file else None)
        result = wherry("load", "-i", evil)
        assert result.code == 1 and "Traceback" not in result.err and "root:" not in result.err, str(result)
        assert wherry.ok("images", "-q").strip() == ""
    assert secret.read_text() == "host"


def test_cve_2020_1726_a_volume_keeps_its_contents_at_its_first_mount(
    wherry: Wherry, busybox: images.Built, tmp_path: Path
) -> None:
    """A volume with something in it is not filled from the image, whichever container uses it first."""
    layer = images.Layer().directory("data").file("data/seed", "from the image\n")
    load(wherry, images.Image([layer]).build(tmp_path / "image", base=busybox), tmp_path)
    run(wherry, "-v", "store:/elsewhere", "victim", "sh", "-c", "echo mine > /elsewhere/mine")
    assert run(wherry, "-v", "store:/data", "victim", "sh", "-c", "ls /data; cat /data/*") == "mine\nmine\n"


def test_nothing_stays_of_many_containers(
    wherry_as: Callable[..., Wherry], busybox: images.Built, tmp_path: Path
) -> None:
    """Twenty runs: the store is as large as before."""
    wherry = wherry_as()
    load(wherry, busybox, tmp_path)
    run(wherry, "victim", "true")

    def names() -> set[str]:
        return {
            str(path) for path in (*wherry.root.rglob("*"), *wherry.run_root.rglob("*")) if "layers" not in path.parts
        }

    assert not leaks.settled(wherry.directory)  # the monitor of the last container has cleared up
    before = names()
    for number in range(20):
        assert wherry("run", "--rm", "--network", "none", "victim", "sh", "-c", f"exit {number}").code == number
    assert not leaks.settled(wherry.directory)
    assert names() - before == set()


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


def test_cve_2021_25741_a_part_of_a_volume_is_not_exchanged_for_a_link(
    wherry_as: Callable[..., Wherry], busybox: images.Built, tmp_path: Path
) -> None:
    """A container that has the whole volume swaps the part that another is given for a link to the host."""
    wherry = wherry_as()
    load(wherry, busybox, tmp_path)
    script = "mkdir /v/part; echo inside > /v/part/which; ln -s /etc /v/link"
    run(wherry, "-v", "shared:/v", "victim", "sh", "-c", script)
    data = wherry.root / "volumes/shared/_data"
    mount = "type=volume,src=shared,dst=/m,volume-subpath=part"
    assert run(wherry, "--mount", mount, "victim", "cat", "/m/which") == "inside\n"
    exchange = _Exchange(data / "part", data / "link")
    exchange.start()
    try:
        arguments = ("run", "--rm", "--network", "none", "--mount", mount, "victim", "ls", "/m")
        results = [wherry(*arguments) for _ in range(25)]
    finally:
        exchange.stop()
    assert all(found.out == "which\n" for found in results if found.code == 0), "\n".join(map(str, results))
    assert {found.code for found in results} <= {0, 125}


@pytest.mark.parametrize("how", [(), ("--init",), ("--userns=host",), ("--userns=host", "--init")])
def test_the_hosts_null_device_is_out_of_reach(
    wherry: Wherry, busybox: images.Built, tmp_path: Path, how: tuple[str, ...]
) -> None:
    """Standard input and the masks of /proc are null devices: the container's own, or ones that cannot be changed."""
    load(wherry, busybox, tmp_path)
    before = os.stat("/dev/null")
    script = "chmod 604 /proc/self/fd/0; for p in /proc/keys /proc/kcore; do chmod 640 $p; chown 7 $p; done; true"
    try:
        wherry.ok("run", "--rm", "--network", "none", *how, "victim", "sh", "-c", script)
        after = os.stat("/dev/null")
    finally:
        os.chmod("/dev/null", stat.S_IMODE(before.st_mode))
        os.chown("/dev/null", before.st_uid, before.st_gid)
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@pytest.mark.needs("crun")
def test_the_hosts_null_device_is_not_given_to_another_runtime(
    wherry: Wherry, busybox: images.Built, tmp_path: Path
) -> None:
    """crun makes the container's root the owner of the standard streams, whatever they are."""
    load(wherry, busybox, tmp_path)
    before = os.stat("/dev/null")
    wherry("run", "--rm", "--network", "none", "--runtime", "crun", "victim", "true")
    after = os.stat("/dev/null")
    os.chown("/dev/null", before.st_uid, before.st_gid)
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_the_filter_and_the_capabilities_are_in_force(
    wherry_as: Callable[..., Wherry], busybox: images.Built, tmp_path: Path
) -> None:
    """What every container has: a filter, no capability that Docker's do not have, and none to inherit."""
    wherry = wherry_as()
    load(wherry, busybox, tmp_path)
    for how in ((), ("--init",), ("--userns=host",), ("--user", "1000")):
        lines = run(wherry, *how, "victim", "cat", "/proc/self/status").splitlines()
        status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
        assert status["Seccomp"] == "2", how
        assert int(status["CapBnd"], 16) == 0xA80425FB, how
        assert int(status["CapEff"], 16) == (0 if "--user" in how else 0xA80425FB), how
        assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0, how
        # a user namespace needs no capability: only the filter stands in the way
        refused = wherry("run", "--rm", "--network", "none", *how, "victim", "unshare", "-U", "true")
        assert refused.code == 1 and "Operation not permitted" in refused.err, str(refused)
    arguments = ("run", "--rm", "--network", "none", "--security-opt", "seccomp=unconfined")
    assert wherry(*arguments, "victim", "unshare", "-U", "true").code == 0


def test_nobody_else_can_put_code_beside_ours_whatever_the_umask(tmp_path: Path) -> None:
    """The first command of root's, with umask 000, makes the directories that compiled modules are taken from."""
    package = shutil.copytree(MAIN.parent, tmp_path / "src/wherry", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (package, *package.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o022)
    command = [sys.executable, "-I", "-S", package / "__main__.py", "version"]
    subprocess.run(command, umask=0, capture_output=True, check=False, timeout=60)
    made = list(package.rglob("__pycache__"))
    assert made
    assert not [path for path in package.rglob("*") if path.stat().st_mode & 0o022]
