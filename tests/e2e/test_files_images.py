"""`commit`, `export` and `import`: images and archives out of containers, as root and rootless."""

from __future__ import annotations

import bz2
import gzip
import http.server
import io
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from support import tars
from support.command import Wherry, wait_for

SCRIPT = (
    "mkdir -p /new/dir; echo content > /new/file; chown 1000:50 /new/file; chmod 4711 /new/file; "
    "ln /new/file /new/twin; ln -s file /new/link; rm /etc/group; rm -r /opt; mkdir /opt; echo x > /vol/inside; "
    "sleep 1000"
)
CHECK = "cat /new/link; stat -c '%a %u %g %h' /new/file; ls /etc/group /opt/* /vol/inside 2>/dev/null; ls -d /proc /vol"


@pytest.fixture
def changed(box: Wherry) -> Iterator[str]:
    """A running container that has changed things."""
    name = f"changed-{os.urandom(4).hex()}"
    box.ok("run", "-d", "--name", name, "--network", "none", "-v", "/vol", "-e", "OWN=1", "busybox", "sh", "-c", SCRIPT)
    wait_for(lambda: box("exec", name, "cat", "/vol/inside").out == "x\n")
    yield name
    box("rm", "-f", "-v", name)


def config(box: Wherry, image: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(box.ok("image", "inspect", image))[0]
    return found


def test_a_committed_image_is_what_the_container_was(box: Wherry, changed: str) -> None:
    options = ["-a", "me", "-m", "words", "-c", "ENV MORE=2", "-c", 'CMD ["cat", "/new/file"]', "-c", "LABEL l=m"]
    image_id = box.ok("commit", *options, changed, "made:1").strip()
    assert box.ok("inspect", "-f", "{{.State.Status}}", changed) == "running\n"
    assert box.ok("run", "--rm", "--network", "none", "made:1") == "content\n"
    expected = "content\n4711 1000 50 2\n/proc\n/vol\n"
    assert box.ok("run", "--rm", "--network", "none", "made:1", "sh", "-c", CHECK) == expected
    found, base = config(box, "made:1"), config(box, "busybox")
    layers, below = found["RootFS"]["Layers"], base["RootFS"]["Layers"]  # type: ignore[index]
    assert layers[:-1] == below and len(layers) == len(below) + 1
    assert (found["Id"], found["Author"], found["Comment"]) == (image_id, "me", "words")
    settings = found["Config"]
    assert {"OWN=1", "MORE=2"} <= set(settings["Env"]) and settings["Labels"]["l"] == "m"  # type: ignore[index]
    box.ok("kill", changed)
    again = config(box, box.ok("container", "commit", changed).strip())
    assert again["RootFS"]["Layers"] == layers  # type: ignore[index]  # the same files, the same layer
    assert (
        box.ok("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "made:1").splitlines()[0]
        == f"sh -c {SCRIPT}|words"
    )
    for image in ("made:1", str(again["Id"])):
        box.ok("rmi", "-f", image)


def test_nothing_changed_makes_no_layer(box: Wherry) -> None:
    box.ok("run", "--name", "same", "--network", "none", "busybox", "true")
    found = config(box, box.ok("commit", "same").strip())
    assert found["RootFS"] == config(box, "busybox")["RootFS"]
    box.ok("rmi", str(found["Id"]))
    box.ok("rm", "same")


def test_a_committed_image_is_read_by_others(box: Wherry, changed: str) -> None:
    """As an archive with the names that Docker and skopeo look for, and by tar."""
    box.ok("commit", changed, "made:2")
    raw = box("save", "made:2").raw
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        (entry,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        layer = tar.extractfile(entry["Layers"][-1])
        assert layer is not None
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.read()))) as inner:
            names = inner.getnames()
    assert {"etc/.wh.group", "new/file", "new/twin"} <= set(names) and ".dockerenv" not in names
    assert "vol/inside" not in names and "proc" not in names
    box.ok("rmi", "made:2")


