"""`wherry run` as people type it, on a real kernel, as root and rootless."""

from __future__ import annotations

import os
import re
import signal
import struct
import time
import uuid
from pathlib import Path

import pytest

from support.command import Wherry, wait_for
from wherry.linux import syscall


def run(box: Wherry, *arguments: str, **more: object) -> str:
    """`run --rm`; wants exit status 0."""
    return box.ok("run", "--rm", *arguments, **more)


def name() -> str:
    return "t-" + uuid.uuid4().hex[:12]


# -- processes, streams and exit status


def test_output_and_exit_status_are_the_commands(box: Wherry) -> None:
    result = box("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.out, result.err, result.code) == ("out\n", "err\n", 7)


def test_a_signal_that_ends_the_command_is_128_plus_its_number(box: Wherry) -> None:
    assert box("run", "--rm", "busybox", "sh", "-c", "sh -c 'kill -TERM $$'; exit $?").code == 143
    assert box("run", "--rm", "--init", "busybox", "sh", "-c", "kill -KILL $$").code == 137


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["nothere"], 127, 'exec: "nothere": executable file not found in $PATH'),
        (["/nothere"], 127, 'exec: "/nothere": stat /nothere: no such file or directory'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["/etc"], 126, 'exec: "/etc": is a directory'),
    ],
)
def test_a_command_that_cannot_run(box: Wherry, command: list[str], code: int, words: str) -> None:
    container = name()
    result = box("run", "--rm", "--name", container, "busybox", *command)
    assert result.code == code, str(result)
    assert words in result.err
    assert box.ok("ps", "-a", "--filter", f"name={container}", "--format", "{{.Names}} {{.Status}}") == ""


def test_a_container_that_could_not_start_stays_as_created(box: Wherry) -> None:
    container = name()
    assert box("run", "--name", container, "busybox", "nothere").code == 127
    assert container in box.ok("ps", "-a", "--filter", "status=created", "--format", "{{.Names}}")
    box.ok("rm", container)


def test_input_is_piped_in_and_ends(box: Wherry) -> None:
    assert run(box, "-i", "busybox", "sh", "-c", "wc -c; echo end", input="x" * 200_000).split() == ["200000", "end"]
    assert run(box, "busybox", "cat") == ""  # without -i there is nothing to read


def test_input_and_output_larger_than_any_buffer(box: Wherry) -> None:
    data = os.urandom(1 << 20) * 8
    result = box("run", "--rm", "-i", "busybox", "cat", input=data)
    assert result.raw == data


def test_a_command_that_ignores_its_input(box: Wherry) -> None:
    assert run(box, "-i", "busybox", "true", input=b"y\n" * 3_000_000) == ""


