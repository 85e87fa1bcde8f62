"""What can be refused before a container exists: options that contradict each other, the machine, or Docker's rules."""

from __future__ import annotations

from wherry.container import modes, resources
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.options import ContainerOptions

INIT_ANNOTATION = "org.wherry.init"


def check(options: ContainerOptions, *, cpus: int = 0, cpuset: str = "", mems: str = "") -> None:
    """Everything that can be refused before anything is made; `InvalidArgument` in Docker's words.

    Give merged options, the number of CPUs and the lists of usable CPUs and memory nodes ("0-3").
    """
    modes.check(options)
    resources.check(options, cpus=cpus, cpuset=cpuset, mems=mems)
    given = ("interval", "timeout", "start_period", "start_interval", "retries")
    if any(getattr(options, f"health_{name}") for name in given):
        from wherry.container import health

        health.check(options)
    if options.restart_policy:
        from wherry.container import restart

        restart.check(options.restart_policy, options.restart_retries)
        if options.auto_remove:
            raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
    if options.cap_add or options.cap_drop:
        from wherry.container import capabilities

        capabilities.normalise(options.cap_add)
        capabilities.normalise(options.cap_drop, "CapDrop")
    if options.security_opt:
        from wherry.container import security

        security.parse(options)
    if options.log_driver or options.log_opts:
        from wherry.container import logging

        logging.check(options.log_driver, options.log_opts)
    for name, _value in options.sysctls:
        check_sysctl(name, options)
    if ".." in options.cgroup_parent.split("/"):
        raise InvalidArgument(f"invalid cgroup parent: {options.cgroup_parent}")
    for name, value in options.annotations:
        if not name or (name == INIT_ANNOTATION and value != "true"):
            raise InvalidArgument("invalid annotation: it needs a name")


def check_sysctl(name: str, options: ContainerOptions) -> None:
    """Refuses a kernel parameter that is not of a namespace of the container's own."""
    from wherry.linux.namespaces import IPC_SYSCTLS

    name = name.replace("/", ".")
    if name in IPC_SYSCTLS or name.startswith("fs.mqueue."):
        if options.ipc_mode == "host" or modes.container_of(options.ipc_mode):
            raise InvalidArgument(f"sysctl '{name}' is not allowed in the host's or another container's ipc namespace")
    elif name.startswith("net."):
        if options.network_mode == "host" or modes.container_of(options.network_mode):
            raise InvalidArgument(
                f"sysctl '{name}' is not allowed in the host's or another container's network namespace"
            )
    else:
        raise InvalidArgument(
            f"sysctl '{name}' is not allowed", hint="only those of the net, ipc and mqueue namespaces"
        )
