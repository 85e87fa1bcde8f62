"""Which capabilities a container gets: Docker's fourteen, ``--cap-add``, ``--cap-drop``, ``--privileged``.

Names are those of capabilities(7); options may leave out ``CAP_`` and write in any case.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

# In the order of their numbers (include/uapi/linux/capability.h).
ALL = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)

# Docker's default set, in Docker's order.
DEFAULT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)


def normalise(names: tuple[str, ...]) -> tuple[str, ...]:
    """``names`` in capitals with ``CAP_``; ``ALL`` stays.  Raises `InvalidArgument` for a name the kernel never had."""
    result = []
    for name in names:
        upper = name.upper()
        if upper in ("ALL", "CAP_ALL"):
            result.append("ALL")
            continue
        if not upper.startswith("CAP_"):
            upper = "CAP_" + upper
        if upper not in ALL:
            raise InvalidArgument(
                f'invalid CapAdd or CapDrop: unknown capability: "{upper}"', hint="capabilities(7) lists them"
            )
        result.append(upper)
    return tuple(result)


def choose(
    add: tuple[str, ...], drop: tuple[str, ...], *, privileged: bool, available: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """The bounding, effective and permitted set of a container, as Docker computes it.

    ``available`` are those that this host can give (the bounding set of the engine; None: all that there are).  ``ALL``
    and ``privileged`` mean those; a capability asked for by name stays even when the host lacks it, so that the runtime
    can say so.
    """
    everything = ALL if available is None else tuple([name for name in ALL if name in available])
    if privileged:
        return everything
    if not add and not drop:
        return DEFAULT if available is None else tuple([name for name in DEFAULT if name in available])
    added, dropped = normalise(add), normalise(drop)
    if "ALL" in added:
        kept = [name for name in everything if name not in dropped]
    elif "ALL" in dropped:
        kept = [name for name in added if name != "ALL"]
    else:
        kept = [name for name in DEFAULT if name not in dropped and (available is None or name in available)]
        kept += added
    return tuple(dict.fromkeys(kept))
