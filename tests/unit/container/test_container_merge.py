"""What the image gives and what was asked, in one."""

from __future__ import annotations

import pytest

from wherry.container import merge
from wherry.container.options import ContainerOptions
from wherry.errors import InvalidArgument
from wherry.oci.image import ImageConfig

IMAGE = ImageConfig(
    env=("PATH=/opt/bin", "A=image"),
    entrypoint=("/entry",),
    cmd=("image-cmd",),
    user="app",
    working_dir="/srv",
    volumes=("/data",),
    exposed_ports=("80/tcp",),
    labels=(("a", "image"), ("b", "image")),
    stop_signal="SIGQUIT",
)


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (None, None, ("/entry", "image-cmd")),
        (None, ("mine",), ("/entry", "mine")),
        (("sh",), None, ("sh",)),
        (("sh",), ("-c", "x"), ("sh", "-c", "x")),
        (("",), ("mine",), ("mine",)),
        ((), ("mine",), ("mine",)),
        (("",), None, ("image-cmd",)),
    ],
)
def test_entrypoint_and_cmd(
    entrypoint: tuple[str, ...] | None, cmd: tuple[str, ...] | None, expected: tuple[str, ...]
) -> None:
    if entrypoint == ("",) and cmd is None:
        with pytest.raises(InvalidArgument, match="no command specified"):
            merge.merge(ContainerOptions(entrypoint=entrypoint), IMAGE)
        return
    merged = merge.merge(ContainerOptions(entrypoint=entrypoint, cmd=cmd), IMAGE)
    assert merge.command(merged) == expected


def test_nothing_to_run() -> None:
    with pytest.raises(InvalidArgument, match="no command specified"):
        merge.merge(ContainerOptions(), ImageConfig())


def test_the_rest_is_filled_in_and_overridden() -> None:
    merged = merge.merge(ContainerOptions(cmd=("x",)), IMAGE)
    assert (merged.user, merged.working_dir, merged.stop_signal) == ("app", "/srv", "SIGQUIT")
    assert merged.volumes == ("/data",)
    assert merged.exposed_ports == ("80/tcp",)
    given = ContainerOptions(
        cmd=("x",), user="0", working_dir="/a//b/../c", stop_signal="9", labels=(("b", "mine"),),
        volumes=("/more",), exposed_ports=("80/tcp", "81/tcp"),
    )  # fmt: skip
    merged = merge.merge(given, IMAGE)
    assert (merged.user, merged.working_dir, merged.stop_signal) == ("0", "/a/c", "9")
    assert merged.labels == (("a", "image"), ("b", "mine"))
    assert merged.volumes == ("/more", "/data")
    assert merged.exposed_ports == ("80/tcp", "81/tcp")


def test_working_directory_must_be_absolute() -> None:
    with pytest.raises(InvalidArgument, match="the working directory 'x' is invalid, it needs to be an absolute path"):
        merge.merge(ContainerOptions(cmd=("x",), working_dir="x"), IMAGE)


def env(options: ContainerOptions, image: ImageConfig = IMAGE, home: str = "/root") -> dict[str, str]:
    merged = merge.merge(options, image)
    found = merge.process_env(merged, hostname="box", home=home)
    return dict(entry.split("=", 1) for entry in found)


def test_environment() -> None:
    assert env(ContainerOptions(cmd=("x",), env=("A=mine", "B="))) == {
        "PATH": "/opt/bin", "HOSTNAME": "box", "A": "mine", "B": "", "HOME": "/root",
    }  # fmt: skip
    assert env(ContainerOptions(cmd=("x",), tty=True))["TERM"] == "xterm"
    assert env(ContainerOptions(cmd=("x",), tty=True, env=("TERM=vt100",)))["TERM"] == "vt100"
    assert env(ContainerOptions(cmd=("x",), env=("HOME=/h", "HOSTNAME=other")))["HOME"] == "/h"
    assert env(ContainerOptions(cmd=("x",)), home="")["HOME"] == "/"


def test_a_bare_name_removes_a_variable() -> None:
    assert set(env(ContainerOptions(cmd=("x",), env=("A", "PATH", "HOME")))) == {"HOSTNAME"}


def test_default_path() -> None:
    image = ImageConfig(cmd=("x",))
    assert env(ContainerOptions(), image)["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert merge.merge(ContainerOptions(), image).env == (merge.DEFAULT_PATH,)


@pytest.mark.parametrize("entry", ["=x", "", "A=\0"])
def test_variables_refused(entry: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid environment variable"):
        merge.merge(ContainerOptions(cmd=("x",), env=(entry,)), IMAGE)
