"""References as distribution/reference reads them."""

from __future__ import annotations

import pytest

from wherry.errors import InvalidArgument
from wherry.oci import reference

SHA = "sha256:" + "a" * 64

GOOD = [
    ("nginx", "docker.io/library/nginx", "nginx"),
    ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
    ("user/app", "docker.io/user/app", "user/app"),
    ("library/nginx", "docker.io/library/nginx", "nginx"),
    ("docker.io/nginx", "docker.io/library/nginx", "nginx"),
    ("index.docker.io/nginx", "docker.io/library/nginx", "nginx"),
    ("docker.io/user/app:x", "docker.io/user/app:x", "user/app:x"),
    ("library/a/b", "docker.io/library/a/b", "library/a/b"),
    ("localhost/app", "localhost/app", "localhost/app"),
    ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
    ("ghcr.io/Org".lower() + "/app", "ghcr.io/org/app", "ghcr.io/org/app"),
    ("Registry/app", "Registry/app", "Registry/app"),
    ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
    ("[fe80::1]/app", "[fe80::1]/app", "[fe80::1]/app"),
    ("a__b.c_d-e--f", "docker.io/library/a__b.c_d-e--f", "a__b.c_d-e--f"),
    ("127.0.0.1:5000/a/b/c:_tag.-x", "127.0.0.1:5000/a/b/c:_tag.-x", "127.0.0.1:5000/a/b/c:_tag.-x"),
    (f"nginx@{SHA}", f"docker.io/library/nginx@{SHA}", f"nginx@{SHA}"),
    (f"nginx:1@{SHA}", f"docker.io/library/nginx:1@{SHA}", f"nginx:1@{SHA}"),
    ("nginx@sha512:" + "b" * 128, "docker.io/library/nginx@sha512:" + "b" * 128, "nginx@sha512:" + "b" * 128),
    ("x" * 247, "docker.io/library/" + "x" * 247, "x" * 247),
    ("a" * 63, "docker.io/library/" + "a" * 63, "a" * 63),
]

BAD = [
    "", ":", "/", "nginx:", ":tag", "nginx@", "nginx@sha256:123", f"nginx@sha256:{'A' * 64}", f"nginx@md5:{'a' * 32}",
    "/nginx", "nginx/", "a//b", "a/../b", "../x", "a___b", "a-_b", "a..b", "-a", "a-", "_a", "a_", ".a", "a.", "a b",
    "nginx:ta g", "nginx:.x", "nginx:-x", "nginx:" + "t" * 129, "host:port/x", "host:5000x/y", "ho_st.io/x",
    "-host.io/x", "host-.io/x", "host..io/x", "[::1/x", "[]/x", "[::g]/x", f"nginx@{SHA}@{SHA}", "é", "nginx:é",
    "http://x/y", "x:y:z", "nginx@sha256:../../x", "a\n", "nginx\x00", "registry.io/", "x/" + "y" * 256,
]  # fmt: skip


@pytest.mark.parametrize(("text", "whole", "familiar"), GOOD)
def test_normalises(text: str, whole: str, familiar: str) -> None:
    parsed = reference.parse(text)
    assert str(parsed) == whole
    assert parsed.familiar() == familiar
    assert reference.parse(familiar) == parsed
    assert reference.parse(whole) == parsed


@pytest.mark.parametrize("text", BAD)
def test_refuses(text: str) -> None:
    with pytest.raises(InvalidArgument):
        reference.parse(text)


def test_words() -> None:
    with pytest.raises(InvalidArgument, match=r"repository name \(library/Nginx\) must be lowercase"):
        reference.parse("Nginx")
    with pytest.raises(InvalidArgument, match="cannot specify 64-byte hexadecimal strings"):
        reference.parse("a" * 64)
    with pytest.raises(InvalidArgument, match=r"^invalid reference format$"):
        reference.parse("a..b")


def test_what_to_ask_for() -> None:
    assert reference.parse("nginx").identifier == "latest"
    assert reference.parse("nginx:1").identifier == "1"
    assert reference.parse(f"nginx:1@{SHA}").identifier == SHA
    assert str(reference.parse("nginx").tagged()) == "docker.io/library/nginx:latest"
    assert reference.parse(f"nginx@{SHA}").tagged().tag == ""
