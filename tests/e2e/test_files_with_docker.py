"""What `commit`, `export`, `import`, `save` and `load` give to Docker and take from it, with a real daemon."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import images, needs
from support.command import Wherry
from support.dockerd import Dockerd, NotHere

pytestmark = [pytest.mark.needs("root", "dockerd", "debian", "busybox"), pytest.mark.xdist_group("dockerd")]
CHANGE = "echo x > /new; rm /etc/group; rm -r /opt; mkdir /opt; chown 7:8 /new; ln /new /twin; mkfifo /pipe"
LOOK = "cat /twin; stat -c '%u %g %h %F' /new /pipe; ls -A /opt; test -e /etc/group || echo gone"
SEEN = "x\n7 8 2 regular file\n0 0 1 fifo\ngone\n"

Docker = Callable[..., bytes]


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Docker]:
    """``docker("run", …)``: what the command prints, on a daemon of the test's own with the image busybox."""
    try:
        daemon = Dockerd()
    except NotHere:
        pytest.skip(needs.reason("dockerd"))

    def run(*arguments: str | Path, input: bytes | None = None) -> bytes:
        done = subprocess.run(daemon.argv(*arguments), env=daemon.env, input=input, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    try:
        run("load", "-i", images.busybox().docker_archive(tmp_path / "busybox.tar", "busybox:latest"))
        yield run
    finally:
        daemon.close()


def test_both_ways(wherry: Wherry, docker: Docker, tmp_path: Path) -> None:
    wherry.load(tmp_path / "busybox.tar")
    isolated = ("run", "--rm", "--network", "none")
    # ours to Docker
    wherry.ok("run", "--name", "ours", "--network", "none", "busybox", "sh", "-c", CHANGE)
    wherry.ok("commit", "-c", 'CMD ["cat", "/new"]', "ours", "ours:1")
    wherry.ok("save", "-o", tmp_path / "ours.tar", "ours:1", "busybox")
    docker("load", "-i", tmp_path / "ours.tar")
    assert docker(*isolated, "ours:1") == b"x\n"
    assert docker(*isolated, "ours:1", "sh", "-c", LOOK).decode() == SEEN
    docker("import", "-", "exported:1", input=wherry("export", "ours").raw)
    assert docker(*isolated, "exported:1", "sh", "-c", LOOK).decode() == SEEN
    # Docker's to us
    docker("run", "--name", "theirs", "--network", "none", "busybox", "sh", "-c", CHANGE)
    docker("commit", "-c", 'CMD ["cat", "/new"]', "theirs", "theirs:1")
    (tmp_path / "theirs.tar").write_bytes(docker("save", "theirs:1", "busybox"))
    assert "Loaded image: theirs:1" in wherry.load(tmp_path / "theirs.tar")
    assert wherry.ok(*isolated, "theirs:1") == "x\n"
    assert wherry.ok(*isolated, "theirs:1", "sh", "-c", LOOK) == SEEN
    wherry.ok("import", "-", "imported:1", input=docker("export", "theirs"))
    assert wherry.ok(*isolated, "imported:1", "sh", "-c", LOOK) == SEEN
    # what one copies out, the other copies in
    wherry.ok("cp", "-", "ours:/home", input=docker("cp", "theirs:/etc", "-"))
    docker("cp", "-", "theirs:/home", input=wherry("cp", "ours:/home/etc", "-").raw)
    assert wherry("cp", "ours:/home/etc/passwd", "-").raw[512:] == docker("cp", "theirs:/home/etc/passwd", "-")[512:]
    # and both see the same changes; Docker puts a link of its own at /etc/mtab
    seen = [line for line in docker("diff", "theirs").decode().splitlines() if "mtab" not in line]
    assert sorted(seen) == sorted(line for line in wherry.ok("diff", "ours").splitlines() if "mtab" not in line)
