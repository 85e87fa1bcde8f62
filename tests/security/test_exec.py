"""Attacks through `exec`, by the command line on real containers, named after their ids."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import images, needs
from support.command import Wherry, wait_for

PYTHON = Path(sys.executable).resolve()


@pytest.fixture
def box(anyone: Wherry) -> Wherry:
    """The command line with the image busybox, as root and rootless."""
    for name in ("debian", "busybox"):
        if not needs.present(name):
            pytest.skip(needs.reason(name))
    archive = anyone.directory / "busybox.tar"
    images.busybox().docker_archive(archive, "busybox").chmod(0o644)
    anyone.load(archive)
    return anyone


@contextlib.contextmanager
def running(box: Wherry, *options: str, command: tuple[str, ...] = ("sleep", "600")) -> Iterator[str]:
    name = "t-" + uuid.uuid4().hex[:12]
    process: subprocess.Popen[bytes] = box.popen("run", "--rm", "--name", name, *options, "busybox", *command)
    try:
        wait_for(lambda: "Up" in box.ok("ps", "--filter", f"name={name}", "--format", "{{.Status}}"), step=0.05)
        yield name
    finally:
        box("rm", "-f", name)
        process.communicate(timeout=60)


@pytest.mark.parametrize("options", [[], ["--userns", "host"], ["--privileged"], ["--pid", "host"]], ids=" ".join)
def test_cve_2019_5736_the_interpreter_is_out_of_reach(box: Wherry, options: list[str]) -> None:
    """A command of the image that is ``#!/proc/self/exe``, and a container that watches who comes in."""
    before = hashlib.sha256(PYTHON.read_bytes()).hexdigest()
    pids = "[0-9]*" if "host" not in options or "--pid" not in options else "self"
    look = f"while :; do for p in /proc/{pids}; do readlink $p/exe; done; done >> /tmp/seen 2>/dev/null"
    with running(box, *options, command=("sh", "-c", look)) as name:
        box.ok("exec", name, "sh", "-c", r"printf '#!/proc/self/exe\n' > /tmp/attack; chmod 755 /tmp/attack")
        for _ in range(5):
            result = box("exec", name, "/tmp/attack")
            assert result.code in (126, 127), str(result)
            assert "ython" not in result.err
            assert box("exec", name, "true").code == 0
        seen = box.ok("exec", name, "cat", "/tmp/seen")
    if "self" not in pids:
        assert "/sh\n" in seen
    if box.user is not None or "--privileged" not in options:  # who has all of the host's capabilities sees all
        assert "ython" not in seen
    assert hashlib.sha256(PYTHON.read_bytes()).hexdigest() == before


