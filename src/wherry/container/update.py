"""What of a container can be changed while it lives: its limits and its restart policy (docker-update(1)).  Pure."""

from __future__ import annotations

from wherry.container import resources, restart
from wherry.errors import Conflict
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import ContainerOptions


class ContainerUpdate(Record):
    """Fields are those of `ContainerOptions`; 0, "" and None leave what there is."""

    blkio_weight: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    memory: int = 0
    memory_reservation: int = 0
    memory_swap: int = 0
    nano_cpus: int = 0
    pids_limit: int | None = None  # 0 and -1: no limit
    restart_policy: str = ""  # "no" for none
    restart_retries: int = 0


def check(update: ContainerUpdate, empty: ContainerOptions, *, cpus: int = 0, cpuset: str = "", mems: str = "") -> None:
    """Refuses what no container could be changed to; ``empty`` are options of which none is set.

    Raises `InvalidArgument` as `wherry.container.resources.check` does, which says what the other arguments are.
    """
    asked = empty.replace(**update.as_dict())
    if update.memory_swap and not update.memory:
        asked = asked.replace(memory_swap=0)  # the limit that it belongs to may be there already
    resources.check(asked, cpus=cpus, cpuset=cpuset, mems=mems)
    restart.check(update.restart_policy, update.restart_retries)


def changed(options: ContainerOptions, update: ContainerUpdate) -> ContainerOptions:
    """The options after ``update``.  Raises `Conflict`, in Docker's words, where those before stand in its way."""
    _refuse(options, update)
    given: dict[str, Any] = {name: value for name, value in update.as_dict().items() if value not in (0, "", None)}
    if update.pids_limit == 0:
        given["pids_limit"] = 0
    if update.restart_policy:
        given["restart_policy"] = "" if update.restart_policy == restart.NO else update.restart_policy
        given["restart_retries"] = update.restart_retries
    # what was derived from the limit stays as it was, as what mounts and limits are made of does
    given.setdefault("memory_swap", resources.swap_limit(options))
    given["shm_size"] = resources.shm_size(options)
    new = options.replace(**given)
    resources.check(new)
    return new


def _refuse(options: ContainerOptions, update: ContainerUpdate) -> None:
    for name, text in (("cpu_period", "CPU Period"), ("cpu_quota", "CPU Quota")):
        if update.nano_cpus > 0 and getattr(options, name) > 0:
            raise Conflict(f"Conflicting options: Nano CPUs cannot be updated as {text} has already been set")
        if getattr(update, name) > 0 and options.nano_cpus > 0:
            raise Conflict(f"Conflicting options: {text} cannot be updated as NanoCPUs has already been set")
    swap = resources.swap_limit(options)
    if update.memory > swap >= 0 and not update.memory_swap:
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    if options.auto_remove and update.restart_policy not in ("", restart.NO):
        raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")


def limits(update: ContainerUpdate, options: ContainerOptions) -> dict[str, Any]:
    """``linux.resources`` with what ``update`` changes; ``options`` are those after it.

    Memory and the swap on top of it go together, and so do quota and period."""
    fields = {name: value for name, value in update.as_dict().items() if value not in (0, "", None)}
    if update.pids_limit == 0:
        fields["pids_limit"] = -1
    if update.memory or update.memory_swap:
        fields |= {"memory": options.memory, "memory_swap": options.memory_swap}
    if update.cpu_quota or update.cpu_period:
        fields |= {"cpu_quota": options.cpu_quota, "cpu_period": options.cpu_period}
    return resources.build(type(options)(**fields), {})
