"""Policies and signatures: keys and signatures are made here, as cosign makes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from support import images
from support.command import Wherry
from support.faulty import sha256
from support.images import OCI, Built
from support.registry import Registry

pytestmark = pytest.mark.needs("registry")
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class Signer:
    """A private key and the file of its public key."""

    def __init__(self, directory: Path, kind: str = "ecdsa", name: str = "key") -> None:
        make: dict[str, Callable[[], Any]] = {
            "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
            "rsa": lambda: rsa.generate_private_key(65537, 2048),
            "ed25519": ed25519.Ed25519PrivateKey.generate,
        }
        self.kind, self._key = kind, make[kind]()
        self.path = directory / f"{name}.pub"
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        self.path.write_bytes(self._key.public_key().public_bytes(serialization.Encoding.PEM, form))

    def sign(self, message: bytes) -> str:
        if self.kind == "ecdsa":
            signature = self._key.sign(message, ec.ECDSA(hashes.SHA256()))
        elif self.kind == "rsa":
            signature = self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        else:
            signature = self._key.sign(message)
        return base64.b64encode(signature).decode()


def put(registry: Registry, repository: str, tag: str, manifest: dict[str, Any], *blobs: bytes) -> str:
    for blob in blobs:
        registry.put_blob(repository, sha256(blob), blob)
    return registry.put_manifest(repository, tag, json.dumps(manifest).encode(), OCI["manifest"])


def descriptor(blob: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(blob), "size": len(blob)} | more


def sign(registry: Registry, repository: str, digest: str, signer: Signer, *, says: str = "", claims: str = "") -> None:
    """What ``cosign sign --key`` writes: a payload in the tag sha256-….sig."""
    identity = {"docker-reference": says or f"{registry.host}/{repository}"}
    critical = {"identity": identity, "image": {"docker-manifest-digest": claims or digest},
                "type": "cosign container image signature"}  # fmt: skip
    payload = json.dumps({"critical": critical, "optional": None}).encode()
    layer = descriptor(payload, SIMPLE, annotations={"dev.cosignproject.cosign/signature": signer.sign(payload)})
    manifest = {"schemaVersion": 2, "mediaType": OCI["manifest"], "config": descriptor(b"{}", OCI["config"]),
                "layers": [layer]}  # fmt: skip
    put(registry, repository, digest.replace(":", "-") + ".sig", manifest, payload, b"{}")


def attach(registry: Registry, repository: str, digest: str, signer: Signer, *, name: str = "") -> None:
    """What newer cosign writes: a bundle among the referrers (here by the tag that lists them)."""
    algorithm, _, encoded = digest.partition(":")
    subject: dict[str, Any] = {"digest": {algorithm: encoded}} | ({"name": name} if name else {})
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": [subject],
                 "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {}}  # fmt: skip
    payload, kind = json.dumps(statement).encode(), "application/vnd.in-toto+json"
    pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    envelope = {"payload": base64.b64encode(payload).decode(), "payloadType": kind,
                "signatures": [{"sig": signer.sign(pae)}]}  # fmt: skip
    bundle = json.dumps({"mediaType": BUNDLE, "dsseEnvelope": envelope}).encode()
    manifest = {
        "schemaVersion": 2, "mediaType": OCI["manifest"], "artifactType": BUNDLE,
        "layers": [descriptor(bundle, BUNDLE)],
        "config": descriptor(b"{}", "application/vnd.oci.empty.v1+json"),
        "subject": {"mediaType": OCI["manifest"], "digest": digest, "size": 1},
    }  # fmt: skip
    tied = put(registry, repository, "bundle", manifest, bundle, b"{}")
    entry = {"mediaType": OCI["manifest"], "digest": tied, "size": len(json.dumps(manifest)), "artifactType": BUNDLE}
    index = {"schemaVersion": 2, "mediaType": OCI["index"], "manifests": [entry]}
    registry.put_manifest(repository, digest.replace(":", "-"), json.dumps(index).encode(), OCI["index"])


class Host:
    """A command line with a policy: ``host("pull", …)``."""

    def __init__(self, wherry: Wherry) -> None:
        self.wherry = wherry
        self.directory = wherry.directory / "etc"
        self.directory.mkdir()

    def policy(self, text: str) -> None:
        (self.directory / "policy.toml").write_text(text)

    def require(self, name: str, *signers: Signer, more: str = "") -> None:
        keys = json.dumps([str(signer.path) for signer in signers])
        self.policy(f'[repository."{name}"]\nrule = "require"\nkeys = {keys}\n{more}\n')

    def pull(self, name: str, *, refused: str = "") -> None:
        done = self.wherry("--config", self.directory, "pull", "-q", name)
        assert (done.code == 1) == bool(refused), str(done)
        assert refused in done.err
        if refused:
            assert self.wherry.ok("images", "-q") == ""
            assert not list((self.wherry.root / "blobs" / "sha256").iterdir())


@pytest.fixture
def host(wherry: Wherry) -> Host:
    return Host(wherry)


@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
@pytest.mark.parametrize("form", ["simple", "bundle"])
def test_signed_or_not(
    host: Host, registry: Registry, busybox: Built, tmp_path: Path, kind: str, form: str
) -> None:  # fmt: skip
    mine, other = Signer(tmp_path, kind), Signer(tmp_path, kind, "other")
    repository = f"signed/{kind}-{form}"
    name = registry.push(busybox, f"{repository}:1")
    host.require(f"{registry.host}/signed", mine, more="")
    host.pull(name, refused=f"{name}: it has no signature")

    def write(signer: Signer) -> None:
        if form == "simple":
            sign(registry, repository, busybox.digest, signer)
        else:
            attach(registry, repository, busybox.digest, signer, name=f"{registry.host}/{repository}")

    write(other)
    host.pull(name, refused="none of its signatures is by a key of the policy")
    host.require(f"{registry.host}/signed", mine, other)
    host.pull(name)
    host.require(f"{registry.host}/signed", mine)
    done = host.wherry("--config", host.directory, "pull", name)
    assert done.code == 1, "what is here already is judged again"
    write(mine)
    host.wherry.ok("--config", host.directory, "pull", name)


def test_an_index_that_is_signed_signs_what_is_in_it(
    host: Host, registry: Registry, busybox: Built, tmp_path: Path
) -> None:
    signer = Signer(tmp_path)
    document = images.index_of([busybox])
    name = registry.push_index([busybox], "signed/index:1", document, OCI["index"])
    host.require(registry.host, signer)
    host.pull(name, refused="it has no signature")
    sign(registry, "signed/index", sha256(document), signer)
    host.pull(name)


def test_a_signature_of_something_else(host: Host, registry: Registry, busybox: Built, tmp_path: Path) -> None:
    """The payload names another image, or another repository: replayed, it is worth nothing."""
    signer = Signer(tmp_path)
    name = registry.push(busybox, "signed/replayed:1")
    host.require(registry.host, signer)
    sign(registry, "signed/replayed", busybox.digest, signer, claims="sha256:" + "0" * 64)
    host.pull(name, refused="none of its signatures")
    sign(registry, "signed/replayed", busybox.digest, signer, says=f"{registry.host}/signed/original")
    host.pull(name, refused="it is signed for another repository")
    host.require(registry.host, signer, more='identity = "any"')
    host.pull(name)


def test_copies_and_runs_are_judged(host: Host, registry: Registry, busybox: Built, tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    name = registry.push(busybox, "signed/ways:1")
    host.require(registry.host, signer)
    options = ("--config", host.directory)
    for target in ("here:1", f"oci:{tmp_path}/out:1", f"docker://{registry.host}/signed/copy:1"):
        done = host.wherry(*options, "image", "copy", f"docker://{name}", target)
        assert done.code == 1
        assert "it has no signature" in done.err
    assert not (tmp_path / "out").exists()
    assert host.wherry(*options, "run", "--rm", "--network", "none", name, "true").code == 125
    assert host.wherry(*options, "pull", "--all-platforms", name).code == 1
    sign(registry, "signed/ways", busybox.digest, signer)
    host.wherry.ok(*options, "run", "--rm", "--network", "none", name, "true")


def test_accept_and_reject(host: Host, registry: Registry, busybox: Built) -> None:
    good, bad = registry.push(busybox, "policy/good/x:1"), registry.push(busybox, "policy/good-not/x:1")
    rules = f'default = "reject"\n[repository."{registry.host}/policy/good"]\nrule = "accept"\n'
    host.policy(rules)
    host.pull(bad, refused=f"{bad}: rejected by policy")
    host.pull(good)
    host.policy(rules + f'[repository."{registry.host}/policy/good/x"]\nrule = "reject"\n')
    assert host.wherry("--config", host.directory, "pull", good).code == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "policy.toml: "),
        ('default = "maybe"', "default must be"),
        ("odd = 1", "unknown key 'odd'"),
        ('[repository."x"]\nrule = "require"', "keys are absolute paths"),
        ('[repository."x"]\nrule = "accept"\nkeys = ["/k"]', "go with the rule require"),
        ('[repository."x"]\nrule = "require"\nkeys = ["k"]', "keys are absolute paths"),
        ('[repository."x*"]\nrule = "accept"', "without tag"),
        ('[repository."x"]\nrules = "accept"', "unknown key 'rules'"),
        ('[repository."x"]', "rule must be"),
    ],
)
def test_a_policy_with_a_mistake_lets_nothing_in(host: Host, registry: Registry, text: str, words: str) -> None:
    host.policy(text)
    host.pull(f"{registry.host}/x", refused=words)


def test_keys_that_are_none(host: Host, registry: Registry, busybox: Built, tmp_path: Path) -> None:
    name = registry.push(busybox, "signed/nokey:1")
    signer = Signer(tmp_path)
    host.require(registry.host, signer)
    signer.path.write_text("no key")
    host.pull(name, refused="is not a public key in PEM form")
    signer.path.unlink()
    host.pull(name, refused="no such file or directory")


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"critical": 5}', b'{"critical": {"image": []}}', b"[" * 100_000])
def test_signatures_that_are_none(
    host: Host, registry: Registry, busybox: Built, tmp_path: Path, payload: bytes
) -> None:
    signer = Signer(tmp_path)
    repository = f"signed/odd-{sha256(payload)[7:15]}"
    name = registry.push(busybox, f"{repository}:1")
    host.require(registry.host, signer)
    layer = descriptor(payload, SIMPLE, annotations={"dev.cosignproject.cosign/signature": signer.sign(payload)})
    manifest = {"schemaVersion": 2, "mediaType": OCI["manifest"], "config": descriptor(b"{}", OCI["config"]),
                "layers": [layer]}  # fmt: skip
    put(registry, repository, busybox.digest.replace(":", "-") + ".sig", manifest, payload, b"{}")
    host.pull(name, refused="it has no signature")


def test_without_the_library(host: Host, registry: Registry, busybox: Built, tmp_path: Path) -> None:
    """An installation without the extra refuses clearly."""
    name = registry.push(busybox, "signed/nolibrary:1")
    host.require(registry.host, Signer(tmp_path))
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "main.py").write_text(
        "import sys\nsys.modules['cryptography'] = None\nsys.argv[0] = 'wherry'\n"
        "from wherry.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    import subprocess
    import sys

    source = Path(__file__).parent.parent.parent / "src"
    state = ["--root", host.wherry.root, "--run-root", host.wherry.run_root, "--config", host.directory]
    done = subprocess.run(
        [sys.executable, hidden / "main.py", *map(str, state), "pull", name],
        capture_output=True, text=True, env=host.wherry.environment({"PYTHONPATH": str(source)}),
    )  # fmt: skip
    assert done.returncode == 1
    assert "this installation cannot verify any\npip install 'wherry[signatures]'" in done.stderr
