"""Whether a container that has ended is started again, and when (docker-run(1), *--restart*; moby, ``restartmanager``).

Pure: whoever calls measures the time that it ran by a clock that nobody sets.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.options import ContainerOptions

NO, ON_FAILURE, ALWAYS, UNLESS_STOPPED = "no", "on-failure", "always", "unless-stopped"

FIRST_DELAY = 0.1
MOST_DELAY = 60.0
LONG_ENOUGH = 10.0
"""Seconds: the first pause before a restart, the longest, and how long a container runs until it is the first again."""


def parse(text: str) -> tuple[str, int]:
    """``on-failure:3`` as a policy's name and its number of retries, 0 for no limit.  Raises `InvalidArgument`."""
    name, colon, count = text.partition(":")
    if colon and not name:
        raise InvalidArgument("invalid restart policy format: no policy provided before colon")
    if not count:
        return name, 0
    sign, digits = (-1, count[1:]) if count[0] == "-" else (1, count.removeprefix("+"))
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidArgument("invalid restart policy format: maximum retry count must be an integer")
    return name, sign * int(digits)


def check(name: str, retries: int) -> None:
    """Raises `InvalidArgument` for a policy that there is not, or a number of retries where none can be."""
    if name == ON_FAILURE:
        if retries < 0:
            raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
    elif name in (NO, ALWAYS, UNLESS_STOPPED):
        if retries:
            raise InvalidArgument(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'"
                + (" and cannot be negative" if retries < 0 else "")
            )
    elif name:
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )


def is_wanted(options: ContainerOptions, exit_code: int, count: int) -> bool:
    """Whether a container that ended by itself with this exit code, after ``count`` restarts, is started again."""
    if options.restart_policy == ON_FAILURE:
        return exit_code != 0 and (not options.restart_retries or count < options.restart_retries)
    return options.restart_policy in (ALWAYS, UNLESS_STOPPED)


def starts_at_boot(options: ContainerOptions, *, stopped: bool, same_boot: bool) -> bool:
    """Whether a container that does not run, but has run, is started by `wherry boot`.

    ``stopped``: somebody asked it to end; with "always" that holds until the machine starts again (``same_boot``).
    """
    if options.restart_policy == ALWAYS:
        return not (stopped and same_boot)
    return options.restart_policy == UNLESS_STOPPED and not stopped


class BackOff:
    """The pauses between restarts: each twice the one before, from the first again after a container ran for long."""

    def __init__(self) -> None:
        self._delay = 0.0

    def next(self, ran: float) -> float:
        """Seconds to wait now, for a container that ran for ``ran`` seconds."""
        if ran >= LONG_ENOUGH or not self._delay:
            self._delay = FIRST_DELAY
        else:
            self._delay = min(self._delay * 2, MOST_DELAY)
        return self._delay
