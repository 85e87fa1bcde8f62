"""A virtual machine with Debian's kernel for what this machine's kernel lacks.

Its root file system is an archive with this interpreter and what a test puts beside it.  It is emulated, because hosts
are often virtual machines themselves.  The kernel comes out of a Debian package that is downloaded, not installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = os.path.realpath(sys.executable)
PYTEST = ("_pytest", "pytest", "pluggy", "iniconfig", "packaging", "pygments")
NEEDED = ("urllib3", "isal")  # for images from archives
BYTE_CODE = f".{sys.implementation.cache_tag}.pyc"
LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "site-packages", "turtledemo", "pydoc_data"}
MOUNTS = (
    *(("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("cgroup2", "/sys/fs/cgroup")),
    *(("tmpfs", "/tmp"), ("tmpfs", "/var"), ("tmpfs", "/run")),
)

INIT = """#!{python} -I
import ctypes, os, sys, traceback
libc = ctypes.CDLL(None, use_errno=True)
def mount(kind, where, source=None):
    os.makedirs(where, exist_ok=True)
    if libc.mount((source or kind).encode(), where.encode(), kind.encode(), 0, None):
        print("mount", kind, os.strerror(ctypes.get_errno()))
os.mkdir("/new")
libc.mount(b"/", b"/new", None, 0x1000, None)  # MS_BIND: what the kernel calls rootfs cannot be left by pivot_root
os.chdir("/new")
libc.mount(b"/new", b"/", None, 0x2000, None)  # MS_MOVE
os.chroot(".")
for kind, where in {mounts!r}:
    mount(kind, where)
def load(paths):
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        if libc.syscall(313, descriptor, b"", 0) and ctypes.get_errno() != 17:  # finit_module
            print("module", path, os.strerror(ctypes.get_errno()))
        os.close(descriptor)
load({modules!r})
os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME="/tmp", LANG="C.UTF-8")
os.chdir("/tmp")
sys.path[:0] = ["/src"]
try:
    exec(compile(open("/main.py").read(), "/main.py", "exec"))
except BaseException:
    traceback.print_exc()
finally:
    sys.stdout.flush()
    sys.stderr.flush()
    libc.tcdrain(1)
    libc.reboot(0x4321FEDC)
"""


@dataclass(frozen=True)
class Kernel:
    """Debian's kernel for virtual machines: the file to boot, and the directory of its modules."""

    image: Path
    modules: Path

    @classmethod
    def download(cls, directory: Path) -> Kernel | None:
        """Out of its package; None where there is none to be had."""
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
        return cls(next((directory / "kernel" / "boot").glob("vmlinuz-*")), directory / "kernel" / "lib" / "modules")

    def with_needs(self, names: Iterable[str]) -> list[Path]:
        """The modules of these names after those that each needs."""
        there = {path.stem.replace("-", "_"): path for path in self.modules.rglob("*.ko")}
        found: dict[str, Path] = {}

        def add(name: str) -> None:
            path = there[name.replace("-", "_")]
            needs = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
            for other in needs[1].decode().split(",") if needs and needs[1] else ():
                if other.replace("-", "_") not in found:
                    add(other)
            found[name.replace("-", "_")] = path

        for name in names:
            add(name)
        return list(found.values())


def tree(source: Path, target: str) -> Iterator[tuple[str, Path]]:
    """(path in the machine, file here) of a directory, with the byte code of this interpreter."""
    for directory, names, files in os.walk(source):
        names[:] = [name for name in names if name not in LEFT_OUT and not name.startswith("config-")]
        below = os.path.relpath(directory, source)
        for name in files:
            if not name.endswith(".pyc") or name.endswith(BYTE_CODE):
                yield os.path.normpath(f"{target}/{below}/{name}"), Path(directory, name)


def program(binary: str) -> dict[str, Path]:
    """A program with the shared libraries that it is linked with, the loader included."""
    listing = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
    return {name: Path(name) for name in (binary, *(word for word in listing.split() if word.startswith("/")))}


