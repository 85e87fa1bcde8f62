"""Wherry: a container engine without a daemon.

For programs: `Env`, and the verbs of `Client` on the caller's own store, all loaded when first used
(docs/python-api.md).
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.python.client import Client as Client
    from wherry.python.client import Completed as Completed
    from wherry.python.environment import Env as Env

    _DEFAULT = Client()
    exec = _DEFAULT.exec
    images = _DEFAULT.images
    inspect = _DEFAULT.inspect
    logs = _DEFAULT.logs
    ps = _DEFAULT.ps
    pull = _DEFAULT.pull
    push = _DEFAULT.push
    rm = _DEFAULT.rm
    rmi = _DEFAULT.rmi
    run = _DEFAULT.run
    run_detached = _DEFAULT.run_detached
    stop = _DEFAULT.stop
    tag = _DEFAULT.tag

_VERBS = ("exec", "images", "inspect", "logs", "ps", "pull", "push", "rm", "rmi", "run", "run_detached", "stop", "tag")
_CLASSES = ("Client", "Completed", "Env")


def __getattr__(name: str) -> object:
    if name in _VERBS:
        from wherry.python.client import DEFAULT

        return getattr(DEFAULT, name)
    if name in _CLASSES:
        from wherry.python import client, environment

        return getattr(environment if name == "Env" else client, name)
    raise AttributeError(f"module 'wherry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_VERBS, *_CLASSES])
