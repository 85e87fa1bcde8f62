"""From a runtime specification to operations, without touching the system.

``plan(spec, host)`` is pure: the same specification on the same host gives the same operations, in the order in which
they run.  Golden files in the tests hold plans; ``wherry debug plan`` prints them.
"""

from __future__ import annotations

from wherry.errors import Forbidden, InvalidArgument, NotSupported
from wherry.linux import capabilities as caps
from wherry.linux import mount as m
from wherry.linux.namespaces import IPC_SYSCTLS
from wherry.linux.prctl import IO_CLASSES, POLICIES, RESOURCES, SCHEDULER_FLAGS, UNLIMITED
from wherry.oci.mount import Mount
from wherry.runtime import ops
from wherry.runtime.options import PROPAGATION
from wherry.runtime.situation import Situation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.linux.host import Host
    from wherry.runtime.mounts import Mounts
    from wherry.runtime.ops import Op

#: Annotation: "true" keeps a small init of Wherry's own as pid 1.
INIT_ANNOTATION = "org.wherry.init"
#: Annotation: names of resource limits, with commas, that nobody asked for; they are cut to what the host allows.
LENIENT_LIMITS_ANNOTATION = "org.wherry.default-rlimits"

#: Namespaces that the new process makes itself, while its parent is busy: slow to make (network), owned by the new root
#: (the root of mqueue), or a view of what it has joined by then (cgroup).
_UNSHARED = ("ipc", "uts", "network", "cgroup")


def plan(
    spec: dict[str, Any],
    host: Host,
    rootfs: Mount | None = None,
    *,
    container_id: str = "",
    bundle: str = "",
) -> tuple[Op, ...]:
    """The operations that make the container of ``spec``.

    ``rootfs`` None: ``root.path`` is a directory that is ready.  Raises InvalidArgument for a specification that
    contradicts itself, NotSupported for what this host or Wherry cannot do, Forbidden for what it may not.
    """
    process = spec.get("process")
    if not process:
        raise InvalidArgument("the specification has no process")
    from wherry.runtime.mounts import Mounts, devices_of

    situation = Situation(spec, host, bundle)
    devices = devices_of((spec.get("linux") or {}).get("devices"))
    mounts = Mounts(situation)
    root_slot = mounts.root(rootfs or _ready_root(spec, bundle))
    for entry in spec.get("mounts") or ():
        mounts.add(entry, devices)
    mounts.devices(devices)
    return (
        *_birth(spec, situation, container_id, mounts),
        *_namespaces(spec, situation, container_id, mounts),
        *_files(spec, situation, mounts, root_slot),
        *process_ops(spec, situation),
    )


def _ready_root(spec: dict[str, Any], bundle: str) -> Mount:
    path = str((spec.get("root") or {}).get("path") or "")
    if not path:
        raise InvalidArgument("the specification has no root.path")
    if not path.startswith("/"):
        path = bundle.rstrip("/") + "/" + path if bundle else path
    return Mount("bind", path)


def _birth(spec: dict[str, Any], situation: Situation, container_id: str, mounts: Mounts) -> list[Op]:
    linux = spec.get("linux") or {}
    path = str(linux.get("cgroupsPath") or f"/wherry/{container_id}")
    found: list[Op] = [ops.MakeCgroup(path, linux.get("resources") or {})]
    new = tuple(name for name in situation.new if name not in _UNSHARED)
    found.append(ops.Clone(new, *_joins(situation)))
    if situation.new_user:
        found.append(ops.MapIds(situation.uids, situation.gids))
    if mounts.outside:
        found.append(ops.OpenTrees(tuple(mounts.outside)))
    return found


def _limits(spec: dict[str, Any], situation: Situation) -> list[Op]:
    """By the parent where it has more privileges than the child, else by the child."""
    outside = situation.host.privileged
    lenient = (spec.get("annotations") or {}).get(LENIENT_LIMITS_ANNOTATION, "").split(",")
    found: list[Op] = []
    for limit in spec["process"].get("rlimits") or ():
        name = str(limit["type"])
        if name not in RESOURCES:
            raise InvalidArgument(f"unknown resource limit {name!r}")
        soft, hard = int(limit["soft"]) & UNLIMITED, int(limit["hard"]) & UNLIMITED
        if soft > hard:
            raise InvalidArgument(f"{name}: the soft limit {soft} is above the hard limit {hard}")
        found.append((ops.SetLimit if outside else ops.SetOwnLimit)(name, soft, hard, name in lenient))
    score = spec["process"].get("oomScoreAdj")
    if score is not None:
        if not -1000 <= int(score) <= 1000:
            raise InvalidArgument(f"invalid value {score}, range for oom score adj is [-1000, 1000]")
        found.append((ops.SetOomScore if outside else ops.SetOwnOomScore)(int(score)))
    return found


