"""fs-verity, on a kernel and a file system that have it: what is sealed, and what comes of a block that has changed."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from support import images, vm

pytestmark = [
    pytest.mark.needs("root", "x86_64", "debian", "vm"),
    pytest.mark.xdist_group("vm"),
    pytest.mark.timeout(900),
]

TESTS = Path(__file__).parents[1]
BLOCK = 4096

MACHINE = """
import fcntl, json, struct, time
DISK, STORE = "/dev/vda", "/var/lib/wherry"
mount("ext4", "/var/lib", DISK)
sys.path[:0] = ["/tests"]
from support import forked
from wherry.engine import check, info, load, remove_image, save  # before there are forks that would each do it
from wherry.linux import verity

def wherry(*words):
    done = forked.wherry(*words)
    return [done.code, done.out + done.err]

def tell(what, value):
    print("told", json.dumps([what, value]), flush=True)

def states(store=STORE):
    directory = f"{store}/blobs/sha256"
    return {f"sha256:{name}": verity.state(f"{directory}/{name}") for name in sorted(os.listdir(directory))}

def sealed():
    end = time.monotonic() + 60  # nobody waits for it
    while not (found := states()) or set(found.values()) != {"on"}:
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return found

def described(*words):
    return dict(json.loads(forked.wherry(*words, "info", "--format", "{{json .}}").out)["DriverStatus"])["fs-verity"]

tell("info", described())
tell("load", wherry("load", "-q", "-i", "/image.tar"))
tell("sealed", sealed())
tell("good", wherry("system", "check"))
path = f"{STORE}/blobs/{damaged.replace(':', '/')}"
try:
    open(path, "r+b").close()
    tell("writable", "yes")
except OSError as error:
    tell("writable", os.strerror(error.errno))
with open(path, "rb") as file:
    number, = struct.unpack("i", fcntl.ioctl(file, 1, struct.pack("i", 1)))  # FIBMAP: where its second block is
    assert number > 0

if libc.umount2(b"/var/lib", 0):
    print("umount", os.strerror(ctypes.get_errno()))
with open(DISK, "r+b") as disk:
    disk.seek(number * block + 100)
    was = disk.read(1)
    disk.seek(number * block + 100)
    disk.write(bytes([was[0] ^ 1]))
mount("ext4", "/var/lib", DISK)
open("/proc/sys/vm/drop_caches", "w").write("3")

tell("state", verity.state(path))
tell("quick", wherry("system", "check", "--quick"))
tell("found", wherry("system", "check"))
tell("save", wherry("save", "-o", "/tmp/saved", "image"))
tell("mended", wherry("system", "check", "--repair"))
tell("lacks", wherry("system", "check"))
tell("again", wherry("load", "-q", "-i", "/image.tar"))
tell("sealed again", sealed())
tell("good again", wherry("system", "check"))
tell("removed", wherry("rmi", "image"))
tell("left", states())

other = ["--root", "/tmp/other", "--run-root", "/tmp/other-run"]
tell("other info", described(*other))
tell("other load", wherry(*other, "load", "-q", "-i", "/image.tar"))
tell("other states", states("/tmp/other"))
tell("other check", wherry(*other, "system", "check"))
"""


def test_sealed_and_damaged(kernel: vm.Kernel, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with open(disk, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "verity", "-b", str(BLOCK), disk], check=True)
    layer = images.Layer().file("data", random.Random(3).randbytes(50_000))
    image = images.Image([layer]).build(tmp_path / "image")
    digest = image.manifest["layers"][0]["digest"]
    shown = vm.run(
        kernel,
        f"damaged, block = {digest!r}, {BLOCK}\n{MACHINE}",
        files={
            "/image.tar": image.oci_archive(tmp_path / "image.tar", "docker.io/library/image:latest"),
            **dict(vm.tree(TESTS / "support", "/tests/support")),
        },
        modules=("overlay",),
        disk=disk,
    )
    told = dict(json.loads(line.removeprefix("told ")) for line in shown.splitlines() if line.startswith("told "))
    assert "Traceback" not in shown and "umount" not in shown, shown[-6000:]
    assert told["info"] == "used"
    loaded = [0, "Loaded image: image:latest\n"]
    assert told["load"] == loaded
    assert digest in told["sealed"] and set(told["sealed"].values()) == {"on"}
    assert told["good"] == [0, ""]
    assert told["writable"] == "Operation not permitted"

    refused = f"blob {digest} is damaged, fs-verity does not let it be read; mended, it can be pulled again"
    assert told["state"] == "on" and told["quick"] == [0, ""]
    assert told["found"] == [1, refused + "\n"]
    assert told["save"][0] == 1 and digest in told["save"][1]
    assert told["mended"][1].startswith(f"{refused} (mended)\n")
    assert told["lacks"] == [1, f"image docker.io/library/image:latest lacks the blob {digest}: pull it again\n"]
    assert told["again"] == loaded
    assert told["sealed again"] == told["sealed"]
    assert told["good again"] == [0, ""]
    assert told["removed"][0] == 0 and told["left"] == {}

    assert told["other info"] == "not possible"
    assert told["other load"] == loaded
    assert set(told["other states"]) == set(told["sealed"]) and set(told["other states"].values()) == {""}
    assert told["other check"] == [0, ""]
