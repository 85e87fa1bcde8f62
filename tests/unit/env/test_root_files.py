"""Metadata of packages as their makers wrote it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.env.root_files import content, named, names
from wherry.errors import Corrupt


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"Metadata-Version: 2.1\nName: Foo_Bar.baz\nVersion: 1.0\n\nVersion: 2\n", ("foo-bar-baz", "1.0")),
        (
            b"Metadata-Version: 2.1\r\nName: nest-asyncio2\r\nVersion: 1.7.4\r\n\r\nName: no\r\n",
            ("nest-asyncio2", "1.7.4"),
        ),
        (b"Name:x\nName: y\nversion:  2 \nSummary: Name: z\n", ("x", "2")),
        (b"", ("", "")),
        (b"\xff\n", ("", "")),
    ],
)
def test_named(tmp_path: Path, text: bytes, found: tuple[str, str]) -> None:
    (tmp_path / "METADATA").write_bytes(text)
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        assert named(root, "METADATA") == found
        assert names(root, ".") == ["METADATA"]
        assert names(root, "METADATA") == []
    finally:
        os.close(root)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("secret")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").symlink_to(".")
    os.mkfifo(tmp_path / "pipe")
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        for path in ("link", "folder/file", "nothing"):
            with pytest.raises(Corrupt):
                content(root, path)
        assert content(root, "pipe") == b""
        assert names(root, "folder") == []
    finally:
        os.close(root)
