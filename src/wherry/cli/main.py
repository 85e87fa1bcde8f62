"""From an argument vector to an exit status.

`main` reads the options before the command, loads the command's module, reads its options and calls it; whatever is
raised below becomes a message and Docker's exit status here, and nowhere else.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import sys

from wherry.cli import parser
from wherry.cli.table import COMMANDS as COMMANDS
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

    from wherry.client.http import Remote
    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress

    P = ParamSpec("P")
    T = TypeVar("T")

# fmt: off
GLOBAL = parser.Command(
    paths=("",),
    usage="[OPTIONS] COMMAND [ARG...]",
    summary="A container engine without a daemon",
    interspersed=False,
    options=(
        ("config", "", "string", "", "Directory whose registries.toml is read after the system's and the user's"),
        ("context", "c", "string", "", "Name of the context to use to connect to an engine (overrides DOCKER_HOST env "
         'var and default context set with "wherry context use")'),
        ("debug", "D", "bool", "", "Show where an error came from"),
        ("host", "H", "list", "", "Engine to connect to instead of this machine's own "
         "(unix://, tcp:// or ssh://)"),
        ("root", "", "string", "", "Directory for images and containers "
         "(default /var/lib/wherry, or wherry in $XDG_DATA_HOME)"),
        ("run-root", "", "string", "", "Directory for what a reboot may take away "
         "(default /run/wherry, or wherry in $XDG_RUNTIME_DIR)"),
        ("tls", "", "bool", "", "Use TLS; implied by --tlsverify"),
        ("tlscacert", "", "string", "", "Trust certs signed only by this CA (default ca.pem in $DOCKER_CERT_PATH)"),
        ("tlscert", "", "string", "", "Path to TLS certificate file (default cert.pem in $DOCKER_CERT_PATH)"),
        ("tlskey", "", "string", "", "Path to TLS key file (default key.pem in $DOCKER_CERT_PATH)"),
        ("tlsverify", "", "bool", "", "Use TLS and verify the remote"),
        ("version", "v", "bool", "", "Print version information and quit"),
    ),
    unsupported=(("log-level", "l", "use --debug"),),
)
# fmt: on


class Terminated(BaseException):
    """SIGTERM or SIGHUP ended the command; what it had begun is undone on the way out."""

    def __init__(self, number: int) -> None:
        self.number = number


def _terminated(number: int, _frame: object) -> None:
    raise Terminated(number)


class Call:
    """One command as it was typed: its path, option values, arguments and the engine it may open."""

    def __init__(self, path: str, values: dict[str, Any], arguments: list[str], options: dict[str, Any]) -> None:
        self.path = path
        self.values = values
        self.arguments = arguments
        self.options = options
        self._engine: Engine | None = None
        self._remote: Remote | Literal[False] | None = False  # not looked for yet

    def get(self, name: str, default: Any = None) -> Any:
        """An option's value, or ``default`` when it was not given."""
        return self.values.get(name, default)

    def engine(self) -> Engine:
        """The engine on the caller's directories, for what only it can do.

        Raises `NotSupported` when the command line, or the environment, speaks to another one.
        """
        remote = self.remote()
        if remote is not None:
            from wherry.cli.endpoint import not_there

            raise not_there(self.path, remote)
        return self.here()

    def here(self) -> Engine:
        """The engine of this machine, for what is done on this side whatever engine is spoken to."""
        if self._engine is None:
            from wherry.engine.engine import Engine
            from wherry.engine.paths import find

            self._engine = Engine(find(self.environ(), **self.directories()))
        return self._engine

    def remote(self) -> Remote | None:
        """The engine somewhere else that is spoken to; None for this machine's own."""
        if self._remote is False:
            self._remote = None
            if self._names_another():
                from wherry.cli.endpoint import choose

                self._remote = choose(self.options, self.environ())
        return self._remote

    def _names_another(self) -> bool:
        """Whether anything says so; what that means is found out by `wherry.cli.endpoint`."""
        options, environ = self.options, self.environ()
        if options.get("host") or options.get("context"):
            return True
        if options.get("root") or options.get("run-root"):
            return False
        if environ.get("DOCKER_HOST") or environ.get("DOCKER_CONTEXT"):
            return True
        directory = environ.get("DOCKER_CONFIG") or environ.get("HOME", "") + "/.docker"
        try:
            with open(directory + "/config.json", "rb") as file:
                return b'"currentContext"' in file.read()
        except OSError:
            return False

    def verb(self, function: Callable[Concatenate[Engine, P], T]) -> Callable[P, T]:
        """A use case of the engine's, on the engine that is spoken to: this machine's, or another's over its API."""
        remote = self.remote()
        if remote is not None:
            from wherry.client.verbs import counterpart

            found: Callable[P, T] = counterpart(remote, function, self.path)
            return found
        engine = self.here()
        return lambda *arguments, **more: function(engine, *arguments, **more)

    def directories(self) -> dict[str, str]:
        """What --root, --run-root and --config say, as `wherry.engine.paths.find` takes it."""
        options = self.options
        return {
            "root": options.get("root", ""),
            "run": options.get("run-root", ""),
            "config": options.get("config", ""),
        }

    def progress(self) -> Progress:
        """Where a pull, load or save shows how far it is: bars on a terminal, lines elsewhere, nothing with ``-q``."""
        from wherry.cli.progress import open_progress

        return open_progress(quiet=bool(self.values.get("quiet")))

    def environ(self) -> dict[str, str]:
        """The environment of the command line: a copy, because `os.environ` is slow to make (`wherry.fastos`)."""
        from os import fsdecode
        from posix import environ

        return {fsdecode(name): fsdecode(value) for name, value in environ.items()}


