"""Limits: what Docker refuses, what it fills in, and their form in the OCI runtime spec (config-linux.md)."""

from __future__ import annotations

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import ContainerOptions, DeviceRate

MINIMUM_MEMORY = 6 << 20
DEFAULT_SHM_SIZE = 64 << 20
CPU_PERIOD = 100_000

# null, zero, full, random, urandom, tty, console, pts; ptmx, tty again as nodes of any minor (runc adds the same set)
_DEVICE_RULES: tuple[tuple[bool, str, int | None, int | None, str], ...] = (
    (False, "", None, None, "rwm"),
    (True, "c", None, None, "m"),
    (True, "b", None, None, "m"),
    (True, "c", 1, 3, "rwm"),
    (True, "c", 1, 5, "rwm"),
    (True, "c", 1, 7, "rwm"),
    (True, "c", 1, 8, "rwm"),
    (True, "c", 1, 9, "rwm"),
    (True, "c", 5, 0, "rwm"),
    (True, "c", 5, 1, "rwm"),
    (True, "c", 5, 2, "rwm"),
    (True, "c", 136, None, "rwm"),
)


def check(options: ContainerOptions, *, cpus: int = 0, cpuset: str = "", mems: str = "") -> None:
    """Refuses limits that contradict each other or this machine, in Docker's words (`InvalidArgument`).

    ``cpus`` is how many there are, ``cpuset`` and ``mems`` which ("0-3"); 0 and "" leave those checks out.
    """
    _check_memory(options)
    _check_cpu(options, cpus)
    _check_set(options.cpuset_cpus, cpuset, "cpuset cpus", "Requested CPUs are not available")
    _check_set(options.cpuset_mems, mems, "cpuset mems", "Requested memory nodes are not available")
    if options.blkio_weight and not 10 <= options.blkio_weight <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")
    if options.shm_size < 0:
        raise InvalidArgument("SHM size can not be less than 0")


