"""``wherry push``: to Debian's registry, with what Docker says; digests that stay; pushes that are broken off."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import images, uploads
from support.command import Wherry
from support.faulty import Faulty
from support.images import Built
from support.registry import PASSWORD, USER, Registry
from support.uploads import Uploads

pytestmark = pytest.mark.needs("registry")
Start = Callable[..., Registry]


ACCEPT = {"Accept": ", ".join((images.OCI["manifest"], images.DOCKER["manifest"]))}


def digest_of(registry: Registry, repository: str, tag: str = "latest") -> str:
    scope = f"repository:{repository}:pull"
    status, headers, _ = registry.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=ACCEPT, scope=scope)
    assert status == 200
    return headers["docker-content-digest"]


def manifest_of(registry: Registry, repository: str, tag: str = "latest") -> dict[str, object]:
    status, _, body = registry.request("GET", f"/v2/{repository}/manifests/{tag}", headers=ACCEPT)
    assert status == 200
    found: dict[str, object] = json.loads(body)
    return found


def uploaded(registry: Registry) -> int:
    """How many upload sessions there were."""
    return len(re.findall(r'"POST /v2/[^ ]*/blobs/uploads/', registry.log))


def test_pull_tag_push(anyone: Wherry, registry_with: Start, python_image: Built) -> None:
    """Docker's lines, the same digest, and the second time nothing but questions."""
    source, registry = registry_with(), registry_with()
    anyone.ok("pull", "-q", source.push(python_image, "library/python:3"))
    name = f"{registry.host}/me/python:3"
    anyone.ok("tag", f"{source.host}/library/python:3", name)
    lines = anyone.ok("push", name).splitlines()
    assert lines[0] == f"The push refers to repository [{registry.host}/me/python]"
    size = len(python_image.blob(python_image.digest))
    assert lines[-1] == f"3: digest: {python_image.digest} size: {size}"
    layers = [one.removeprefix("sha256:")[:12] for one in python_image.config["rootfs"]["diff_ids"]]
    for layer in layers:
        assert f"{layer}: Preparing" in lines
        assert f"{layer}: Pushed" in lines
    assert digest_of(registry, "me/python", "3") == python_image.digest
    assert name.rpartition(":")[0] + "@" + python_image.digest in anyone.ok("image", "inspect", name)
    before = uploaded(registry)
    again = anyone.ok("push", name).splitlines()
    assert again[-1] == lines[-1]
    assert again[-4:-1] == [f"{layer}: Layer already exists" for layer in layers[::-1]]
    assert uploaded(registry) == before
    assert anyone.ok("push", "-q", name) == f"{name}\n"


def test_mounted_from_another_repository(wherry: Wherry, registry_with: Start, busybox: Built) -> None:
    registry = registry_with()
    wherry.ok("pull", registry.push(busybox, "library/busybox"))
    before = uploaded(registry)
    wherry.ok("tag", f"{registry.host}/library/busybox", f"{registry.host}/me/mine:1")
    out = wherry.ok("push", f"{registry.host}/me/mine:1")
    assert ": Mounted from library/busybox\n" in out
    assert digest_of(registry, "me/mine", "1") == busybox.digest
    assert uploaded(registry) == before + 2, "two mounts and no upload"
    assert not re.search(r'"P(UT|ATCH) /v2/me/mine/blobs', registry.log)


@pytest.mark.parametrize(("auth", "tls"), [("htpasswd", False), ("token", True)])
def test_with_a_login(
    wherry: Wherry, registry_with: Start, busybox: Built, tmp_path: Path, auth: str, tls: bool
) -> None:
    registry = registry_with(auth=auth, tls=tls)
    more: list[str] = []
    if registry.ca is not None:
        certificates = wherry.directory / "etc" / "certs.d" / registry.host
        certificates.mkdir(parents=True)
        (certificates / "ca.crt").write_bytes(registry.ca.read_bytes())
        more = ["--config", str(wherry.directory / "etc")]
    wherry.load(busybox.oci_archive(tmp_path / "x.tar", f"{registry.host}/private/x:1"))
    refused = wherry(*more, "push", f"{registry.host}/private/x:1")
    assert refused.code == 1
    assert re.search(r"unauthorized|denied|no basic auth credentials", refused.err)
    assert f"wherry login {registry.host}" in refused.err
    wherry.ok(*more, "login", "-u", USER, "--password-stdin", registry.host, input=PASSWORD)
    wherry.ok(*more, "push", f"{registry.host}/private/x:1")
    assert digest_of(registry, "private/x", "1") == busybox.digest
    wherry.ok("tag", f"{registry.host}/private/x:1", f"{registry.host}/other/x:2")
    out = wherry.ok(*more, "push", f"{registry.host}/other/x:2")
    assert ": Mounted from private/x\n" in out