def test_those_who_enter_show_nothing_of_the_host(box: Wherry) -> None:
    """A container looks, at everybody it sees, at what takes no privilege to see: mounts, and the network's sockets."""
    look = "while :; do for p in /proc/[0-9]*; do cut -d' ' -f1 $p/mountinfo; cat $p/net/unix; done; done"
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(f"\0{uuid.uuid4().hex}")
        ours.listen()
        host = {line.split()[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
        with running(box, "--network", "none", command=("sh", "-c", f"{look} > /tmp/seen 2>&1")) as name:
            for _ in range(20):
                box.ok("exec", name, "true")
            seen = box.ok("exec", name, "sort", "-u", "/tmp/seen")
        assert ours.getsockname()[1:].decode() not in seen
    lines = set(seen.splitlines())
    assert len([line for line in lines if line.isdigit()]) > 5
    assert lines & host == set()


def test_cve_2022_24769_and_29162_no_inheritable_capabilities(box: Wherry) -> None:
    with running(box, "--cap-add", "SYS_PTRACE") as name:
        for options in ([], ["--privileged"], ["-u", "bob"], ["-u", "bob", "--privileged"]):
            status = box.ok("exec", *options, name, "grep", "-E", "Cap(Inh|Amb)", "/proc/self/status")
            assert [int(line.split()[1], 16) for line in status.splitlines()] == [0, 0]


@pytest.mark.parametrize("options", [[], ["--userns", "host"], ["--privileged"]], ids=" ".join)
def test_cve_2024_21626_no_descriptor_is_a_way_out(box: Wherry, options: list[str]) -> None:
    with running(box, *options) as name:
        listed = box.ok("exec", name, "sh", "-c", "ls /proc/$$/fd; true")
        assert listed.split() == ["0", "1", "2"]
        for number in range(3, 40):
            if number % 4 and number > 16:
                continue
            result = box("exec", "-w", f"/proc/self/fd/{number}", name, "cat", "/etc/hostname")
            assert result.code == 126, f"{number}: {result}"
        box.ok("exec", name, "sh", "-c", "for n in 5 7 8 9 10; do ln -s /proc/self/fd/$n /tmp/$n; done")
        for number in (5, 7, 8, 9, 10):
            assert box("exec", "-w", f"/tmp/{number}", name, "true").code == 126
            assert box("exec", "-w", f"/tmp/{number}/../../..", name, "true").code == 0  # cleaned, as in Docker: /


def test_cve_2022_36109_and_2023_25173_groups_are_the_users(box: Wherry) -> None:
    """The primary group is among the supplementary ones, and none of the caller's are."""
    with running(box) as name:
        assert box.ok("exec", "-u", "1000:1001", name, "id", "-G").split() == ["1001"]
        assert box.ok("exec", "-u", "nobody", name, "id", "-G").split()
        groups = box.ok("exec", "-u", "5", name, "grep", "Groups", "/proc/self/status").split()[1:]
        gid = box.ok("exec", "-u", "5", name, "id", "-g").strip()
        assert groups == [gid]


def test_cve_2023_25809_control_groups_are_read_only(box: Wherry) -> None:
    with running(box, "--cgroupns", "host") as name:
        script = "for f in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $f/x 2>/dev/null && echo $f; done; true"
        assert box.ok("exec", name, "sh", "-c", script) == ""


def test_cve_2024_9676_and_2026_47262_the_containers_passwd_is_a_strangers(box: Wherry) -> None:
    """Nothing that a container puts at /etc/passwd blocks, leads out of it, or fills the memory."""
    attacks = (
        ("mkfifo /etc/passwd", 126),
        ("ln -s /proc/1/root/etc/shadow /etc/passwd", 126),
        ("ln -s ../../../../../../../etc/passwd /etc/passwd", 126),
        ("ln -s /etc/passwd /etc/passwd", 126),
        ("mkdir /etc/passwd", 126),
        ("ln -s /dev/zero /etc/passwd", 126),
        ("dd if=/dev/zero of=/etc/passwd bs=1M seek=64 count=1", 1),
    )
    with running(box) as name:
        box.ok("exec", name, "cp", "/etc/passwd", "/tmp/passwd")
        for attack, code in attacks:
            box.ok("exec", "-u", "0", name, "sh", "-c", f"rm -rf /etc/passwd; ({attack}) 2>/dev/null")
            result = box("exec", "-u", "bob", name, "true", timeout=20)
            assert result.code == code, f"{attack}: {result}"
            if code == 1:
                assert "larger than" in result.err
                break
            box.ok("exec", name, "true", timeout=20)
        # even root is looked up, so such a container can only be removed


def test_cve_2026_46680_and_2024_40635_numbers_are_ids(box: Wherry) -> None:
    with running(box) as name:
        box.ok("exec", name, "sh", "-c", "echo 1000:x:0:0::/:/bin/sh >> /etc/passwd")
        assert box.ok("exec", "-u", "1000", name, "id", "-u").strip() == "1000"
        for user in ("4294967296", "-1", "2147483648:0", "0:4294967296"):
            result = box("exec", f"--user={user}", name, "id")
            assert result.code == 126, str(result)