@pytest.mark.needs("root", "skopeo", "umoci")
def test_skopeo_and_umoci_read_it(as_root: Wherry, tmp_path: Path) -> None:
    script = "echo x > /new; rm /etc/group; rm -r /opt; mkdir /opt; chown 7:8 /new; touch -d @1000 /new"
    as_root.ok("run", "--name", "for-others", "--network", "none", "busybox", "sh", "-c", script)
    as_root.ok("commit", "-c", "ENV A=b", "for-others", "made:3")
    for kind, archive in (("docker-archive", "docker.tar"), ("oci-archive", "oci.tar")):
        as_root.ok("save", "--format", kind, "-o", tmp_path / archive, "made:3")
        layout = tmp_path / kind
        policy = ["skopeo", "--insecure-policy", "copy", "-q"]
        subprocess.run([*policy, f"{kind}:{tmp_path / archive}", f"oci:{layout}:made"], check=True)
        found = json.loads(subprocess.check_output(["skopeo", "inspect", "--config", f"oci:{layout}:made"]))
        assert "A=b" in found["config"]["Env"] and found["history"][-1]["created_by"] == f"sh -c {script}"
        subprocess.run(["umoci", "unpack", "--image", f"{layout}:made", tmp_path / f"{kind}-bundle"], check=True)
        root = tmp_path / f"{kind}-bundle/rootfs"
        status = (root / "new").stat()
        assert (status.st_uid, status.st_gid, status.st_mtime) == (7, 8, 1000)
        assert not (root / "etc/group").exists() and os.listdir(root / "opt") == []
        # and back: what umoci repacks, and what tar packs, comes in again
        subprocess.run(["tar", "-C", root, "-cf", tmp_path / "root.tar", "."], check=True)
        as_root.ok("import", tmp_path / "root.tar", "back:1")
        assert (
            as_root.ok("run", "--rm", "--network", "none", "back:1", "stat", "-c", "%u %g %Y", "/new") == "7 8 1000\n"
        )
    as_root.ok("rm", "for-others")
    for name in ("made:3", "back:1"):
        as_root.ok("rmi", "-f", name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], "No such container: nosuch"),
        (["-c", "RUN x", "NAME"], "run is not a valid change command"),
        (["-c", "EXPOSE x", "NAME"], "Invalid containerPort: x"),
        (["NAME", f"a@sha256:{0:064}"], "cannot import digest reference"),
        (["NAME", "a:b:c"], "invalid reference format"),
    ],
)
def test_what_commit_refuses(as_root: Wherry, arguments: list[str], words: str) -> None:
    as_root.ok("create", "--name", "refusing", "--network", "none", "busybox", "true")
    before = as_root.ok("images", "-a", "-q")
    result = as_root("commit", *[word.replace("NAME", "refusing") for word in arguments])
    assert result.code == 1 and result.err.startswith(f"wherry: {words}")
    assert as_root.ok("images", "-a", "-q") == before
    as_root.ok("rm", "refusing")


def test_export_and_import_give_the_same_files(box: Wherry, changed: str) -> None:
    path = box.directory / f"{changed}.tar"
    box.ok("export", "-o", path, changed)
    with tarfile.open(path) as tar:
        found = {one.name: one for one in tar}
    file = found["new/file"] if found["new/file"].isfile() else found["new/twin"]
    assert (file.mode, file.uid, file.gid) == (0o4711, 1000, 50)
    assert {"vol", "proc", ".dockerenv", "new/link"} <= set(found)
    assert not any(name.startswith(("vol/", "proc/", "sys/")) for name in found)
    assert (
        found["etc/hosts"].size == 0 if "etc/hosts" in found else True
    )  # what is mounted there is not the container's
    box.ok("kill", changed)
    stopped = box("export", changed).raw
    with tarfile.open(fileobj=io.BytesIO(stopped)) as tar:
        assert set(tar.getnames()) == set(found)
    image_id = box.ok("import", "-c", 'CMD ["cat", "/new/file"]', "-m", "words", path, "imported:1").strip()
    assert box.ok("run", "--rm", "--network", "none", "imported:1") == "content\n"
    assert box.ok("run", "--rm", "--network", "none", "imported:1", "sh", "-c", CHECK).startswith(
        "content\n4711 1000 50 2\n"
    )
    assert config(box, "imported:1")["Id"] == image_id and config(box, "imported:1")["Comment"] == "words"
    box.ok("rmi", "imported:1")
    path.unlink()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a web server with what the test puts in ``tmp_path``."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