def _joins(situation: Situation) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Namespaces entered by the parent for the moment of birth, and those entered by a process in between.

    A process in a new user namespace cannot enter what older ones own, so the parent does it; a user namespace
    that exists must be entered first, and nobody comes back from that.
    """
    ordered = tuple(
        (name, situation.joined[name])
        for name in ("user", "ipc", "uts", "network", "pid", "cgroup", "time")
        if name in situation.joined
    )
    if "user" in situation.joined:
        return (), ordered
    return ordered, ()


def _namespaces(spec: dict[str, Any], situation: Situation, container_id: str, mounts: Mounts) -> list[Op]:
    found: list[Op] = []
    found.append(ops.JoinCgroup())
    if situation.in_user:
        found.append(ops.BecomeRoot(situation.new_user))
    unshared = tuple(name for name in _UNSHARED if name in situation.new)
    if unshared:
        found.append(ops.Unshare(unshared))
    found.append(ops.NewSession(f"_ses.{container_id}" if container_id else ""))
    wanted = (spec.get("linux") or {}).get("rootfsPropagation") or "rslave"
    if wanted not in PROPAGATION:
        raise InvalidArgument(f"unknown rootfsPropagation {wanted!r}")
    copy = PROPAGATION[wanted] | m.MS_REC
    found.append(ops.SetPropagation(copy if copy & m.MS_SHARED else m.MS_SLAVE | m.MS_REC))
    hostname, domainname = str(spec.get("hostname") or ""), str(spec.get("domainname") or "")
    if hostname or domainname:
        if "uts" not in situation.new and "uts" not in situation.joined:
            raise InvalidArgument("unable to set hostname without a private UTS namespace")
        found.append(ops.SetHostname(hostname, domainname))
    if "network" in situation.new:
        found.append(ops.RaiseLoopback())
    found += mounts.early
    if mounts.outside:
        found.append(ops.ReceiveTrees(tuple(mounts.slot_of_outside)))
    return found


def _files(spec: dict[str, Any], situation: Situation, mounts: Mounts, root_slot: int) -> list[Op]:
    from wherry.runtime.mounts import normal

    linux = spec.get("linux") or {}
    process = spec["process"]
    late = list(mounts.late)
    found: list[Op] = []
    if not situation.parent_opens:
        found.append(late.pop(0))  # the root's own tree
    wanted = linux.get("rootfsPropagation") or ""
    found.append(ops.AttachRoot(root_slot, PROPAGATION[wanted] if wanted else 0))
    found += late
    if process.get("terminal"):
        size = process.get("consoleSize") or {}
        found.append(ops.OpenConsole("/dev/console", int(size.get("height", 0)), int(size.get("width", 0))))
    hooks = spec.get("hooks") or {}
    if hooks.get("prestart") or hooks.get("createRuntime"):
        found.append(ops.WaitForHooks())
    if hooks.get("createContainer"):
        found.append(ops.RunHooks("createContainer", hooks["createContainer"]))
    if linux.get("sysctl"):
        found.append(ops.WriteSysctl(_sysctls(linux["sysctl"], situation)))
    if linux.get("readonlyPaths"):
        found.append(ops.ReadOnlyPaths(tuple(normal(path) for path in linux["readonlyPaths"])))
    if linux.get("maskedPaths"):
        found.append(ops.MaskPaths(tuple(normal(path) for path in linux["maskedPaths"])))
    found.append(ops.MakeDirectory(working_directory(process)))
    if (spec.get("root") or {}).get("readonly"):
        found.append(ops.ReadOnlyRoot())
    found.append(ops.EnterRoot())
    return found


def _sysctls(values: dict[str, str], situation: Situation) -> tuple[tuple[str, str], ...]:
    """Only parameters that a namespace of the container's own holds (config-linux.md, "Sysctl")."""
    found = []
    for given, value in values.items():
        # net/ipv4/conf/eth0.1/forwarding and net.ipv4.ip_forward are both in use: the first separator decides
        name = given if "/" not in given or 0 < given.find(".") < given.find("/") else given.replace(".", "\0")
        name = name.replace("/", ".")
        parts = name.split(".")
        if not all(parts) or ".." in given:
            raise InvalidArgument(f"invalid sysctl {given!r}")
        own = situation.new.keys() | situation.joined.keys()
        if name in IPC_SYSCTLS or name.startswith("fs.mqueue."):
            namespace = "ipc"
        elif name.startswith("net."):
            namespace = "network"
        elif name in ("kernel.domainname", "kernel.hostname"):
            namespace = "uts"
        elif name.startswith("user.") and situation.in_user:
            namespace = "user"
        else:
            raise InvalidArgument(f"sysctl {given!r} is not in a separate kernel namespace")
        if namespace not in own:
            raise InvalidArgument(f"sysctl {given!r} is not allowed in the host's {namespace} namespace")
        found.append((name.replace(".", "/").replace("\0", "."), str(value)))
    return tuple(found)


