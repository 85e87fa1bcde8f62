"""Contradictions and limits are refused before anything is made, in Docker's words."""

from __future__ import annotations

import pytest

from wherry.container import capabilities, check, modes, resources, security
from wherry.container.options import ContainerOptions, DeviceRate
from wherry.container.record import MountPoint
from wherry.errors import InvalidArgument

MB = 1 << 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": 6 * MB - 1}, "Minimum memory limit allowed is 6MB"),
        ({"memory": 10 * MB, "memory_swap": 9 * MB}, "Minimum memoryswap limit should be larger than memory limit"),
        ({"memory_swap": 9 * MB}, "You should always set the Memory limit when using Memoryswap limit"),
        ({"memory_swappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
        ({"memory_reservation": 5 * MB}, "Minimum memory reservation allowed is 6MB"),
        ({"memory": 7 * MB, "memory_reservation": 8 * MB}, "can not be less than memory reservation limit"),
        ({"nano_cpus": 10**9, "cpu_period": 1000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"nano_cpus": 10**9, "cpu_quota": 1000}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"nano_cpus": 5 * 10**9}, r"Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
        ({"cpu_period": 999}, "CPU cfs period can not be less than 1ms"),
        ({"cpu_quota": 999}, "CPU cfs quota can not be less than 1ms"),
        ({"cpuset_cpus": "0-4"}, "Requested CPUs are not available - requested 0-4, available: 0-3"),
        ({"cpuset_cpus": "x"}, "Invalid value x for cpuset cpus"),
        ({"cpuset_mems": "1"}, "Requested memory nodes are not available - requested 1, available: 0"),
        ({"blkio_weight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"shm_size": -1}, "SHM size can not be less than 0"),
        ({"oom_score_adj": 1001}, r"Invalid value 1001, range for oom score adj is \[-1000, 1000\]"),
        ({"ipc_mode": "weird"}, "invalid IPC mode: weird"),
        ({"pid_mode": "weird"}, "--pid: invalid PID mode"),
        ({"uts_mode": "weird"}, "--uts: invalid UTS mode"),
        ({"userns_mode": "weird"}, "--userns: invalid USER mode"),
        ({"cgroupns_mode": "weird"}, "--cgroupns: invalid CGROUP mode"),
        ({"network_mode": "container:"}, "invalid container format container:<name|id>"),
        ({"network_mode": "container:a", "hostname": "h"}, "conflicting options: hostname and the network mode"),
        ({"network_mode": "container:a", "dns": ("1.1.1.1",)}, "conflicting options: dns and the network mode"),
        ({"network_mode": "container:a", "extra_hosts": ("a:1",)}, "custom host-to-IP mapping and the network mode"),
        ({"uts_mode": "host", "hostname": "h"}, "conflicting options: hostname and the UTS mode"),
        ({"hostname": "a\nb"}, "invalid hostname"),
        ({"hostname": "x" * 65}, "invalid hostname"),
        ({"domainname": "a b"}, "invalid hostname"),
        ({"extra_hosts": ("a:1.1.1.1\n2.2.2.2 b",)}, "invalid name or address"),
        ({"sysctls": (("kernel.panic", "1"),)}, "sysctl 'kernel.panic' is not allowed"),
        ({"sysctls": (("net.core.somaxconn", "1"),), "network_mode": "host"}, "not allowed in the host's"),
        ({"sysctls": (("kernel.msgmax", "1"),), "ipc_mode": "host"}, "not allowed in the host's"),
        ({"cap_add": ("SYS_NOTHING",)}, 'unknown capability: "CAP_SYS_NOTHING"'),
        ({"security_opt": ("nonsense",)}, 'invalid --security-opt 1: "nonsense"'),
        ({"security_opt": ("a=b",)}, 'invalid --security-opt 2: "a=b"'),
        ({"security_opt": ("label=colour:red",)}, "bad label option"),
        ({"cgroup_parent": "/a/../../b"}, "invalid cgroup parent"),
        ({"annotations": (("", "x"),)}, "invalid annotation"),
        ({"annotations": (("org.wherry.init", "no"),)}, "invalid annotation"),
    ],
)  # fmt: skip
def test_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        check.check(ContainerOptions(**options), cpus=4, cpuset="0-3", mems="0")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"memory": 6 * MB},
        {"memory": 10 * MB, "memory_swap": -1},
        {"nano_cpus": 4 * 10**9, "cpuset_cpus": "0,2-3", "cpu_shares": 2},
        {"sysctls": (("net.core.somaxconn", "1"), ("kernel.shmmax", "1"), ("fs.mqueue.msg_max", "1"))},
        {"cap_add": ("ALL",), "cap_drop": ("mknod", "CAP_CHOWN")},
        {"ipc_mode": "container:a", "pid_mode": "host", "cgroupns_mode": "host", "userns_mode": "host"},
    ],
)
def test_accepted(options: dict[str, object]) -> None:
    check.check(ContainerOptions(**options), cpus=4, cpuset="0-3", mems="0")  # type: ignore[arg-type]