SMALL = tars.directory("d") + tars.member("d/f", b"content") + tars.END


def test_import_reads_what_it_is_given(as_root: Wherry, served: str, tmp_path: Path) -> None:
    (tmp_path / "plain.tar").write_bytes(SMALL)
    packed = {"gz": gzip.compress(SMALL), "zst": zstandard.compress(SMALL), "bz2": bz2.compress(SMALL)}
    seen = set()
    for name, data in packed.items():
        seen.add(str(config(as_root, as_root.ok("import", "-", f"packed:{name}", input=data).strip())["RootFS"]))
    seen.add(str(config(as_root, as_root.ok("import", f"{served}/plain.tar", "packed:url").strip())["RootFS"]))
    assert len(seen) == 1
    assert config(as_root, "packed:url")["Comment"] == f"Imported from {served}/plain.tar"
    assert (
        config(as_root, as_root.ok("import", "--platform", "linux/arm64", tmp_path / "plain.tar").strip())[
            "Architecture"
        ]
        == "arm64"
    )
    result = as_root("import", f"{served}/nosuch")
    assert result.code == 1 and result.err.startswith(f'wherry: Get "{served}/nosuch": 404')
    assert (
        as_root("import", "--platform", "windows/amd64", "-", input=SMALL).err
        == "wherry: operating system is not supported\n"
    )
    for line in as_root.ok("images", "--format", "{{.ID}} {{.Repository}}").splitlines():
        if line.split()[1] in ("packed", "<none>"):
            as_root("rmi", "-f", line.split()[0])


HOSTILE = {
    "junk": b"junk",
    "climbing": tars.member("../evil") + tars.END,
    "cut": SMALL[:700],
    "cut gzip": gzip.compress(SMALL)[:-20],
    "missing link": tars.hardlink("a", "/etc/passwd") + tars.END,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_what_import_refuses_leaves_nothing(anyone: Wherry, data: bytes) -> None:
    result = anyone("import", "-", "evil:1", input=data)
    assert result.code == 1 and result.err.startswith(("wherry: archive ", "wherry: layer "))
    assert anyone.ok("images", "-a", "-q") == ""
    left = [
        path for path in anyone.root.rglob("*") if (path.is_file() and "blobs" in path.parts) or "layers" in path.parts
    ]
    assert [path for path in left if path.name not in ("blobs", "layers", "sha256", ".no-layers")] == []


@pytest.mark.needs("root")
def test_a_full_disk_leaves_nothing(wherry: Wherry) -> None:
    wherry.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", wherry.root], check=True)
    try:
        data = tars.member("big", os.urandom(12 << 20)) + tars.END
        result = wherry("import", "-", "big:1", input=data)
        assert result.code == 1 and "no space left" in result.err
        assert wherry.ok("images", "-a", "-q") == ""
        wherry.ok("import", "-", "small:1", input=tars.member("small", os.urandom(2 << 20)) + tars.END)
    finally:
        subprocess.run(["umount", wherry.root], check=True)


PLACE = "failed to export container: invalid output path:"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "nosuch"], "No such container: nosuch"),
        (["export", "-o", "/nosuch/dir/x", "NAME"], f"{PLACE} stat /nosuch/dir: no such file or directory"),
        (["export", "-o", "/dev/null", "NAME"], "failed to export container: cannot write to a character device file"),
        (["import", "nosuch"], "open nosuch: no such file or directory"),
    ],
)  # fmt: skip
def test_wrong_arguments(as_root: Wherry, arguments: list[str], words: str) -> None:
    as_root.ok("create", "--name", "refusing2", "--network", "none", "busybox", "true")
    result = as_root(*[word.replace("NAME", "refusing2") for word in arguments])
    assert result.code == 1 and result.err.startswith(f"wherry: {words}")
    as_root.ok("rm", "refusing2")
