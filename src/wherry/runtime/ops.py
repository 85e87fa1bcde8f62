"""The operations of a plan, in the order in which it has them; `wherry.runtime.op` holds their base and trees."""

from __future__ import annotations

from wherry.linux.ids import IdMap
from wherry.runtime.op import HELD, Device, Op, OpenBind, OpenFilesystem, OpenRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["HELD", "Device", "Op", "OpenBind", "OpenFilesystem", "OpenRoot"]


class MakeCgroup(Op):
    """Make the control group and write its limits.  ``resources`` is the specification's ``linux.resources``."""

    does = "create the container's cgroup {path}"
    outside = True

    path: str
    resources: Any


class Clone(Op):
    """Start the process in new namespaces.

    ``join`` are existing ones, (name, path), that the parent enters for the moment of birth; ``through`` are entered
    by a process in between, because a user namespace among them has to be entered first and for good.
    """

    does = "create the container's namespaces ({new})"
    outside = True

    new: tuple[str, ...]
    join: tuple[tuple[str, str], ...] = ()
    through: tuple[tuple[str, str], ...] = ()


class MapIds(Op):
    """Write the id maps of the new user namespace."""

    does = "map the container's user and group ids"
    outside = True

    uids: tuple[IdMap, ...]
    gids: tuple[IdMap, ...]


class SetLimit(Op):
    """Set a resource limit of the process (prlimit(2)); a ``lenient`` one is cut to what this host allows."""

    does = "set {name}"
    outside = True

    name: str
    soft: int
    hard: int
    lenient: bool = False


class SetOomScore(Op):
    """Write the process's ``oom_score_adj``."""

    does = "set oom_score_adj to {score}"
    outside = True

    score: int


class SetOwnLimit(SetLimit):
    """`SetLimit` by the process itself, where its parent has no privileges over it."""

    outside = False


class SetOwnOomScore(SetOomScore):
    """`SetOomScore` by the process itself, likewise."""

    outside = False


class OpenTrees(Op):
    """Open the trees in ``trees`` with the parent's privileges and hand them over.

    They are the trees that an unprivileged namespace cannot make: id-mapped ones, parts of the host's mount tree,
    overlays that read ``trusted`` attributes, file systems with device nodes.
    """

    does = "open mounts from the host"
    outside = True

    trees: tuple[Op, ...]


class JoinCgroup(Op):
    """Write oneself into the cgroup's v1 hierarchies."""

    does = "join the cgroup"


class BecomeRoot(Op):
    """Be id 0 of the user namespace, after ``wait`` for its id maps to be written."""

    does = "become root of the user namespace"

    wait: bool = True


class Unshare(Op):
    """Enter new namespaces that need not exist at birth, as the owner of what is in them."""

    does = "create namespaces ({new})"

    new: tuple[str, ...]


class LookAround(Op):
    """Find the root, procfs and devpts of a container that has just been entered."""

    does = "look at the container's filesystems"


class NewSession(Op):
    """Start a session, and a session keyring unless ``keyring`` is empty."""

    does = "start a session"

    keyring: str = ""


class SetPropagation(Op):
    """Set the propagation (mount(2) flag) of every mount of the copied tree."""

    does = "set mount propagation"

    propagation: int


class ReceiveTrees(Op):
    """Wait for the trees of `OpenTrees`; ``slots`` are theirs in order."""

    does = "receive mounts from the host"

    slots: tuple[int, ...]


class AttachRoot(Op):
    """Attach the tree in ``slot`` as the root of all later targets."""

    does = "attach the root filesystem"

    slot: int
    propagation: int = 0


class Attach(Op):
    """Attach the tree in ``slot`` at ``target``, an absolute path inside the root.

    ``kind`` is the file system type, "bind" for a bind mount.  ``strict`` refuses symbolic links on the way.  The
    target is made where missing, as a directory or file like the tree's own root.  ``keep_mode`` gives a new file
    system the mode of the directory that it covers.
    """

    does = "mount {kind} at {target}"

    slot: int
    target: str
    kind: str
    propagation: int = 0
    strict: bool = False
    keep_mode: bool = False


class Remount(Op):
    """Change attributes of what is mounted at ``target``."""

    does = "remount {target}"

    target: str
    set: int = 0
    clear: int = 0


