"""``wherry image copy`` between every two places, and images of other engines on the whole way, digests unchanged."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import images, needs
from support.command import Wherry
from support.dockerd import Dockerd, NotHere
from support.faulty import sha256
from support.images import DOCKER, OCI, Built
from support.registry import Registry
from support.tools import podman, run

pytestmark = pytest.mark.needs("registry")
Start = Callable[..., Registry]
KINDS = ("store", "docker", "oci", "oci-archive", "docker-archive")


def digest_at(registry: Registry, repository: str, tag: str) -> str:
    accept = {"Accept": ", ".join((OCI["index"], DOCKER["index"], OCI["manifest"], DOCKER["manifest"]))}
    status, headers, _ = registry.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=accept)
    assert status == 200
    return headers["docker-content-digest"]


def place(kind: str, number: int, directory: Path, registry: Registry) -> str:
    return {
        "store": f"{registry.host}/copy{number}:1",
        "docker": f"docker://{registry.host}/copied/to{number}-{directory.name[-8:].lower().strip('_')}:1",
        "oci": f"oci:{directory}/layout{number}:some-name",
        "oci-archive": f"oci-archive:{directory}/a{number}.tar:1",
        "docker-archive": f"docker-archive:{directory}/d{number}.tar:example.com/x:1",
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_from_every_place_to_every_place(anyone: Wherry, registry: Registry, busybox: Built, kind: str) -> None:
    """There and on to each other kind; the image id is the same all the way, the digest where it is kept."""
    directory = anyone.directory / "copies"
    directory.mkdir()
    if anyone.user:
        os.chown(directory, anyone.user.uid, anyone.user.gid)
    first = registry.push(busybox, "copied/busybox:1")
    source = place(kind, 0, directory, registry)
    got = anyone.ok("image", "copy", "-q", f"docker://{first}", source).strip()
    assert got == busybox.digest
    for number, other in enumerate(KINDS, 1):
        target = place(other, number, directory, registry)
        digest = anyone.ok("image", "copy", "-q", source, target).strip()
        back = f"{registry.host}/back{number}:1"
        again = anyone.ok("image", "copy", "-q", target, back).strip()
        if "docker-archive" not in (kind, other):
            assert digest == again == busybox.digest
        assert anyone.ok("image", "inspect", "-f", "{{.Id}}", back).strip() == busybox.id
        anyone.ok("rmi", back)
    if kind != "store":
        anyone.ok("rmi", f"{registry.host}/copy1:1")
        assert not list((anyone.root / "blobs" / "sha256").iterdir()), "what went through is not kept"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Built], bytes]]:
    made = []
    for architecture in (images.ARCHITECTURE, "s390x"):
        layer = images.Layer().file("etc/arch", architecture)
        made.append(images.Image([layer], architecture=architecture).build(tmp_path_factory.mktemp(architecture)))
    yield made, images.index_of(made)


def test_all_platforms_travel(
    wherry: Wherry, registry: Registry, index: tuple[list[Built], bytes], tmp_path: Path
) -> None:
    several, document = index
    first = registry.push_index(several, "copied/multi:1", document, OCI["index"])
    way = [f"docker://{first}", f"oci:{tmp_path}/l:x", f"oci-archive:{tmp_path}/a.tar", f"{registry.host}/here:1"]
    way += [f"docker://{registry.host}/copied/multi-{name}:1" for name in ("end", "through")]
    for source, target in itertools.pairwise(way):
        assert wherry.ok("image", "copy", "-q", source, target).strip() == sha256(document), (source, target)
    assert digest_at(registry, "copied/multi-through", "1") == sha256(document)
    one = wherry.ok("image", "copy", "-q", "--platform", "linux/s390x", f"oci:{tmp_path}/l:x", f"oci:{tmp_path}/l:y")
    assert one.strip() == several[1].digest
    assert wherry("image", "copy", "--platform", "linux/arm64", f"oci:{tmp_path}/l:x", f"oci:{tmp_path}/l:z").code == 1
    listed = json.loads((tmp_path / "l" / "index.json").read_text())["manifests"]
    assert [one["annotations"]["org.opencontainers.image.ref.name"] for one in listed] == ["x", "y"]
    wherry.ok("image", "copy", "-q", f"oci:{tmp_path}/l:x", f"docker-archive:{tmp_path}/d.tar:x:1")
    wherry.ok("load", "-i", tmp_path / "d.tar")


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("oci:/nosuch:1", "x", "not an OCI image layout"),
        ("oci-archive:/nosuch", "x", "no such file"),
        ("docker-archive:/etc/hostname", "x", ""),
        ("nosuch", "oci:/tmp/never", "No such image: nosuch"),
        ("dir:/x", "y", "dir: is not a place"),
        ("oci:", "y", "names no file"),
        ("docker://UPPER", "y", "must be lowercase"),
    ],
)
def test_wrong_requests(wherry: Wherry, source: str, target: str, words: str) -> None:
    done = wherry("image", "copy", source, target)
    assert done.code == 1
    assert words in done.err
    assert "internal error" not in done.err
    assert not Path("/tmp/never").exists()


def test_a_target_that_is_something_else_is_left(wherry: Wherry, busybox: Built, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    done = wherry("image", "copy", f"oci:{busybox.layout}", f"oci:{tmp_path}/mine:1")
    assert done.code == 1
    assert "has other things in it" in done.err
    assert wherry("image", "copy", f"oci:{busybox.layout}", f"oci-archive:{tmp_path}/no/such/dir.tar").code == 1
    assert wherry("image", "copy", f"oci:{busybox.layout}", f"oci-archive:{tmp_path}/mine").code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"], "no half-made files"


@pytest.mark.parametrize("what", ["layer", "link", "device", "missing", "digest"])
def test_a_damaged_layout(wherry: Wherry, busybox: Built, tmp_path: Path, what: str) -> None:
    """CVE-2024-3727 and others: what a layout says of its blobs is checked, and no blob is a path."""
    layout = tmp_path / "layout"
    shutil.copytree(busybox.layout, layout)
    blob = layout / "blobs" / busybox.manifest["layers"][0]["digest"].replace(":", "/")
    if what == "layer":
        blob.write_bytes(b"x" + blob.read_bytes()[1:])
    elif what == "digest":
        document = json.loads((layout / "index.json").read_text())
        document["manifests"][0]["digest"] = "sha256:../../../../etc/passwd"
        (layout / "index.json").write_text(json.dumps(document))
    else:
        blob.unlink()
        if what == "link":
            blob.symlink_to("/etc/passwd")
        elif what == "device":
            os.mkfifo(blob)
    done = wherry("image", "copy", f"oci:{layout}", "broken:1")
    assert done.code == 1
    assert "internal error" not in done.err
    assert wherry.ok("images", "-q") == ""
    assert wherry("image", "copy", f"oci:{layout}", f"oci-archive:{tmp_path}/out.tar").code == 1
    assert not (tmp_path / "out.tar").exists()


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_skopeo_both_ways(wherry: Wherry, busybox: Built, tmp_path: Path, kind: str) -> None:
    name = "example.com/x:1" if kind == "docker-archive" else "one"
    run("skopeo", "copy", f"oci:{busybox.layout}:latest", f"{kind}:{tmp_path}/theirs:{name}")
    got = wherry.ok("image", "copy", "-q", f"{kind}:{tmp_path}/theirs:{name}", "theirs:1").strip()
    assert got == busybox.digest or kind == "docker-archive"
    wherry.ok("run", "--rm", "--network", "none", "theirs:1", "true")
    wherry.ok("image", "copy", "-q", "theirs:1", f"{kind}:{tmp_path}/ours:{name}")
    found = json.loads(run("skopeo", "inspect", "--config", f"{kind}:{tmp_path}/ours:{name}"))
    assert found["rootfs"] == busybox.config["rootfs"]
    run("skopeo", "copy", f"{kind}:{tmp_path}/ours:{name}", f"oci:{tmp_path}/again:1")


# -- made by other engines: pulled, run, pushed, and read by them again ----------------------------------------------


@pytest.fixture
def rootfs(busybox: Built, tmp_path: Path) -> Path:
    """A root file system as a tar."""
    layer = busybox.blob(busybox.manifest["layers"][0]["digest"])
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        tar.extractall(tmp_path / "rootfs", filter="tar")
    run("tar", "-C", tmp_path / "rootfs", "-cf", tmp_path / "rootfs.tar", ".")
    return tmp_path / "rootfs.tar"


def goes_through(wherry: Wherry, first: Registry, second: Registry, repository: str) -> str:
    """Pulls ``repository:1`` from one registry, runs it, pushes it to another; what it is there."""
    name, other = f"{first.host}/{repository}:1", f"{second.host}/{repository}:1"
    wherry.ok("pull", "-q", name)
    assert wherry.ok("run", "--rm", "--network", "none", name, "/bin/busybox", "echo", "here") == "here\n"
    wherry.ok("tag", name, other)
    wherry.ok("push", "-q", other)
    assert digest_at(second, repository, "1") == digest_at(first, repository, "1")
    return other


@pytest.mark.needs("root", "podman")
def test_made_by_podman(wherry: Wherry, registry_with: Start, rootfs: Path, scratch: Path) -> None:
    first, second = registry_with(), registry_with()
    podman(scratch, "import", rootfs, "localhost/made:1")
    podman(scratch, "push", "--tls-verify=false", "localhost/made:1", f"docker://{first.host}/podman:1")
    other = goes_through(wherry, first, second, "podman")
    podman(scratch, "pull", "--tls-verify=false", other)


@pytest.mark.needs("root", "buildah")
def test_made_by_buildah(wherry: Wherry, registry_with: Start, rootfs: Path, scratch: Path) -> None:
    first, second = registry_with(), registry_with()
    container = podman(scratch, "from", "scratch", program="buildah").strip()
    podman(scratch, "add", container, rootfs, "/", program="buildah")
    podman(scratch, "config", "--cmd", "sh", container, program="buildah")
    target = f"docker://{first.host}/buildah:1"
    podman(scratch, "commit", "--tls-verify=false", container, target, program="buildah")
    podman(scratch, "rm", container, program="buildah")
    other = goes_through(wherry, first, second, "buildah")
    podman(scratch, "pull", "--tls-verify=false", other, program="buildah")


@pytest.mark.needs("root", "umoci", "skopeo")
def test_made_by_umoci(wherry: Wherry, registry_with: Start, rootfs: Path, scratch: Path) -> None:
    first, second = registry_with(), registry_with()
    layout = scratch / "layout"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:made")
    run("umoci", "insert", "--image", f"{layout}:made", rootfs.parent / "rootfs", "/")
    wherry.ok("image", "copy", "-q", f"oci:{layout}:made", f"docker://{first.host}/umoci:1")
    other = goes_through(wherry, first, second, "umoci")
    wherry.ok("image", "copy", "-q", other, f"oci:{scratch}/back:1")
    run("umoci", "unpack", "--image", f"{scratch}/back:1", scratch / "bundle")
    assert (scratch / "bundle" / "rootfs" / "bin" / "busybox").exists()


@pytest.mark.needs("root", "dockerd")
@pytest.mark.xdist_group("dockerd")
def test_made_by_docker(wherry: Wherry, registry_with: Start, rootfs: Path) -> None:
    first, second = registry_with(), registry_with()
    try:
        docker = Dockerd()
    except NotHere:
        pytest.skip(needs.reason("dockerd"))
    try:
        name = f"{first.host}/docker:1"
        run("env", f"HOME={docker.directory}", *docker.argv("import", "--change", "CMD sh", rootfs, name))
        run("env", f"HOME={docker.directory}", *docker.argv("push", name))
        other = goes_through(wherry, first, second, "docker")
        out = run("env", f"HOME={docker.directory}", *docker.argv("pull", other))
        assert f"Digest: {digest_at(first, 'docker', '1')}" in out
    finally:
        docker.close()