def test_signals_are_forwarded(box: Wherry) -> None:
    script = 'trap "echo got usr1" USR1; trap "echo got term; exit 3" TERM; echo ready; while :; do sleep 0.05; done'
    process = box.popen("run", "--rm", "busybox", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == b"got usr1\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == b"got term\n"
    assert process.returncode == 3


def test_what_the_caller_ignores_the_command_does_not(box: Wherry) -> None:
    """Under nohup(1), or behind the `&` of a script, signals are ignored; a shell could not trap them any more."""

    def ignore() -> None:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        ignored = struct.pack("QQQQ", signal.SIG_IGN, 0, 0, 0)  # of what only the C library may set
        for number in (32, 33):
            syscall.call("rt_sigaction", number, ignored, None, 8)

    command = ("sh", "-c", 'trap "echo caught" INT; kill -INT $$; grep SigIgn /proc/self/status')
    nothing = "caught\nSigIgn:\t0000000000000000\n"
    for options in ((), ("--init",)):
        assert run(box, *options, "busybox", *command, preexec_fn=ignore) == nothing
    container = box.ok("run", "-d", "busybox", "sleep", "100", preexec_fn=ignore).strip()
    try:
        assert box.ok("exec", container, *command, preexec_fn=ignore) == nothing
    finally:
        box.ok("rm", "-f", container)


def test_an_insisting_person_is_let_go(box: Wherry) -> None:
    container = name()
    process = box.popen("run", "--name", container, "busybox", "sh", "-c", 'trap "" INT; echo ready; sleep 60')
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    for _ in range(3):
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert "Up" in box.ok("ps", "--filter", f"name={container}", "--format", "{{.Status}}")
    box.ok("rm", "-f", container)


def test_only_the_attached_streams_are_shown(box: Wherry) -> None:
    result = box("run", "--rm", "-a", "stderr", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (result.out, result.err) == ("", "err\n")


def test_init_reaps_and_forwards(box: Wherry) -> None:
    assert run(box, "--init", "busybox", "sh", "-c", "echo $$").strip() != "1"
    assert run(box, "busybox", "sh", "-c", "echo $$").strip() == "1"
    script = "(sleep 0.1 &) ; sleep 0.6; ps -o pid,stat | grep -c ' Z' ; true"
    assert run(box, "--init", "busybox", "sh", "-c", script).strip() == "0"


def test_only_standard_streams_are_open(box: Wherry) -> None:
    assert run(box, "busybox", "sh", "-c", "ls /proc/self/fd | wc -l").strip() == "4"  # and the one ls opens


# -- environment, user, directory, names


def test_environment(box: Wherry, scratch: Path) -> None:
    (scratch / "env").write_text("# a comment\nA=from file\nB=x\nCALLER\nNOBODY\n")
    out = run(box, "--env-file", str(scratch / "env"), "-e", "A=given", "-e", "CALLER", "-e", "UNSET", "busybox", "env",
              env={"CALLER": "seen"})  # fmt: skip
    values = dict(line.split("=", 1) for line in out.splitlines())
    assert values["A"] == "given"
    assert values["B"] == "x"
    assert values["CALLER"] == "seen"
    assert {"UNSET", "NOBODY"}.isdisjoint(values)
    assert values["HOME"] == "/root"
    assert re.fullmatch("[0-9a-f]{12}", values["HOSTNAME"])
    assert values["PATH"].startswith("/usr/local/sbin:")
    assert set(values) == {"A", "B", "CALLER", "HOME", "HOSTNAME", "PATH"}


def test_everything_an_image_can_set(box: Wherry) -> None:
    out = run(box, "everything").splitlines()
    assert out == ["entry id", "uid=1000(alice) gid=1000(alice) groups=44(video),50(staff),1000(alice)"]
    out = run(box, "everything", "sh", "-c", "pwd; echo $GREETING.$EMPTY.$HOME; cat /data/seed").splitlines()
    assert out[1:] == ["/srv/inside", "hello../home/alice", "from the image"]
    assert run(box, "--entrypoint", "echo", "everything", "-n", "x") == "x"
    assert run(box, "--entrypoint", "", "everything", "echo", "y") == "y\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("bob", "uid=1001(bob) gid=1001(bob) groups=44(video),1001(bob)"),
        ("1001", "uid=1001(bob) gid=1001(bob) groups=44(video),1001(bob)"),
        ("bob:www-data", "uid=1001(bob) gid=33(www-data) groups=33(www-data)"),
        ("4242:4243", "uid=4242 gid=4243 groups=4243"),
        ("4242", "uid=4242 gid=0(root) groups=0(root)"),
    ],
)
def test_user(box: Wherry, user: str, expected: str) -> None:
    assert run(box, "-u", user, "busybox", "id").strip() == expected


def test_group_add(box: Wherry) -> None:
    assert run(box, "--group-add", "video", "--group-add", "777", "-u", "7", "busybox", "id", "-G").split() == [
        "0", "44", "777",
    ]  # fmt: skip


def test_unknown_users_and_groups_are_refused(box: Wherry) -> None:
    result = box("run", "--rm", "-u", "mallory", "busybox", "id")
    assert result.code == 125
    assert "unable to find user mallory: no matching entries in passwd file" in result.err
    assert box("run", "--rm", "-u", "4294967296", "busybox", "id").code == 125
    assert box("run", "--rm", "--group-add", "nogroups", "busybox", "id").code == 125


