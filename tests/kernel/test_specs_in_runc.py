"""Specs as they are built, run by another OCI runtime: what it makes of them is what was meant."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wherry.container import check, merge, spec
from wherry.container.facts import Facts, Identity
from wherry.container.options import ContainerOptions, Ulimit
from wherry.container.record import ContainerRecord, MountPoint, new_id
from wherry.oci.image import ImageConfig

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
BASE = 0x7FFE0000
Run = Callable[..., str]

pytestmark = pytest.mark.needs("root", "runc")


@pytest.fixture
def run(scratch: Path) -> Run:
    def run(
        script: str, facts: dict[str, Any] | None = None, *, id_base: int = 0, mounts: Any = (), **asked: Any
    ) -> str:
        bundle = scratch / new_id()[:8]
        root = bundle / "rootfs"
        for name in ("bin", "proc", "dev", "sys", "etc", "tmp"):
            (root / name).mkdir(parents=True)
        shutil.copy(BUSYBOX, root / "bin" / "busybox")
        os.symlink("busybox", root / "bin" / "sh")
        if id_base:
            for path in (bundle, root, *root.rglob("*")):
                os.chown(path, id_base, id_base, follow_symlinks=False)
        options = merge.merge(ContainerOptions(cmd=("sh", "-c", script), network_mode="none", **asked), ImageConfig())
        check.check(options)
        identity = new_id()
        path, *args = merge.command(options)
        record = ContainerRecord(
            identity, "n", 1, options=options, path=path, args=tuple(args), mounts=mounts, id_base=id_base
        )
        known = {"rootfs": str(root), "cgroup_path": f"/wherry-spec-{identity[:12]}", **(facts or {})}
        (bundle / "config.json").write_text(json.dumps(spec.build(record, Facts(**known))))
        command = ["runc", "--root", str(scratch / "state"), "run", "--bundle", str(bundle), f"wherry-{identity[:12]}"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


STATUS = "busybox grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status; "


def test_plain(run: Run) -> None:
    shown = run(
        STATUS + "busybox hostname; echo $HOME $PATH; busybox df -k /dev/shm | busybox tail -1; busybox ls /dev"
    )
    assert "CapInh:\t0000000000000000" in shown
    assert "CapBnd:\t00000000a80425fb" in shown
    assert "/root /usr/local/sbin:" in shown
    assert "65536 " in shown
    for device in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue"):
        assert f"{device}\n" in shown


def test_masks_and_read_only_paths(run: Run) -> None:
    shown = run(
        "echo firmware $(busybox ls /sys/firmware | busybox wc -l); "
        "echo interrupts $(busybox wc -c < /proc/interrupts); "
        "(echo 1 > /proc/sys/kernel/panic) && echo wrote panic; "
        "busybox mkdir /sys/fs/cgroup/memory/x /sys/fs/cgroup/x && echo made cgroup; "
        "busybox mkdir /sys/x && echo made sys; busybox grep cgroup /proc/mounts"
    )
    assert shown.splitlines()[:2] == ["firmware 0", "interrupts 0"]
    assert "wrote" not in shown, shown
    assert "made" not in shown, shown


def test_user_and_limits(run: Run) -> None:
    shown = run(
        STATUS + "ulimit -n; busybox cat /proc/self/oom_score_adj; echo $HOME; busybox pwd",
        {"identity": Identity(1000, 50, (50, 44), "/home/app")},
        memory=32 << 20,
        nano_cpus=500_000_000,
        pids_limit=50,
        ulimits=(Ulimit("nofile", 100, 200),),
        oom_score_adj=500,
        security_opt=("no-new-privileges",),
        working_dir="/tmp",
    )
    for text in ("Uid:\t1000\t", "Gid:\t50\t", "Groups:\t44 50", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"):
        assert text in shown
    assert shown.split("\n")[-5:] == ["100", "500", "/home/app", "/tmp", ""]


def test_user_namespace_of_its_own(run: Run) -> None:
    shown = run(
        STATUS + "busybox cat /proc/self/uid_map; busybox cat /proc/sys/net/ipv4/ping_group_range; "
        "busybox stat -c %u /bin/sh",
        id_base=BASE,
        tmpfs=(("/scratch", "size=1m"),),
        mounts=(MountPoint("tmpfs", "/scratch", options=("nosuid", "nodev", "size=1m")),),
    )
    assert "Uid:\t0\t" in shown
    assert str(BASE) in shown
    assert "0\t65535" in shown
    assert shown.rstrip().endswith("\n0")


def test_binds(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    (source / "in").write_text("seen")
    shown = run(
        "busybox cat /data/in; echo x > /data/out || echo refused; echo y > /rw/out; "
        "busybox df -k /t | busybox tail -1",
        mounts=(
            MountPoint("bind", "/data", str(source), rw=False, propagation="rprivate", options=("rbind",)),
            MountPoint("bind", "/rw", str(source), propagation="rprivate", options=("rbind",)),
            MountPoint("tmpfs", "/t", options=("size=1m", "noexec", "rprivate")),
        ),
    )
    assert shown.startswith("seenrefused\n")
    assert " 1024 " in shown
    assert (source / "out").read_text() == "y\n"
