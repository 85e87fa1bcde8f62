"""Which of several wheels suits an image."""

from __future__ import annotations

import pytest

from wherry.env import wheel_tags
from wherry.errors import InvalidArgument


def best(names: str, python: str = "3.11", architecture: str = "amd64", libc: str = "glibc 2.36") -> str:
    tags = wheel_tags.supported(python, architecture, libc)
    ranks = {tag: number for number, tag in reversed(list(enumerate(tags)))}
    return wheel_tags.best([f"x-1.0-{name}.whl" for name in names.split()], ranks).removeprefix("x-1.0-")[:-4]


@pytest.mark.parametrize(
    ("names", "more", "chosen"),
    [
        ("py3-none-any cp311-cp311-manylinux_2_28_x86_64", {}, "cp311-cp311-manylinux_2_28_x86_64"),
        ("cp311-cp311-manylinux_2_17_x86_64 cp311-cp311-manylinux_2_28_x86_64", {},
         "cp311-cp311-manylinux_2_28_x86_64"),
        ("cp311-cp311-manylinux_2_17_x86_64 cp311-cp311-manylinux_2_39_x86_64", {},
         "cp311-cp311-manylinux_2_17_x86_64"),
        ("cp311-cp311-manylinux2014_x86_64", {"libc": "glibc 2.17"}, "cp311-cp311-manylinux2014_x86_64"),
        ("cp311-cp311-manylinux_2_28_x86_64", {"libc": "glibc 2.27"}, ""),
        ("cp311-cp311-manylinux_2_28_x86_64", {"libc": ""}, ""),
        ("cp311-cp311-musllinux_1_2_x86_64 cp311-cp311-manylinux_2_17_x86_64", {"libc": "musl"},
         "cp311-cp311-musllinux_1_2_x86_64"),
        ("cp39-abi3-manylinux_2_17_x86_64 py3-none-any", {}, "cp39-abi3-manylinux_2_17_x86_64"),
        ("cp312-abi3-manylinux_2_17_x86_64", {}, ""),
        ("cp311-cp311-manylinux_2_17_aarch64 cp311-cp311-manylinux_2_17_x86_64", {"architecture": "arm64"},
         "cp311-cp311-manylinux_2_17_aarch64"),
        ("cp311-cp311-win_amd64 cp311-cp311-macosx_11_0_arm64", {}, ""),
        ("cp311-cp311-linux_x86_64", {"libc": ""}, "cp311-cp311-linux_x86_64"),
        ("py2.py3-none-any", {"python": "3.9"}, "py2.py3-none-any"),
        ("1-py3-none-any 2-py3-none-any 10-py3-none-any", {}, "10-py3-none-any"),
        ("cp311-cp311-manylinux1_x86_64", {"libc": "glibc 2.31"}, "cp311-cp311-manylinux1_x86_64"),
    ],
)  # fmt: skip
def test_the_best(names: str, more: dict[str, str], chosen: str) -> None:
    assert best(names, **more) == chosen


def test_the_order_of_the_list_is_no_reason() -> None:
    names = ["cp311-cp311-manylinux_2_17_x86_64", "cp311-none-any", "py3-none-any", "cp39-abi3-manylinux_2_5_x86_64"]
    assert {best(" ".join(names[at:] + names[:at])) for at in range(4)} == {names[0]}


def test_what_has_no_name_here() -> None:
    with pytest.raises(InvalidArgument, match="no environments for s390x"):
        wheel_tags.supported("3.11", "s390x", "")
    for name in ("x.whl", "x-1.0.tar.gz", "x-1.0-py3.whl", "x-one-py3-none-any.whl"):
        with pytest.raises(InvalidArgument, match="not the name of a wheel"):
            wheel_tags.parsed(name)


def test_a_wheel_is_of_its_package() -> None:
    wheel_tags.check("Some_Thing-1.0-py3-none-any.whl", "some-thing", "1.0.0")
    for name, version in (("other", "1.0"), ("some-thing", "1.1")):
        with pytest.raises(InvalidArgument, match="of which it is not"):
            wheel_tags.check("some_thing-1.0-py3-none-any.whl", name, version)