class _SitePackages:
    """Finds third-party libraries at the first import that needs one (docs/decisions/0060-start-up.md)."""

    @staticmethod
    def find_spec(name: str, path: object = None, _target: object = None) -> Any:
        if path is not None or name in sys.stdlib_module_names:
            return None
        from wherry.cli.paths import find_in_site_packages

        return find_in_site_packages(name)


def main(arguments: list[str]) -> int:
    """Runs one command and gives the exit status of the process."""
    gc.set_threshold(50_000, 20, 20)  # a run makes a few thousand objects and no garbage; longer commands still collect
    if sys.flags.no_site:
        sys.meta_path.append(_SitePackages)
    for number in (_signal.SIGTERM, _signal.SIGHUP):
        if _signal.getsignal(number) == _signal.SIG_DFL:  # nohup has it ignored
            _signal.signal(number, _terminated)
    options: dict[str, Any] = {}
    path = ""
    try:
        if arguments and arguments[0][:1] == "-":
            options, arguments = parser.parse(GLOBAL, "", arguments)
        path, rest = _find(arguments)
        if not path or options.get("version") or options.get("help"):
            status = _without_command(arguments, options)
        else:
            status = _call(path, rest, options)
        sys.stdout.flush()
        return status
    except BaseException as error:
        if options.get("debug") and not isinstance(error, SystemExit):
            import traceback

            traceback.print_exc()
        from wherry.cli.failure import report

        return report(error, path)


def _find(arguments: list[str]) -> tuple[str, list[str]]:
    """The command's path and what follows it; "" when the words name no command."""
    if arguments:
        name = arguments[0]
        if name in COMMANDS:
            return name, arguments[1:]
        if len(arguments) > 1 and f"{name} {arguments[1]}" in COMMANDS:
            return f"{name} {arguments[1]}", arguments[2:]
    return "", arguments


def _without_command(arguments: list[str], options: dict[str, Any]) -> int:
    if arguments[:1] == ["__complete"]:  # the shells' scripts
        from wherry.cli.complete import main as complete

        return complete(arguments[1:])
    from wherry.cli import help

    if options.get("version"):
        return help.print_version()
    if options.get("help") or not arguments:
        return help.print_help(arguments)
    return help.incomplete(arguments)


def load(path: str) -> ModuleType:
    """The module of a command.  Raises KeyError when there is no such command."""
    name = "wherry.cli.commands." + COMMANDS[path]
    __import__(name)
    return sys.modules[name]


def _call(path: str, arguments: list[str], options: dict[str, Any]) -> int:
    module = load(path)
    command: parser.Command = module.COMMAND
    values, rest = parser.parse(command, path, arguments, getattr(module, "CHECKS", None))
    if values.get("help"):
        from wherry.cli.help import print_command

        return print_command(command, path)
    parser.check_count(command, path, rest)
    status: int = module.main(Call(path, values, rest, options))
    return status


def fail(error: WherryError) -> int:
    """Prints an error that does not end the command, as when one of several images is not there."""
    from wherry.cli.failure import show

    show(error)
    return 1