def working_directory(process: dict[str, Any]) -> str:
    """``process.cwd``.  Raises InvalidArgument when it is not absolute."""
    path = str(process.get("cwd") or "/")
    if not path.startswith("/") or "\0" in path:
        raise InvalidArgument(f"the working directory '{path}' is invalid, it needs to be an absolute path")
    return path


def process_ops(spec: dict[str, Any], situation: Situation, *, joins_container: bool = False) -> list[Op]:
    """What a process does to itself once it is inside: the last part of a plan, and all of an exec."""
    process = spec["process"]
    linux = spec.get("linux") or {}
    no_new_privileges = bool(process.get("noNewPrivileges"))
    user = _user(process, situation)
    args = process.get("args") or ()
    if not args or not all(isinstance(one, str) for one in args):
        raise InvalidArgument("the specification has no process.args")
    init = (spec.get("annotations") or {}).get(INIT_ANNOTATION) == "true" and not joins_container
    if init and not situation.in_user:
        _check_init(process)
    found: list[Op] = [*_kernel_attributes(process, linux)]
    found.append(ops.SetStdio(bool(process.get("terminal")), user.uid))
    found += _limits(spec, situation)
    found.append(ops.Protect())
    if no_new_privileges:
        found.append(ops.NoNewPrivileges())
    apparmor, selinux = str(process.get("apparmorProfile") or ""), str(process.get("selinuxLabel") or "")
    if apparmor or selinux:
        if apparmor and apparmor != "unconfined" and not situation.host.apparmor:
            raise NotSupported(f"the AppArmor profile {apparmor!r} was asked for, but this host has no AppArmor")
        if selinux and not situation.host.selinux:
            raise NotSupported(f"the SELinux label {selinux!r} was asked for, but this host has no SELinux")
        found.append(ops.SetSecurityLabel(apparmor if situation.host.apparmor else "", selinux))
    found.append(ops.LimitBounding(_capabilities(process, situation, "bounding")))
    found.append(ops.ChangeDirectory(working_directory(process)))
    if linux.get("seccomp") and not no_new_privileges:
        found.append(ops.Seccomp())  # needs CAP_SYS_ADMIN, which goes away next
    found.append(user)
    found.append(ops.AwaitStart())
    hooks = (spec.get("hooks") or {}).get("startContainer")
    if hooks and not joins_container:
        found.append(ops.RunHooks("startContainer", hooks))
    if linux.get("seccomp") and no_new_privileges:
        found.append(ops.Seccomp())
    found.append(ops.Execute(tuple(args), tuple(process.get("env") or ()), situation.shields(), init))
    return found


def _check_init(process: dict[str, Any]) -> None:
    """The interpreter stays as pid 1 and is hidden from everybody without CAP_SYS_PTRACE (CVE-2019-5736).

    Whoever has CAP_SYS_ADMIN on the host as well needs no way around that.
    """
    given = (process.get("capabilities") or {}).get("bounding") or ()
    if "CAP_SYS_PTRACE" in given and "CAP_SYS_ADMIN" not in given:
        raise Forbidden(
            "an init of Wherry's own with CAP_SYS_PTRACE needs a user namespace",
            hint="leave out --init or --userns=host, or drop SYS_PTRACE",
        )