def test_all_tags(wherry: Wherry, registry_with: Start, busybox: Built, tmp_path: Path) -> None:
    registry = registry_with()
    wherry.load(busybox.oci_archive(tmp_path / "x.tar", f"{registry.host}/x:1"))
    wherry.ok("tag", f"{registry.host}/x:1", f"{registry.host}/x:2")
    wherry.ok("tag", f"{registry.host}/x:1", f"{registry.host}/xy:3")
    assert wherry("push", f"{registry.host}/x").err.startswith(
        f"wherry: tag does not exist: {registry.host}/x:latest\n"
    )
    assert "tag can't be used with --all-tags/-a" in wherry("push", "-a", f"{registry.host}/x:1").err
    lines = wherry.ok("push", "--all-tags", f"{registry.host}/x").splitlines()
    assert [line.partition(" ")[0] for line in lines if "digest:" in line] == ["1:", "2:"]
    assert digest_of(registry, "x", "1") == digest_of(registry, "x", "2") == busybox.digest
    assert registry.request("GET", "/v2/xy/tags/list")[0] == 404


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], "An image does not exist locally with the tag: nosuch"),
        (["nosuch@sha256:" + "0" * 64], "cannot push a digest reference"),
        (["--compression", "lzma", "nosuch"], "nosuch"),
        (["--disable-content-trust=false", "nosuch"], "content trust (Notary v1) is not implemented"),
        (["UPPER"], "must be lowercase"),
    ],
)
def test_wrong_requests(wherry: Wherry, arguments: list[str], words: str) -> None:
    done = wherry("push", *arguments)
    assert done.code == 1
    assert words in done.err


def test_plain_layers_are_compressed_once(wherry: Wherry, registry_with: Start, busybox: Built, tmp_path: Path) -> None:
    """As Docker does with what it loaded; the compressed form stays, so that another registry gets the same digest."""
    first, second = registry_with(), registry_with()
    wherry.load(busybox.docker_archive(tmp_path / "x.tar", f"{first.host}/x:1"))
    out = wherry.ok("push", f"{first.host}/x:1")
    assert ": Compressing\n" in out
    layers = manifest_of(first, "x", "1")["layers"]
    assert isinstance(layers, list)
    assert {layer["mediaType"] for layer in layers} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    wherry.ok("tag", f"{first.host}/x:1", f"{second.host}/x:1")
    assert "Compressing" not in wherry.ok("push", f"{second.host}/x:1")
    assert digest_of(second, "x", "1") == digest_of(first, "x", "1")
    wherry.ok("rmi", f"{first.host}/x:1", f"{second.host}/x:1")
    wherry.ok("run", "--rm", "--network", "none", f"{first.host}/x:1", "true")


def test_a_refusal_while_layers_are_compressed(
    wherry: Wherry, registry_with: Start, python_image: Built, tmp_path: Path
) -> None:
    registry = registry_with(auth="htpasswd")
    wherry.load(python_image.docker_archive(tmp_path / "x.tar", f"{registry.host}/x:1"))
    refused = wherry("push", f"{registry.host}/x:1")
    assert refused.code == 1 and f"wherry login {registry.host}" in refused.err
    assert not list((wherry.root / "ingest").iterdir())
    wherry.ok("login", "-u", USER, "--password-stdin", registry.host, input=PASSWORD)
    wherry.ok("push", f"{registry.host}/x:1")
    assert registry.request("GET", "/v2/x/manifests/1", headers=ACCEPT)[0] == 200


