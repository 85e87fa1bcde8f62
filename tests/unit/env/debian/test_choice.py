"""Versions, relations and the choice of packages, against what dpkg and apt do."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.env.debian import index, relations, solve, version
from wherry.errors import Conflict, Corrupt, NotFound

ORDER = ("0~~", "0~~a", "0~", "0", "0a", "0.1~rc1-1", "0.1-1~bpo1", "0.1-1", "0.1-1+b1", "0.1+dfsg-1", "0.2", "0.10",
         "1:0~", "1:0.1")  # fmt: skip


def test_versions_are_in_order() -> None:
    assert sorted({*ORDER}, key=version.key) == list(ORDER)
    assert version.key("1.0") == version.key("1.0-0") == version.key("0:01.0-0")


@pytest.mark.needs("debian")
@settings(max_examples=60, deadline=None)
@given(*[st.from_regex(r"(?:[0-2]:)?[0-9][0-9a-b.+~]{0,4}(?:-[0-9a~+.]{1,3})?", fullmatch=True)] * 2)
def test_versions_compare_as_dpkg_has_it(one: str, other: str) -> None:
    for operator in ("<<", "=", ">="):
        code = subprocess.run(["dpkg", "--compare-versions", one, operator, other], check=False).returncode
        assert version.satisfies(one, operator, other) == (code == 0), (one, operator, other)


@pytest.mark.parametrize("text", ["", "1_2", "a:1", "1 2", "1" * 600])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(Corrupt):
        version.key(text)


def test_relations() -> None:
    text = "libc6 (>= 2.4), debconf (>= 0.5) | debconf-2.0, python3:any, foo [amd64], bar(<<1:2-3~)"
    assert [" | ".join(map(str, group)) for group in relations.parse(text)] == [
        "libc6 (>= 2.4)", "debconf (>= 0.5) | debconf-2.0", "python3", "foo", "bar (<< 1:2-3~)",
    ]  # fmt: skip
    for bad in ("a b", "a (2)", "a (>= 1", "A!"):
        with pytest.raises(Corrupt):
            relations.parse(bad)


def universe(*stanzas: str) -> index.Universe:
    """Of packages as "name version; Field: value; …"."""
    found = index.Universe()
    text = []
    for stanza in stanzas:
        head, *fields = stanza.split("; ")
        name, number = head.split()
        fields += [f"Package: {name}", f"Version: {number}", "Architecture: all", "Size: 1", f"SHA256: {'0' * 64}",
                   f"Filename: pool/{name}.deb"]  # fmt: skip
        text.append("\n".join(fields))
    found.add("debian", index.compact("\n\n".join(text).encode()).decode().split("\n"))
    return found


def chosen(here: index.Universe, *wanted: str) -> list[str]:
    return [one.name for one in solve.solve(here, wanted, "test")]


def test_dependencies_are_followed() -> None:
    here = universe(
        "app 1; Depends: lib (>= 1), tool | other", "lib 2; Pre-Depends: core; Recommends: extra", "core 1", "extra 1",
        "other 1", "tool 1",
    )  # fmt: skip
    assert chosen(here, "app") == ["app", "core", "lib", "tool"]
    assert chosen(here, "app", "other") == ["app", "core", "lib", "other"]


def test_what_only_installs_is_not_followed() -> None:
    here = universe("app 1; Depends: dpkg (>= 1), debconf | debconf-2.0", "dpkg 1", "debconf 1")
    assert chosen(here, "app") == ["app"]
    assert chosen(here, "app", "dpkg") == ["app", "dpkg"]


def test_provided_names() -> None:
    here = universe(
        "app 1; Depends: awk, mail (>= 2)", "gawk 1; Provides: awk; Priority: optional",
        "mawk 1; Provides: awk; Priority: required", "old 1; Provides: mail (= 1)", "new 1; Provides: mail (= 2)",
    )  # fmt: skip
    assert chosen(here, "app") == ["app", "mawk", "new"]
    assert chosen(here, "app", "gawk") == ["app", "gawk", "new"]


def test_the_newest_of_several_lists_is_taken() -> None:
    here = universe("app 1")
    for number in ("1.5", "1.2"):
        here.add("debian-security", index.compact(
            f"Package: app\nVersion: {number}\nArchitecture: all\nSize: 1\nSHA256: {'0' * 64}\n"
            f"Filename: pool/app{number}.deb\n".encode()).decode().split("\n"))  # fmt: skip
    package = solve.solve(here, ["app"], "test")[0].package
    assert (package.version, package.archive) == ("1.5", "debian-security")


def test_what_is_not_there_is_named_with_who_needs_it() -> None:
    here = universe("app 1; Depends: lib", "lib 1; Depends: core (>= 2)", "core 1")
    with pytest.raises(NotFound, match=r"lib, which app needs, needs core \(>= 2\), which is not in Debian test"):
        chosen(here, "app")
    with pytest.raises(NotFound, match="there is no package ap in Debian test") as caught:
        chosen(here, "ap")
    assert "app" in caught.value.hint


def test_conflicts_are_avoided_where_they_can_be_and_told_where_not() -> None:
    here = universe(
        "app 1; Depends: exim | postfix", "exim 1; Conflicts: mta", "postfix 1; Provides: mta",
        "ssmtp 1; Provides: mta",
    )  # fmt: skip
    assert chosen(here, "app") == ["app", "exim"]
    assert chosen(here, "app", "ssmtp") == ["app", "postfix", "ssmtp"]
    with pytest.raises(Conflict, match="exim conflicts with postfix in Debian test"):
        chosen(here, "exim", "postfix")


def test_breaks_count_by_version() -> None:
    here = universe("app 1; Breaks: lib (<< 2)", "lib 1", "libnew 2; Provides: lib (= 2)")
    with pytest.raises(Conflict):
        chosen(here, "app", "lib")
    assert chosen(here, "app", "libnew") == ["app", "libnew"]


@pytest.mark.parametrize(
    "change", [("Filename: pool/", "Filename: ../"), ("Filename: pool/", "Filename: pool/../"), ("Size: 1", "Size: x"),
               (f"SHA256: {'0' * 64}", "SHA256: 0"), ("Package: app", "Package: ../app")]
)  # fmt: skip
def test_hostile_lists_are_refused(change: tuple[str, str]) -> None:
    text = f"Package: app\nVersion: 1\nArchitecture: all\nSize: 1\nSHA256: {'0' * 64}\nFilename: pool/app.deb\n"
    here = index.Universe()
    here.add("debian", index.compact(text.replace(*change).encode()).decode().split("\n"))
    with pytest.raises(Corrupt):
        here.find("app" if "Package: app" in text.replace(*change) else "../app")


def test_a_list_without_a_hash_is_refused() -> None:
    with pytest.raises(Corrupt):
        index.compact(b"Package: app\nVersion: 1\nFilename: pool/app.deb\nSize: 1\n")
