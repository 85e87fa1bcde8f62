"""What a container is made from at each start: the OCI runtime spec, and its place on disk."""

from __future__ import annotations

import os

from wherry.fastjson import dumps
from wherry.store.layout import make_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.engine.network import Sandbox
    from wherry.engine.user_network import UserSandbox
    from wherry.oci.runtime_spec import Spec


def runtime_spec(
    engine: Engine, record: ContainerRecord, layers: tuple[str, ...], sandbox: Sandbox | UserSandbox | None = None
) -> Spec:
    """The OCI runtime spec of a container on this host, whose root consists of ``layers``, top-most first.

    Raises what it can be refused for.
    """
    from wherry.container.spec import build
    from wherry.engine.facts import gather

    spec = build(record, gather(engine, record, layers, sandbox))
    if any(mount.relabel for mount in record.mounts):
        from wherry.container.relabel import relabel

        relabel(record.mounts, spec["linux"].get("mountLabel", ""))
    return spec


def write_bundle(engine: Engine, record: ContainerRecord, spec: Spec) -> str:
    """Write ``config.json`` where runtimes, and the sweep after a crash, find it; gives the directory."""
    bundle = engine.layout.run_container(record.id)
    make_private(bundle)
    with open(f"{bundle}/config.json", "w", opener=_private) as file:
        file.write(dumps(spec))
    return bundle


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
