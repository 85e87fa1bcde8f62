"""--user and --group-add against an image's passwd and group, and reading those out of stacked layers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.container import lookup, users
from wherry.container.facts import Identity
from wherry.errors import Corrupt, InvalidArgument, SystemFailure

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
# a comment
broken line
app:x:1000:1001::/home/app:/bin/sh
nohome:x:7:7:::
"""
GROUP = b"root:x:0:\nwheel:x:10:root,app\napp:x:1001:\ndata:x:20:app\nodd:x:x:app\nshort:x\n"


@pytest.mark.parametrize(
    ("user", "add", "expected"),
    [
        ("", (), Identity(0, 0, (0, 10), "/root")),
        ("root", (), Identity(0, 0, (0, 10), "/root")),
        ("0", (), Identity(0, 0, (0, 10), "/root")),
        ("app", (), Identity(1000, 1001, (1001, 10, 20), "/home/app")),
        ("1000", (), Identity(1000, 1001, (1001, 10, 20), "/home/app")),
        ("app:data", (), Identity(1000, 20, (20,), "/home/app")),
        ("1000:5", (), Identity(1000, 5, (5,), "/home/app")),
        ("2000", (), Identity(2000, 0, (0,), "/")),
        ("2000:data", ("wheel", "99", "20"), Identity(2000, 20, (20, 10, 99), "/")),
        ("nohome", (), Identity(7, 7, (7,), "/")),
    ],
)
def test_resolve(user: str, add: tuple[str, ...], expected: Identity) -> None:
    assert users.resolve(user, add, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("user", "add", "words"),
    [
        ("nobody", (), "unable to find user nobody: no matching entries in passwd file"),
        ("app:nogroup", (), "unable to find group nogroup: no matching entries in group file"),
        ("app", ("nogroup",), "Unable to find group nogroup"),
        ("-1", (), "uids and gids must be in range 0-2147483647"),
        ("app:2147483648", (), "uids and gids must be in range 0-2147483647"),
        ("app", ("99999999999",), "uids and gids must be in range 0-2147483647"),
    ],
)
def test_resolve_refused(user: str, add: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        users.resolve(user, add, PASSWD, GROUP)


def test_images_without_the_files() -> None:
    assert users.resolve("", (), b"", b"") == Identity(0, 0, (0,), "/")
    assert users.resolve("1:2", (), b"", b"") == Identity(1, 2, (2,), "/")


def stack(tmp_path: Path, *trees: dict[str, str | None]) -> tuple[str, ...]:
    """Directories, top-most first; a value that begins with ``->`` is a symbolic link, None a whiteout."""
    layers = []
    for number, tree in enumerate(trees):
        root = tmp_path / str(number)
        root.mkdir()
        for name, content in tree.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                os.mkfifo(path)  # any kind that is not a file hides what is below; a whiteout needs root
            elif content.startswith("->"):
                path.symlink_to(content[2:])
            else:
                path.write_text(content)
        layers.append(str(root))
    return tuple(layers)


def read(layers: tuple[str, ...], path: str = "/etc/passwd") -> bytes | None:
    return lookup.read(layers, path, 1000)


def test_the_top_most_file_is_read(tmp_path: Path) -> None:
    layers = stack(tmp_path, {"etc/hosts": "h"}, {"etc/passwd": "upper"}, {"etc/passwd": "lower", "etc/group": "g"})
    assert read(layers) == b"upper"
    assert read(layers, "etc/group") == b"g"
    assert read(layers, "/etc/shadow") is None
    assert read(layers, "/etc/passwd/x") is None


def test_what_is_hidden_is_not_read(tmp_path: Path) -> None:
    layers = stack(tmp_path, {"etc/passwd": None, "usr": "file"}, {"etc/passwd": "lower", "usr/lib/passwd": "x"})
    assert read(layers) is None
    assert read(layers, "/usr/lib/passwd") is None


def test_an_opaque_directory_hides_what_is_below(tmp_path: Path) -> None:
    layers = stack(tmp_path, {"etc/group": "g"}, {"etc/passwd": "lower"})
    try:
        os.setxattr(f"{layers[0]}/etc", "user.overlay.opaque", b"y")
    except OSError:
        os.setxattr(f"{layers[0]}/etc", "trusted.overlay.opaque", b"y")
    assert read(layers) is None
    assert read(layers, "/etc/group") == b"g"


def test_links_stay_in_the_image(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("the host's")
    layers = stack(
        tmp_path,
        {"etc": "->usr/etc", "abs": "->/usr/etc/passwd", "up": "->../../../../../passwd", "loop": "->loop"},
        {"usr/etc/passwd": "image", "out": f"->{tmp_path}/passwd"},
    )
    assert read(layers) == b"image"
    assert read(layers, "/abs") == b"image"
    assert read(layers, "/up") is None
    assert read(layers, "/out") is None
    assert read(layers, "/loop") is None
    assert read(layers, "/../etc/./passwd") == b"image"


def test_links_between_layers(tmp_path: Path) -> None:
    layers = stack(tmp_path, {"etc/passwd": "->../lib/passwd"}, {"lib/passwd": "found", "etc/x": "x"})
    assert read(layers) == b"found"


def test_reading_is_bounded_and_leaves_no_descriptors(tmp_path: Path) -> None:
    layers = stack(tmp_path, {"etc/passwd": "x" * 1001, "dir/x": "x"})
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Corrupt, match="larger than 1000 bytes"):
        read(layers)
    assert read(layers, "/dir") is None
    with pytest.raises(SystemFailure):
        read((*layers, str(tmp_path / "missing")))
    assert len(os.listdir("/proc/self/fd")) == before