def test_shm_follows_the_memory_limit() -> None:
    assert resources.shm_size(ContainerOptions()) == 64 * MB
    assert resources.shm_size(ContainerOptions(memory=256 * MB)) == 256 * MB
    assert resources.shm_size(ContainerOptions(memory=256 * MB, shm_size=MB)) == MB


def test_resources() -> None:
    made = resources.build(
        ContainerOptions(
            memory=10 * MB, nano_cpus=15 * 10**8, pids_limit=-1, cpu_shares=7, blkio_weight=10,
            blkio_device_read_bps=(DeviceRate("/dev/x", 5),), memory_swappiness=0, cpuset_cpus="0",
        ),
        {"/dev/x": (8, 1)},
    )  # fmt: skip
    assert made == {
        "memory": {"limit": 10 * MB, "swap": 20 * MB, "swappiness": 0},
        "cpu": {"quota": 150_000, "period": 100_000, "shares": 7, "cpus": "0"},
        "pids": {"limit": -1},
        "blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 5}]},
    }
    assert resources.build(ContainerOptions(pids_limit=0), {}) == {}
    assert resources.build(ContainerOptions(memory=10 * MB, memory_swap=-1), {})["memory"]["swap"] == -1


def test_capabilities() -> None:
    default = capabilities.choose((), (), privileged=False)
    assert len(default) == 14
    assert default == capabilities.DEFAULT
    assert "CAP_SYS_ADMIN" in capabilities.choose(("sys_admin",), (), privileged=False)
    assert capabilities.choose((), ("ALL",), privileged=False) == ()
    assert capabilities.choose(("NET_ADMIN",), ("ALL",), privileged=False) == ("CAP_NET_ADMIN",)
    everything = capabilities.choose(("ALL",), ("CHOWN",), privileged=False)
    assert "CAP_BPF" in everything
    assert "CAP_CHOWN" not in everything
    assert capabilities.choose((), (), privileged=True, available=("CAP_KILL",)) == ("CAP_KILL",)
    assert capabilities.choose((), (), privileged=False, available=("CAP_KILL", "CAP_BPF")) == ("CAP_KILL",)
    assert capabilities.choose(("CHOWN", "chown"), ("KILL",), privileged=False).count("CAP_CHOWN") == 1