def test_working_directory_is_made(box: Wherry) -> None:
    out = run(box, "-w", "/made/for/you", "busybox", "sh", "-c", "pwd; stat -c %a:%u .")
    assert out.split() == ["/made/for/you", "755:0"]


def test_names(box: Wherry) -> None:
    out = run(box, "-h", "ship", "--domainname", "sea.example", "busybox", "sh", "-c", "hostname; cat /etc/hostname")
    assert out.split() == ["ship", "ship"]
    out = run(box, "--add-host", "db:10.1.2.3", "--dns", "9.9.9.9", "busybox", "cat", "/etc/hosts", "/etc/resolv.conf")
    assert "10.1.2.3\tdb" in out
    assert "nameserver 9.9.9.9" in out


def test_a_name_is_taken_once(box: Wherry) -> None:
    container = name()
    box.ok("run", "--name", container, "busybox", "true")
    result = box("run", "--name", container, "busybox", "true")
    assert result.code == 125
    assert f'Conflict. The container name "/{container}" is already in use by container "' in result.err
    box.ok("rm", container)
    box.ok("run", "--rm", "--name", container, "busybox", "true")


def test_cidfile(box: Wherry) -> None:
    path = box.directory / name()
    run(box, "--cidfile", str(path), "busybox", "true")
    assert re.fullmatch("[0-9a-f]{64}", path.read_text())
    result = box("run", "--rm", "--cidfile", str(path), "busybox", "true")
    assert result.code == 125
    assert "container ID file found" in result.err


# -- file systems


def test_the_root_is_writable_and_forgotten(box: Wherry) -> None:
    assert run(box, "busybox", "sh", "-c", "echo x > /etc/new; rm /etc/shadow; ls /etc/new /etc/shadow; true") == (
        "/etc/new\n"
    )
    assert run(box, "busybox", "ls", "/etc/shadow") == "/etc/shadow\n"


def test_read_only_root(box: Wherry) -> None:
    result = box("run", "--rm", "--read-only", "--tmpfs", "/tmp", "busybox", "sh", "-c",
                 "echo x > /tmp/a && echo tmp; echo y > /etc/b || echo refused")  # fmt: skip
    assert result.out.split() == ["tmp", "refused"]
    assert "Read-only file system" in result.err


def test_bind_mounts_keep_the_ids_of_the_disk(box: Wherry, scratch: Path) -> None:
    (scratch / "in").write_text("from outside\n")
    scratch.chmod(0o777)
    run(box, "-v", f"{scratch}:/x", "busybox", "sh", "-c", "cat /x/in; echo made > /x/out; mkdir /x/dir")
    made = (scratch / "out").stat()
    expected = box.user.uid if box.user else 0
    assert made.st_uid == expected
    assert (scratch / "out").read_text() == "made\n"
    result = box("run", "--rm", "-v", f"{scratch}:/x:ro", "busybox", "touch", "/x/in")
    assert "Read-only file system" in result.err
    assert result.code == 1


def test_mount_option_kinds(box: Wherry, scratch: Path) -> None:
    scratch.chmod(0o777)
    (scratch / "f").write_text("file\n")
    volume = name()
    out = run(
        box,
        "--mount", f"type=bind,source={scratch}/f,target=/one/file,readonly",
        "--mount", f"type=volume,source={volume},target=/data",
        "--mount", "type=tmpfs,target=/scratch,tmpfs-size=1m,tmpfs-mode=1770",
        "busybox", "sh", "-c",
        "cat /one/file; echo kept > /data/k; stat -c %a /scratch; df -k /scratch | awk 'NR==2{print $2}'",
    )  # fmt: skip
    assert out.split() == ["file", "1770", "1024"]
    assert run(box, "-v", f"{volume}:/d", "busybox", "cat", "/d/k") == "kept\n"


