"""System calls of `wherry.linux`, each in a child of its own: they change the process that makes them."""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import places
from support.bundle import PYTHON

SOURCE = Path(__file__).parents[2] / "src"
pytestmark = pytest.mark.needs("root", "user-namespaces", "idmapped-mounts")


def run(code: str, *arguments: str) -> list[str]:
    """The lines that a program prints in an interpreter of its own, single-threaded."""
    head = f"import os, sys\nsys.path.insert(0, {str(SOURCE)!r})\n"
    command = [PYTHON, "-I", "-S", "-c", head + textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def directory() -> Iterator[Path]:
    made = places.make("linux")
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


OVERLAY = """
    from wherry.linux.ids import IdMap
    from wherry.oci.mount import Mount
    from wherry.linux import mount, namespaces
    from wherry.runtime import compat, trees
    from wherry.linux.syscall import failed
    top, way = sys.argv[1:]
    whole = Mount("overlay", lower=(top + "/b", top + "/a"), upper=top + "/upper", work=top + "/work", idmap=True)
    maps = (IdMap(0, 0x6F000000, 65536),)
    held = namespaces.holder(maps, maps)
    if way == "old":
        real = mount.configure
        def configure(context, name, value):
            if name == "lowerdir+":
                raise failed("fsconfig", 22)
            real(context, name, value)
        mount.configure = configure
    tree = trees.open_overlay(whole, mount.ATTR_NODEV, lambda _u, _g: held)
    for name in sorted(os.listdir(f"/proc/self/fd/{tree}")):
        print(name, os.stat(name, dir_fd=tree).st_uid - 0x6F000000)
    os.mkdir("new", dir_fd=tree)
    print(os.fstatvfs(os.open(".", os.O_RDONLY, dir_fd=tree)).f_flag & os.ST_NODEV)
"""


@pytest.mark.parametrize("way", ["new", "old"])
def test_overlay_with_id_mapped_layers_on_new_and_old_kernels(directory: Path, way: str) -> None:
    for name in ("a", "b", "upper", "work"):
        (directory / name).mkdir()
    (directory / "a/one").write_text("")
    (directory / "b/two").write_text("")
    os.chown(directory / "b/two", 1000, 1000)
    assert run(OVERLAY, str(directory), way) == ["one 0", "two 1000", "4"]
    assert (directory / "upper/new").is_dir()
    assert str(directory) not in Path("/proc/self/mountinfo").read_text()


def test_in_user_namespace_as_root_and_as_a_user() -> None:
    code = """
        from wherry.linux import namespaces, prctl
        from wherry.linux.ids import IdMap
        uid, base, size = (int(one) for one in sys.argv[1:4])
        if uid:
            os.setgroups([]); os.setgid(uid); os.setuid(uid)
            prctl.set_dumpable(True)
        maps = (IdMap(0, base, size),)
        def function():
            print(os.getuid(), os.getgid(), open("/proc/self/uid_map").read().split(), flush=True)
            return 7
        print(namespaces.in_user_namespace((maps, maps), function))
    """
    assert run(code, "0", str(0x6F000000), "65536") == [f"0 0 ['0', '{0x6F000000}', '65536']", "7"]
    assert run(code, "54321", "54321", "1") == ["0 0 ['0', '54321', '1']", "7"]


def test_subordinate_ids_through_newuidmap() -> None:
    """The account that tests/support/users.py makes has 65,536 of them."""
    from support import users

    code = """
        from wherry.linux import ids, namespaces, prctl
        uid, name = int(sys.argv[1]), sys.argv[2]
        os.setgroups([]); os.setgid(uid); os.setuid(uid)
        prctl.set_dumpable(True)
        maps = ids.unprivileged_maps(uid, uid, name)
        def function():
            os.setgroups([5])
            os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)
            print(os.getuid(), os.getgroups(), flush=True)
            return 0
        print(len(maps[0]), namespaces.in_user_namespace(maps, function))
    """
    assert run(code, str(users.UID), users.NAME) == ["1000 [5]", "2 0"]


def test_a_refusal_of_newuidmap_is_its_own_words() -> None:
    from support import users

    code = """
        from wherry.errors import Forbidden
        from wherry.linux import namespaces, prctl
        from wherry.linux.ids import IdMap
        uid = int(sys.argv[1])
        os.setgroups([]); os.setgid(uid); os.setuid(uid)
        prctl.set_dumpable(True)
        maps = (IdMap(0, uid, 1), IdMap(1, 1000, 10))
        try:
            namespaces.in_user_namespace((maps, maps), lambda: 0)
        except Forbidden as error:
            print(error.message.startswith("newuidmap"), bool(error.hint))
    """
    assert run(code, str(users.SINGLE_UID)) == ["True True"]


def test_names_of_an_image_are_opened_inside_only(directory: Path) -> None:
    code = """
        from wherry.linux import openat2
        root = os.open(sys.argv[1] + "/root", os.O_PATH | os.O_DIRECTORY)
        def attempt(function, *arguments):
            try:
                os.close(function(root, *arguments)); return "done"
            except OSError as error:
                return os.strerror(error.errno)
        print(attempt(openat2.open_in, "up/../../../etc", os.O_PATH))
        print(attempt(openat2.open_in, "magic", os.O_PATH))
        print(attempt(openat2.make_directories, "link/a/b"))
        print(attempt(openat2.make_directories, "link/a/c", openat2.IN_ROOT | openat2.NO_SYMLINKS))
        print(attempt(openat2.make_directories, "a/../../b"))
        print(attempt(openat2.make_file, "link/file"))
        print(attempt(openat2.make_file, "a/.."))
    """
    (directory / "root").mkdir()
    (directory / "root/link").symlink_to("/inner")
    (directory / "root/magic").symlink_to("/proc/self/fd/0")
    (directory / "root/inner").mkdir()
    (directory / "inner").mkdir()
    assert run(code, str(directory)) == [
        "No such file or directory",
        "No such file or directory",
        "done",
        "Too many levels of symbolic links",
        "Invalid argument",
        "done",
        "Invalid argument",
    ]
    assert sorted(os.listdir(directory / "root/inner")) == ["a", "file"]
    assert os.listdir(directory / "inner") == []


def test_capabilities_of_this_process() -> None:
    code = """
        from wherry.linux import capabilities as caps
        caps.limit_bounding(caps.mask(["CAP_CHOWN", "CAP_KILL"]))
        caps.set_own(1, 33, 1)
        caps.set_ambient(1)
        print([line.split()[1][-2:] for line in open("/proc/self/status") if line.startswith("Cap")])
        print(caps.names(caps.own_permitted()), caps.names(caps.bounding()))
    """
    assert run(code) == [
        "['01', '21', '01', '21', '01']",
        "['CAP_CHOWN', 'CAP_KILL'] ['CAP_CHOWN', 'CAP_KILL']",
    ]


def test_the_slow_way_to_system_calls_is_the_same() -> None:
    code = """
        from wherry.linux import syscall
        import ctypes
        for bound in (syscall._bind_fast(), syscall._bind_slow()):
            free, held, hooks, scratch, address, errno = bound
            dumpable = free(syscall.NUMBERS["prctl"], 3, 0, 0, 0, 0, 0)
            print(dumpable, free(syscall.NUMBERS["setns"], -1, 0, 0, 0, 0, 0), errno())
            free(syscall.NUMBERS["prctl"], 16, address, 0, 0, 0, 0)  # PR_GET_NAME
            print(bytes(memoryview(scratch).cast("B")[:6]), len(hooks))
    """
    lines = run(code)
    assert lines[:2] == lines[2:] and lines[0] == "1 -1 9"
