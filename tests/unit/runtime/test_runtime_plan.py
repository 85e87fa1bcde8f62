"""What a plan refuses, and the parts it is made of."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from wherry.errors import Forbidden, InvalidArgument, NotSupported, WherryError
from wherry.linux import capabilities as caps
from wherry.linux import mount as m
from wherry.linux.cgroup import Layout
from wherry.linux.host import Host
from wherry.runtime import ops, options
from wherry.runtime.plan import cpu_list, plan

HOST = Host(0, 0, (6, 18), "x86_64", True, caps.ALL, caps.ALL, 0, False, False, Layout("none", {}))
SPEC: dict[str, Any] = {
    "root": {"path": "/bundle/rootfs"},
    "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
    "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The specification with one place (``a.b.c``) replaced."""
    found = copy.deepcopy(SPEC)
    *places, last = path.split(".")
    where = found
    for place in places:
        where = where.setdefault(place, {})
    where[last] = value
    return found


@pytest.mark.parametrize(
    ("path", "value", "kind", "words"),
    [
        ("process", None, InvalidArgument, "no process"),
        ("process.args", [], InvalidArgument, "process.args"),
        ("process.cwd", "relative", InvalidArgument, "absolute path"),
        ("process.user.uid", 2**32 - 1, InvalidArgument, "outside of 0 to 4294967294"),
        ("process.rlimits", [{"type": "RLIMIT_X", "soft": 1, "hard": 1}], InvalidArgument, "RLIMIT_X"),
        ("process.rlimits", [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}], InvalidArgument, "above the hard limit"),
        ("process.oomScoreAdj", 1001, InvalidArgument, "range for oom score adj"),
        ("process.capabilities", {"effective": ["CAP_X"]}, InvalidArgument, "CAP_X"),
        ("process.ioPriority", {"class": "IOPRIO_CLASS_X"}, InvalidArgument, "I/O priority"),
        ("process.scheduler", {"policy": "SCHED_X"}, InvalidArgument, "scheduling policy"),
        ("process.apparmorProfile", "docker-default", NotSupported, "AppArmor"),
        ("process.selinuxLabel", "a:b:c", NotSupported, "SELinux"),
        ("hostname", "x", InvalidArgument, "UTS namespace"),
        ("linux.namespaces", [{"type": "pid"}], NotSupported, "mount namespace"),
        ("linux.namespaces", [{"type": "mount"}, {"type": "x"}], InvalidArgument, "unknown namespace"),
        ("linux.namespaces", [{"type": "mount"}] * 2, InvalidArgument, "given twice"),
        ("linux.namespaces", [{"type": "mount"}, {"type": "user"}], InvalidArgument, "uidMappings"),
        ("linux.personality", {"domain": "LINUX64"}, InvalidArgument, "personality"),
        ("linux.personality", {"domain": "LINUX", "flags": ["X"]}, NotSupported, "flags"),
        ("linux.timeOffsets", {"monotonic": {"secs": 1}}, NotSupported, "timeOffsets"),
        ("linux.intelRdt", {"closID": "x"}, NotSupported, "intelRdt"),
        ("linux.memoryPolicy", {"mode": "x"}, NotSupported, "memoryPolicy"),
        ("linux.rootfsPropagation", "sideways", InvalidArgument, "rootfsPropagation"),
        ("linux.sysctl", {"net.ipv4.ip_forward": "1"}, InvalidArgument, "host's network namespace"),
        ("linux.sysctl", {"vm.swappiness": "1"}, InvalidArgument, "separate kernel namespace"),
        ("linux.devices", [{"path": "/dev/x", "type": "q"}], InvalidArgument, "unknown type"),
        ("linux.maskedPaths", ["proc"], InvalidArgument, "absolute"),
        ("mounts", [{"destination": "/", "type": "tmpfs"}], InvalidArgument, "cannot be mounted over"),
        ("mounts", [{"destination": "/x", "type": "bind"}], InvalidArgument, "no source"),
        ("mounts", [{"destination": "/x", "type": "tmpfs", "options": ["tmpcopyup"]}], NotSupported, "tmpcopyup"),
        (
            "mounts",
            [{"destination": "/x", "type": "bind", "source": "/y", "options": ["idmap"]}],
            InvalidArgument,
            "id",
        ),
    ],
)
def test_refused(path: str, value: Any, kind: type[WherryError], words: str) -> None:
    with pytest.raises(kind, match=words.replace("(", r"\(")):
        plan(changed(path, value), HOST)