def test_a_missing_bind_source(box: Wherry, scratch: Path) -> None:
    scratch.chmod(0o777)
    run(box, "-v", f"{scratch}/made:/x", "busybox", "true")
    assert (scratch / "made").is_dir()
    result = box("run", "--rm", "--mount", f"type=bind,source={scratch}/not,target=/x", "busybox", "true")
    assert result.code == 125
    assert "bind source path does not exist" in result.err
    assert not (scratch / "not").exists()


def test_an_empty_volume_is_filled_from_the_image_once(box: Wherry) -> None:
    volume = name()
    out = run(
        box,
        "-v",
        f"{volume}:/data",
        "everything",
        "sh",
        "-c",
        "cat /data/seed; stat -c '%a %u' /data; mv /data/seed /data/other",
    )
    assert out.splitlines()[1:] == ["from the image", "750 1000"]
    result = box("run", "--rm", "-v", f"{volume}:/data", "everything", "ls", "/data")
    assert result.out.splitlines()[1:] == ["other"]


def test_volumes_from(box: Wherry) -> None:
    container, volume = name(), name()
    box.ok("run", "--name", container, "-v", f"{volume}:/shared", "busybox", "sh", "-c", "echo mine > /shared/f")
    assert run(box, "--volumes-from", f"{container}:ro", "busybox", "cat", "/shared/f") == "mine\n"
    assert box("run", "--rm", "--volumes-from", f"{container}:ro", "busybox", "touch", "/shared/g").code == 1
    box.ok("rm", container)


def test_shm_follows_the_memory_limit(box: Wherry) -> None:
    size = "df -k /dev/shm | awk 'NR==2{print $2}'"
    assert run(box, "busybox", "sh", "-c", size).strip() == "65536"
    assert run(box, "--shm-size", "8m", "busybox", "sh", "-c", size).strip() == "8192"


def test_the_image_of_tmp_is_1777(box: Wherry) -> None:
    assert run(box, "busybox", "stat", "-c", "%a", "/tmp").strip() == "1777"


# -- isolation


def test_namespaces_are_its_own(box: Wherry) -> None:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    inside = run(box, "busybox", "sh", "-c", f"for n in {' '.join(kinds)}; do readlink /proc/self/ns/$n; done")
    for kind, link in zip(kinds, inside.split()):
        assert link != os.readlink(f"/proc/self/ns/{kind}"), kind


def test_host_namespaces_on_request(box: Wherry) -> None:
    def link(kind: str, *options: str) -> str:
        return run(box, *options, "busybox", "readlink", f"/proc/self/ns/{kind}").strip()

    assert link("net", "--network", "host") == os.readlink("/proc/self/ns/net")
    assert link("ipc", "--ipc", "host") == os.readlink("/proc/self/ns/ipc")
    assert link("uts", "--uts", "host") == os.readlink("/proc/self/ns/uts")
    assert link("cgroup", "--cgroupns", "host") == os.readlink("/proc/self/ns/cgroup")
    assert link("pid", "--pid", "host") == os.readlink("/proc/self/ns/pid")


@pytest.mark.needs("root")
def test_namespaces_of_another_container(as_root: Wherry) -> None:
    other = name()
    script = "echo hello > /dev/shm/note; sleep 1000 & echo up; wait"
    process = as_root.popen("run", "--rm", "--name", other, "--ipc", "shareable", "busybox", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    try:
        join = ("--pid", f"container:{other}", "--network", f"container:{other}", "--ipc", f"container:{other}")
        script = "pidof sleep | wc -w; cat /dev/shm/note; echo back > /dev/shm/answer; touch /x; stat -c %u /x"
        assert run(as_root, *join, "busybox", "sh", "-c", script).split() == ["1", "hello", "0"]
        pid = as_root.ok("inspect", "-f", "{{.State.Pid}}", other).strip()
        script = "for n in net pid ipc user; do readlink /proc/self/ns/$n; done"
        inside = run(as_root, *join, "busybox", "sh", "-c", script).split()
        assert inside == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "pid", "ipc", "user")]
        assert os.path.exists(f"/proc/{pid}/root/dev/shm/answer")
        private = name()
        hidden = as_root.popen("run", "--rm", "--name", private, "busybox", "sh", "-c", "echo up; sleep 1000")
        assert hidden.stdout is not None
        hidden.stdout.readline()
        result = as_root("run", "--rm", "--ipc", f"container:{private}", "busybox", "true")
        assert (result.code, "non-shareable IPC" in result.err) == (125, True)
        as_root.ok("rm", "-f", private)
        hidden.wait(20)
    finally:
        as_root.ok("rm", "-f", other)
        process.wait(20)
    result = as_root("run", "--rm", "--pid", f"container:{other}", "busybox", "true")
    assert (result.code, f"No such container: {other}" in result.err) == (125, True)


