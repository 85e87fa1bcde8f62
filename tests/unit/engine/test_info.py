"""What the engine says of itself and of the machine."""

from __future__ import annotations

import os

from wherry import __version__
from wherry.cli.commands.version import formatted
from wherry.cli.commands.version import versions as shown
from wherry.cli.main import Call
from wherry.engine.engine import Engine
from wherry.engine.info import info, versions
from wherry.store import containers
from wherry.store.containers import ContainerRow


def test_info(engine: Engine) -> None:
    for number, status in enumerate(("created", "exited", "exited")):
        containers.insert(engine.db, ContainerRow(f"{number:064x}", f"c{number}", record="{}", status=status))
    found = info(engine)
    assert (found["Containers"], found["ContainersRunning"], found["ContainersStopped"]) == (3, 0, 3)
    assert (found["NCPU"], found["KernelVersion"]) == (os.cpu_count(), os.uname().release)
    assert found["DockerRootDir"] == engine.paths.root and found["Plugins"]["Volume"] == ["local"]
    children = [name for name in found["Plugins"]["Network"] if name.endswith("vlan")]
    assert children == ([] if engine.rootless else ["ipvlan", "macvlan"])
    assert "wherry" in found["Runtimes"] and found["DefaultRuntime"] == "wherry"
    assert len(found["ID"]) == 36 and found["ID"] == info(engine)["ID"]


def test_proxies_are_shown_without_their_credentials(engine: Engine) -> None:
    proxies = (("http_proxy", "http://name:secret@proxy:3128"), ("NO_PROXY", "localhost"))
    there = Engine(engine.paths.replace(proxies=proxies))
    found = info(there)
    assert (found["HttpProxy"], found["HttpsProxy"]) == ("http://xxxxx:xxxxx@proxy:3128", "")
    assert found["NoProxy"] == "localhost"


def test_versions() -> None:
    assert versions()["Version"] == __version__
    form = "{{.Client.Version}} {{.Server.Version}} {{.Client.APIVersion}} {{.Server.Os}} {{.Client.Context}}"
    document = shown(Call("version", {}, [], {"root": "/nosuch"}))
    assert formatted(document, form) == f"{__version__} {__version__} {versions()['ApiVersion']} linux default"
    assert '"ApiVersion"' in formatted(document, "json") and '"APIVersion"' not in formatted(document, "json")