def _kernel_attributes(process: dict[str, Any], linux: dict[str, Any]) -> list[Op]:
    found: list[Op] = []
    personality = linux.get("personality")
    if personality:
        domain = str(personality.get("domain") or "LINUX")
        if domain not in ("LINUX", "LINUX32"):
            raise InvalidArgument(f"unknown personality {domain!r}")
        if personality.get("flags"):
            raise NotSupported("linux.personality.flags is not supported")
        found.append(ops.SetPersonality(domain))
    io = process.get("ioPriority")
    scheduler = process.get("scheduler") or {}
    affinity = process.get("execCPUAffinity") or {}
    if io and io.get("class") not in IO_CLASSES:
        raise InvalidArgument(f"unknown I/O priority class {io.get('class')!r}")
    if scheduler and scheduler.get("policy") not in POLICIES:
        raise InvalidArgument(f"unknown scheduling policy {scheduler.get('policy')!r}")
    flags = tuple(scheduler.get("flags") or ())
    for flag in flags:
        if flag not in SCHEDULER_FLAGS:
            raise InvalidArgument(f"unknown scheduling flag {flag!r}")
    if io or scheduler or affinity:
        found.append(
            ops.SetPriority(
                io=(str(io["class"]), int(io.get("priority", 0))) if io else None,
                policy=str(scheduler.get("policy") or ""),
                flags=flags,
                nice=int(scheduler.get("nice", 0)),
                priority=int(scheduler.get("priority", 0)),
                runtime=int(scheduler.get("runtime", 0)),
                deadline=int(scheduler.get("deadline", 0)),
                period=int(scheduler.get("period", 0)),
                cpus=cpu_list(str(affinity.get("final") or affinity.get("initial") or "")),
            )
        )
    return found


def cpu_list(text: str) -> tuple[int, ...]:
    """``0-3,7`` → (0, 1, 2, 3, 7).  Raises InvalidArgument."""
    found: list[int] = []
    for part in text.split(",") if text else ():
        first, separator, last = part.strip().partition("-")
        if not first.isdecimal() or (separator and not last.isdecimal()) or int(last or first) > 8191:
            raise InvalidArgument(f"invalid list of processors {text!r}")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def _capabilities(process: dict[str, Any], situation: Situation, which: str) -> int:
    given = (process.get("capabilities") or {}).get(which) or ()
    try:
        bits = caps.mask(given)
    except KeyError as error:
        raise InvalidArgument(f"unknown capability {error.args[0]!r}") from None
    if situation.in_user or which == "ambient":
        return bits
    missing = bits & ~situation.host.bounding
    everything = bits & situation.host.bounding == situation.host.bounding  # privileged: all there are
    if missing and not everything and which != "bounding":
        names = ", ".join(caps.names(missing))
        raise Forbidden(f"this process cannot give the container {names}: it does not have it itself")
    return bits & situation.host.bounding


def _user(process: dict[str, Any], situation: Situation) -> ops.SetUser:
    user = process.get("user") or {}
    uid, gid = int(user.get("uid", 0)), int(user.get("gid", 0))
    groups = tuple(int(group) for group in user.get("additionalGids") or ())
    if not all(0 <= number < 2**32 - 1 for number in (uid, gid, *groups)):
        raise InvalidArgument("a user or group id is outside of 0 to 4294967294")
    situation.host_uid(uid)
    for group in (gid, *groups):
        situation.host_gid(group)
    everything = process.get("capabilities") is None
    if everything:  # no capabilities named: none at all (config.md), as root or not
        return ops.SetUser(uid, gid, groups, user.get("umask"), _denied(situation))
    ambient = _capabilities(process, situation, "ambient")
    return ops.SetUser(
        uid,
        gid,
        groups,
        user.get("umask"),
        _denied(situation),
        _capabilities(process, situation, "effective"),
        _capabilities(process, situation, "permitted"),
        # Inheritable capabilities would pass through file capabilities (CVE-2022-24769): only what ambient needs.
        ambient,
        ambient,
    )


def _denied(situation: Situation) -> bool:
    """Whether setgroups(2) is denied: an unprivileged user's single-id namespace."""
    return (
        situation.new_user
        and not situation.host.privileged
        and len(situation.gids) == 1
        and situation.gids[0].size == 1
    )
