"""What a control group has used: the figures behind ``stats``."""

from __future__ import annotations

from wherry.linux.cgroup.files import read_int, read_table, read_text
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.cgroup.group import Cgroup

_TICK = 10_000_000  # nanoseconds in a USER_HZ tick, 100 per second on every architecture (time(7))
#: v1 shows "no limit" as the largest multiple of the page size.
_UNLIMITED = 1 << 62


class BlockIO(Record):
    """``operation`` is ``read`` or ``write``; bytes and operations since the group was made."""

    major: int
    minor: int
    operation: str
    bytes: int
    operations: int


class Stats(Record):
    """Times in nanoseconds, sizes in bytes; -1 is "no limit", 0 stands for a figure this host does not have."""

    cpu_total: int = 0
    cpu_user: int = 0
    cpu_system: int = 0
    cpu_each: tuple[int, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0
    memory: int = 0
    memory_limit: int = -1
    memory_peak: int = 0
    memory_failures: int = 0
    memory_detail: dict[str, int] = {}
    swap: int = 0
    swap_limit: int = -1
    pids: int = 0
    pids_limit: int = -1
    block: tuple[BlockIO, ...] = ()
    oom_kills: int = 0


def collect(group: Cgroup) -> Stats:
    """One reading; never raises, what cannot be read stays at its default."""
    found: dict[str, object] = {}
    for controllers, old, new in (
        (("cpu", "cpuacct"), _cpu_v1, _cpu_v2),
        (("memory",), _memory_v1, _memory_v2),
        (("blkio", "io"), _block_v1, _block_v2),
    ):
        for controller in controllers:
            directory = group.directory(controller)
            if directory is not None:
                found |= new(directory) if directory == group.unified else old(directory, controller)
    if not group.v1 and group.unified and "cpu_total" not in found:
        found |= _cpu_v2(group.unified)  # cpu.stat is there even where the controller is not
    pids = group.directory("pids")
    if pids is not None:
        found |= {"pids": read_int(pids + "/pids.current"), "pids_limit": read_int(pids + "/pids.max", -1)}
    else:
        found["pids"] = len(group.pids())
    return Stats(**found, oom_kills=group.oom_kills())  # type: ignore[arg-type]


def _cpu_v1(directory: str, controller: str) -> dict[str, object]:
    if controller == "cpu":
        table = read_table(directory + "/cpu.stat")
        return {
            "periods": table.get("nr_periods", 0),
            "throttled_periods": table.get("nr_throttled", 0),
            "throttled_time": table.get("throttled_time", 0),
        }
    ticks = read_table(directory + "/cpuacct.stat")
    each = read_text(directory + "/cpuacct.usage_percpu").split()
    return {
        "cpu_total": read_int(directory + "/cpuacct.usage"),
        "cpu_user": ticks.get("user", 0) * _TICK,
        "cpu_system": ticks.get("system", 0) * _TICK,
        "cpu_each": tuple(int(value) for value in each),
    }


def _cpu_v2(directory: str) -> dict[str, object]:
    table = read_table(directory + "/cpu.stat")
    return {
        "cpu_total": table.get("usage_usec", 0) * 1000,
        "cpu_user": table.get("user_usec", 0) * 1000,
        "cpu_system": table.get("system_usec", 0) * 1000,
        "periods": table.get("nr_periods", 0),
        "throttled_periods": table.get("nr_throttled", 0),
        "throttled_time": table.get("throttled_usec", 0) * 1000,
    }


def _limit(path: str) -> int:
    value = read_int(path, -1)
    return -1 if value >= _UNLIMITED else value


def _memory_v1(directory: str, _controller: str) -> dict[str, object]:
    used = read_int(directory + "/memory.usage_in_bytes")
    both, both_limit = read_int(directory + "/memory.memsw.usage_in_bytes"), -1
    limit = _limit(directory + "/memory.limit_in_bytes")
    both_limit = _limit(directory + "/memory.memsw.limit_in_bytes")
    return {
        "memory": used,
        "memory_limit": limit,
        "memory_peak": read_int(directory + "/memory.max_usage_in_bytes"),
        "memory_failures": read_int(directory + "/memory.failcnt"),
        "memory_detail": read_table(directory + "/memory.stat"),
        "swap": max(0, both - used),
        "swap_limit": both_limit - limit if both_limit >= 0 and limit >= 0 else -1,
    }


def _memory_v2(directory: str) -> dict[str, object]:
    return {
        "memory": read_int(directory + "/memory.current"),
        "memory_limit": read_int(directory + "/memory.max", -1),
        "memory_peak": read_int(directory + "/memory.peak"),
        "memory_failures": read_table(directory + "/memory.events").get("max", 0),
        "memory_detail": read_table(directory + "/memory.stat"),
        "swap": read_int(directory + "/memory.swap.current"),
        "swap_limit": read_int(directory + "/memory.swap.max", -1),
    }


def _block_v1(directory: str, _controller: str) -> dict[str, object]:
    figures: dict[tuple[int, int, str], list[int]] = {}
    for column, name in enumerate(("service_bytes", "serviced")):
        # BFQ's files where that scheduler runs a device, else the throttling layer's, which sees every device.
        for prefix in ("blkio.bfq.io_", "blkio.throttle.io_"):
            lines = [line.split() for line in read_text(f"{directory}/{prefix}{name}_recursive").splitlines()]
            lines = [line for line in lines if len(line) == 3 and line[1] in ("Read", "Write")]
            for number, operation, value in lines:
                major, _, minor = number.partition(":")
                key = (int(major), int(minor), operation.lower())
                figures.setdefault(key, [0, 0])[column] = int(value)
            if lines:
                break
    return {"block": tuple(BlockIO(*key, *values) for key, values in sorted(figures.items()))}


def _block_v2(directory: str) -> dict[str, object]:
    found = []
    for line in read_text(directory + "/io.stat").splitlines():
        number, *pairs = line.split()
        major, _, minor = number.partition(":")
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        for operation, size, count in (("read", "rbytes", "rios"), ("write", "wbytes", "wios")):
            if size in values:
                row = BlockIO(int(major), int(minor), operation, int(values[size]), int(values.get(count, 0)))
                found.append(row)
    return {"block": tuple(found)}