def compiled(directory: Path) -> Path:
    """A copy of the package with its byte code, which takes long to make in a machine that is emulated."""
    copy = directory / "src"
    if not copy.exists():
        shutil.copytree(ROOT / "src" / "wherry", copy / "wherry", ignore=shutil.ignore_patterns("__pycache__"))
        for path in copy.rglob("*.py"):
            when = int(path.stat().st_mtime)  # as exactly as an archive has it
            os.utime(path, (when, when))
        compile_all = f"import compileall; compileall.compile_dir({str(copy)!r}, quiet=2)"
        precompile = f"sys.path.insert(0, {str(copy)!r}); from wherry import precompiled"
        code = f"import sys; {compile_all}; {precompile}; precompiled.refresh(thorough=True)"
        subprocess.run([PYTHON, "-I", "-S", "-c", code], check=True)
    return copy


def python(directory: Path) -> dict[str, Path]:
    """This interpreter with its library, pytest, the package and what that needs."""
    library = Path(os.__file__).parent
    found = dict(tree(library, str(library)))
    for binary in (PYTHON, *(str(path) for path in library.glob("lib-dynload/*.so"))):
        found.update(program(binary))
    site = Path(pytest.__file__).parents[1]
    for name in (*PYTEST, *NEEDED):
        found.update(tree(site / name, f"{library}/site-packages/{name}"))
    found[f"{library}/site-packages/py.py"] = site / "py.py"
    found.update(tree(compiled(directory), "/src"))
    return found


def archive(files: dict[str, Path], texts: dict[str, str]) -> bytes:
    """A cpio archive in the "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    parts: list[bytes] = []
    made: set[str] = set()

    def put(name: str, mode: int, content: bytes = b"", when: float = 0, device: tuple[int, int] = (0, 0)) -> None:
        fields = (len(parts), mode, 0, 0, 1, int(when), len(content), 0, 0, *device, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        parts.extend((head, b"\0" * (-len(head) % 4), content, b"\0" * (-len(content) % 4)))

    for name in sorted([*files, *texts, "/dev/console"]):
        for parent in reversed(Path(name).parents[:-1]):
            if str(parent) not in made:
                made.add(str(parent))
                put(str(parent).lstrip("/"), 0o040755)
        if name == "/dev/console":
            put("dev/console", 0o020600, device=(5, 1))  # what init's output goes to
        elif name in texts:
            put(name.lstrip("/"), 0o100755, texts[name].encode())
        else:
            there = files[name].stat()
            put(name.lstrip("/"), 0o100000 | there.st_mode & 0o755, files[name].read_bytes(), there.st_mtime)
    put("TRAILER!!!", 0)
    return b"".join(parts)


def run(
    kernel: Kernel,
    script: str,
    *,
    files: dict[str, Path],
    texts: dict[str, str] | None = None,
    modules: Iterable[str] = (),
    disk: Path | None = None,
    timeout: float = 600,
) -> str:
    """What the machine writes while ``script`` runs in it as its first process; then it is switched off.

    ``files`` are there besides `python`, ``modules`` are loaded, ``disk`` is /dev/vda.  In ``script`` there are
    ``mount(type, directory[, device])`` and ``load(paths)`` of modules, and ``libc``.
    """
    paths = kernel.with_needs([*(("virtio_pci", "virtio_blk") if disk else ()), *modules])
    loaded = {f"/modules/{path.name}": path for path in paths}
    made = {"/init": INIT.format(python=PYTHON, mounts=MOUNTS, modules=list(loaded)), "/main.py": script}
    with tempfile.TemporaryDirectory(dir=kernel.image.parent) as directory:
        initramfs = Path(directory) / "initramfs"
        initramfs.write_bytes(
            archive({**python(kernel.image.parents[1]), **files, **loaded}, {**made, **(texts or {})})
        )
        command = [
            *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-nodefaults"),
            *("-no-reboot", "-display", "none", "-serial", "stdio", "-kernel", str(kernel.image)),
            *("-initrd", str(initramfs), "-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
        ]
        if disk is not None:
            command += ["-drive", f"file={disk},format=raw,if=virtio"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    return done.stdout.replace("\r", "") + done.stderr
