"""Manifests, indexes and configurations: what is read, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.errors import Corrupt, NotSupported, WherryError
from wherry.oci import digest, image, manifest
from wherry.oci.manifest import Index, Manifest, parse_manifest

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def descriptor(digest: Any = A, size: Any = 10, **more: Any) -> dict[str, Any]:
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size} | more


def document(**changes: Any) -> bytes:
    value = {"schemaVersion": 2, "mediaType": manifest.OCI_MANIFEST, "config": descriptor(), "layers": [descriptor(B)]}
    return json.dumps({key: found for key, found in (value | changes).items() if found is not None}).encode()


def index(**changes: Any) -> bytes:
    entry = descriptor(platform={"os": "linux", "architecture": "arm", "variant": "v7"})
    value = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": [entry]}
    return json.dumps({key: found for key, found in (value | changes).items() if found is not None}).encode()


def test_manifest() -> None:
    parsed = parse_manifest(document(annotations={"k": "v"}), manifest.OCI_MANIFEST)
    assert isinstance(parsed, Manifest)
    assert (parsed.config.digest, [layer.digest for layer in parsed.layers]) == (A, [B])
    assert parse_manifest(json.dumps(parsed.to_json()).encode()) == parsed


def test_index() -> None:
    parsed = parse_manifest(index(), manifest.OCI_INDEX + "; charset=utf-8")
    assert isinstance(parsed, Index)
    assert str(parsed.manifests[0].platform) == "linux/arm/v7"
    assert parse_manifest(json.dumps(parsed.to_json()).encode()) == parsed


def test_without_a_media_type_the_shape_decides() -> None:
    assert isinstance(parse_manifest(document(mediaType=None)), Manifest)
    assert isinstance(parse_manifest(index(mediaType=None), "application/json"), Index)


BAD_MANIFESTS = {
    "not JSON": b"{",
    "not UTF-8": b'{"a":"\xff"}',
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "two documents": document() + document(),
    "neither": b'{"schemaVersion":2,"mediaType":"%s"}' % manifest.OCI_MANIFEST.encode(),
    "no list": index(manifests=None),
    "manifests null": index(manifests=None, mediaType=None),
    "config is text": document(config=A),
    "layers is an object": document(layers={}),
    "a layer is text": document(layers=[B]),
    "digest missing": document(layers=[{"size": 1}]),
    "digest with a path": document(layers=[descriptor("sha256:../../etc/passwd")]),
    "digest in capitals": document(layers=[descriptor("sha256:" + "A" * 64)]),
    "digest too short": document(layers=[descriptor("sha256:aa")]),
    "digest is a number": document(layers=[descriptor(5)]),
    "another algorithm": document(layers=[descriptor("md5:" + "a" * 32)]),
    "size negative": document(layers=[descriptor(size=-1)]),
    "size is text": document(layers=[descriptor(size="10")]),
    "size is true": document(layers=[descriptor(size=True)]),
    "size is a fraction": document(layers=[descriptor(size=1.5)]),
    "size missing": document(layers=[{"digest": A}]),
    "size huge": document(layers=[descriptor(size=1 << 62)]),
    "too many layers": document(layers=[descriptor()] * 501),
    "too many manifests": index(manifests=[descriptor()] * 1001),
    "urls of numbers": document(layers=[descriptor(urls=[1])]),
    "annotations of numbers": document(annotations={"a": 1}),
    "platform is text": index(manifests=[descriptor(platform="linux")]),
    "media type is a number": document(mediaType=5),
    "too large": document(annotations={"x": "y" * (5 << 20)}),
}


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_malformed(name: str) -> None:
    with pytest.raises((Corrupt, NotSupported)):
        parse_manifest(BAD_MANIFESTS[name])


def test_ambiguous_documents_are_refused() -> None:
    both = json.loads(document()) | {"manifests": [descriptor()]}
    for media_type in ("", manifest.OCI_MANIFEST, manifest.OCI_INDEX):
        with pytest.raises(Corrupt):
            parse_manifest(json.dumps(both | {"mediaType": media_type or None}).encode(), media_type)
    with pytest.raises(Corrupt, match="was served as"):
        parse_manifest(document(), manifest.OCI_INDEX)
    with pytest.raises(Corrupt, match="was served as"):
        parse_manifest(index(), manifest.DOCKER_MANIFEST)


def test_schema_1_is_refused_by_name() -> None:
    with pytest.raises(NotSupported, match="schema version 1"):
        parse_manifest(b'{"schemaVersion":1,"name":"x","fsLayers":[]}')


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["config", "layers", "manifests", "digest", "size", "mediaType", "schemaVersion", "platform", "urls", "annotations", "rootfs", "diff_ids", "config", "Env", "history"]), inner, max_size=5), max_leaves=20))  # fmt: skip  # noqa: E501
@settings(max_examples=300, deadline=None)
def test_anything_is_read_or_refused(value: Any) -> None:
    body = json.dumps(value).encode()
    for parse in (parse_manifest, image.parse):
        try:
            parse(body)
        except WherryError:
            pass


# -- configurations --------------------------------------------------------------------------------------------------


def config(**changes: Any) -> bytes:
    value: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2023-11-14T22:13:20Z",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [A, B]},
        "history": [{"created_by": "x"}, {"empty_layer": True}],
    }
    return json.dumps(value | changes).encode()


def test_config() -> None:
    given = {
        "Env": ["PATH=/bin", "A=", "B=x=y"],
        "Entrypoint": ["/e"],
        "Cmd": "shell",
        "User": "u:g",
        "WorkingDir": "/w",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"k": "v"},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 5, "Retries": 2},
        "Unknown": 1,
    }
    parsed = image.parse(config(config=given))
    assert parsed.env == ("PATH=/bin", "A=", "B=x=y")
    assert (parsed.entrypoint, parsed.cmd) == (("/e",), ("shell",))
    assert (parsed.user, parsed.working_dir, parsed.stop_signal) == ("u:g", "/w", "SIGINT")
    assert (parsed.volumes, parsed.exposed_ports, parsed.labels) == (("/data",), ("80/tcp",), (("k", "v"),))
    assert parsed.healthcheck == image.Healthcheck(("CMD", "x"), 5, retries=2)
    assert parsed.diff_ids == (A, B)
    assert [step.empty_layer for step in parsed.history] == [False, True]
    assert str(parsed.platform) == "linux/amd64"
    assert json.loads(parsed.raw)["config"]["Unknown"] == 1


def test_config_with_nulls() -> None:
    given = dict.fromkeys(("Env", "Entrypoint", "Cmd", "Volumes", "Labels", "Healthcheck", "User", "ExposedPorts"))
    parsed = image.parse(config(config=given, history=None))
    assert parsed.env == parsed.cmd == parsed.volumes == parsed.labels == ()


BAD_CONFIGS: dict[str, dict[str, Any]] = {
    "no rootfs": {"rootfs": None},
    "rootfs of another type": {"rootfs": {"type": "tree", "diff_ids": []}},
    "diff ids are text": {"rootfs": {"type": "layers", "diff_ids": A}},
    "diff id with a path": {"rootfs": {"type": "layers", "diff_ids": ["sha256:../../../etc"]}},
    "too many layers": {"rootfs": {"type": "layers", "diff_ids": [A] * 501}},
    "config is a list": {"config": []},
    "Env is text": {"config": {"Env": "A=B"}},
    "Env of numbers": {"config": {"Env": [1]}},
    "User is a number": {"config": {"User": 0}},
    "Volumes is a list": {"config": {"Volumes": ["/x"]}},
    "Labels of numbers": {"config": {"Labels": {"a": 1}}},
    "Healthcheck is text": {"config": {"Healthcheck": "x"}},
    "Interval is negative": {"config": {"Healthcheck": {"Test": ["NONE"], "Interval": -1}}},
    "Interval is huge": {"config": {"Healthcheck": {"Test": ["NONE"], "Interval": 1 << 70}}},
    "history is an object": {"history": {}},
    "history of text": {"history": ["x"]},
    "architecture is a list": {"architecture": []},
    "too large": {"x": "y" * (5 << 20)},
    "too many variables": {"config": {"Env": ["A=B"] * 10_001}},
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_malformed_config(name: str) -> None:
    with pytest.raises(Corrupt):
        image.parse(config(**BAD_CONFIGS[name]))


def test_chain_ids() -> None:
    assert image.chain_ids(()) == ()
    assert image.chain_ids((A,)) == (A,)
    assert image.chain_ids((A, B)) == (A, digest.of(f"{A} {B}".encode()))


# -- digests ---------------------------------------------------------------------------------------------------------


def test_digests() -> None:
    assert digest.of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest.parse(A) == A
    assert digest.hex_part(A) == "a" * 64
    assert digest.hasher("sha512:" + "a" * 128).name == "sha512"
    for text in (
        "",
        "a" * 64,
        A + "0",
        A[:-1],
        A.upper(),
        "sha256:" + "g" * 64,
        "sha256:/" + "a" * 63,
        None,
        5,
        A + "\n",
    ):
        assert not digest.is_digest(text)
        with pytest.raises(WherryError):
            digest.parse(text)