def test_capabilities_are_dockers(box: Wherry) -> None:
    def caps(*options: str) -> dict[str, int]:
        out = run(box, *options, "busybox", "grep", "Cap", "/proc/self/status")
        return {line.split(":")[0]: int(line.split()[1], 16) for line in out.splitlines()}

    default = caps()
    assert default["CapInh"] == default["CapAmb"] == 0
    assert default["CapEff"] == default["CapPrm"] == default["CapBnd"] == 0xA80425FB
    assert caps("--cap-drop", "ALL")["CapBnd"] == 0
    assert caps("--cap-drop", "ALL", "--cap-add", "NET_ADMIN")["CapEff"] == 1 << 12
    assert caps("-u", "1000")["CapEff"] == 0
    assert caps("--cap-add", "SYS_PTRACE")["CapEff"] & 1 << 19


def test_seccomp_and_no_new_privileges(box: Wherry, scratch: Path) -> None:
    def status(field: str, *options: str) -> str:
        return run(box, *options, "busybox", "grep", f"^{field}:", "/proc/self/status").split()[1]

    assert status("Seccomp") == "2"
    assert status("Seccomp", "--security-opt", "seccomp=unconfined") == "0"
    assert status("NoNewPrivs", "--security-opt", "no-new-privileges") == "1"
    profile = scratch / "profile.json"
    profile.write_text(
        '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}'
    )
    result = box("run", "--rm", "--security-opt", f"seccomp={profile}", "busybox", "mkdir", "/x")
    assert result.code == 1
    assert "Operation not permitted" in result.err


def test_masked_and_read_only_paths(box: Wherry) -> None:
    assert run(box, "busybox", "sh", "-c", "cat /proc/kcore | wc -c; ls /sys/firmware | wc -l").split() == ["0", "0"]
    result = box("run", "--rm", "busybox", "sh", "-c", "echo 1 > /proc/sys/kernel/shmmax")
    assert result.code != 0
    assert box("run", "--rm", "busybox", "sh", "-c", "echo x > /proc/sysrq-trigger").code != 0


def test_devices(box: Wherry) -> None:
    out = run(box, "busybox", "sh", "-c", "cd /dev; ls -d null zero full random urandom tty fd stdin ptmx shm pts"
              " mqueue; echo x > null; head -c 3 zero | wc -c; ls /dev/vda 2>&1; true")  # fmt: skip
    assert out.split()[:12] == "fd full mqueue null ptmx pts random shm stdin tty urandom zero".split()
    assert "No such file" in out


def test_sysctl(box: Wherry) -> None:
    out = run(box, "--sysctl", "net.ipv4.ip_forward=1", "busybox", "cat", "/proc/sys/net/ipv4/ip_forward")
    assert out.strip() == "1"
    result = box("run", "--rm", "--sysctl", "kernel.core_pattern=x", "busybox", "true")
    assert result.code == 125
    assert "kernel.core_pattern" in result.err


