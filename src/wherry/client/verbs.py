"""Which verb of the engine is which function here.  The others are only to be had on the machine itself."""

from __future__ import annotations

from importlib import import_module

from wherry.errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.client.http import Remote

VERBS = {
    "archive": {"Archive": "archive"},
    "attach": {"attach": "streams", "wants": "streams"},
    "commit": {"commit": "archive"},
    "completions": dict.fromkeys(("container_names", "image_names", "network_names", "volume_names"), "system"),
    "connections": {"connect": "networks", "disconnect": "networks"},
    "container_list": {"documents": "containers"},
    "containers": {"inspect": "containers", "remove": "containers"},
    "copy": {"copy_in": "archive", "copy_out": "archive", "put_stream": "archive"},
    "diff": {"diff": "archive"},
    "disk_usage": {"disk_usage": "system"},
    "event_stream": {"stream": "system"},
    "exec": {"exec_in": "streams"},
    "export": {"export": "archive"},
    "images": dict.fromkeys(("history", "inspect", "list_images", "tag"), "images"),
    "import_image": {"import_image": "images"},
    "info": {"info": "system"},
    "links": {"unlink": "containers"},
    "load": {"load": "images"},
    "logs": {"texts": "system"},
    "networks": dict.fromkeys(("create", "documents", "inspect", "prune", "remove"), "networks"),
    "pause": {"pause": "containers", "unpause": "containers"},
    "port": {"published": "containers"},
    "prune": {"prune": "containers", "prune_images": "images", "prune_system": "system"},
    "pull": {"pull": "images"},
    "push": {"push": "images"},
    "remove_image": {"remove": "images"},
    "rename": {"rename": "containers"},
    "run": {"make": "streams", "run": "streams", "run_detached": "streams"},
    "save": {"save": "images"},
    "search": {"search": "images"},
    "start": {"start": "containers", "start_attached": "streams"},
    "stats": {"reading": "containers", "watched": "containers"},
    "stop": {"kill": "containers", "restart": "containers", "stop": "containers"},
    "top": {"top": "containers"},
    "update": {"update": "containers"},
    "volume_objects": dict.fromkeys(("create", "documents", "inspect", "prune", "remove"), "volumes"),
    "wait": {"wait": "containers"},
}
"""By module and name below `wherry.engine`, the module of this package that has the same name."""


def find(module: str, name: str) -> Callable[..., Any] | None:
    """The counterpart of ``wherry.engine.module.name``, or None."""
    home = VERBS.get(module, {}).get(name)
    if home is None:
        return None
    found: Callable[..., Any] = getattr(import_module(f"wherry.client.{home}"), name)
    return found


def counterpart(remote: Remote, function: Callable[..., Any], command: str) -> Callable[..., Any]:
    """What ``function`` of the engine is for ``remote``, bound to it.

    Raises `NotSupported`, naming the ``command``, where it has none.
    """
    found = find(function.__module__.removeprefix("wherry.engine."), function.__name__)
    if found is None:
        raise not_there(remote, command)
    return lambda *arguments, **more: found(remote, *arguments, **more)


def not_there(remote: Remote, command: str) -> NotSupported:
    """A command that works on this machine's own store only."""
    source = f" ({remote.address.source})" if remote.address.source else ""
    return NotSupported(
        f"'wherry {command}' works on this machine's own containers and images, not on the engine at "
        f"{remote.address}{source}",
        hint=f"for this machine's, use 'wherry --context default {command}'",
    )
