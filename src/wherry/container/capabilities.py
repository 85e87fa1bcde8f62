"""Which capabilities a container gets: Docker's fourteen, ``--cap-add``, ``--cap-drop``, ``--privileged``.

Names are those of capabilities(7); options may leave out ``CAP_`` and write in any case.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

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


def every() -> tuple[str, ...]:
    """All the kernel's capabilities, in the order of their numbers."""
    from wherry.linux.capabilities import NUMBERS

    return tuple(NUMBERS)


def normalise(names: tuple[str, ...], field: str = "CapAdd") -> tuple[str, ...]:
    """``names`` in capitals with ``CAP_``; ``ALL`` stays.  Raises `InvalidArgument` for a name the kernel never had."""
    result, known = [], every() if names else ()
    for name in names:
        upper = name.upper()
        if upper in ("ALL", "CAP_ALL"):
            result.append("ALL")
            continue
        if not upper.startswith("CAP_"):
            upper = "CAP_" + upper
        if upper not in known:
            raise InvalidArgument(f'invalid {field}: unknown capability: "{upper}"', hint="capabilities(7) lists them")
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
    if not add and not drop and not privileged:
        return DEFAULT if available is None else tuple([name for name in DEFAULT if name in available])
    everything = every() if available is None else tuple([name for name in every() if name in available])
    if privileged:
        return everything
    added, dropped = normalise(add), normalise(drop, "CapDrop")
    if "ALL" in added:
        kept = [name for name in everything if name not in dropped]
    elif "ALL" in dropped:
        kept = [name for name in added if name != "ALL"]
    else:
        kept = [name for name in DEFAULT if name not in dropped and (available is None or name in available)]
        kept += added
    return tuple(dict.fromkeys(kept))
