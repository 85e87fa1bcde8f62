"""What `wherry env run`, `env shell` and `env notebook` have in common: the options of `run`, and a folder or an image.

No library is imported on the way when the environment is built: `env run` costs little more than `run`.
"""

from __future__ import annotations

import os

from wherry.cli.commands.run import check_terminal, when_pulling
from wherry.cli.container_options import OPTIONS, build
from wherry.errors import InvalidArgument

__all__ = ["RUN_OPTIONS", "options", "run", "split", "target", "when_pulling"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call
    from wherry.cli.parser import Row
    from wherry.container.options import ContainerOptions
    from wherry.env.use import Target

# fmt: off
_OTHERWISE: dict[str, Row] = {
    "init": ("init", "", "bool", "true", "Run an init inside the container that forwards signals and reaps processes"),
    "interactive": ("interactive", "i", "bool", "true", "Keep STDIN open even if not attached"),
    "rm": ("rm", "", "bool", "true", "Automatically remove the container when it exits"),
    "tty": ("tty", "t", "bool", "", "Allocate a pseudo-TTY (default when this is one)"),
    "user": ("user", "u", "string", "", "Username or UID (default who calls)"),
    "workdir": ("workdir", "w", "string", "/workspace", "Working directory inside the container"),
}
# fmt: on
RUN_OPTIONS: tuple[Row, ...] = (
    *(_OTHERWISE.get(row[0], row) for row in OPTIONS if row[0] != "platform"),
    ("detach-keys", "", "string", "", "Override the key sequence for detaching a container"),
    ("pull", "", "string", "missing", 'Pull image before running ("always", "missing", "never")'),
    ("python", "", "string", "", "With --with: version of Python, such as 3.11"),
    ("sig-proxy", "", "bool", "true", "Proxy received signals to the process"),
    ("with", "", "list", "", "Package to have, such as scikit-learn==1.5.2, instead of what the folder asks for"),
)
"""Those of `wherry run`, with other defaults."""


def split(arguments: list[str]) -> tuple[str, list[str]]:
    """The folder or image, and the command: ``[TARGET] -- COMMAND``, or ``TARGET COMMAND``; without, this folder."""
    if "--" in arguments[:2]:
        at = arguments.index("--")
        return (arguments[0] if at else "."), arguments[at + 1 :]
    return (arguments[0], arguments[1:]) if arguments else (".", [])


def target(call: Call, wanted: str) -> Target:
    """The image, built where it has to be, and the folder."""
    from wherry.cli.environments import debian_mirrors, follow_pip
    from wherry.env.use import ready, ready_with

    follow_pip(os.environ)
    packages, python = call.get("with", ()), call.get("python", "")
    if packages:
        mirrors = debian_mirrors(call.environ())
        return ready_with(call.engine(), wanted, tuple(packages), python, when_pulling(call), mirrors)
    if python:
        raise InvalidArgument("--python goes with --with; of a folder it is an option in [tool.wherry.env]")
    return ready(call.engine(), wanted, os.getcwd(), when_pulling(call), debian_mirrors(call.environ()))


def options(call: Call, found: Target, command: list[str]) -> ContainerOptions:
    """What `run` is asked: a container for now, joined to the terminal where there is one, with the folder."""
    from wherry.env.use import with_folder

    values, detached = call.values, call.get("detach", False)
    if "restart" not in values:
        values.setdefault("rm", True)
    values.setdefault("init", True)  # what is interrupted ends, though it is no init itself
    if not detached:
        values.setdefault("interactive", True)
        values.setdefault("tty", values["interactive"] and os.isatty(0) and os.isatty(1))
    call.arguments = [found.image, *command]
    made = with_folder(build(call), found, _who_calls(call))
    if not detached:
        check_terminal(made)
    return made


def _who_calls(call: Call) -> tuple[int, int] | None:
    """Who has called sudo."""
    environ = call.environ()
    uid, gid = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    return (int(uid), int(gid)) if os.geteuid() == 0 and uid.isdigit() and gid.isdigit() and uid != "0" else None


def run(call: Call, wanted: ContainerOptions) -> int:
    """Run it and stay with it; its exit status."""
    from wherry.engine.run import run as run_container
    from wherry.monitor.streams import Streams

    streams = Streams(
        0 if wanted.attach_stdin else None,
        1 if wanted.attach_stdout else None,
        2 if wanted.attach_stderr else None,
        wanted.tty,
        call.get("sig-proxy", True),
    )
    if "detach-keys" in call.values:
        from wherry.container.keys import detach_keys

        streams = streams.replace(detach_keys=detach_keys(call.values["detach-keys"]))
    return run_container(call.engine(), wanted, streams, when_pulling(call))
