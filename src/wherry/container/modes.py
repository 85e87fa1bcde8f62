"""Which namespaces a container shares, and with whom: ``--network --ipc --pid --uts --userns --cgroupns``.

A container started by root has a user namespace of its own unless it asks for the host's (``--userns=host``), is
privileged, or could not see its volumes as their owners mean them; `own_user_namespace` is where that is decided.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import ContainerOptions
    from wherry.container.record import MountPoint

_LAST_ID = 65535  # of a container's own range: wherry.container.record.ID_COUNT
_NETWORK_CAPABILITIES = ("CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_NET_BROADCAST")
_JOINED = (("network", "network_mode"), ("ipc", "ipc_mode"), ("pid", "pid_mode"))


def container_of(mode: str) -> str:
    """The name or id in ``container:NAME``; "" for every other mode."""
    return mode[10:] if mode.startswith("container:") else ""


def joined(options: ContainerOptions) -> tuple[tuple[str, str], ...]:
    """(namespace type, container) for each namespace that is another container's."""
    if not (options.network_mode or options.ipc_mode or options.pid_mode):
        return ()
    pairs = [(kind, container_of(getattr(options, field))) for kind, field in _JOINED]
    return tuple([pair for pair in pairs if pair[1]])


def check(options: ContainerOptions) -> None:
    """Refuses modes that do not exist and options that contradict them, in Docker's words (`InvalidArgument`)."""
    ipc, pid, network = options.ipc_mode, options.pid_mode, options.network_mode
    if ipc not in ("", "private", "shareable", "host", "none") and not container_of(ipc):
        raise InvalidArgument(f"invalid IPC mode: {ipc}", hint="private, shareable, host, none or container:NAME")
    if pid not in ("", "private", "host") and not container_of(pid):
        raise InvalidArgument("--pid: invalid PID mode", hint="host or container:NAME")
    if options.uts_mode not in ("", "private", "host"):
        raise InvalidArgument("--uts: invalid UTS mode", hint="the only mode is host")
    if options.userns_mode not in ("", "private", "host"):
        raise InvalidArgument("--userns: invalid USER mode", hint="the only mode is host")
    if options.cgroupns_mode not in ("", "private", "host"):
        raise InvalidArgument("--cgroupns: invalid CGROUP mode", hint="private or host")
    if network.startswith("container:") and not container_of(network):
        raise InvalidArgument("invalid container format container:<name|id>")
    if options.uts_mode == "host" and options.hostname:
        raise InvalidArgument("conflicting options: hostname and the UTS mode")
    if options.uts_mode == "host" and options.domainname:
        raise InvalidArgument("conflicting options: domainname and the UTS mode")
    if container_of(network):
        _check_joined_network(options)
    if options.hostname or options.domainname or options.extra_hosts or options.dns_search or options.dns_options:
        _check_names(options)
    if options.oom_score_adj < -1000 or options.oom_score_adj > 1000:
        raise InvalidArgument(f"Invalid value {options.oom_score_adj}, range for oom score adj is [-1000, 1000]")


def _check_names(options: ContainerOptions) -> None:
    """Names go into files of lines and words; sethostname(2) takes 64 bytes."""
    for name in (options.hostname, options.domainname):
        if len(name.encode()) > 64 or not _is_word(name) or "/" in name:
            raise InvalidArgument(f"invalid hostname: {name[:80]!r}", hint="at most 64 bytes, no blanks and no slash")
    for text in options.extra_hosts + options.dns_search + options.dns_options:
        if not _is_word(text):
            raise InvalidArgument(f"invalid name or address: {text[:80]!r}", hint="it must not hold blanks")


def _is_word(text: str) -> bool:
    return text.isprintable() and " " not in text


def _check_joined_network(options: ContainerOptions) -> None:
    if options.hostname:
        raise InvalidArgument("conflicting options: hostname and the network mode")
    if options.dns:
        raise InvalidArgument("conflicting options: dns and the network mode")
    if options.extra_hosts:
        raise InvalidArgument("conflicting options: custom host-to-IP mapping and the network mode")
    if options.port_bindings or options.publish_all:
        raise InvalidArgument("conflicting options: port publishing and the container type network mode")
    if options.networks:
        raise InvalidArgument("conflicting options: addresses and names, and the container type network mode")
    if options.exposed_ports:
        raise InvalidArgument("conflicting options: port exposing and the container type network mode")


