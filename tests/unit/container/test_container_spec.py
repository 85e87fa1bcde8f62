"""The spec, point by point; whole documents are in tests/golden."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.container import spec
from wherry.container.facts import DeviceNode, Facts, Identity
from wherry.container.options import ContainerOptions, Ulimit
from wherry.container.record import ContainerRecord, MountPoint
from wherry.errors import InvalidArgument, NotSupported
from wherry.linux.ids import IdMap

BASE = 0x70000000


def build(
    facts: Facts | None = None, *, mounts: tuple[MountPoint, ...] = (), id_base: int = BASE, **options: Any
) -> dict[str, Any]:
    record = ContainerRecord(
        "c0ffee" + "ab" * 29, "n", 1, options=ContainerOptions(**options), path="true", mounts=mounts, id_base=id_base
    )
    return spec.build(record, facts or Facts())  # type: ignore[return-value]


def at(built: dict[str, Any], destination: str) -> dict[str, Any]:
    (found,) = [mount for mount in built["mounts"] if mount["destination"] == destination]
    return dict(found)


def has(built: dict[str, Any], destination: str) -> bool:
    return any(mount["destination"] == destination for mount in built["mounts"])


def test_user_namespace_by_default() -> None:
    built = build()
    assert {"type": "user"} in built["linux"]["namespaces"]
    assert built["linux"]["uidMappings"] == [{"containerID": 0, "hostID": BASE, "size": 65536}]
    assert built["linux"]["gidMappings"] == built["linux"]["uidMappings"]
    assert built["linux"]["sysctl"]["net.ipv4.ping_group_range"] == "0 65535"
    host = build(id_base=0)
    assert "uidMappings" not in host["linux"]
    assert {"type": "user"} not in host["linux"]["namespaces"]
    assert host["linux"]["sysctl"]["net.ipv4.ping_group_range"] == "0 2147483647"


def test_hostnames() -> None:
    assert build()["hostname"] == "c0ffeeababab"
    assert build(hostname="h", domainname="d")["domainname"] == "d"
    facts = Facts(hostname="outside")
    assert build(facts, network_mode="host")["hostname"] == "outside"
    shared = build(facts, uts_mode="host")
    assert "hostname" not in shared
    assert "HOSTNAME=outside" in shared["process"]["env"]


def test_binds_carry_the_id_map() -> None:
    points = (
        MountPoint("bind", "/a/b", "/srv", rw=False, propagation="rprivate", options=("rbind",)),
        MountPoint("volume", "/a", "/v/_data", options=("rbind",), subpath="s"),
        MountPoint("tmpfs", "/t", options=("nosuid",)),
    )
    built = build(mounts=points)
    bind = at(built, "/a/b")
    assert bind["options"] == ["rbind", "rro", "rprivate", "ridmap"]
    assert bind["uidMappings"] == built["linux"]["uidMappings"]
    assert at(built, "/a")["source"] == "/v/_data"
    assert at(built, "/a")["options"] == ["rbind", "X-mount.subdir=s", "idmap", "nodev"]
    assert "uidMappings" not in at(built, "/t")
    order = [mount["destination"] for mount in built["mounts"]]
    assert order.index("/a") < order.index("/a/b")
    etc = [
        mount["destination"]
        for mount in build(Facts(etc_hosts="/x/hosts"), mounts=(MountPoint("tmpfs", "/etc"),))["mounts"]
    ]
    assert etc.index("/etc") < etc.index("/etc/hosts")
    assert "uidMappings" not in at(build(mounts=points, id_base=0), "/a/b")
    with pytest.raises(NotSupported, match="cannot be id-mapped"):
        build(Facts(idmapped_binds=False), mounts=points)
    rootless = Facts(rootless=True, uid_map=(IdMap(0, 1000, 1),), gid_map=(IdMap(0, 1000, 1),), idmapped_binds=False)
    assert "uidMappings" not in at(build(rootless, mounts=points, id_base=0), "/a")


def test_read_only_without_recursion() -> None:
    bind = (MountPoint("bind", "/d", "/s", rw=False, options=("rbind",)),)
    assert at(build(Facts(recursive_readonly=False), mounts=bind, id_base=0), "/d")["options"] == ["rbind", "ro"]
    forced = (bind[0].replace(options=("rbind", "rro")),)
    assert at(build(mounts=forced, id_base=0), "/d")["options"] == ["rbind", "rro"]
    with pytest.raises(NotSupported, match="recursively"):
        build(Facts(recursive_readonly=False), mounts=forced, id_base=0)


def test_rootless_with_one_id() -> None:
    facts = Facts(rootless=True, uid_map=(IdMap(0, 1000, 1),), gid_map=(IdMap(0, 1000, 1),))
    built = build(facts, id_base=0, network_mode="host")
    assert "gid=5" not in at(built, "/dev/pts")["options"]
    assert at(built, "/sys")["type"] == "bind"
    assert "devices" not in built["linux"]["resources"]
    assert built["linux"]["sysctl"] == {}
    assert build(facts, id_base=0)["linux"]["sysctl"]["net.ipv4.ping_group_range"] == "0 0"
    with pytest.raises(NotSupported, match="--device-cgroup-rule needs root"):
        build(facts, id_base=0, device_cgroup_rules=("c 1:3 r",))


def test_shared_namespaces_bind_what_cannot_be_mounted() -> None:
    built = build(network_mode="host", pid_mode="host", ipc_mode="host")
    for path in ("/proc", "/sys", "/dev/mqueue", "/dev/shm"):
        assert at(built, path)["type"] == "bind"
    assert at(built, "/sys")["options"][-1] == "rro"
    plain = build(network_mode="host", pid_mode="host", ipc_mode="host", id_base=0)
    assert at(plain, "/proc")["type"] == "proc"
    assert at(plain, "/sys")["type"] == "sysfs"


def test_shm() -> None:
    assert "size=67108864" in at(build(), "/dev/shm")["options"]
    assert "size=268435456" in at(build(memory=256 << 20), "/dev/shm")["options"]
    assert not has(build(ipc_mode="none"), "/dev/shm")
    shared = Facts(shm_source="/run/shm", namespace_paths=(("ipc", "/i"), ("user", "/u")))
    built = build(shared, ipc_mode="container:a", id_base=0)
    assert at(built, "/dev/shm")["source"] == "/run/shm"
    assert {"type": "user", "path": "/u"} in built["linux"]["namespaces"]
    with pytest.raises(InvalidArgument, match="non-shareable IPC"):
        build(Facts(namespace_paths=(("ipc", "/i"),)), ipc_mode="container:a")


def test_a_joined_user_namespace_has_no_maps_of_its_own() -> None:
    facts = Facts(
        namespace_paths=(("network", "/n"), ("user", "/u")),
        uid_map=(IdMap(0, 7, 65536),),
        gid_map=(IdMap(0, 7, 65536),),
    )
    built = build(facts, network_mode="container:a", id_base=0, mounts=(MountPoint("bind", "/d", "/s"),))
    assert "uidMappings" not in built["linux"]
    assert at(built, "/d")["uidMappings"] == [{"containerID": 0, "hostID": 7, "size": 65536}]
    assert built["linux"]["sysctl"] == {}


def test_files_of_etc() -> None:
    facts = Facts(etc_hosts="/x/hosts", etc_resolv_conf="/x/resolv.conf", etc_hostname="/x/hostname")
    built = build(facts, mounts=(MountPoint("bind", "/etc/hosts", "/mine"),))
    assert at(built, "/etc/hosts")["source"] == "/mine"
    assert at(built, "/etc/resolv.conf")["options"] == ["rbind", "rprivate"]
    assert at(build(facts, readonly_rootfs=True), "/etc/hostname")["options"] == ["rbind", "rprivate", "ro"]


def test_a_mounted_dev_hides_the_default_ones() -> None:
    built = build(mounts=(MountPoint("bind", "/dev", "/dev", options=("rbind",)),), id_base=0)
    assert at(built, "/dev")["type"] == "bind"
    assert not has(built, "/dev/pts")
    assert not has(built, "/dev/shm")


def test_capabilities_of_users() -> None:
    root = build()["process"]["capabilities"]
    assert root["effective"] == root["permitted"] == root["bounding"]
    assert "inheritable" not in root
    user = build(Facts(identity=Identity(1000, 5, (5, 6), "/home")))["process"]
    assert user["capabilities"]["effective"] == user["capabilities"]["permitted"] == []
    assert len(user["capabilities"]["bounding"]) == 14
    assert user["user"] == {"uid": 1000, "gid": 5, "additionalGids": [5, 6]}
    assert "HOME=/home" in user["env"]


def test_privileged() -> None:
    node = DeviceNode("/dev/kvm", "c", 10, 232, 0o660, 0, 5)
    built = build(Facts(devices=(node,), seccomp={"a": 1}), privileged=True, id_base=0)
    linux = built["linux"]
    assert "maskedPaths" not in linux
    assert "readonlyPaths" not in linux
    assert "seccomp" not in linux
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert linux["devices"][0]["path"] == "/dev/kvm"
    assert "ro" not in at(built, "/sys")["options"]
    assert "ro" not in at(built, "/sys/fs/cgroup")["options"]
    assert len(built["process"]["capabilities"]["bounding"]) == 41


def test_seccomp_and_paths() -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO"}
    assert build(Facts(seccomp=profile))["linux"]["seccomp"] == profile
    assert "seccomp" not in build(Facts(seccomp=profile), security_opt=("seccomp=unconfined",))["linux"]
    linux = build(Facts(masked_paths=("/sys/devices/system/cpu/cpu0/thermal_throttle",)))["linux"]
    assert linux["maskedPaths"][-1].endswith("thermal_throttle")
    assert "/proc/interrupts" in linux["maskedPaths"]
    assert "maskedPaths" not in build(security_opt=("systempaths=unconfined",))["linux"]
    assert build(masked_paths=("/x",), readonly_paths=())["linux"]["maskedPaths"] == ["/x"]


def test_security_modules() -> None:
    facts = Facts(apparmor=True, apparmor_profile="docker-default")
    assert build(facts)["process"]["apparmorProfile"] == "docker-default"
    assert build(facts, security_opt=("apparmor=mine",))["process"]["apparmorProfile"] == "mine"
    assert build(facts, privileged=True, id_base=0)["process"]["apparmorProfile"] == "unconfined"
    with pytest.raises(NotSupported, match="AppArmor"):
        build(security_opt=("apparmor=mine",))
    assert "apparmorProfile" not in build(security_opt=("apparmor=unconfined",))["process"]
    labelled = build(Facts(selinux=True))
    assert labelled["process"]["selinuxLabel"].startswith("system_u:system_r:container_t:s0:c")
    assert labelled["linux"]["mountLabel"].startswith("system_u:object_r:container_file_t:s0:c")
    assert "selinuxLabel" not in build(Facts(selinux=True), security_opt=("label=disable",))["process"]


def test_devices() -> None:
    node = DeviceNode("/dev/x", "c", 1, 3, access="r", host_path="/dev/null")
    built = build(Facts(devices=(node,)), device_cgroup_rules=("c 13:* rw", "b 8:1 m"))
    assert built["linux"]["resources"]["devices"][-3:] == [
        {"allow": True, "access": "r", "type": "c", "major": 1, "minor": 3},
        {"allow": True, "access": "rw", "type": "c", "major": 13},
        {"allow": True, "access": "m", "type": "b", "major": 8, "minor": 1},
    ]
    assert built["linux"]["devices"][0]["fileMode"] == 0o666
    bound = build(Facts(devices=(node,), makes_devices=False))
    assert "devices" not in bound["linux"]
    assert at(bound, "/dev/x")["source"] == "/dev/null"


def test_the_rest_of_the_process() -> None:
    built = build(
        tty=True, ulimits=(Ulimit("nofile", 5, -1),), oom_score_adj=-5, working_dir="/srv", init=True,
        security_opt=("no-new-privileges",), annotations=(("a", "b"),), cgroup_parent="/own/",
    )  # fmt: skip
    process = built["process"]
    assert process["terminal"]
    assert process["noNewPrivileges"]
    assert process["cwd"] == "/srv"
    assert process["oomScoreAdj"] == -5
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": (1 << 64) - 1}]
    assert built["annotations"] == {"a": "b", "org.wherry.init": "true"}
    assert built["linux"]["cgroupsPath"].startswith("/own/c0ffee")
    assert "annotations" not in build(init=True, pid_mode="host")
    assert build()["linux"]["cgroupsPath"].startswith("/wherry/c0ffee")


def test_sysctls() -> None:
    built = build(sysctls=(("net.ipv4.ip_unprivileged_port_start", "1024"), ("kernel.shmmax", "1")))
    assert built["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "1024"
    assert built["linux"]["sysctl"]["kernel.shmmax"] == "1"
    missing = Facts(absent_sysctls=("net.ipv4.ping_group_range",))
    assert "net.ipv4.ping_group_range" not in build(missing)["linux"]["sysctl"]
    with pytest.raises(InvalidArgument, match="not allowed"):
        build(sysctls=(("vm.swappiness", "1"),))


def test_propagation_reaches_the_root() -> None:
    def root(kind: str) -> object:
        return build(mounts=(MountPoint("bind", "/d", "/s", propagation=kind),))["linux"].get("rootfsPropagation")

    assert root("rprivate") is None
    assert root("rslave") == "rslave"
    assert root("rshared") == "shared"


def test_building_changes_nothing_shared() -> None:
    """Two specs are equal and share no list that somebody may extend."""
    first, second = build(), build()
    assert first == second
    first["mounts"][0]["options"].append("x")
    first["process"]["capabilities"]["bounding"].clear()
    first["linux"]["maskedPaths"].clear()
    assert second == build()
