"""Tar headers: every dialect that layers come in, and what is refused."""

from __future__ import annotations

import base64
import io
import os
import tarfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import tars
from support.tars import END, Dribble, header, member, pax
from wherry.errors import Corrupt
from wherry.layers import pax as pax_records
from wherry.layers import tar
from wherry.layers.source import Source


def entries(data: bytes, limit: int = 1000) -> list[dict[str, Any]]:
    result = []
    with Source(Dribble(data)) as source:
        for entry in tar.entries(source, limit):
            fields = {name: getattr(entry, name, None) for name in tar.Entry.__slots__}
            result.append(fields | {"data": source.take(entry.size)})
        source.finish()
        assert source.size == len(data)
    return result


def one(data: bytes) -> dict[str, Any]:
    (entry,) = entries(data + END)
    return entry


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644), (b"   644 \0", 0o644), (b"644\0\0\0\0\0", 0o644), (b"0000644 ", 0o644), (b"\0" * 8, 0),
        (b"        ", 0), (b"644\0junk", 0o644), (b"\x80\0\0\0\0\0\1\xa4", 420), (b"\xff" * 8, -1),
        (b"\xff\xff\xff\xff\xff\xff\xff\0", -256),
        (b"\x80" + bytes(3) + b"\x7f\xff\xff\xff\xff\xff\xff\xff", (1 << 63) - 1),
        (b"77777777", 0o77777777),
    ],
)  # fmt: skip
def test_numbers(field: bytes, value: int) -> None:
    assert tar.number(field) == value


@pytest.mark.parametrize(
    "field", [b"0o17\0\0\0\0", b"1_000\0\0\0", b"-1\0\0\0\0\0\0", b"+7\0\0\0\0\0\0", b"8\0\0\0\0\0\0\0",
              b"12 34\0\0\0", b"\xbf" + b"\xff" * 11],
)  # fmt: skip
def test_what_is_not_a_number(field: bytes) -> None:
    with pytest.raises(Corrupt):
        tar.number(field)


def test_long_names_of_gnu() -> None:
    name, link = b"d/" * 100 + b"name", b"t" * 300
    data = member("././@LongLink", name + b"\0", b"L", magic=b"ustar  \0")
    data += member("././@LongLink", link + b"\0", b"K", magic=b"ustar  \0")
    entry = one(data + header(name[:100], b"2", link=link[:100], magic=b"ustar  \0"))
    assert (entry["name"], entry["linkname"]) == (name, link)


def test_the_prefix_of_ustar() -> None:
    assert one(header("name", prefix=b"some/where"))["name"] == b"some/where/name"
    assert one(header("name", prefix=b"times", magic=b"ustar  \0"))["name"] == b"name"  # GNU keeps times there
    assert one(header("n" * 100, prefix=b"p" * 155))["name"] == b"p" * 155 + b"/" + b"n" * 100


def test_pax_says_more_than_the_header() -> None:
    records = {
        "path": "a/\u00fc/" + "x" * 300, "size": "5", "uid": "4294967294", "gid": "70000", "mtime": "-1.5",
        "SCHILY.xattr.user.a": b"\0\xff=\n", "LIBARCHIVE.xattr.user%2Eb": base64.b64encode(b"\1\2").rstrip(b"="),
        "comment": "nothing", "LIBARCHIVE.creationtime": "1",
    }  # fmt: skip
    entry = one(pax(records) + header("short", size=5) + tars.padded(b"12345"))
    assert entry["name"] == records["path"].encode()  # type: ignore[attr-defined]
    assert (entry["uid"], entry["gid"], entry["mtime"], entry["data"]) == (4294967294, 70000, -1_500_000_000, b"12345")
    assert entry["xattrs"] == {"user.a": b"\0\xff=\n", "user.b": b"\1\2"}


def test_global_records_hold_until_they_are_taken_back() -> None:
    first = pax({"mtime": "7", "path": "ignored", "size": "99", "SCHILY.xattr.user.k": "v"}, b"g")
    found = entries(
        first + member("a", b"1") + pax({"mtime": "8"}) + member("b") + pax({"mtime": ""}, b"g") + member("c") + END
    )
    assert [(entry["name"], entry["mtime"] // 10**9) for entry in found] == [
        (b"a", 7),
        (b"b", 8),
        (b"c", 1_700_000_000),
    ]
    assert all(entry["xattrs"] == {"user.k": b"v"} for entry in found)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 10**9), ("1.5", 1_500_000_000), ("0.000000001999", 1), ("-0.25", -250_000_000), ("3.", 3 * 10**9)],
)
def test_times(text: str, value: int) -> None:
    assert pax_records.nanoseconds(text.encode()) == value


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "1e9", "--1", "1 ", "9" * 40, "nan"])
def test_what_is_not_a_time(text: str) -> None:
    with pytest.raises(Corrupt):
        pax_records.nanoseconds(text.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"path=x\n", b"5 a=b\n", b"7 a=b\n", b"99 path=x\n", b"-6 a=b\n", b"6 a=b ", b"6 abc\n", b"6 =bc\n", b"3 =\n",
        b"0006 a=b", b"99999999999999999999999 a=b\n", b"11 path=a\0b\n", b"\xb2 a\n", b"15 GNU.sparse.offset=1\n",
        tars.record("GNU.sparse.offset", "1"), tars.record("GNU.sparse.numbytes", "1"),
            tars.record("SCHILY.xattr.", "1"),
        tars.record("LIBARCHIVE.xattr.user.a", "*"), tars.record("size", "-1"), tars.record("size", "1_0"),
        tars.record("uid", "0x10"), tars.record("SCHILY.xattr.user.a\0b", "1"),
    ],
)  # fmt: skip
def test_damaged_pax(body: bytes) -> None:
    with pytest.raises(Corrupt):
        one(member("PaxHeaders/x", body, b"x") + header("a"))


