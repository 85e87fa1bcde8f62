"""Health checks: what is asked, when the next one is due, and what a result makes of a container (docker-run(1),
*--health-cmd*; moby, ``daemon/health.go``).  Pure: times are seconds of whatever clock the caller has."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.options import ContainerOptions

NONE, STARTING, HEALTHY, UNHEALTHY = "none", "starting", "healthy", "unhealthy"
STATUSES = (NONE, STARTING, HEALTHY, UNHEALTHY)

MOST_OUTPUT = 4096
MOST_RESULTS = 5
CANNOT_RUN = -1
"""Exit code of a check that could not be run, or not to its end."""

_SECOND = 1_000_000_000
_INTERVAL, _TIMEOUT, _START_INTERVAL, _RETRIES = 30 * _SECOND, 30 * _SECOND, 5 * _SECOND, 3
_SHELL = ("/bin/sh", "-c")


def command(options: ContainerOptions) -> tuple[str, ...]:
    """The command that checks a container's health; empty when nothing does."""
    kind, words = (options.health_test or ("",))[0], (options.health_test or ())[1:]
    if kind == "CMD" and words:
        return words
    if kind == "CMD-SHELL" and words:
        return (*_SHELL, words[0])
    return ()


def check(options: ContainerOptions) -> None:
    """Raises `InvalidArgument` for times below a millisecond and a negative number of retries."""
    for name, value in (
        ("Interval", options.health_interval),
        ("Timeout", options.health_timeout),
        ("StartPeriod", options.health_start_period),
        ("StartInterval", options.health_start_interval),
    ):
        if value and value < 1_000_000:
            raise InvalidArgument(f"{name} in Healthcheck cannot be less than 1ms")
    if options.health_retries < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative")


def timeout(options: ContainerOptions) -> float:
    """Seconds that one check may take."""
    return (options.health_timeout or _TIMEOUT) / _SECOND


def timed_out(options: ContainerOptions) -> str:
    """What a check that took longer is said to have written."""
    return f"Health check exceeded timeout ({go_duration(options.health_timeout or _TIMEOUT)})"


def go_duration(nanoseconds: int) -> str:
    """A length of time as Go writes it: ``1.5s``, ``300ms``, ``1m30s``."""
    for unit, name in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms")):
        if nanoseconds < unit * 1_000 and nanoseconds < _SECOND:
            return f"{nanoseconds / unit:.9f}".rstrip("0").rstrip(".") + name
    minutes, rest = divmod(nanoseconds, 60 * _SECOND)
    seconds = f"{rest // _SECOND}.{rest % _SECOND:09d}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds


class Result(Record):
    """One check.  Times are epoch nanoseconds."""

    start: int
    end: int
    exit_code: int
    output: str


class Health(Record):
    """What the checks have found: a status, failures since the last success, the last `MOST_RESULTS` results."""

    status: str = STARTING
    streak: int = 0
    log: tuple[Result, ...] = ()

    def after(self, result: Result, options: ContainerOptions, age: float) -> Health:
        """With one more result; ``age`` is how long the container had run when that check began, in seconds.

        A failure in the start period of a container that was never healthy does not count.
        """
        log = (*self.log, result)[-MOST_RESULTS:]
        if result.exit_code == 0:
            return Health(HEALTHY, 0, log)
        if self.status == STARTING and age < options.health_start_period / _SECOND:
            return self.replace(log=log)
        streak = self.streak + 1
        failed = streak >= (options.health_retries or _RETRIES)
        return Health(UNHEALTHY if failed else self.status, streak, log)


def interval(options: ContainerOptions, status: str, age: float) -> float:
    """Seconds until the next check of a container that has run for ``age`` seconds."""
    if status == STARTING and age < options.health_start_period / _SECOND:
        return (options.health_start_interval or _START_INTERVAL) / _SECOND
    return (options.health_interval or _INTERVAL) / _SECOND


def shortened(output: bytes) -> str:
    """The beginning of what a check wrote, marked when there was more."""
    text = output[:MOST_OUTPUT].decode(errors="replace")
    return text + "..." if len(output) > MOST_OUTPUT else text
