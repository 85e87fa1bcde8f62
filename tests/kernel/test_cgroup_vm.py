"""The tests of control groups on a host that has nothing but cgroup v2: a virtual machine with Debian's kernel.

The machine's only file system is an archive with this interpreter, its library, pytest, the package and the test
module.  It is emulated, because hosts are often virtual machines themselves, and takes half a minute.  The kernel comes
out of a Debian package that is downloaded, not installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.linux import cgroup

pytestmark = [pytest.mark.needs("root", "x86_64", "debian", "vm")]

ROOT = Path(__file__).parents[2]
PACKAGES = ("_pytest", "pytest", "pluggy", "iniconfig", "packaging", "pygments")
LEFT_OUT = {"test", "tests", "__pycache__", "idlelib", "tkinter", "ensurepip", "lib2to3", "site-packages", "turtledemo"}

INIT = """#!{python} -I
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def mount(kind, where):
    os.makedirs(where, exist_ok=True)
    if libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None):
        print("mount", kind, os.strerror(ctypes.get_errno()))
for kind, where in (("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("cgroup2", "/sys/fs/cgroup"), ("tmpfs", "/tmp")):
    mount(kind, where)
sys.path[:0] = ["/src", "/packages"]
sys.dont_write_bytecode = True
try:
    import pytest
    arguments = ["-q", "-rs", "--tb=short", "--color=no", "--noconftest", "-c", "/pytest.ini", "-p", "no:cacheprovider", "/test_cgroup.py"]
    print("status", int(pytest.main(arguments)), flush=True)
except BaseException as error:
    print("status", repr(error))
finally:
    sys.stdout.flush()
    libc.tcdrain(1)
    libc.reboot(0x4321FEDC)
"""  # noqa: E501


def kernel(directory: Path) -> Path | None:
    """Debian's kernel for virtual machines, out of its package."""
    found = subprocess.run(
        ["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True, check=False
    ).stdout
    names = [line.split()[-1] for line in found.splitlines() if "Depends: linux-image-" in line]
    if not names:
        return None
    download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", names[0]]
    if subprocess.run(download, cwd=directory, capture_output=True, check=False, timeout=240).returncode:
        return None
    package = next(directory.glob("*.deb"))
    subprocess.run(["dpkg", "-x", package.name, "kernel"], cwd=directory, check=True)
    package.unlink()
    return next((directory / "kernel" / "boot").glob("vmlinuz-*"))


def libraries(binary: str) -> Iterator[str]:
    """Shared libraries that a program is linked with, the loader included."""
    listing = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
    for word in listing.split():
        if word.startswith("/"):
            yield word


def tree(source: Path, target: str) -> Iterator[tuple[str, Path]]:
    for directory, names, files in os.walk(source):
        names[:] = [name for name in names if name not in LEFT_OUT and not name.startswith("config-")]
        below = os.path.relpath(directory, source)
        for name in files:
            yield os.path.normpath(f"{target}/{below}/{name}"), Path(directory, name)


def contents(python: str) -> dict[str, Path]:
    """Path in the machine → file here."""
    library = Path(os.__file__).parent
    found = {python: Path(python), **dict(tree(library, str(library)))}
    for binary in (python, *(str(path) for path in library.glob("lib-dynload/*.so"))):
        found.update({name: Path(name) for name in libraries(binary)})
    site = Path(pytest.__file__).parents[1]
    for name in PACKAGES:
        found.update(tree(site / name, f"/packages/{name}"))
    found["/packages/py.py"] = site / "py.py"
    found.update(tree(ROOT / "src" / "wherry", "/src/wherry"))
    found["/test_cgroup.py"] = Path(__file__).with_name("test_cgroup.py")
    return found


def archive(entries: dict[str, bytes | None], modes: dict[str, int]) -> bytes:
    """A cpio archive in the "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    parts: list[bytes] = []

    def put(name: str, mode: int, content: bytes, number: int, device: tuple[int, int] = (0, 0)) -> None:
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        parts.extend((head, b"\0" * (-len(head) % 4), content, b"\0" * (-len(content) % 4)))

    for number, (name, content) in enumerate(entries.items(), 1):
        kind = 0o040755 if content is None else 0o100000 | modes.get(name, 0o644)
        put(name.lstrip("/"), kind, content or b"", number)
    put("dev/console", 0o020600, b"", len(entries) + 1, (5, 1))  # what init's output goes to
    put("TRAILER!!!", 0, b"", 0)
    return b"".join(parts)


def initramfs(python: str) -> bytes:
    files = contents(python)
    entries: dict[str, bytes | None] = {}
    for name in sorted([*files, "/init", "/pytest.ini", "/dev/x", "/proc/x", "/sys/x", "/tmp/x"]):
        grown = ""
        for part in name.split("/")[1:-1]:
            grown += "/" + part
            entries.setdefault(grown, None)
        if name in files:
            entries[name] = files[name].read_bytes()
    entries["/init"] = INIT.format(python=python).encode()
    entries["/pytest.ini"] = b"[pytest]\nmarkers =\n    needs(*names): not asked for here\n"
    modes = {name: 0o755 for name in entries if name in (python, "/init") or ".so" in name}
    return archive(entries, modes)


@pytest.mark.skipif(
    cgroup.detect().version == "v2", reason="needs cgroup-v1: this machine mounts no cgroup v1 controllers"
)
def test_version_2_alone(tmp_path: Path) -> None:
    image = kernel(tmp_path)
    if image is None:
        pytest.skip("needs vm: qemu, or a kernel package for it to boot, is missing")
    python = os.path.realpath(sys.executable)
    (tmp_path / "initramfs").write_bytes(initramfs(python))
    command = [
        *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-smp", "2", "-nodefaults", "-no-reboot"),
        *("-display", "none", "-serial", "stdio", "-kernel", str(image), "-initrd", str(tmp_path / "initramfs")),
        *("-append", "console=ttyS0 quiet panic=-1"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=240, check=False)
    shutil.rmtree(tmp_path / "kernel")
    (tmp_path / "initramfs").unlink()
    assert "status 0" in done.stdout, done.stdout[-6000:] + done.stderr[-1000:]
    assert "cgroup-v2" not in done.stdout  # nothing was skipped of what only this machine can show
