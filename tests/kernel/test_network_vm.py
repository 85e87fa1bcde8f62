"""Networks on a kernel that has every kind of interface, without rules and with them, and through a power failure."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support import images, vm

pytestmark = [
    pytest.mark.needs("root", "x86_64", "debian", "busybox", "iproute2", "vm"),
    pytest.mark.xdist_group("vm"),
    pytest.mark.timeout(900),
]

TESTS = Path(__file__).parents[1]
MODULES = ("overlay", "veth", "macvlan", "8021q", "bridge")
RULES = ("nf_tables", "nft_ct", "nft_nat", "nft_masq", "nft_chain_nat", "nft_fib_inet", "nft_redir")

CONFTEST = """
import os
import pytest
from support import forked, leaks
from support.command import Wherry
from support.networks import net, up

@pytest.fixture(scope="session")
def as_root():
    os.makedirs("/var/tmp", exist_ok=True)
    forked.load("/modules.txt")
    one = forked.Forked(Wherry.make(None).directory)
    one.load("/busybox.tar")
    yield one
    found = leaks.settled(one.directory)
    assert not found, found
"""
WITHOUT_RULES = """
import os

def test_a_kernel_without_nf_tables_is_named(as_root):
    before = set(os.listdir("/sys/class/net"))
    done = as_root("run", "--rm", "busybox", "true")
    assert done.code == 125
    assert "this kernel has no nf_tables, which bridge networks need" in done.err, str(done)
    assert not [name for name in set(os.listdir("/sys/class/net")) - before if name.startswith("wv")]
"""
CHOSEN = """
import pytest
sys.path[:0] = ["/tests"]
arguments = ["-q", "-x", "-rs", "--tb=short", "--color=no", "-c", "/tests/pytest.ini", "-p", "no:cacheprovider"]
first = ["kernel/test_network_parent.py", "kernel/test_netlink.py", "e2e/test_vlans.py", "e2e/test_without_rules.py"]
for chosen, names in (("(vlan or parent or rules) and not way_out", first), ("way_out", ["e2e/test_vlans.py"])):
    status = pytest.main([*arguments, "--durations=5", "-k", chosen, *["/tests/" + name for name in names]])
    print("status", int(status), flush=True)
    load(rules)
"""

# A machine with a cable, whose other end is not looked at, and a disk at /var/lib.
MACHINE = """
import contextlib, json, sqlite3, subprocess, threading, time
mount("ext4", "/var/lib", "/dev/vda")
def ip(*words):
    return json.loads(subprocess.run(["ip", "-j", *words], check=True, capture_output=True, text=True).stdout or "[]")
sys.path[:0] = ["/tests"]
from support import forked
forked.load("/modules.txt")
ip("link", "set", "lo", "up")
ip("link", "add", "wan0", "type", "veth", "peer", "name", "wan0x")
ip("link", "set", "wan0", "up")
ip("link", "set", "wan0x", "up")
def ok(*words):
    done = forked.wherry(*words)
    assert done.code == 0, str(done)
    return done.out
def fetch():
    for _ in range(50):
        try:
            ask = ["busybox", "wget", "-qO-", "http://127.0.0.1:8080/hostname"]
            return subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
        except subprocess.CalledProcessError:
            time.sleep(0.2)