def test_ulimits(box: Wherry) -> None:
    out = run(box, "--ulimit", "nofile=512:1024", "--ulimit", "core=0", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn")
    assert out.split() == ["512", "1024"]
    result = box("run", "--rm", "--ulimit", "nofile=1024:512", "busybox", "true")
    assert result.code == 125


def test_oom_score(box: Wherry) -> None:
    assert run(box, "--oom-score-adj", "500", "busybox", "cat", "/proc/self/oom_score_adj").strip() == "500"


def test_no_network_but_loopback(box: Wherry) -> None:
    out = run(box, "--network", "none", "busybox", "ip", "-o", "addr")
    assert "127.0.0.1" in out
    assert {line.split()[1] for line in out.splitlines()} == {"lo"}


def test_labels_and_annotations_are_kept(box: Wherry, scratch: Path) -> None:
    (scratch / "labels").write_text("from=file\n")
    container = name()
    box.ok("run", "--name", container, "--label", "a=b", "--label-file", str(scratch / "labels"),
           "--annotation", "x.y=z", "--stop-signal", "SIGINT", "--stop-timeout", "3", "--expose", "99",
           "busybox", "true")  # fmt: skip
    out = box.ok("inspect", "-f", "{{json .Config.Labels}} {{.Config.StopSignal}} {{json .Config.ExposedPorts}} "
                 "{{json .HostConfig.Annotations}} {{.State.Status}} {{.State.ExitCode}}", container)  # fmt: skip
    assert '"a":"b"' in out
    assert '"from":"file"' in out
    assert '"x.y":"z"' in out
    assert '"99/tcp":{}' in out
    assert "SIGINT" in out
    assert out.strip().endswith("exited 0")
    box.ok("rm", container)


# -- what contradicts itself


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-m", "4m"], "Minimum memory limit allowed is 6MB"),
        (["-m", "10x"], "invalid size"),
        (["--memory-swap", "10m"], "You should always set the Memory limit when using Memoryswap limit"),
        (["-m", "64m", "--memory-swap", "32m"], "Minimum memoryswap limit should be larger than memory limit"),
        (["--cpus", "1", "--cpu-quota", "5000"], "Nano CPUs"),
        (["--cpus", "9999"], "Range of CPUs is from 0.01 to"),
        (["--cpuset-cpus", "4000"], "Requested CPUs are not available"),
        (["--rm", "--restart", "always"], "restart"),
        (["-w", "relative"], "working directory"),
        (["--network", "container:"], "container"),
        (["--ipc", "nonsense"], "IPC mode"),
        (["--cap-add", "NONSENSE"], "NONSENSE"),
        (["--device", "/dev/nothere"], "/dev/nothere"),
        (["--security-opt", "nonsense"], "security"),
        (["-v", "relative/path:/x"], "includes invalid characters for a local volume name"),
        (["-v", "/a:/x", "-v", "/b:/x"], "Duplicate mount point: /x"),
        (["-e", "=x"], "invalid environment variable"),
        (["--name", "-bad-"], "Invalid container name"),
        (["--no-such-option"], "unknown flag: --no-such-option"),
        (["--gpus", "all"], "CDI"),
    ],
)
def test_contradictions_and_mistakes(box: Wherry, options: list[str], words: str) -> None:
    before = box.ok("ps", "-a", "-q")
    result = box("run", "--rm", *options, "busybox", "true")
    assert result.code == 125, str(result)
    assert words in result.err, str(result)
    assert box.ok("ps", "-a", "-q") == before


def test_an_unknown_image(box: Wherry) -> None:
    result = box("run", "--rm", "--pull", "never", "nothere:1", "true")
    assert result.code == 125
    assert "No such image: nothere:1" in result.err


def test_the_client_may_die(box: Wherry) -> None:
    """SIGKILL of the command: the container goes on under its monitor and is there to be seen."""
    container = name()
    process = box.popen("run", "--name", container, "busybox", "sh", "-c", "echo up; sleep 0.5; echo done")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    wait_for(lambda: "Exited (0)" in box.ok("ps", "-a", "--filter", f"name={container}", "--format", "{{.Status}}"))
    box.ok("rm", container)
