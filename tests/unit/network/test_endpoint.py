"""What is said where the kernel lacks a kind of interface."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wherry.errors import NotSupported
from wherry.linux.netlink import NetlinkFailure
from wherry.network import endpoint


class NoSuchKind:
    """Speaks for a kernel without ipvlan and macvlan."""

    def do(self, *_messages: object) -> None:
        raise NetlinkFailure("create the interface eth0", 95, "Unknown device type")


@pytest.mark.parametrize("driver", ["ipvlan", "macvlan"])
def test_a_kernel_without_it_is_named(monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    monkeypatch.setattr(endpoint.links, "find", lambda *_: SimpleNamespace(index=4))
    place: Any = SimpleNamespace(
        network=SimpleNamespace(driver=driver, name="wire", lower="eth0.50", mode="", flag="", mtu=0),
        endpoint=SimpleNamespace(interface="eth0", mac="02:42:0a:00:00:02"),
    )
    host: Any = NoSuchKind()
    with pytest.raises(NotSupported) as caught:
        endpoint._make_child(SimpleNamespace(), place, host)  # type: ignore[arg-type]
    assert caught.value.message == f"this kernel has no {driver} interfaces, which network wire needs"
    assert f"modprobe {driver}" in (caught.value.hint or "")
