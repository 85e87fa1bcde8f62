"""The process of an ``exec``, from its options and what the container was made of."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.container.exec_options import ExecOptions, process
from wherry.container.facts import Identity
from wherry.container.options import ContainerOptions
from wherry.errors import InvalidArgument

FIRST = {
    "args": ["sleep"],
    "terminal": False,
    "user": {"uid": 9, "gid": 9},
    "capabilities": {"bounding": ["CAP_KILL"], "effective": [], "permitted": [], "inheritable": ["CAP_KILL"]},
    "noNewPrivileges": True,
    "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
    "apparmorProfile": "docker-default",
}
ROOT = Identity()
CONTAINER = ContainerOptions(env=("PATH=/bin", "A=1"), working_dir="/srv", tty=True)


def made(identity: Identity = ROOT, **fields: Any) -> dict[str, Any]:
    spec = {"process": FIRST, "hostname": "box"}
    options = ExecOptions(**({"cmd": ("true",)} | fields))
    return process(spec, CONTAINER, options, identity, hostname="host", every=("CAP_KILL", "CAP_SYS_ADMIN"))


def test_what_is_not_asked_is_the_containers() -> None:
    found = made()
    assert found["cwd"] == "/srv"
    assert found["env"] == ["PATH=/bin", "HOSTNAME=box", "A=1", "HOME=/root"]
    assert found["terminal"] is False
    assert (found["noNewPrivileges"], found["rlimits"]) == (True, FIRST["rlimits"])
    assert found["apparmorProfile"] == "docker-default"
    assert found["user"] == {"uid": 0, "gid": 0, "additionalGids": [0]}


def test_what_is_asked() -> None:
    found = made(tty=True, env=("A", "B=2", "HOME=/x"), working_dir="/a/../b", console_size=(3, 4))
    assert found["env"] == ["PATH=/bin", "HOSTNAME=box", "TERM=xterm", "B=2", "HOME=/x"]
    assert found["cwd"] == "/b"
    assert found["consoleSize"] == {"height": 3, "width": 4}


@pytest.mark.parametrize(
    ("uid", "privileged", "bounding", "effective"),
    [
        (0, False, ["CAP_KILL"], ["CAP_KILL"]),
        (5, False, ["CAP_KILL"], []),
        (0, True, ["CAP_KILL", "CAP_SYS_ADMIN"], ["CAP_KILL", "CAP_SYS_ADMIN"]),
        (5, True, ["CAP_KILL", "CAP_SYS_ADMIN"], []),
    ],
)
def test_capabilities(uid: int, privileged: bool, bounding: list[str], effective: list[str]) -> None:
    """CVE-2022-29162: none is ever inheritable."""
    found = made(Identity(uid, uid, (uid,), "/"), privileged=privileged)["capabilities"]
    assert found == {"bounding": bounding, "effective": effective, "permitted": effective}


@pytest.mark.parametrize(
    "fields", [{"env": ("=x",)}, {"env": ("A=\0",)}, {"cmd": ("a\0b",)}, {"working_dir": "x"}, {"working_dir": "/\0"}]
)
def test_what_cannot_be(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        made(**fields)
