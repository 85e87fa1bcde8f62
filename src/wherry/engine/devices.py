"""The devices, GPUs and block device limits of a container as facts for its spec; imported only where one is asked."""

from __future__ import annotations

from wherry.container import devices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import ContainerOptions


def facts(options: ContainerOptions) -> dict[str, Any]:
    """Fields of `wherry.container.facts.Facts`.  Raises `InvalidArgument` for a device that is not there."""
    found: dict[str, Any] = {"devices": devices.resolve(options), "block_devices": devices.block_numbers(options)}
    if options.device_requests:
        from wherry.container import cdi

        found["cdi"] = cdi.edits(options.device_requests)
    return found