def rows(query):
    with contextlib.closing(sqlite3.connect("file:/var/lib/wherry/wherry.db?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()
def seen():
    links = sorted(link["ifname"][:2] for link in ip("link") if link["ifname"][:2] in ("wh", "wv"))
    running = sorted(ok("ps", "--format", "{{.Names}}").split())
    vlan = ["UP" in link["flags"] for link in ip("link") if link["ifname"] == "wan0.10"]
    ports = rows("SELECT protocol, host_ip, host_port FROM ports ORDER BY 2")
    return {"links": links, "running": running, "vlan": vlan, "page": fetch(), "ports": ports}
def tell(what, value):
    print("told", json.dumps([what, value]), flush=True)
"""
FIRST = """
ok("load", "-i", "/busybox.tar")
ok("network", "create", "--subnet", "10.5.0.0/24", "back")
ok("network", "create", "-d", "macvlan", "-o", "parent=wan0.10", "--subnet", "10.6.0.0/24", "wire")
serve = ("busybox", "httpd", "-f", "-h", "/etc")
ok("run", "-d", "--name", "web", "--restart", "always", "--network", "back", "-p", "8080:80", "-h", "web", *serve)
ok("run", "-d", "--name", "wired", "--restart", "unless-stopped", "--network", "wire", "busybox", "sleep", "9999")
ok("run", "-d", "--name", "once", "--restart", "on-failure", "busybox", "sleep", "9999")
ok("run", "-d", "--name", "stopped", "--restart", "unless-stopped", "busybox", "sleep", "9999")
ok("stop", "-t", "0", "stopped")
tell("before", seen())
os.sync()
threading.Thread(target=forked.wherry, args=("run", "-d", "--name", "late", "--network", "back", *serve)).start()
time.sleep(0.7)
sys.stdout.flush()
libc.reboot(0x1234567)  # at once: nothing is synced
"""
SECOND = """
tell("booted", sorted(ok("boot").split()))
tell("after", seen())
check = forked.wherry("system", "check")
tell("check", [check.code, check.out + check.err])
active = "SELECT c.name FROM endpoints e JOIN containers c ON c.id = e.container_id WHERE active ORDER BY 1"
tell("leases", [name for (name,) in rows(active)])
ok("rm", "-f", *ok("ps", "-aq").split())
ok("network", "prune", "-f")
def names():
    return sorted(link["ifname"] for link in ip("link"))
for _ in range(100):
    if not [name for name in names() if name.startswith("wh")]:
        break
    time.sleep(0.2)  # the default bridge goes a moment later
tell("left", names())
check = forked.wherry("system", "check")
tell("check at the end", [check.code, check.out + check.err])
"""


def machine(tmp_path: Path) -> dict[str, Path]:
    """What a machine for networks has besides the package: an image, busybox, `ip` and the tests' support."""
    found = {
        "/busybox.tar": images.busybox().docker_archive(tmp_path / "busybox.tar", "busybox:latest"),
        "/modules.txt": TESTS / "golden" / "run_modules.txt",
        "/bin/busybox": Path(shutil.which("busybox") or "/bin/busybox"),
    }
    for name in ("ip", "nsenter"):
        path = shutil.which(name)
        assert path is not None
        found.update(vm.program(path))
    found.update(vm.tree(TESTS / "support", "/tests/support"))
    return found


def test_every_kind_of_interface(kernel: vm.Kernel, tmp_path: Path) -> None:
    names = ("e2e/test_vlans.py", "kernel/test_network_parent.py", "kernel/test_netlink.py")
    files = machine(tmp_path) | {f"/tests/{name}": TESTS / name for name in names}
    rules = {f"/modules/{path.name}": path for path in kernel.with_needs(RULES)}
    texts = {
        "/tests/e2e/conftest.py": CONFTEST,
        "/tests/e2e/test_without_rules.py": WITHOUT_RULES,
        "/tests/pytest.ini": "[pytest]\nmarkers =\n    needs(*names): not asked for here\n",
    }
    shown = vm.run(
        kernel,
        f"rules = {list(rules)}\n{CHOSEN}",
        files=files | rules,
        texts=texts,
        modules=(*MODULES, "ipvlan", "dummy"),
    )
    assert shown.count("status 0") == 2, shown[-9000:]
    assert "skipped" not in shown
    assert "unrecognized mount option" not in shown  # in the kernel's log


def told(shown: str) -> dict[str, Any]:
    """What a machine has told, by what it was."""
    found = dict(json.loads(line.removeprefix("told ")) for line in shown.splitlines() if line.startswith("told "))
    assert "Traceback" not in shown, shown[-6000:]
    return found


def test_the_power_fails(kernel: vm.Kernel, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with open(disk, "wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    options: dict[str, Any] = {"files": machine(tmp_path), "modules": (*MODULES, *RULES), "disk": disk}
    first = told(vm.run(kernel, MACHINE + FIRST, **options))
    before = first["before"]
    assert (before["running"], before["vlan"], before["page"]) == (["once", "web", "wired"], [True], "web")
    second = told(vm.run(kernel, MACHINE + SECOND, **options))
    assert second["booted"] == ["web", "wired"]
    assert second["after"] == before | {"running": ["web", "wired"], "links": ["wh", "wv"]}
    assert second["leases"] == ["web", "wired"]
    assert second["check"][0] == 0, second["check"]
    assert second["left"] == ["lo", "wan0", "wan0x"]
    assert second["check at the end"][0] == 0, second["check at the end"]