def _check_memory(options: ContainerOptions) -> None:
    memory, swap, reservation = options.memory, options.memory_swap, options.memory_reservation
    if memory < 0 or reservation < 0 or swap < -1:
        raise InvalidArgument("memory limits cannot be negative", hint="-1 is allowed for --memory-swap: no limit")
    if memory and memory < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if memory and 0 < swap < memory:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit, see usage")
    if not memory and swap > 0:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit, see usage")
    if options.memory_swappiness is not None and not 0 <= options.memory_swappiness <= 100:
        raise InvalidArgument(f"Invalid value: {options.memory_swappiness}, valid memory swappiness range is 0-100")
    if reservation and reservation < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if memory and reservation and memory < reservation:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpu(options: ContainerOptions, cpus: int) -> None:
    if options.nano_cpus and options.cpu_period:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if options.nano_cpus and options.cpu_quota:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    if options.nano_cpus < 0 or (cpus and options.nano_cpus > cpus * 1_000_000_000):
        count = cpus or 1
        raise InvalidArgument(f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available")
    if options.cpu_period and not 1000 <= options.cpu_period <= 1_000_000:
        raise InvalidArgument("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < options.cpu_quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if options.cpu_shares < 0:
        raise InvalidArgument("CPU shares cannot be negative")
    if options.cpu_realtime_runtime and not options.cpu_realtime_period:
        return
    if options.cpu_realtime_runtime > options.cpu_realtime_period:
        raise InvalidArgument("cpu real-time runtime cannot be higher than cpu real-time period")


def _check_set(asked: str, available: str, what: str, refusal: str) -> None:
    if not asked:
        return
    try:
        wanted = parse_set(asked)
    except ValueError:
        raise InvalidArgument(f"Invalid value {asked} for {what}", hint="write for example 0-3 or 0,2") from None
    if available and not wanted <= parse_set(available):
        raise InvalidArgument(f"{refusal} - requested {asked}, available: {available}")


def parse_set(text: str) -> set[int]:
    """The numbers in "0-3,7" (cpuset(7), "List format").  Raises ValueError."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(text)
        start, end = int(first), int(last or first)
        if end < start or end > 8191:
            raise ValueError(text)
        numbers.update(range(start, end + 1))
    return numbers


def shm_size(options: ContainerOptions) -> int:
    """Bytes of /dev/shm: what was asked, else the memory limit, else Docker's 64 MB.

    The pages count against the memory limit, so a larger /dev/shm takes nothing that the container does not have; 64 MB
    is what PyTorch's DataLoader workers die of.
    """
    return options.shm_size or options.memory or DEFAULT_SHM_SIZE


def swap_limit(options: ContainerOptions) -> int:
    """Memory plus swap in bytes: twice the memory limit unless asked otherwise; -1 unlimited, 0 none set."""
    if options.memory and not options.memory_swap:
        return options.memory * 2
    return options.memory_swap


def default_device_rules() -> list[dict[str, Any]]:
    """The device cgroup of a container that asked for no device."""
    return [_rule(*rule) for rule in _DEVICE_RULES]


ALL_DEVICES: dict[str, Any] = {"allow": True, "access": "rwm"}


def _rule(allow: bool, kind: str, major: int | None, minor: int | None, access: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"allow": allow, "access": access}
    if kind:
        rule["type"] = kind
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule


def device_rule(text: str) -> dict[str, Any]:
    """One ``--device-cgroup-rule`` ("c 13:* rwm", already checked by the parser) as the spec has it."""
    kind, numbers, access = text.split(" ")
    major, minor = numbers.split(":")
    return _rule(True, kind, None if major == "*" else int(major), None if minor == "*" else int(minor), access)


def build(options: ContainerOptions, block_devices: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """``linux.resources`` without its devices.  ``block_devices`` gives (major, minor) of every path named."""
    resources: dict[str, Any] = {}
    memory = _memory(options)
    if memory:
        resources["memory"] = memory
    cpu = _cpu(options)
    if cpu:
        resources["cpu"] = cpu
    if options.pids_limit:
        resources["pids"] = {"limit": options.pids_limit if options.pids_limit > 0 else -1}
    block_io = _block_io(options, block_devices)
    if block_io:
        resources["blockIO"] = block_io
    return resources


def _memory(options: ContainerOptions) -> dict[str, Any]:
    memory: dict[str, Any] = {}
    if options.memory:
        memory["limit"] = options.memory
    swap = swap_limit(options)
    if swap:
        memory["swap"] = swap
    if options.memory_reservation:
        memory["reservation"] = options.memory_reservation
    if options.memory_swappiness is not None:
        memory["swappiness"] = options.memory_swappiness
    if options.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(options: ContainerOptions) -> dict[str, Any]:
    cpu: dict[str, Any] = {}
    if options.nano_cpus:
        cpu["quota"] = options.nano_cpus * CPU_PERIOD // 1_000_000_000
        cpu["period"] = CPU_PERIOD
    names = ("shares", "period", "quota", "realtimePeriod", "realtimeRuntime", "cpus", "mems")
    values = (
        options.cpu_shares,
        options.cpu_period,
        options.cpu_quota,
        options.cpu_realtime_period,
        options.cpu_realtime_runtime,
        options.cpuset_cpus,
        options.cpuset_mems,
    )
    for name, value in zip(names, values, strict=True):
        if value:
            cpu[name] = value
    return cpu


def _block_io(options: ContainerOptions, numbers: dict[str, tuple[int, int]]) -> dict[str, Any]:
    block_io: dict[str, Any] = {}
    if options.blkio_weight:
        block_io["weight"] = options.blkio_weight
    if options.blkio_weight_device:
        block_io["weightDevice"] = [_rated(rate, "weight", numbers) for rate in options.blkio_weight_device]
    for name, rates in (
        ("throttleReadBpsDevice", options.blkio_device_read_bps),
        ("throttleWriteBpsDevice", options.blkio_device_write_bps),
        ("throttleReadIOPSDevice", options.blkio_device_read_iops),
        ("throttleWriteIOPSDevice", options.blkio_device_write_iops),
    ):
        if rates:
            block_io[name] = [_rated(rate, "rate", numbers) for rate in rates]
    return block_io


def _rated(rate: DeviceRate, what: str, numbers: dict[str, tuple[int, int]]) -> dict[str, int]:
    if rate.path not in numbers:
        raise InvalidArgument(f"no such block device: {rate.path}")
    major, minor = numbers[rate.path]
    return {"major": major, "minor": minor, what: rate.rate}
