"""`wherry runtime run`: an OCI bundle through the runtime alone, as `runc run` does it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from wherry.cli.parser import Command
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.main import Call
    from wherry.runtime.process import Process

# fmt: off
COMMAND = Command(
    paths=("runtime run",),
    usage="[OPTIONS] CONTAINER",
    summary="Run an OCI bundle in the foreground",
    description="The bundle is a directory with **config.json** (OCI runtime specification) and what its **root.path** "
    "names. Nothing is kept: no image, no container record, no log. The exit status is that of the process.",
    least=1,
    most=1,
    options=(
        ("bundle", "b", "string", ".", "Path to the bundle"),
        ("pid-file", "", "string", "", "File to write the process id to"),
    ),
)
# fmt: on

_NOT_FORWARDED = (_signal.SIGKILL, _signal.SIGSTOP, _signal.SIGCHLD, _signal.SIGPIPE, _signal.SIGURG)


def main(call: Call) -> int:
    """Runs the bundle; signals are passed on."""
    bundle = os.path.abspath(call.get("bundle", "."))
    spec = _read(f"{bundle}/config.json")
    from wherry.linux.host import probe
    from wherry.runtime.create import Stdio, create

    process = create(
        spec,
        host=probe(),
        stdio=Stdio(0, 1, 2),
        container_id=call.arguments[0],
        bundle=bundle,
        cache=_cache(call),
    )
    try:
        if process.console is not None:
            from wherry.cli.console import copy_size

            copy_size(process.console)  # what the process asks first
        process.start()
        if "pid-file" in call.values:
            with open(call.values["pid-file"], "w") as file:
                file.write(str(process.pid))
        return _wait(process)
    finally:
        process.delete()


def _cache(call: Call) -> str:
    """Where compiled seccomp filters are kept, if the store is there already: a bundle needs none."""
    cache = call.engine().paths.cache
    return cache if os.path.isdir(cache) else ""


def _read(path: str) -> dict[str, Any]:
    from wherry import fastjson

    try:
        with open(path, "rb") as file:
            document = fastjson.loads(file.read())
    except FileNotFoundError:
        raise InvalidArgument(f"{path} does not exist", hint="give the bundle's directory with --bundle") from None
    except fastjson.JSONError as error:
        raise InvalidArgument(f"{path}: {error}") from None
    if not isinstance(document, dict):
        raise InvalidArgument(f"{path} is not an OCI runtime specification")
    return document


def _wait(process: Process) -> int:
    """The exit status, as the shell would say it; every signal that comes meanwhile goes to the process."""

    def forward(number: int, _frame: object) -> None:
        process.kill(number)

    for number in _signal.valid_signals():
        if number not in _NOT_FORWARDED and not 32 <= number < _signal.SIGRTMIN:
            _signal.signal(number, forward)
    if process.console is not None:
        from wherry.cli.console import relay

        relay(process.console)
        os.close(process.console)
    code = os.waitstatus_to_exitcode(process.wait())
    return 128 - code if code < 0 else code