class MakeDevice(Op):
    """Make a device node, or bind the host's one of the same path over an empty file where ``bind``."""

    does = "create device {device.path}"

    device: Device
    bind: bool = False


class MakeLinks(Op):
    """Make symbolic links, (path, target), where nothing has that path."""

    does = "create links in /dev"

    links: tuple[tuple[str, str], ...]


class OpenConsole(Op):
    """Open a terminal in the container's devpts, bind it to ``target`` ("": nowhere), send its master to the parent."""

    does = "open a terminal for the container"

    target: str = "/dev/console"
    rows: int = 0
    columns: int = 0


class RaiseLoopback(Op):
    """Bring the loopback interface of a new network namespace up."""

    does = "bring up the loopback interface"


class WaitForHooks(Op):
    """Let the parent run its ``createRuntime`` hooks now."""

    does = "run createRuntime hooks"


class RunHooks(Op):
    """Run hooks inside: ``createContainer`` before, ``startContainer`` after the pivot."""

    does = "run {stage} hooks"

    stage: str
    hooks: Any


class MaskPaths(Op):
    """Cover paths: directories by an empty read-only file system, anything else by the null device."""

    does = "mask paths"

    paths: tuple[str, ...]


class ReadOnlyPaths(Op):
    """Make paths read-only, with everything mounted below them."""

    does = "make paths read-only"

    paths: tuple[str, ...]


class ReadOnlyRoot(Op):
    """Make the root itself read-only; what is mounted below keeps its own attributes."""

    does = "make the root filesystem read-only"


class MakeDirectory(Op):
    """Make a directory where missing (the working directory)."""

    does = "create the working directory {path}"

    path: str


class EnterRoot(Op):
    """pivot_root(2) and drop the host's tree."""

    does = "enter the root filesystem"


class SetHostname(Op):
    """Names of the new UTS namespace; empty ones stay."""

    does = "set the host name"

    hostname: str = ""
    domainname: str = ""


class WriteSysctl(Op):
    """Write kernel parameters, (name with dots, value), through the container's own procfs."""

    does = "write sysctls"

    values: tuple[tuple[str, str], ...]


class SetSecurityLabel(Op):
    """Labels for execve(2): an AppArmor profile, a SELinux context."""

    does = "set the security label"

    apparmor: str = ""
    selinux: str = ""


class SetPersonality(Op):
    """personality(2)."""

    does = "set the personality {domain}"

    domain: str


class SetPriority(Op):
    """ioprio_set(2), sched_setattr(2), nice values; each None or () where not asked."""

    does = "set scheduling"

    io: tuple[str, int] | None = None
    policy: str = ""
    flags: tuple[str, ...] = ()
    nice: int = 0
    priority: int = 0
    runtime: int = 0
    deadline: int = 0
    period: int = 0
    cpus: tuple[int, ...] = ()


class SetStdio(Op):
    """Put the descriptors in place; with ``terminal`` the terminal becomes all three and the controlling one."""

    does = "connect standard input and output"

    terminal: bool = False
    uid: int = 0


class Protect(Op):
    """Be out of reach of processes inside that have the same user: not dumpable."""

    does = "protect the process"


class LimitBounding(Op):
    """Drop all but ``keep`` from the bounding set."""

    does = "limit capabilities"

    keep: int


class NoNewPrivileges(Op):
    """PR_SET_NO_NEW_PRIVS."""

    does = "set no_new_privileges"


class Seccomp(Op):
    """Install the filter."""

    does = "install the seccomp filter"


class SetUser(Op):
    """Change to the process's user: groups, ids, umask, then exactly these capabilities."""

    does = "change to user {uid}:{gid}"

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    umask: int | None = None
    keep_groups: bool = False
    effective: int = 0
    permitted: int = 0
    inheritable: int = 0
    ambient: int = 0


class ChangeDirectory(Op):
    """Go to the working directory, which must be inside the root (CVE-2024-21626)."""

    does = "change to the working directory {path}"

    path: str


class AwaitStart(Op):
    """Report that all is ready and wait to be started."""

    does = "wait to be started"


class Execute(Op):
    """Become the command: ``shield`` by way of a sealed stub (CVE-2019-5736), ``init`` as the child of this process."""

    does = "exec {args[0]}"

    args: tuple[str, ...]
    env: tuple[str, ...]
    shield: bool = False
    init: bool = False
