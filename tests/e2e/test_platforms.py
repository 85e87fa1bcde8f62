"""Images for several platforms, artifacts, tags and catalogues, with Debian's registry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import images, uploads
from support.command import Wherry
from support.faulty import OCI_MANIFEST, Faulty, sha256
from support.images import DOCKER, OCI, Built
from support.registry import Registry

pytestmark = pytest.mark.needs("registry")
Start = Callable[..., Registry]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Built]:
    """The same image for this machine and for s390x."""
    made = []
    for architecture in (images.ARCHITECTURE, "s390x"):
        layer = images.Layer().file("etc/arch", architecture)
        made.append(images.Image([layer], architecture=architecture).build(tmp_path_factory.mktemp(architecture)))
    return made[0], made[1]


def get(registry: Registry, path: str) -> dict[str, Any]:
    accept = {"Accept": ", ".join((OCI["index"], DOCKER["index"], OCI["manifest"], DOCKER["manifest"]))}
    status, headers, body = registry.request("GET", path, headers=accept)
    assert status == 200, (path, body)
    found: dict[str, Any] = json.loads(body)
    return found | {"digest": headers.get("docker-content-digest", "")}


@pytest.mark.parametrize("types", [OCI, DOCKER], ids=["oci", "docker"])
def test_an_index_goes_through(
    anyone: Wherry, registry_with: Start, several: tuple[Built, Built], types: dict[str, str]
) -> None:
    """Pulled with all platforms, given another name, collected around, pushed: the same digest."""
    source, target = registry_with(), registry_with()
    document = images.index_of(several, types)
    name = source.push_index(list(several), "multi:1", document, types["index"])
    anyone.ok("pull", "--all-platforms", name)
    assert anyone.ok("pull", "-q", "--all-platforms", name) == f"{name}\n"
    other = f"{target.host}/me/multi:2"
    anyone.ok("tag", name, other)
    anyone.ok("rmi", name)
    lines = anyone.ok("push", other).splitlines()
    assert lines[-1] == f"2: digest: {sha256(document)} size: {len(document)}"
    found = get(target, "/v2/me/multi/manifests/2")
    assert found["digest"] == sha256(document)
    for one in several:
        get(target, f"/v2/me/multi/manifests/{one.digest}")
    assert f"2: digest: {several[0].digest}" in anyone.ok("push", "--platform", images_platform(), other)
    anyone.ok("rmi", "-f", other)
    blobs = anyone.root / "blobs" / "sha256"
    assert not list(blobs.iterdir()), "nothing is left of any platform"


def test_the_tree_of_images(wherry: Wherry, registry: Registry, several: tuple[Built, Built], busybox: Built) -> None:
    document = images.index_of(several)
    name = registry.push_index(list(several), "tree:1", document, OCI["index"])
    wherry.ok("pull", "--all-platforms", name)
    plain = registry.push(busybox, "tree-plain:1")
    wherry.ok("pull", plain)
    wherry.ok("tag", plain, "also:1")
    lines = wherry.ok("images", "--tree").splitlines()
    assert lines[0].split() == ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE", "EXTRA"]
    at = next(number for number, line in enumerate(lines) if line.startswith(f"{name} "))
    assert lines[at].split()[1] == sha256(document)[7:19]
    assert lines[at + 1].split()[:3] == ["├─", images_platform(), several[0].digest[7:19]]
    assert lines[at + 2].split()[:3] == ["└─", "linux/s390x", several[1].digest[7:19]]
    at = next(number for number, line in enumerate(lines) if line.startswith(f"{plain} "))
    assert lines[at + 1].startswith("also:1 ")
    assert lines[at + 2].startswith(f"└─ {images_platform()} ")
    assert "--quiet is not yet supported with --tree" in wherry("images", "--tree", "-q").err


def images_platform() -> str:
    return f"linux/{images.ARCHITECTURE}"


def test_all_platforms_or_nothing(wherry: Wherry, registry: Registry, several: tuple[Built, Built]) -> None:
    document = images.index_of(several)
    name = registry.push_index(list(several), "one-platform:1", document, OCI["index"])
    wherry.ok("pull", name)
    refused = wherry("push", "--all-platforms", name)
    assert refused.code == 1
    assert f"one-platform:1 is here for linux/{images.ARCHITECTURE} only" in refused.err
    assert f"1: digest: {several[0].digest}" in wherry.ok("push", name), "what is here, as Docker does"


def test_all_tags(wherry: Wherry, registry_with: Start, busybox: Built, several: tuple[Built, Built]) -> None:
    registry = registry_with()
    registry.push(busybox, "x:1")
    registry.push(several[0], "x:2")
    out = wherry.ok("pull", "-a", f"{registry.host}/x")
    assert "1: Pulling from x\n" in out
    assert f"Digest: {several[0].digest}\n" in out
    assert out.endswith(f"Status: Downloaded newer image for {registry.host}/x\n{registry.host}/x\n")
    tags = wherry.ok("images", "--format", "{{.Tag}}", f"{registry.host}/x").split()
    assert sorted(tags) == ["1", "2"]
    assert "tag can't be used with --all-tags/-a" in wherry("pull", "-a", f"{registry.host}/x:1").err
    assert wherry("pull", "-a", f"{registry.host}/nosuch").code == 1


def test_a_manifest_list(wherry: Wherry, registry_with: Start, several: tuple[Built, Built], tmp_path: Path) -> None:
    """One image is in the registry, one in another of its repositories, one only in the store."""
    registry, other = registry_with(), registry_with()
    here = registry.push(several[0], "app:1-here")
    there = other.push(several[1], "app:1-there")
    layer = images.Layer().file("local", "yes")
    local = images.Image([layer], architecture="arm64", variant="v8").build(tmp_path / "local")
    wherry.load(local.oci_archive(tmp_path / "local.tar", f"{registry.host}/app:1-local"))
    name = f"{registry.host}/app:1"
    assert wherry.ok("manifest", "create", name, here, there) == f"Created manifest list {name}\n"
    assert "refusing to amend an existing manifest list" in wherry("manifest", "create", name, here).err
    wherry.ok("manifest", "create", "--amend", name, f"{registry.host}/app:1-local")
    wherry.ok("manifest", "annotate", "--os-version", "6.1", name, there)
    found = json.loads(wherry.ok("manifest", "inspect", name))
    assert [one["digest"] for one in found["manifests"]] == [several[0].digest, several[1].digest, local.digest]
    assert found["manifests"][1]["platform"] == {"architecture": "s390x", "os": "linux", "os.version": "6.1"}
    assert found["manifests"][2]["platform"]["variant"] == "v8"
    digest = wherry.ok("manifest", "push", name).split()[-1]
    pushed = get(registry, "/v2/app/manifests/1")
    assert pushed.pop("digest") == digest
    assert pushed == found
    for one in (*several, local):
        for blob in (one.manifest["config"], *one.manifest["layers"]):
            assert registry.request("HEAD", f"/v2/app/blobs/{blob['digest']}")[0] == 200
    wherry.ok("pull", name)
    wherry.ok("manifest", "rm", name)
    assert json.loads(wherry.ok("manifest", "inspect", name)) == found, "from the registry now"
    assert wherry("manifest", "rm", name).code == 1
    assert wherry("manifest", "create", name, f"{registry.host}/nosuch:1").code == 1


def test_an_artifact_and_its_subject(wherry: Wherry, registry: Registry, busybox: Built, tmp_path: Path) -> None:
    """docker-registry has no referrers API: the list is kept under a tag."""
    image = registry.push(busybox, "artifacts/app:1")
    (tmp_path / "sbom.json").write_text('{"packages": []}')
    (tmp_path / "big.bin").write_bytes(bytes(5 << 20))
    digest = wherry.ok(
        "artifact", "push", "-q", "--artifact-type", "application/vnd.test.sbom", "--annotation", "who=me", "--subject",
        image, f"{registry.host}/artifacts/app", f"{tmp_path}/sbom.json:application/json", f"{tmp_path}/big.bin",
    ).strip()  # fmt: skip
    wherry.ok("artifact", "push", "-q", "--subject", image, f"{registry.host}/artifacts/app", tmp_path / "sbom.json")
    found = get(registry, f"/v2/artifacts/app/manifests/{digest}")
    assert found["artifactType"] == "application/vnd.test.sbom"
    assert found["subject"]["digest"] == busybox.digest
    assert [one["annotations"]["org.opencontainers.image.title"] for one in found["layers"]] == ["sbom.json", "big.bin"]
    assert found["layers"][0]["mediaType"] == "application/json"
    assert len(wherry.ok("artifact", "ls", "-q", image).split()) == 2
    listed = wherry.ok("artifact", "ls", "--artifact-type", "application/vnd.test.sbom", "--format", "json", image)
    assert json.loads(listed)["Digest"] == digest[:19]
    out = tmp_path / "out"
    paths = wherry.ok("artifact", "pull", "-q", "-o", out, f"{registry.host}/artifacts/app@{digest}").split()
    assert paths == [f"{out}/sbom.json", f"{out}/big.bin"]
    assert (out / "big.bin").read_bytes() == bytes(5 << 20)
    assert sorted(path.name for path in out.iterdir()) == ["big.bin", "sbom.json"]
    assert wherry("pull", f"{registry.host}/artifacts/app@{digest}").code == 1, "an artifact is no image"


@pytest.fixture
def server() -> Iterator[Faulty]:
    with Faulty() as running:
        yield running


def test_a_registry_with_the_referrers_api(wherry: Wherry, server: Faulty, tmp_path: Path) -> None:
    uploads.Uploads(server)
    image = server.add_image("x", [])
    listed: list[dict[str, Any]] = []

    def referrers(exchange: Any) -> bool:
        if "/referrers/" not in exchange.path:
            return False
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI["index"], "manifests": listed}).encode()
        exchange.reply(200, body, {"Content-Type": OCI["index"]})
        return True

    server.routes.insert(0, referrers)
    (tmp_path / "a").write_text("a")
    digest = wherry.ok(
        "artifact", "push", "-q", "--subject", f"{server.host}/x", f"{server.host}/x", tmp_path / "a"
    ).strip()
    assert not [path for path in server.manifests if path.endswith(image["digest"].replace(":", "-"))]
    listed.append({"mediaType": OCI_MANIFEST, "digest": digest, "size": 1, "artifactType": "application/x"})
    assert wherry.ok("artifact", "ls", "-q", f"{server.host}/x") == digest + "\n"
    assert wherry.ok("artifact", "ls", "-q", "--artifact-type", "application/y", f"{server.host}/x") == ""


def test_search_in_a_catalogue(wherry: Wherry, registry_with: Start, busybox: Built) -> None:
    registry = registry_with()
    for name in ("team/python", "team/pytorch", "busybox"):
        registry.push(busybox, name)
    out = wherry.ok("search", f"{registry.host}/PY").splitlines()
    assert out[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert [line.split()[0] for line in out[1:]] == [f"{registry.host}/team/python", f"{registry.host}/team/pytorch"]
    assert (
        wherry.ok("search", "--limit", "1", "--format", "{{.Name}}", f"{registry.host}/")
        == f"{registry.host}/busybox\n"
    )
    assert wherry("search", "--limit", "101", f"{registry.host}/x").code == 1
    assert wherry("search", "-f", "odd=1", f"{registry.host}/x").code == 1
    assert wherry.ok("search", "-f", "stars=1", "--format", "{{.Name}}", f"{registry.host}/py") == ""


def test_pages_are_followed(wherry: Wherry, server: Faulty) -> None:
    def catalogue(exchange: Any) -> bool:
        if not exchange.path.startswith("/v2/_catalog"):
            return False
        number = int(exchange.path.partition("=")[2] or 0)
        more = {"Link": f'</v2/_catalog?n={number + 1}>; rel="next"'} if number < 3 else {}
        if number == 3:
            more = {"Link": '</v2/_catalog?n=2>; rel="next"'}  # a circle
        exchange.reply(200, json.dumps({"repositories": [f"r{number}", 5, None]}).encode(), more)
        return True

    server.routes = [catalogue]
    out = wherry.ok("search", "--format", "{{.Name}}", f"{server.host}/r")
    assert out.split() == [f"{server.host}/r{number}" for number in range(4)]
