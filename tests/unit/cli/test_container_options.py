"""From `run`'s command line to a `ContainerOptions`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from wherry.cli import parser
from wherry.cli.commands import create, run
from wherry.cli.container_options import build
from wherry.cli.main import Call
from wherry.container.keys import detach_keys
from wherry.container.options import (
    ContainerOptions,
    DeviceMapping,
    DeviceRate,
    DeviceRequest,
    MountOption,
    NetworkOption,
    PortBinding,
    Ulimit,
)
from wherry.errors import InvalidArgument, WherryError

BARE = ContainerOptions(image="img", attach_stdout=True, attach_stderr=True)


def options(*arguments: str, module: Any = run) -> ContainerOptions:
    values, rest = parser.parse(module.COMMAND, "run", arguments, module.CHECKS)
    return build(Call("run", values, rest, {}))


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ([], {}),
        (["--rm"], {"auto_remove": True}),
        (["-it"], {"tty": True, "open_stdin": True, "stdin_once": True, "attach_stdin": True}),
        (["-a", "stdout"], {"attach_stderr": False}),
        (["-a", "STDIN"], {"attach_stdin": True, "attach_stdout": False, "attach_stderr": False}),
        (["--name", "x", "-h", "host", "--domainname", "d"], {"name": "x", "hostname": "host", "domainname": "d"}),
        (["-e", "A=b", "-eC="], {"env": ("A=b", "C=")}),
        (["-l", "a=b", "--label", "c", "-l", "a=z"], {"labels": (("a", "z"), ("c", ""))}),
        (["-w", "/x", "-u", "1:2", "--group-add", "a"], {"working_dir": "/x", "user": "1:2", "group_add": ("a",)}),
        (["--entrypoint", ""], {"entrypoint": ("",)}),
        (["--entrypoint", "a b"], {"entrypoint": ("a b",)}),
        (["-v", "/a:/b:ro", "-v", "vol:/c", "-v", "/anon"], {"binds": ("/a:/b:ro", "vol:/c"), "volumes": ("/anon",)}),
        (["--tmpfs", "/t", "--tmpfs", "/u:size=1m"], {"tmpfs": (("/t", ""), ("/u", "size=1m"))}),
        (["--mount", "type=tmpfs,target=/x"], {"mounts": (MountOption("tmpfs", "/x"),)}),
        (["--read-only", "--privileged", "--init"], {"readonly_rootfs": True, "privileged": True, "init": True}),
        (["-m", "256m", "--memory-swap", "-1"], {"memory": 268435456, "memory_swap": -1}),
        (["--memory-reservation=1g", "--shm-size", "2g"], {"memory_reservation": 1 << 30, "shm_size": 2 << 30}),
        (["--memory-swappiness", "0"], {"memory_swappiness": 0}),
        (["--memory-swappiness", "-1"], {}),
        (["--cpus", ".5", "-c", "7"], {"nano_cpus": 500_000_000, "cpu_shares": 7}),
        (["--cpu-period", "1", "--cpu-quota", "2"], {"cpu_period": 1, "cpu_quota": 2}),
        (["--cpuset-cpus", "0-1", "--cpuset-mems", "0"], {"cpuset_cpus": "0-1", "cpuset_mems": "0"}),
        (["--pids-limit", "-1", "--oom-score-adj=-5"], {"pids_limit": -1, "oom_score_adj": -5}),
        (["--ulimit", "nofile=1:2", "--ulimit", "core=0"], {"ulimits": (Ulimit("nofile", 1, 2), Ulimit("core", 0, 0))}),
        (["--cap-add", "ALL", "--cap-drop=NET_RAW"], {"cap_add": ("ALL",), "cap_drop": ("NET_RAW",)}),
        (["--device", "/dev/null:/dev/x:r"], {"devices": (DeviceMapping("/dev/null", "/dev/x", "r"),)}),
        (["--device", "v.com/c=n"], {"device_requests": (DeviceRequest(driver="cdi", device_ids=("v.com/c=n",)),)}),
        (["--gpus", "all"], {"device_requests": (DeviceRequest(count=-1, capabilities=(("gpu",),)),)}),
        (["--device-cgroup-rule", "c 1:3 rwm"], {"device_cgroup_rules": ("c 1:3 rwm",)}),
        (["--device-read-bps", "/dev/a:1k"], {"blkio_device_read_bps": (DeviceRate("/dev/a", 1024),)}),
        (["--device-write-iops", "/dev/a:5"], {"blkio_device_write_iops": (DeviceRate("/dev/a", 5),)}),
        (["--sysctl", "a=1", "--annotation", "b=2"], {"sysctls": (("a", "1"),), "annotations": (("b", "2"),)}),
        (["--security-opt", "no-new-privileges"], {"security_opt": ("no-new-privileges",)}),
        (["--security-opt", "seccomp=unconfined"], {"security_opt": ("seccomp=unconfined",)}),
        (["--network", "host"], {"network_mode": "host"}),
        (["--net", "container:x"], {"network_mode": "container:x"}),
        (["--network", "name=host"], {"network_mode": "host"}),
        (["--network", "a", "--network-alias", "b", "--network-alias", "c", "--ip", "10.0.0.2"],
         {"network_mode": "a", "networks": (NetworkOption("a", aliases=("b", "c"), ipv4="10.0.0.2"),)}),
        (["--network", "name=a,alias=b,ip6=fd00::2,driver-opt=x=1,gw-priority=3", "--network", "c"],
         {"network_mode": "a", "networks": (
             NetworkOption("a", ("b",), ipv6="fd00::2", driver_options=(("x", "1"),), gateway_priority=3),
             NetworkOption("c"))}),
        (["--link", "x", "--link", "y:z"], {"networks": (NetworkOption("", links=("x:x", "y:z")),)}),
        (["--mac-address", "02-42-AC-11-00-02"], {"networks": (NetworkOption("", mac="02:42:ac:11:00:02"),)}),
        (["-p", "8080:80", "-p", "53/udp", "--expose", "9"], {
            "port_bindings": (PortBinding("80/tcp", "", "8080"), PortBinding("53/udp")),
            "exposed_ports": ("80/tcp", "53/udp", "9/tcp")}),
        (["-P"], {"publish_all": True}),
        (["--ipc", "host", "--pid=host", "--uts=host"], {"ipc_mode": "host", "pid_mode": "host", "uts_mode": "host"}),
        (["--userns", "host", "--cgroupns", "host"], {"userns_mode": "host", "cgroupns_mode": "host"}),
        (["--cgroup-parent", "p", "--runtime", "runc"], {"cgroup_parent": "p", "runtime": "runc"}),
        (["--dns", "1.1.1.1", "--dns-opt", "a", "--dns-option", "b"], {"dns": ("1.1.1.1",), "dns_options": ("a", "b")}),
        (["--dns-search", "x.y", "--add-host", "a:1.2.3.4"], {"dns_search": ("x.y",), "extra_hosts": ("a:1.2.3.4",)}),
        (["--expose", "80", "--expose", "7000-7001/udp"], {"exposed_ports": ("80/tcp", "7000/udp", "7001/udp")}),
        (["--stop-signal", "INT", "--stop-timeout", "3"], {"stop_signal": "INT", "stop_timeout": 3}),
        (["--pull", "never", "--platform", "linux/arm64"], {"pull": "never", "platform": "linux/arm64"}),
        (["--volumes-from", "a:ro", "--cidfile", "/c"], {"volumes_from": ("a:ro",), "container_id_file": "/c"}),
        (["--rm=false", "--init=false"], {}),
        (["--blkio-weight", "100", "--blkio-weight-device", "/dev/a:10"],
         {"blkio_weight": 100, "blkio_weight_device": (DeviceRate("/dev/a", 10),)}),
    ],
)  # fmt: skip
def test_options(arguments: list[str], changes: dict[str, Any]) -> None:
    assert options(*arguments, "img").as_dict() == BARE.replace(**changes).as_dict()


def test_command_follows_the_image() -> None:
    assert options("--rm", "img", "sh", "-c", "x", "--rm=no").cmd == ("sh", "-c", "x", "--rm=no")
    assert options("img").cmd is None
    assert options("--", "img", "-x").cmd == ("-x",)


def test_relative_volumes_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert options("-v", ".:/x:ro", "-v", "./d:/y", "i").binds == (f"{tmp_path}:/x:ro", f"{tmp_path}/d:/y")


def test_variables_come_from_files_then_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "yes")
    monkeypatch.delenv("NOT_HERE", raising=False)
    file = tmp_path / "env"
    file.write_text("# comment\nA=1\nFROM_HERE\nNOT_HERE\nB=two words \n")
    found = options("-e", "A=2", "-e", "FROM_HERE", "-e", "NOT_HERE", "--env-file", str(file), "i").env
    assert found == ("A=1", "FROM_HERE=yes", "B=two words ", "A=2", "FROM_HERE=yes", "NOT_HERE")


def test_labels_come_from_files_then_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text("a=1\nb\n")
    assert options("-l", "a=2", "--label-file", str(file), "i").labels == (("a", "2"), ("b", ""))


def test_a_seccomp_profile_is_read(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_text('{ "defaultAction" : "SCMP_ACT_ALLOW" }')
    assert options("--security-opt", f"seccomp={file}", "i").security_opt == (
        'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}',
    )
    file.write_text("{")
    with pytest.raises(InvalidArgument, match=r"compacting json for seccomp profile .* failed"):
        options("--security-opt", f"seccomp={file}", "i")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "x"], 'invalid argument "x" for "-m, --memory" flag: invalid size: \'x\''),
        (["--cpus", "x"], 'invalid argument "x" for "--cpus" flag: failed to parse x as a rational number'),
        (["--cpus", "1.1111111111"], 'invalid argument "1.1111111111" for "--cpus" flag: value is too precise'),
        (
            ["--mount", "foo"],
            'invalid argument "foo" for "--mount" flag: invalid field \'foo\' must be a key=value pair',
        ),
        (["--ulimit", "x"], 'invalid argument "x" for "--ulimit" flag: invalid ulimit argument: x'),
        (["--sysctl", "x"], 'invalid argument "x" for "--sysctl" flag: sysctl \'x\' is not allowed'),
        (["-e", "=x"], 'invalid argument "=x" for "-e, --env" flag: invalid environment variable: =x'),
        (["-a", "foo"], 'invalid argument "foo" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR'),
        (["--gpus", "x=y"], "invalid argument \"x=y\" for \"--gpus\" flag: unexpected key 'x' in 'x=y'"),
        (["--add-host", "x"], 'invalid argument "x" for "--add-host" flag: bad format for add-host: "x"'),
        (["--dns", "x"], 'invalid argument "x" for "--dns" flag: IP address is not correctly formatted: x'),
        (["--env-file", "/nope"], "open /nope: no such file or directory"),
        (["--label-file", "/nope"], "open /nope: no such file or directory"),
        (["--pull", "foo"], 'invalid pull option: \'foo\': must be one of "always", "missing" or "never"'),
        (["--security-opt", "foo"], 'Invalid --security-opt: "foo"'),
        (
            ["--security-opt", "seccomp=/nope"],
            "opening seccomp profile (/nope) failed: open /nope: no such file or directory",
        ),
        (["--expose", "x"], "invalid range format for --expose: x"),
        (["--stop-signal", "FOO"], "invalid signal: FOO"),
    ],
)
def test_messages_are_dockers(arguments: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        options(*arguments, "i")
    assert caught.value.message.split("\n")[0] == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "a", "--network", "host"], "cannot attach both user-defined and non-user-defined network-modes"),
        (["--network", "a", "--network", "name=a"], 'network "a" is specified multiple times'),
        (["--network", "name=a,ip=10.0.0.2", "--ip", "10.0.0.3"], "cannot specify both --ip and per-network ip"),
        (["--network", "name=a,alias=b", "--network-alias", "c"], "both --network-alias and per-network alias"),
        (["--network", "name=a,colour=red"], "invalid field key colour"),
        (["--network", "alias=b"], "network name/id is not specified"),
        (["--network", "name=a,mac-address=zz"], "zz is not a valid mac address"),
        (["--link", "a:b:c"], "bad format for links: a:b:c"),
    ],
)
def test_networks_that_contradict_each_other(arguments: list[str], message: str) -> None:
    with pytest.raises(WherryError) as caught:
        options(*arguments, "i")
    assert message in caught.value.message


def test_create_has_runs_options_but_for_the_terminal() -> None:
    names = {row[0] for row in run.COMMAND.options}
    assert names - {row[0] for row in create.COMMAND.options} == {"detach", "detach-keys", "sig-proxy"}
    assert options("--name", "x", "img", module=create) == BARE.replace(name="x")


def test_a_terminal_needs_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda _fd: False)
    with pytest.raises(parser.UsageError, match="the input device is not a TTY") as caught:
        run.check_terminal(options("-it", "img"))
    assert caught.value.exit_code == 1
    run.check_terminal(options("-t", "img"))
    run.check_terminal(options("-i", "img"))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a", b"a"),
        ("", b"\x10\x11"),
        ("ctrl-@,ctrl-[,ctrl-_", b"\x00\x1b\x1f"),
        ("ctrl-\\", b"\x1c"),
    ],
)
def test_detach_keys(text: str, keys: bytes) -> None:
    assert detach_keys(text) == keys


@pytest.mark.parametrize("text", ["foo", "ctrl-", "ctrl-A", "ctrl-p,", "é"])
def test_bad_detach_keys(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid detach keys"):
        detach_keys(text)