def test_old_and_odd_kinds() -> None:
    assert one(header("dir/", b"\0"))["kind"] == tar.DIRECTORY
    whole = "d" * 99 + "/file"  # the header has no room for more than the slash
    assert one(pax({"path": whole}) + member(whole[:100], b"1"))["kind"] == tar.FILE
    gnu = member("././@LongLink", whole.encode() + b"\0", b"L", magic=b"ustar  \0")
    assert one(gnu + member(whole[:100], b"1", magic=b"ustar  \0"))["data"] == b"1"
    assert one(header("file", b"\0"))["kind"] == tar.FILE
    assert one(header("file", b"7"))["kind"] == tar.FILE
    assert one(header("file", magic=bytes(8)))["kind"] == tar.FILE
    found = entries(member("label", kind=b"V") + member("dump", b"Yname\0", b"D") + member("after", b"x") + END)
    assert [(entry["name"], entry["kind"]) for entry in found] == [(b"dump", tar.DIRECTORY), (b"after", tar.FILE)]


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_what_has_no_data_has_none_whatever_its_size_says(kind: bytes) -> None:
    found = entries(header("a", kind, link="x", size=4096) + member("b", b"data") + END)
    assert [entry["name"] for entry in found] == [b"a", b"b"]


@pytest.mark.parametrize("kind", [b"Z", b"M", b"\xff", b"8"])
def test_unknown_kinds_are_refused(kind: bytes) -> None:
    with pytest.raises(Corrupt, match="unknown type"):
        one(header("a", kind))


def test_signed_checksums_of_old_writers() -> None:
    block = bytearray(header("na\xefve".encode("latin-1")))
    block[148:156] = b" " * 8
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % signed
    assert one(bytes(block))["name"] == b"na\xefve"


def test_a_wrong_checksum_is_refused() -> None:
    block = bytearray(header("name"))
    block[0] ^= 1
    with pytest.raises(Corrupt, match="checksum"):
        one(bytes(block))


@pytest.mark.parametrize(
    "tail", [b"", bytes(512), END, END + bytes(9 * 1024), END + b"anything at all" * 100, bytes(512) + b"x" * 100]
)
def test_where_a_tar_ends(tail: bytes) -> None:
    if tail.endswith(b"x"):
        with pytest.raises(Corrupt):
            entries(member("a", b"b") + tail)
    else:
        assert [entry["name"] for entry in entries(member("a", b"b") + tail)] == [b"a"]


@pytest.mark.parametrize("cut", [1, 511, 512, 513, 700])
def test_cut_streams_are_corrupt(cut: int) -> None:
    with pytest.raises(Corrupt, match="cut short"):
        entries((member("a", b"b" * 700))[:-cut])


@pytest.mark.parametrize(
    "data",
    [
        header("a") + bytes(512) + member("b"),
        pax({"path": "x"}) + END,
        member("x", b"name\0", b"L"),
        b"not a tar at all" * 64,
        header("a", size=-1),
        header("a", size=-512),
        header("a", uid=-1),
        header("a", uid=(1 << 32) - 1),
        header("a", gid=1 << 40),
        header("x", b"x", size=2 << 20),
        header("x", b"L", size=-1),
        pax({"a": "b"}) * 20 + header("a"),
    ],
    ids=["zeros inside", "lone pax", "lone long name", "garbage", "negative size", "negative block", "negative uid",
         "uid -1", "huge gid", "huge pax", "negative long name", "too many headers"],
)  # fmt: skip
def test_refused(data: bytes) -> None:
    with pytest.raises(Corrupt):
        entries(data + END)


def test_the_number_of_headers_is_limited() -> None:
    assert len(entries(header("a") * 9 + END, limit=10)) == 9
    with pytest.raises(Corrupt, match="more than 10 entries"):
        entries(header("a") * 10 + END, limit=10)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=180
)
INFO = st.builds(
    dict,
    name=NAMES.filter(lambda name: name.strip("/")),
    data=st.binary(max_size=2000),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**21 - 1),
    gid=st.integers(0, 2**21 - 1),
    mtime=st.integers(0, 2**33 - 1),
    type=st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]),
    linkname=NAMES,
).filter(lambda one: one["type"] != tarfile.REGTYPE or not one["name"].endswith("/"))  # a directory, before POSIX


@settings(max_examples=60, deadline=None)
@given(st.lists(INFO, max_size=8), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_agrees_with_tarfile(members: list[dict[str, Any]], form: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for fields in members:
            info = tarfile.TarInfo(fields["name"])
            for key, value in fields.items():
                if key not in ("name", "data"):
                    setattr(info, key, value)
            if info.type == tarfile.REGTYPE:
                info.size = len(fields["data"])
            archive.addfile(info, io.BytesIO(fields["data"]))
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        expected = [
            (info.name, info.mode, info.uid, info.gid, info.mtime, info.type, info.linkname,
             archive.extractfile(info).read() if info.isreg() else b"")  # type: ignore[union-attr]
            for info in archive
        ]  # fmt: skip
    found = [
        (os.fsdecode(entry["name"]).rstrip("/"), entry["mode"], entry["uid"], entry["gid"], entry["mtime"] // 10**9,
         entry["kind"], os.fsdecode(entry["linkname"]), entry["data"])
        for entry in entries(out.getvalue())
    ]  # fmt: skip
    assert found == [(fields[0].rstrip("/"), *fields[1:]) for fields in expected]
