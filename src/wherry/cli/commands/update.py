"""`wherry update`."""

from __future__ import annotations

from wherry.cli.container_options import CHECKS as OF_RUN
from wherry.cli.each import each
from wherry.cli.parser import Command, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container update", "update"),
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Update configuration of one or more containers",
    description="Limits of a container that runs change at once; what is not named stays as it is.",
    least=1,
    options=(
        ("blkio-weight", "", "uint16", "0", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
        ("cpu-period", "", "int", "", "Limit CPU CFS (Completely Fair Scheduler) period"),
        ("cpu-quota", "", "int", "", "Limit CPU CFS (Completely Fair Scheduler) quota"),
        ("cpu-rt-period", "", "int", "", "Limit the CPU real-time period in microseconds"),
        ("cpu-rt-runtime", "", "int", "", "Limit the CPU real-time runtime in microseconds"),
        ("cpu-shares", "c", "int", "", "CPU shares (relative weight)"),
        ("cpus", "", "decimal", "", "Number of CPUs"),
        ("cpuset-cpus", "", "string", "", "CPUs in which to allow execution (0-3, 0,1)"),
        ("cpuset-mems", "", "string", "", "MEMs in which to allow execution (0-3, 0,1)"),
        ("memory", "m", "bytes", "", "Memory limit"),
        ("memory-reservation", "", "bytes", "", "Memory soft limit"),
        ("memory-swap", "", "bytes", "", "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
        ("pids-limit", "", "int", "", "Tune container pids limit (set -1 for unlimited)"),
        ("restart", "", "string", "", "Restart policy to apply when a container exits"),
    ),
    unsupported=(
        ("kernel-memory", "", "Linux no longer has this limit"),
    ),
)
# fmt: on

CHECKS = {name: OF_RUN[name] for name in ("cpus", "memory", "memory-reservation", "memory-swap")}
_FIELDS = {"cpu-rt-period": "cpu_realtime_period", "cpu-rt-runtime": "cpu_realtime_runtime", "cpus": "nano_cpus"}


def main(call: Call) -> int:
    """Changes containers, one after another."""
    from wherry.container.restart import parse
    from wherry.container.update import ContainerUpdate
    from wherry.engine.update import update

    if not call.values:
        raise UsageError("wherry: you must provide one or more flags when using this command", 1)
    values = dict(call.values)
    policy: dict[str, Any] = {}
    if "restart" in values:
        policy["restart_policy"], policy["restart_retries"] = parse(values.pop("restart"))
    fields = {_FIELDS.get(name, name.replace("-", "_")): value for name, value in values.items()}
    wanted = ContainerUpdate(**fields, **policy)
    change = call.verb(update)
    return each(call.arguments, lambda name: change(name, wanted))