def test_capabilities_that_this_process_lacks_cannot_be_given() -> None:
    poor = HOST.replace(bounding=caps.ALL & ~caps.mask(["CAP_SYS_RESOURCE"]))
    given = {"effective": ["CAP_SYS_RESOURCE"], "permitted": ["CAP_SYS_RESOURCE"], "bounding": ["CAP_SYS_RESOURCE"]}
    with pytest.raises(Forbidden, match="CAP_SYS_RESOURCE"):
        plan(changed("process.capabilities", given), poor)
    everything = dict.fromkeys(("effective", "permitted", "bounding"), caps.names(caps.ALL))
    user = next(one for one in plan(changed("process.capabilities", everything), poor) if isinstance(one, ops.SetUser))
    assert user.effective == poor.bounding  # privileged: all there are


def test_init_with_ptrace_needs_a_user_namespace() -> None:
    spec = changed("annotations", {"org.wherry.init": "true"})
    spec["process"]["capabilities"] = {"bounding": ["CAP_SYS_PTRACE"]}
    with pytest.raises(Forbidden, match="user namespace"):
        plan(spec, HOST)


def test_the_shield_is_used_where_root_inside_is_root_outside() -> None:
    def shield(spec: dict[str, Any], host: Host) -> bool:
        last = plan(spec, host)[-1]
        assert isinstance(last, ops.Execute)
        return last.shield

    assert shield(SPEC, HOST)
    mapped = copy.deepcopy(SPEC)
    mapped["linux"]["uidMappings"] = mapped["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 1000, "size": 1}]
    user = HOST.replace(euid=1000, egid=1000, privileged=False, capabilities=0)
    assert not shield(mapped, user)
    assert shield(mapped, user.replace(interpreter_owner=1000))  # an interpreter in the user's own home


@pytest.mark.parametrize(
    ("given", "set_bits", "clear", "deep"),
    [
        (["ro", "nosuid", "rw"], m.ATTR_NOSUID, m.ATTR_RDONLY, 0),
        (["noatime"], m.ATTR_NOATIME, m.ATTR_ATIME & ~m.ATTR_NOATIME, 0),
        (["rro", "rnodev"], 0, 0, m.ATTR_RDONLY | m.ATTR_NODEV),
        (["noexec", "exec"], 0, m.ATTR_NOEXEC, 0),
    ],
)
def test_mount_options(given: list[str], set_bits: int, clear: int, deep: int) -> None:
    found = options.parse(given)
    assert (found.set, found.clear, found.deep_set) == (set_bits, clear, deep)


def test_mount_options_for_the_file_system_are_kept_in_order() -> None:
    found = options.parse(["rbind", "size=1m", "ridmap", "mode=755", "rslave", "defaults"])
    assert found.data == ("size=1m", "mode=755")
    assert found.bind and found.recursive and found.idmap and found.idmap_deep
    assert found.propagation == m.MS_SLAVE | m.MS_REC


@pytest.mark.parametrize(("text", "cpus"), [("", ()), ("0-2,7", (0, 1, 2, 7)), ("3", (3,))])
def test_cpu_list(text: str, cpus: tuple[int, ...]) -> None:
    assert cpu_list(text) == cpus


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1,,2", "99999"])
def test_bad_cpu_list(text: str) -> None:
    with pytest.raises(InvalidArgument):
        cpu_list(text)


def test_sysctl_names_with_slashes_and_dots() -> None:
    spec = changed("linux.namespaces", [{"type": kind} for kind in ("mount", "network", "ipc")])
    spec["linux"]["sysctl"] = {
        "net/ipv4/conf/eth0.100/forwarding": "1",
        "net.ipv4.ip_forward": "0",
        "fs.mqueue.msg_max": "9",
    }
    found = next(one for one in plan(spec, HOST) if isinstance(one, ops.WriteSysctl))
    assert [name for name, _ in found.values] == [
        "net/ipv4/conf/eth0.100/forwarding",
        "net/ipv4/ip_forward",
        "fs/mqueue/msg_max",
    ]