class UserNamespace(Record):
    """Whether a container gets ids of its own; ``reason`` says why it does not although that was not asked for."""

    own: bool
    reason: str = ""


def own_user_namespace(
    options: ContainerOptions,
    mounts: tuple[MountPoint, ...] = (),
    *,
    layers: bool = True,
    binds: bool = True,
    without: tuple[str, ...] = (),
    beyond: tuple[str, ...] = (),
) -> UserNamespace:
    """Decides at creation whether a container of root's gets its own range of host ids.

    ``layers``: the image's layers can be id-mapped here; ``binds``: the kernel and the OCI runtime in use can id-map
    binds; ``without``: destinations of ``mounts`` on file systems that cannot; ``beyond``: those that belong to ids
    outside the range, as ``--user`` and ``--group-add`` may ask for.  A container that would see the files of its
    volumes as nobody's is worse than one with host ids, which is what Docker gives: so that is the fallback.  So it is
    for one on the host's network whose capabilities are about networks: they would be void there.
    """
    if options.userns_mode == "host" or options.privileged:
        return UserNamespace(False)
    if not layers:
        return UserNamespace(False, "the file system of the image layers has no id-mapped mounts")
    shared = [mount.destination for mount in mounts if mount.type != "tmpfs"]
    if shared and not binds:
        return UserNamespace(False, f"{shared[0]}: binds cannot be id-mapped here")
    for destination in shared:
        if destination in without:
            return UserNamespace(False, f"{destination}: its file system has no id-mapped mounts")
        if destination in beyond:
            return UserNamespace(False, f"{destination}: it belongs to an id above {_LAST_ID}")
    if options.network_mode == "host" and options.userns_mode != "private" and _has_network_capabilities(options):
        return UserNamespace(False, "--network host: capabilities are void on a network of another user namespace")
    for text in (*options.user.split(":"), *options.group_add):
        if len(text) > 4 and text.isascii() and text.isdigit() and int(text) > _LAST_ID:
            return UserNamespace(False, f"id {text}: a range of host ids ends at {_LAST_ID}")
    return UserNamespace(True)


def _has_network_capabilities(options: ContainerOptions) -> bool:
    """Whether the kernel would ask for the container's capabilities when it uses the network (capabilities(7))."""
    from wherry.container.capabilities import choose

    granted = choose(options.cap_add, options.cap_drop, privileged=options.privileged)
    return any(name in granted for name in _NETWORK_CAPABILITIES)


def warnings(options: ContainerOptions) -> tuple[str, ...]:
    """What of the options has no effect, in Docker's words."""
    if options.network_mode == "host" and (options.port_bindings or options.publish_all):
        return ("Published ports are discarded when using host network mode",)
    return ()


def namespaces(options: ContainerOptions, paths: dict[str, str], *, user: bool) -> list[dict[str, Any]]:
    """``linux.namespaces`` of the OCI runtime spec.

    ``paths`` gives the namespace files to join, by type; one is needed for every ``container:`` mode and may be given
    for a network that was prepared.  ``user``: a user namespace is made (or joined, with its path).
    """
    wanted: list[dict[str, Any]] = [{"type": "mount"}]
    if options.network_mode != "host":
        wanted.append(_namespace("network", paths))
    if options.uts_mode != "host":
        wanted.append({"type": "uts"})
    if options.pid_mode != "host":
        wanted.append(_namespace("pid", paths))
    if options.ipc_mode != "host":
        wanted.append(_namespace("ipc", paths))
    if options.cgroupns_mode != "host":
        wanted.append({"type": "cgroup"})
    if user:
        wanted.append(_namespace("user", paths))
    for kind, container in joined(options):
        if kind not in paths:
            raise InvalidArgument(f"cannot join {kind} of a non running container: {container}")
    return wanted


def _namespace(kind: str, paths: dict[str, str]) -> dict[str, Any]:
    path = paths.get(kind)
    return {"type": kind, "path": path} if path else {"type": kind}
