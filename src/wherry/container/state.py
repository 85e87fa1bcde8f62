"""The life of a container: its states, which may follow which, and Docker's words for them (docker-ps(1), "STATUS")."""

from __future__ import annotations

from wherry.errors import Conflict
from wherry.record import Record

CREATED, RUNNING, PAUSED, RESTARTING, REMOVING, EXITED, DEAD = (
    "created",
    "running",
    "paused",
    "restarting",
    "removing",
    "exited",
    "dead",
)
STATES = (CREATED, RUNNING, PAUSED, RESTARTING, REMOVING, EXITED, DEAD)

# dead: a removal failed half-way; all that is left is to try again
_FOLLOWS = {
    CREATED: (RUNNING, EXITED, REMOVING),
    RUNNING: (PAUSED, RESTARTING, EXITED, REMOVING),
    PAUSED: (RUNNING, RESTARTING, EXITED, REMOVING),
    RESTARTING: (RUNNING, EXITED, REMOVING),
    REMOVING: (DEAD,),
    EXITED: (RUNNING, RESTARTING, REMOVING),
    DEAD: (REMOVING,),
}


class State(Record):
    """Where a container is in its life.  Times are epoch nanoseconds, 0 for never."""

    status: str = CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""  # why the last start failed
    oom_killed: bool = False
    started_at: int = 0
    finished_at: int = 0
    restart_count: int = 0  # how often it was started again by itself since somebody started it
    stopped: bool = False  # somebody asked it to end
    boot: str = ""  # the kernel's boot id when it was started last
    health: str = ""  # "starting", "healthy", "unhealthy"; "" where nothing checks it

    @property
    def running(self) -> bool:
        """Has processes: running, paused (frozen), or about to be started again."""
        return self.status in (RUNNING, PAUSED, RESTARTING)

    def to(self, status: str, **changes: object) -> State:
        """The state after going to ``status``, with other fields changed.

        Raises `Conflict` for a step that does not exist: a caller raced with somebody else's command.
        """
        if status not in _FOLLOWS[self.status]:
            raise Conflict(f"a container that is {self.status} cannot become {status}")
        if status not in (RUNNING, PAUSED):
            changes.setdefault("pid", 0)
        return self.replace(status=status, **changes)

    def started(self, pid: int, now: int) -> State:
        """Its first process runs."""
        again = self.status == RESTARTING
        return self.to(
            RUNNING,
            pid=pid,
            started_at=now,
            exit_code=0,
            error="",
            oom_killed=False,
            stopped=self.stopped and again,
            restart_count=self.restart_count if again else 0,
        )

    def restarting(self, exit_code: int, now: int, *, oom_killed: bool = False) -> State:
        """Its first process ended, and another one is going to be started."""
        count = self.restart_count + 1
        return self.to(RESTARTING, exit_code=exit_code, finished_at=now, oom_killed=oom_killed, restart_count=count)

    def exited(self, exit_code: int, now: int, *, oom_killed: bool = False, error: str = "") -> State:
        """Its first process ended, or could not be started (``error``)."""
        return self.to(EXITED, exit_code=exit_code, finished_at=now, oom_killed=oom_killed, error=error)


_SECOND = 1_000_000_000
_HEALTH = {"starting": " (health: starting)", "healthy": " (healthy)", "unhealthy": " (unhealthy)"}


def status_text(state: State, now: int) -> str:
    """Docker's STATUS column: ``Up 3 minutes (Paused)``, ``Exited (0) 2 hours ago``."""
    status = state.status
    if status == RUNNING:
        return f"Up {duration_text(now - state.started_at)}{_HEALTH.get(state.health, '')}"
    if status == PAUSED:
        return f"Up {duration_text(now - state.started_at)} (Paused)"
    if status == RESTARTING:
        return f"Restarting ({state.exit_code}) {duration_text(now - state.finished_at)} ago"
    if status == EXITED:
        if not state.finished_at:
            return f"Exited ({state.exit_code})"
        return f"Exited ({state.exit_code}) {duration_text(now - state.finished_at)} ago"
    return {REMOVING: "Removal In Progress", DEAD: "Dead"}.get(status, "Created")


def same_until(state: State, now: int) -> int:
    """Until when `status_text` says what it says ``now``, at least: both in epoch nanoseconds."""
    since = state.started_at if state.status in (RUNNING, PAUSED) else state.finished_at
    step = _SECOND if now - since < 60 * _SECOND else 60 * _SECOND
    return since + (max(now - since, 0) // step + 1) * step


def duration_text(nanoseconds: int) -> str:
    """A length of time for people, as go-units writes it: ``About an hour``, ``5 weeks``."""
    seconds = max(nanoseconds, 0) // 1_000_000_000
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    minutes = seconds // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = (seconds + 1800) // 3600
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{seconds // 3600 // 24 // 365} years"