def test_security_options() -> None:
    parse = security.parse
    assert parse(ContainerOptions()) == security.PLAIN
    found = parse(
        ContainerOptions(
            security_opt=(
                "no-new-privileges", "seccomp=unconfined", "apparmor:mine", "label=type:x_t", "label:level:s0:c1",
                "systempaths=unconfined",
            )
        )
    )  # fmt: skip
    assert found.no_new_privileges
    assert (found.seccomp, found.apparmor, found.unconfined_paths) == ("unconfined", "mine", True)
    assert found.labels == (("type", "x_t"), ("level", "s0:c1"))
    assert parse(ContainerOptions(security_opt=("no-new-privileges=false",))).no_new_privileges is False
    assert parse(ContainerOptions(security_opt=("label=disable",))).label_disabled
    assert parse(ContainerOptions(security_opt=("seccomp=builtin",))).seccomp == ""
    privileged = parse(ContainerOptions(privileged=True))
    assert (privileged.seccomp, privileged.apparmor) == ("unconfined", "unconfined")
    assert privileged.unconfined_paths
    kept = parse(ContainerOptions(privileged=True, security_opt=("seccomp={}",)))
    assert kept.seccomp == "{}"


def test_selinux_labels() -> None:
    process, mount = security.selinux(security.PLAIN, "ab" * 32)
    assert process.startswith("system_u:system_r:container_t:s0:c")
    assert mount.startswith("system_u:object_r:container_file_t:s0:c")
    assert security.selinux(security.Security(label_disabled=True), "ab" * 32) == ("", "")
    other = security.selinux(security.Security(labels=(("type", "t"), ("level", "s0"))), "ab" * 32)
    assert other == ("system_u:system_r:t:s0", "system_u:object_r:container_file_t:s0")


def test_user_namespace_is_the_default_and_falls_back() -> None:
    own = modes.own_user_namespace
    bind, tmpfs = MountPoint("bind", "/d", "/nfs"), MountPoint("tmpfs", "/t")
    assert own(ContainerOptions()).own
    assert own(ContainerOptions(), (bind, tmpfs)).own
    assert own(ContainerOptions(), (tmpfs,), binds=False).own
    for chosen in (ContainerOptions(userns_mode="host"), ContainerOptions(privileged=True)):
        assert own(chosen) == modes.UserNamespace(False)
    assert "image layers" in own(ContainerOptions(), layers=False).reason
    assert own(ContainerOptions(), (bind,), binds=False).reason.startswith("/d:")
    assert own(ContainerOptions(), (bind,), without=("/d",)).reason.startswith("/d:")
    assert own(ContainerOptions(), (bind,), beyond=("/d",)).reason == "/d: it belongs to an id above 65535"
    assert "--network host" in own(ContainerOptions(network_mode="host")).reason
    assert own(ContainerOptions(network_mode="host", cap_drop=("ALL",))).own
    assert own(ContainerOptions(network_mode="host", userns_mode="private")).own
    for inside in ("65535:65535", "0", "alice:staff", "", "a99999"):
        assert own(ContainerOptions(user=inside, group_add=("65535", "wheel"))).own
    for options in (
        ContainerOptions(user="65536"),
        ContainerOptions(user="0:200001"),
        ContainerOptions(group_add=("99999",)),
    ):
        assert "a range of host ids ends at 65535" in own(options).reason


def test_namespaces() -> None:
    def kinds(paths: dict[str, str] | None = None, *, user: bool = False, **options: str) -> list[str]:
        chosen = ContainerOptions(**options)  # type: ignore[arg-type]
        return [f"{n['type']}{n.get('path', '')}" for n in modes.namespaces(chosen, paths or {}, user=user)]

    assert kinds() == ["mount", "network", "uts", "pid", "ipc", "cgroup"]
    assert kinds(user=True)[-1] == "user"
    shared = dict.fromkeys(("network_mode", "uts_mode", "pid_mode", "ipc_mode", "cgroupns_mode"), "host")
    assert kinds(**shared) == ["mount"]
    assert kinds({"network": "/n"}) == ["mount", "network/n", "uts", "pid", "ipc", "cgroup"]
    assert "pid/p" in kinds({"pid": "/p"}, pid_mode="container:a")
    with pytest.raises(InvalidArgument, match="cannot join pid of a non running container: a"):
        kinds(pid_mode="container:a")