@pytest.mark.parametrize(("kind", "level"), [("zstd", ""), ("gzip", ""), ("gzip", "9")])
def test_compression(wherry: Wherry, registry_with: Start, busybox: Built, kind: str, level: str) -> None:
    registry = registry_with()
    wherry.ok("pull", registry.push(busybox, "x"))
    wherry.ok("tag", f"{registry.host}/x", f"{registry.host}/y")
    more = ["--compression-level", level] if level else []
    wherry.ok("push", "--compression", kind, *more, f"{registry.host}/y")
    layers = manifest_of(registry, "y")["layers"]
    assert isinstance(layers, list)
    assert layers[0]["mediaType"].endswith(kind)
    assert digest_of(registry, "x") == busybox.digest
    if kind == "gzip" and not level:
        assert digest_of(registry, "y") == busybox.digest, "nothing to do"
    wherry.ok("rmi", "-f", f"{registry.host}/x", f"{registry.host}/y")
    wherry.ok("pull", f"{registry.host}/y")
    wherry.ok("run", "--rm", "--network", "none", f"{registry.host}/y", "true")
    wrong = wherry("push", "--compression", kind, "--compression-level", "99", f"{registry.host}/y")
    assert f"compression level 99: {kind} has 1 to " in wrong.err


@pytest.mark.needs("skopeo", "podman")
@pytest.mark.parametrize("tool", ["skopeo", "podman"])
def test_other_tools_read_what_we_push(
    wherry: Wherry, registry_with: Start, python_image: Built, scratch: Path, tool: str
) -> None:
    registry = registry_with()
    wherry.load(python_image.oci_archive(scratch / "x.tar", f"{registry.host}/x:1"))
    wherry.ok("push", "--compression", "zstd", f"{registry.host}/x:1")
    if tool == "skopeo":
        command = ["skopeo", "copy", "--src-tls-verify=false", f"docker://{registry.host}/x:1", f"oci:{scratch}/out"]
    else:
        store = ["--root", f"{scratch}/store", "--runroot", f"{scratch}/run", "--storage-driver", "vfs"]
        command = ["podman", *store, "pull", "--tls-verify=false", f"{registry.host}/x:1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_push_that_was_killed_goes_on(
    wherry: Wherry, registry_with: Start, python_image: Built, tmp_path: Path
) -> None:
    registry = registry_with()
    wherry.load(python_image.oci_archive(tmp_path / "x.tar", f"{registry.host}/x:1"))
    process = wherry.popen("push", f"{registry.host}/x:1")
    assert process.stdout is not None
    for line in process.stdout:
        if b": Pushed" in line:
            break
    process.kill()
    process.wait()
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()
    assert registry.request("GET", "/v2/x/manifests/1")[0] == 404, "no name for half an image"
    out = wherry.ok("push", f"{registry.host}/x:1")
    assert "Layer already exists" in out
    assert digest_of(registry, "x", "1") == python_image.digest


@pytest.fixture
def server() -> Iterator[Faulty]:
    with Faulty() as running:
        yield running


def test_breaks_are_survived(wherry: Wherry, server: Faulty, python_image: Built, tmp_path: Path) -> None:
    wherry.load(python_image.oci_archive(tmp_path / "x.tar", f"{server.host}/x:1"))
    sessions = Uploads(server)
    sessions.faults = [uploads.cut(100_000), uploads.answer(503), uploads.honest, uploads.answer(500)]
    wherry.ok("push", f"{server.host}/x:1")
    for layer in python_image.manifest["layers"]:
        assert server.blobs[layer["digest"]] == python_image.blob(layer["digest"])
    assert server.manifests["/v2/x/manifests/1"][0] == python_image.blob(python_image.digest)


def test_a_refusal_in_the_middle_leaves_no_name(
    wherry: Wherry, server: Faulty, python_image: Built, tmp_path: Path
) -> None:
    wherry.load(python_image.oci_archive(tmp_path / "x.tar", f"{server.host}/x:1"))
    sessions = Uploads(server)
    sessions.faults = [uploads.honest, uploads.answer(403, "DENIED", "quota exceeded")]
    done = wherry("push", f"{server.host}/x:1")
    assert done.code == 1
    assert "denied: quota exceeded" in done.err
    assert not server.manifests
    wherry.ok("push", f"{server.host}/x:1")


