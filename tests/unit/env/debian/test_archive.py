"""Release files: signed, of this suite, of this time."""

from __future__ import annotations

import calendar
from pathlib import Path
from typing import Any

import pytest

from support.debian_archive import key
from wherry.env.debian import archive, signature
from wherry.errors import Corrupt

NOW = float(calendar.timegm((2026, 5, 1, 12, 0, 0)))
HASH = "0" * 64
RELEASE = f"""\
Origin: Debian
Codename: bookworm
Date: Fri, 01 May 2026 11:00:00 UTC
Valid-Until: Fri, 08 May 2026 11:00:00 UTC
Acquire-By-Hash: yes
Architectures: all amd64 arm64
SHA256:
 {HASH} 10 main/binary-amd64/Packages
 {HASH} 5 main/binary-amd64/Packages.xz
 {HASH} 5 main/source/Sources.xz
"""


def check(text: str, **more: Any) -> archive.Suite:
    return archive.check(text, "bookworm", "debian", "bookworm", NOW, **more)


def test_a_release_file_names_package_lists() -> None:
    suite = check(RELEASE)
    assert suite.by_hash and suite.architectures == ("all", "amd64", "arm64")
    assert dict(suite.files) == {
        "main/binary-amd64/Packages": (HASH, 10), "main/binary-amd64/Packages.xz": (HASH, 5),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("08 May", "01 Apr", "was valid until"),
        ("01 May 2026 11", "04 May 2026 11", "which is not yet"),
        ("Codename: bookworm", "Codename: trixie", "the Release file of bookworm is that of trixie"),
        ("Codename: bookworm\n", "", "is that of another suite"),
        ("Date: Fri, ", "Date: ", "no valid Date"),
        ("SHA256:", "MD5Sum:", "names no file by its SHA-256"),
    ],
)
def test_release_files_that_are_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(Corrupt, match=message):
        check(RELEASE.replace(old, new))


def test_lists_of_a_snapshot_may_be_older_than_they_should() -> None:
    assert check(RELEASE.replace("08 May", "01 Apr"), valid_until=False).files


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("keys") / "keys.asc"
    path.write_text(str(key("good").extract_certificate()))
    return str(path)


def signed(text: str, name: str = "good") -> bytes:
    import pysequoia

    return bytes(pysequoia.sign(key(name).signer(), text.encode(), mode=pysequoia.SignatureMode.CLEAR))


def test_only_what_was_signed_is_read(keys: str) -> None:
    document = signed("Date: x\n- y\n")
    for one in (document, b"Codename: evil\n\n" + document, document + b"Codename: evil\n"):
        assert signature.signed_text(one, "it", keys) == "Date: x\n- y\n"


@pytest.mark.parametrize("what", ["changed", "by somebody else", "not signed", "cut short", "empty", "message"])
def test_what_no_trusted_key_has_signed_is_refused(keys: str, what: str) -> None:
    import pysequoia

    document = signed("Date: x\n")
    documents = {
        "changed": document.replace(b"Date: x", b"Date: y"),
        "by somebody else": signed("Date: x\n", "stranger"),
        "not signed": b"Date: x\n",
        "cut short": document[:-200],
        "empty": b"",
        "message": pysequoia.armor(b"nothing", pysequoia.ArmorKind.Message)
        if hasattr(pysequoia.ArmorKind, "Message")
        else b"-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----\n",
    }
    with pytest.raises(Corrupt, match="the Release file of x is not signed by a key of the archive"):
        signature.signed_text(documents[what], "the Release file of x", keys)


def test_an_expired_key_counts_no_more(tmp_path: Path) -> None:
    import datetime

    import pysequoia

    made = key("aging")
    document = signed("Date: x\n", "aging")
    certificate = made.extract_certificate()
    path = tmp_path / "keys.asc"
    path.write_text(str(certificate))
    assert signature.signed_text(document, "it", str(path))
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=5)
    path.write_text(str(certificate.set_expiration(past, made.certifier())))
    assert pysequoia.Cert.split_file(str(path))[0].expiration is not None
    with pytest.raises(Corrupt, match="not signed by a key"):
        signature.signed_text(document, "it", str(path))


def test_the_keys_that_are_shipped_are_debians() -> None:
    import pysequoia

    about = (Path(signature.KEYS).parent / "README").read_text()
    found = pysequoia.Cert.split_file(signature.KEYS)
    assert len(found) == 9
    for one in found:
        assert one.fingerprint.upper() in about.replace(" ", "") and not one.is_revoked
        assert all("debian.org" in str(user) for user in one.user_ids)
