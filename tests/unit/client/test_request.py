"""What is asked on the command line arrives at the engine of the other side as it would at this one's."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from wherry.api.container_request import options_of, update_of
from wherry.api.fields import parse as fields
from wherry.cli.commands import create
from wherry.cli.commands.run import COMMAND
from wherry.cli.container_options import CHECKS, build
from wherry.cli.main import Call
from wherry.cli.parser import parse
from wherry.client import request
from wherry.container.options import ContainerOptions
from wherry.container.update import ContainerUpdate

NEWEST = (1, 50)

LINES = [
    "busybox",
    "-it busybox sh -c 'echo a b'",
    "-d --name x --rm busybox",
    "-a stdin -a stderr busybox",
    "-e A=1 -e NONE -e E= -l a=b -l c --annotation a=b busybox",
    "-v /a:/b:ro,z -v name:/v -v /anonymous --tmpfs /t:size=1m --volumes-from x:ro busybox",
    "--mount type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave busybox",
    "--mount type=volume,src=vol,dst=/v,volume-nocopy,volume-label=a=b,volume-opt=type=tmpfs busybox",
    "--mount type=volume,src=vol,dst=/v,volume-subpath=sub busybox",
    "--mount type=tmpfs,dst=/t,tmpfs-size=64k,tmpfs-mode=700 busybox",
    "-p 8080:80 -p 127.0.0.1::53/udp -p [::1]:90:91 --expose 99 -P busybox",
    "--network host busybox",
    "--network net --network-alias a --ip 10.1.2.3 --mac-address 02:42:ac:11:00:02 busybox",
    "--network name=one,alias=a,gw-priority=3 --network name=two,ip=10.1.2.4 busybox",
    "--link a:b --link c busybox",
    "--dns 1.1.1.1 --dns-opt ndots:1 --dns-search x --add-host a:1.2.3.4 -h box --domainname d busybox",
    "--cap-add NET_ADMIN --cap-drop ALL --privileged --read-only --init --group-add 5 -u 1:2 -w /x busybox",
    "--security-opt no-new-privileges --security-opt seccomp=unconfined --sysctl net.a=1 busybox",
    "--ipc host --pid host --uts host --userns host --cgroupns host --cgroup-parent /x --runtime runc busybox",
    "-m 64m --memory-reservation 32m --memory-swap 96m --memory-swappiness 10 --oom-kill-disable busybox",
    "--cpus 1.5 --cpu-shares 10 --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 5 --oom-score-adj 7 busybox",
    "--cpu-period 10000 --cpu-quota 5000 --cpu-rt-period 1000 --cpu-rt-runtime 900 --shm-size 1m busybox",
    "--blkio-weight 10 --blkio-weight-device /dev/a:20 --device-read-bps /dev/a:1m busybox",
    "--device-write-bps /dev/a:1k --device-read-iops /dev/b:8 --device-write-iops /dev/b:9 busybox",
    "--ulimit nofile=1:2 --ulimit core=0 busybox",
    "--device /dev/null:/dev/x:rw --device-cgroup-rule 'c 1:3 r' --gpus 2 busybox",
    "--health-cmd true --health-interval 1s --health-retries 3 --health-timeout 2s --health-start-period 4s busybox",
    "--no-healthcheck --restart on-failure:3 --log-driver local --log-opt max-size=1m busybox",
    "--entrypoint '' --stop-signal INT --stop-timeout 0 --platform linux/amd64 --pull always busybox",
    "--entrypoint sh busybox -c 'true'",
]  # fmt: skip


def asked(line: str) -> ContainerOptions:
    words = shlex.split(line)
    command = create.COMMAND if words[:1] == ["create"] else COMMAND
    values, rest = parse(command, "run", words, CHECKS)
    return build(Call("run", values, rest, {}))


def arrived(document: dict[str, Any], options: ContainerOptions) -> ContainerOptions:
    body = fields(json.dumps(document).encode())
    return options_of(body, name=options.name, platform=options.platform)


@pytest.mark.parametrize("line", LINES)
def test_options_arrive_as_they_were_asked(line: str) -> None:
    options = asked(line)
    found = arrived(request.body(options, NEWEST), options)
    # what only the client uses; and what one network is called when nobody has named it
    expected = options.replace(pull="missing", networks=_named(options))
    assert found == expected


def _named(options: ContainerOptions) -> tuple[Any, ...]:
    return tuple([one.replace(name=one.name or options.network_mode or "bridge") for one in options.networks])


def test_nothing_is_said_of_what_was_not_asked() -> None:
    document = request.body(ContainerOptions(image="a"), NEWEST)
    assert document == {"Image": "a", "HostConfig": {}}


def test_an_engine_of_before_gets_one_network_and_the_address_apart() -> None:
    options = asked("--network name=one,mac-address=02:42:ac:11:00:02 --network two busybox")
    document = request.body(options, (1, 43))
    assert document["MacAddress"] == "02:42:ac:11:00:02"
    assert list(document["NetworkingConfig"]["EndpointsConfig"]) == ["one"]
    assert [one.name for one in request.networks_at_creation(options, (1, 44))] == ["one", "two"]


def test_update_arrives_as_it_was_asked() -> None:
    wanted = ContainerUpdate(memory=1 << 28, nano_cpus=5, restart_policy="on-failure", restart_retries=2, pids_limit=7)
    assert update_of(fields(json.dumps(request.update(wanted)).encode())) == wanted
