"""What a container made by the runtime sees of itself, as root with and without a user namespace, and rootless."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from support.bundle import BASE, USER, Bundle

pytestmark = pytest.mark.needs("root", "user-namespaces", "idmapped-mounts")


def test_true_and_exit_status(bundle: Bundle) -> None:
    assert bundle.run("true").code == 0
    assert bundle.sh("exit 42").code == 42
    assert bundle.sh("kill -9 $$", signal=0).code in (-9, 137, 0)


def test_stdio_is_the_callers(bundle: Bundle) -> None:
    found = bundle.sh("cat; echo wrong >&2", stdin=b"cargo\n")
    assert (found.out, found.err) == ("cargo\n", "wrong\n")


def test_only_standard_descriptors_are_open(bundle: Bundle) -> None:
    # 3 is ls's own
    assert bundle.sh("ls /proc/self/fd").lines() == ["0", "1", "2", "3"]


def test_extra_descriptors_follow(bundle: Bundle) -> None:
    found = bundle.sh("ls /proc/self/fd; readlink /proc/self/fd/3", extra_fds=[4])
    assert found.lines()[:5] == ["0", "1", "2", "3", "4"] and found.lines()[5].endswith("/answer")


def test_namespaces_are_its_own(bundle: Bundle) -> None:
    kinds = ["mnt", "pid", "ipc", "uts", "net", "cgroup"] + ([] if bundle.mode == "host" else ["user"])
    found = bundle.sh("".join(f"readlink /proc/self/ns/{kind};" for kind in kinds)).lines()
    for kind, inside in zip(kinds, found, strict=True):
        assert inside != os.readlink(f"/proc/self/ns/{kind}"), kind


def test_it_is_pid_1_and_root_in_its_host_name(bundle: Bundle) -> None:
    assert bundle.sh("echo $$; id -u; id -G; hostname; ps | grep -c sh").lines()[:4] == ["1", "0", "0", "boat"]


def test_devices_work_and_belong_there(bundle: Bundle) -> None:
    script = "echo x > /dev/null && dd if=/dev/zero bs=4 count=1 2>/dev/null | wc -c; ls /dev; readlink /dev/ptmx"
    (bundle.root / "bin/wc").symlink_to("busybox")
    lines = bundle.sh(script).lines()
    assert lines[0] == "4"
    names = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert lines[1:-1] == names.split()
    assert lines[-1] == "pts/ptmx"


def test_device_directory_belongs_to_root(bundle: Bundle) -> None:
    lines = bundle.sh("ls -ln /dev | grep -v total").lines()
    for line in lines:
        assert line.split()[2] == "0" or (bundle.mode == "rootless" and line.startswith("c")), line


def test_mounts_have_their_options(bundle: Bundle) -> None:
    mounts = {line.split()[2]: line for line in bundle.run("mount").lines()}
    assert "nosuid,nodev,noexec" in mounts["/proc"] and "ro," in mounts["/proc/sys"]
    assert "size=1024k" in mounts["/dev/shm"] and "noexec" in mounts["/dev/shm"]
    assert "(ro," in mounts["/sys"]
    assert "(ro," in mounts["/sys/fs/cgroup"]
    assert " type sysfs " in mounts["/sys"] and " type proc " in mounts["/proc"]


def test_masked_and_read_only_paths(bundle: Bundle) -> None:
    script = "cat /proc/keys /proc/timer_list; ls -A /sys/firmware; echo 1 > /proc/sys/kernel/domainname"
    found = bundle.sh(script + "; touch /sys/firmware/x")
    assert found.out == "" and found.err.count("Read-only file system") == 2


def test_host_is_out_of_reach(bundle: Bundle) -> None:
    assert bundle.sh("ls -A /; ls /work 2>&1").out.split("ls:")[0].split() == sorted(
        ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp"]
    )


def test_writes_go_to_the_upper_directory(user_bundle: Bundle) -> None:
    assert user_bundle.sh("touch /new && ls -ln /new | grep -c ' 0 '").lines() == ["1"]
    assert (user_bundle.directory / "upper/new").stat().st_uid == BASE
    assert not (user_bundle.root / "new").exists()


def test_rootless_files_belong_to_the_user(rootless_bundle: Bundle) -> None:
    assert rootless_bundle.sh("touch /new").code == 0
    assert (rootless_bundle.directory / "upper/new").stat().st_uid == USER


def test_lower_layer_keeps_its_owners(user_bundle: Bundle) -> None:
    os.chown(user_bundle.root / "home", 1000, 1000)
    lines = user_bundle.sh("ls -dln /home; ls -dln /etc").lines()
    assert [line.split()[2] for line in lines] == ["1000", "0"]


def test_read_only_root(bundle: Bundle) -> None:
    bundle.spec["root"]["readonly"] = True
    assert bundle.sh("touch /x 2>&1; touch /dev/shm/y && echo shm").lines() == [
        "touch: /x: Read-only file system",
        "shm",
    ]


def test_user_groups_and_umask(user_bundle: Bundle) -> None:
    user_bundle.spec["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 7], "umask": 0o027}
    assert user_bundle.sh("id -u; id -g; id -G; umask; grep CapEff /proc/self/status").lines() == [
        "1000",
        "1001",
        "1001 5 7",
        "0027",
        "CapEff:\t0000000000000000",
    ]


def test_capabilities_are_exact(bundle: Bundle) -> None:
    lines = dict(line.split(":\t") for line in bundle.sh("grep ^Cap /proc/self/status").lines())
    wanted = "00000000000020eb"
    assert lines == {
        "CapInh": "0" * 16,
        "CapPrm": wanted,
        "CapEff": wanted,
        "CapBnd": wanted,
        "CapAmb": "0" * 16,
    }


def test_ambient_capabilities_reach_a_user(user_bundle: Bundle) -> None:
    process = user_bundle.spec["process"]
    process["user"] = {"uid": 1000, "gid": 1000}
    process["capabilities"]["ambient"] = ["CAP_NET_RAW"]
    assert "CapEff:\t0000000000002000" in user_bundle.sh("grep ^Cap /proc/self/status").lines()


def test_no_new_privileges(bundle: Bundle) -> None:
    bundle.spec["process"]["noNewPrivileges"] = True
    assert bundle.sh("grep NoNewPrivs /proc/self/status").lines() == ["NoNewPrivs:\t1"]


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_seccomp(bundle: Bundle, no_new_privileges: bool) -> None:
    bundle.spec["process"]["noNewPrivileges"] = no_new_privileges
    bundle.spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"] if os.uname().machine == "x86_64" else ["SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    }
    assert bundle.sh("mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status").lines() == [
        "mkdir: can't create directory '/tmp/x': Operation not permitted",
        "Seccomp:\t2",
    ]


def test_limits(bundle: Bundle) -> None:
    bundle.spec["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 17, "hard": 33},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    assert bundle.sh("ulimit -n; ulimit -Hn; ulimit -c").lines() == ["17", "33", "0"]


def test_a_limit_above_the_hosts_is_an_error_unless_it_was_a_default(rootless_bundle: Bundle) -> None:
    rootless_bundle.spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 2**30, "hard": 2**30}]
    found = rootless_bundle.run("true")
    assert found.error and "RLIMIT_NOFILE" in found.error[1] and "above this host's" in found.error[1]
    rootless_bundle.spec["annotations"] = {"org.wherry.default-rlimits": "RLIMIT_NOFILE"}
    assert rootless_bundle.run("true").code == 0


def test_oom_score(bundle: Bundle) -> None:
    bundle.spec["process"]["oomScoreAdj"] = 321
    assert bundle.sh("cat /proc/self/oom_score_adj").lines() == ["321"]


def test_sysctl(bundle: Bundle) -> None:
    bundle.spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "81", "kernel/shm_rmid_forced": "1"}
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"
    assert bundle.sh(script).lines() == ["81", "1"]


def test_working_directory_is_made(bundle: Bundle) -> None:
    bundle.spec["process"]["cwd"] = "/home/a/b"
    assert bundle.sh("pwd").lines() == ["/home/a/b"]


@pytest.mark.parametrize("init", [False, True])
def test_terminal(bundle: Bundle, init: bool) -> None:
    process = bundle.spec["process"]
    process["terminal"] = True
    process["consoleSize"] = {"height": 33, "width": 111}
    if init:
        bundle.spec["annotations"] = {"org.wherry.init": "true"}
    script = "tty; stty size; echo hi > /dev/console; ls -l /dev/console | grep -c '^c'; echo bye > /dev/tty"
    found = bundle.sh(script)
    assert found.answer["terminal"].splitlines() == ["/dev/pts/0", "33 111", "hi", "1", "bye"], found


def test_terminal_sends_signals(bundle: Bundle) -> None:
    bundle.spec["process"]["terminal"] = True
    found = bundle.sh("trap 'echo caught; exit 3' INT; echo ready; sleep 20 & wait", type="\x03")
    assert "caught" in found.answer["terminal"] and found.code == 3


def test_init_reaps_forwards_and_reports(bundle: Bundle) -> None:
    bundle.spec["annotations"] = {"org.wherry.init": "true"}
    (bundle.root / "tmp/ready").unlink(missing_ok=True)
    found = bundle.sh("echo $$; (sleep 0.1 &) ; sleep 0.4; ps -o stat,args | grep -c '^Z'; exit 7")
    assert found.lines()[1:] == ["0"] and found.lines()[0] != "1" and found.code == 7
    ready = "/dev/shm/never" if bundle.mode == "host" else str(bundle.directory / "upper/tmp/ready")
    if bundle.mode == "host":
        ready = str(bundle.root / "tmp/ready")
    script = "trap 'exit 9' TERM; echo > /tmp/ready; while :; do sleep 0.05; done"
    assert bundle.sh(script, signal=signal.SIGTERM, wait_for=ready).code == 9
    assert bundle.sh("kill -KILL $$").code == 137
    missing = bundle.run("nonesuch")
    assert missing.error and missing.error[0] == "CommandNotFound"


def test_bind_mounts(bundle: Bundle) -> None:
    outside = bundle.directory / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "file").write_text("cargo\n")
    if bundle.mode == "rootless":
        for path in (outside, outside / "deep", outside / "file"):
            os.chown(path, USER, USER)
    options = ["rbind"] + (["ridmap"] if bundle.mode == "user" else [])
    bundle.spec["mounts"] += [
        {"destination": "/data", "type": "bind", "source": str(outside), "options": options},
        {"destination": "/read/only", "type": "bind", "source": str(outside), "options": [*options, "rro"]},
        {"destination": "/etc/file", "type": "bind", "source": str(outside / "file"), "options": [*options, "ro"]},
    ]
    script = "cat /etc/file; touch /data/new; touch /read/only/x; echo > /etc/file; ls -ln /data | grep -c ' 0 '"
    found = bundle.sh(script)
    assert found.lines() == ["cargo", "3"] and found.err.count("Read-only file system") == 2
    assert (outside / "new").stat().st_uid == (USER if bundle.mode == "rootless" else 0)


def test_tmpfs_keeps_the_mode_of_what_it_covers(bundle: Bundle) -> None:
    (bundle.root / "root").chmod(0o700)
    bundle.spec["mounts"] += [
        {"destination": "/root", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]},
        {"destination": "/fresh", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]},
        {"destination": "/home", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "mode=711"]},
    ]
    lines = bundle.sh("ls -dl /root /fresh /home").lines()
    assert sorted(line.split()[0] for line in lines) == ["drwx------", "drwx--x--x", "drwxrwxrwt"]


def test_joined_network_namespace(bundle: Bundle) -> None:
    if bundle.mode == "rootless":
        return  # nobody else's namespace may be joined
    network = next(one for one in bundle.spec["linux"]["namespaces"] if one["type"] == "network")
    network["path"] = "/proc/self/ns/net"
    found = bundle.sh("readlink /proc/self/ns/net; ls /sys/class/net | grep -c lo")
    assert found.lines() == [os.readlink("/proc/self/ns/net"), "1"]


def test_rootless_on_the_hosts_network_has_a_read_only_sysfs(rootless_bundle: Bundle) -> None:
    linux = rootless_bundle.spec["linux"]
    linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "network"]
    found = rootless_bundle.sh("readlink /proc/self/ns/net; mount | grep ' /sys ' | grep -c '(ro'")
    assert found.lines() == [os.readlink("/proc/self/ns/net"), "1"]


def test_personality_and_priorities(bundle: Bundle) -> None:
    process = bundle.spec["process"]
    bundle.spec["linux"]["personality"] = {"domain": "LINUX32"}
    process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 5}
    process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 3}
    found = bundle.sh("cat /proc/self/personality; set -- $(cat /proc/self/stat); echo ${19} ${41}")
    assert found.lines() == ["00000008", "3 3"]


@pytest.mark.parametrize(
    ("args", "kind", "words", "status"),
    [
        (["nonesuch"], "CommandNotFound", 'exec: "nonesuch": executable file not found in $PATH', 127),
        (["/no/such"], "CommandNotFound", 'exec: "/no/such": stat /no/such: no such file or directory', 127),
        (["/etc/passwd"], "CannotInvoke", 'exec: "/etc/passwd": permission denied', 126),
        (["/etc"], "CannotInvoke", 'exec: "/etc": is a directory', 126),
        (["/script"], "CannotInvoke", "exec /script: exec format error", 126),
        (["/lost"], "CommandNotFound", "exec /lost: no such file or directory", 127),
    ],
)
def test_commands_that_cannot_be(bundle: Bundle, args: list[str], kind: str, words: str, status: int) -> None:
    for name, text in (("script", "no header"), ("lost", "#!/not/here\n")):
        (bundle.root / name).write_text(text)
        (bundle.root / name).chmod(0o755)
    found = bundle.run(*args)
    assert found.error and (found.error[0], found.error[1], found.error[3]) == (kind, words, status)


def test_exec(bundle: Bundle) -> None:
    base = bundle.spec["process"]
    base["args"] = ["sleep", "60"]
    plain = {**base, "args": ["sh", "-c", "echo $$; id -u; grep CapInh /proc/self/status; ls /proc/self/fd"]}
    terminal = {
        **base,
        "terminal": True,
        "consoleSize": {"height": 9, "width": 8},
        "args": ["sh", "-c", "tty; stty size"],
    }
    missing = {**base, "args": ["nonesuch"]}
    found = bundle.run(exec=[plain, terminal, missing], signal=signal.SIGKILL)
    first, second, third = found.answer["exec"]
    lines = first["out"].splitlines()
    assert lines[0] != "1" and lines[1:] == ["0", "CapInh:\t0000000000000000", "0", "1", "2", "3"]
    assert second["terminal"].splitlines() == ["/dev/pts/0", "9 8"]
    assert third["error"][:2] == ["CommandNotFound", 'exec: "nonesuch": executable file not found in $PATH']


def test_nothing_is_left_behind(bundle: Bundle) -> None:
    assert bundle.run("nonesuch").error
    bundle.spec["mounts"].append({"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]})
    failed = bundle.run("true")
    assert failed.error and failed.error[1] == "bind mount /no/such: open_tree: no such file or directory"
    for place in Path("/sys/fs/cgroup").glob("*/wherry"):
        assert not (place / bundle.name).exists()
    assert bundle.name not in Path("/proc/self/mountinfo").read_text()


def test_hooks(user_bundle: Bundle) -> None:
    log = user_bundle.directory / "log"
    log.mkdir(mode=0o777)
    log.chmod(0o777)

    def hook(stage: str) -> list[dict[str, object]]:
        script = f"cat > {log}/{stage}; echo >> {log}/{stage}; readlink /proc/self/ns/mnt >> {log}/{stage}"
        return [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]

    stages = ("createRuntime", "createContainer", "poststart", "poststop")
    user_bundle.spec["hooks"] = {stage: hook(stage) for stage in stages}
    user_bundle.spec["hooks"]["startContainer"] = [{"path": "/bin/touch", "args": ["touch", "/started"]}]
    assert user_bundle.sh("ls /started").lines() == ["/started"]
    states = {stage: (log / stage).read_text().splitlines() for stage in stages}
    own = os.readlink("/proc/self/ns/mnt")
    for stage, status in zip(stages, ("creating", "creating", "running", "stopped"), strict=True):
        assert f'"status":"{status}"' in states[stage][0] and f'"id":"{user_bundle.name}"' in states[stage][0]
        assert '"pid":' in states[stage][0]
        assert (states[stage][1] == own) == (stage != "createContainer")


def test_a_failing_hook_stops_the_container(user_bundle: Bundle) -> None:
    user_bundle.spec["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}]}
    found = user_bundle.run("true")
    assert found.error and found.error[1].endswith("/bin/sh: exit status 3: no")
    user_bundle.spec["hooks"] = {
        "createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "sleep 30"], "timeout": 1}]
    }
    found = user_bundle.run("true")
    assert found.error and "did not end within 1 seconds" in found.error[1]


@pytest.mark.parametrize("program", ["runc", "crun"])
@pytest.mark.parametrize("terminal", [False, True])
def test_other_runtimes(host_bundle: Bundle, program: str, terminal: bool) -> None:
    host_bundle.spec["process"]["terminal"] = terminal
    rootfs = {"type": "bind", "source": str(host_bundle.root)}
    place = host_bundle.directory / "place"
    place.mkdir()
    request: dict[str, Any] = {"program": program, "rootfs": rootfs, "bundle": str(place)}
    found = host_bundle.sh("echo from $(hostname); exit 4", **request)
    if found.error and "hybrid" in found.error[1]:
        assert found.error[0] == "RuntimeFailed"  # crun 1.8 does not run on such a host, and says so
        return
    out = found.answer["terminal"] if terminal else found.out
    assert out.splitlines() == ["from boat"] and found.code == 4, found
    missing = host_bundle.run("nonesuch", **request)
    assert missing.error and missing.error[0] == "CommandNotFound", missing.error


@pytest.mark.parametrize("kinds", [("user",), ("user", "pid", "ipc"), ("ipc", "network"), ("pid",), ("pid", "network")])
def test_namespaces_of_another_container(user_bundle: Bundle, kinds: tuple[str, ...]) -> None:
    """``--pid container:…`` and its like; the view of procfs and sysfs is that of the namespace joined."""
    files = {"user": "user", "pid": "pid", "ipc": "ipc", "network": "net"}
    other = json.loads(json.dumps(user_bundle.spec))
    for one in other["linux"]["namespaces"]:
        if one["type"] in kinds:
            one["path"] = "/proc/{pid}/ns/" + files[one["type"]]
    other["linux"]["cgroupsPath"] += "-other"
    names = "".join(f"readlink /proc/self/ns/{files[kind]};" for kind in kinds)
    script = names + " ps | grep -c 'sleep [6]0'; ls /sys/class/net; ls -d /proc/[0-9]* | grep -c ."
    other["process"]["args"] = ["sh", "-c", script]
    place = user_bundle.directory / "other"
    for name in ("upper", "work"):
        (place / name).mkdir(parents=True)
        os.chown(place / name, BASE, BASE)
    root = {**(user_bundle.overlay() or {}), "upper": str(place / "upper"), "work": str(place / "work")}
    if "user" in kinds:  # nobody maps the ids of layers there
        shutil.copytree(user_bundle.root, place / "root", symlinks=True)
        root = {"type": "bind", "source": str(place / "root")}
    found = user_bundle.run("sleep", "60", beside={"spec": other, "rootfs": root}, signal=signal.SIGKILL)
    beside = found.answer["beside"]
    assert "error" not in beside, beside
    lines = beside["out"].splitlines()
    assert lines[: len(kinds)] == [beside["namespaces"][files[kind]] for kind in kinds]
    assert lines[len(kinds) : -1] == ["1" if "pid" in kinds else "0", "lo"]
    assert int(lines[-1]) < 10  # not the host's processes