def test_what_was_committed(wherry_as: Callable[..., Wherry], registry_with: Start, busybox: Built) -> None:
    """The base's layers stay as they came; the new one is compressed; another machine sees the change."""
    registry, here, there = registry_with(), wherry_as(), wherry_as()
    base = registry.push(busybox, "base:1")
    here.ok("run", "--name", "made", "--network", "none", base, "sh", "-c", "echo changed > /file")
    name = f"{registry.host}/mine:1"
    here.ok("commit", "made", name)
    here.ok("rm", "made")
    here.ok("push", "-q", name)
    layers = manifest_of(registry, "mine", "1")["layers"]
    assert isinstance(layers, list)
    assert layers[0]["digest"] == busybox.manifest["layers"][0]["digest"]
    assert layers[1]["mediaType"].endswith("gzip")
    assert there.ok("run", "--rm", "--network", "none", name, "cat", "/file").endswith("changed\n")


def test_a_blob_that_is_gone_is_fetched_back(wherry: Wherry, registry_with: Start, busybox: Built) -> None:
    source, target = registry_with(), registry_with()
    wherry.ok("pull", source.push(busybox, "x"))
    layer = busybox.manifest["layers"][0]["digest"]
    os.unlink(wherry.root / "blobs" / layer.replace(":", "/"))
    wherry.ok("tag", f"{source.host}/x", f"{target.host}/y")
    source.stop()
    done = wherry("push", f"{target.host}/y")
    assert done.code == 1
    assert f"layer {layer} is not here any more" in done.err
    source.start()
    wherry.ok("push", f"{target.host}/y")
    assert digest_of(target, "y") == busybox.digest


@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_blob_is_not_pushed(
    wherry: Wherry, registry_with: Start, busybox: Built, tmp_path: Path, compressed: bool
) -> None:
    registry = registry_with()
    write = busybox.oci_archive if compressed else busybox.docker_archive
    wherry.load(write(tmp_path / "x.tar", f"{registry.host}/x:1"))
    layer = max((wherry.root / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    body = bytearray(layer.read_bytes())
    body[len(body) // 2] ^= 1
    layer.chmod(0o600)
    layer.write_bytes(body)
    done = wherry("push", f"{registry.host}/x:1")
    assert done.code == 1 and (compressed or layer.name in done.err)
    assert registry.request("GET", "/v2/x/manifests/1")[0] == 404


def asked(registry: Registry) -> list[str]:
    """The blobs that were asked for."""
    return re.findall(r'"HEAD /v2/[^ ]*/blobs/(sha256:[0-9a-f]+)', registry.log)


def test_what_a_manifest_there_names_is_not_asked_for(
    wherry: Wherry, registry_with: Start, python_image: Built, tmp_path: Path
) -> None:
    """One question instead of one for each layer; a registry that has lost a layer meanwhile gets it again."""
    registry = registry_with()
    changed = images.Image([images.Layer().file("more", b"one more layer")])
    wherry.load(python_image.oci_archive(tmp_path / "1.tar", f"{registry.host}/x:1"))
    wherry.ok("push", f"{registry.host}/x:1")
    before = len(asked(registry))
    wherry.load(
        changed.build(tmp_path / "2", base=python_image).oci_archive(tmp_path / "2.tar", f"{registry.host}/x:2")
    )
    lines = wherry.ok("push", f"{registry.host}/x:2").splitlines()
    layers = manifest_of(registry, "x", "2")["layers"]
    assert isinstance(layers, list)
    assert sum(line.endswith(": Layer already exists") for line in lines) == len(layers) - 1
    assert len(asked(registry)) == before + 2, "the new layer and the configuration"

    registry.stop()
    lost = str(layers[0]["digest"]).removeprefix("sha256:")
    (registry.storage / f"docker/registry/v2/repositories/x/_layers/sha256/{lost}/link").unlink()
    registry.start()
    wherry.load(
        images.Image([images.Layer().file("more", b"another")])
        .build(tmp_path / "3", base=python_image)
        .oci_archive(tmp_path / "3.tar", f"{registry.host}/x:3")
    )
    wherry.ok("push", f"{registry.host}/x:3")
    assert registry.request("HEAD", f"/v2/x/blobs/sha256:{lost}")[0] == 200
    assert digest_of(registry, "x", "3")
