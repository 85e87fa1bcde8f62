"""The walk-throughs of networks in Docker's public documentation, with docker and with wherry, each on a machine of its
own: a network namespace with an uplink.  Output, exit statuses, documents and complaints are the same."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support import images, needs
from support.dockerd import Dockerd, NotHere
from support.machine import Machine, machine
from support.plain import complaint, plain

pytestmark = [
    pytest.mark.needs("root", "debian", "busybox", "iproute2", "dockerd"),
    pytest.mark.xdist_group("dockerd"),
]

SLEEP = "busybox sleep 600"
DEFAULT_BRIDGE = f"""
    network ls --format '{{{{.Name}}}} {{{{.Driver}}}} {{{{.Scope}}}}'
    run -dit --name alpine1 busybox sh
    run -dit --name alpine2 busybox sh
    exec alpine1 ip -o -4 addr show eth0
    exec alpine1 ip route
    exec alpine1 cat /etc/hosts
    network inspect bridge
    exec alpine1 ping -c 1 -W 5 10.9.0.2
    exec alpine1 ping -c 1 -W 5 172.17.0.3
    exec alpine1 nslookup alpine2 10.9.0.2
    exec alpine1 ping -c 1 alpine2
    inspect alpine1
    port alpine1
    container stop -t 0 alpine1 alpine2
    network inspect bridge
    container rm alpine1 alpine2
    run -d --rm --name alpine3 --ip 172.17.0.9 {SLEEP}
    run -d --rm --name alpine3 --network-alias x {SLEEP}
"""
USER_DEFINED = f"""
    network create --driver bridge alpine-net
    network create --driver bridge alpine-net
    network ls --filter type=custom --format '{{{{.Name}}}} {{{{.Driver}}}}'
    network inspect alpine-net
    run -dit --name alpine1 --network alpine-net {SLEEP}
    run -dit --name alpine2 --network alpine-net --network-alias second {SLEEP}
    run -dit --name alpine3 {SLEEP}
    run -dit --name alpine4 --network alpine-net {SLEEP}
    network connect bridge alpine4
    network connect bridge alpine4
    network inspect bridge
    network inspect alpine-net
    exec alpine1 ping -c 1 -W 5 alpine2
    exec alpine1 ping -c 1 -W 5 second
    exec alpine1 ping -c 1 -W 5 alpine4
    exec alpine1 ping -c 1 -W 5 alpine1
    exec alpine1 ping -c 1 alpine3
    exec alpine1 ping -c 1 -W 1 172.17.0.2
    exec alpine4 ip -o -4 addr
    exec alpine4 ip route
    exec alpine4 cat /etc/resolv.conf
    exec alpine4 ping -c 1 -W 5 alpine1
    exec alpine4 ping -c 1 -W 5 172.17.0.2
    exec alpine4 ping -c 1 alpine3
    exec alpine4 ping -c 1 -W 5 10.9.0.2
    inspect alpine4
    ps -a --filter network=alpine-net --format '{{{{.Names}}}}'
    network rm alpine-net
    network disconnect bridge alpine4
    network disconnect bridge alpine4
    exec alpine4 ip -o -4 addr
    container stop -t 0 alpine1 alpine2 alpine3 alpine4
    network inspect alpine-net
    network disconnect alpine-net alpine1
    start alpine1
    exec alpine1 ip -o -4 addr
    rm -f alpine1 alpine2 alpine3 alpine4
    network rm alpine-net
    network rm alpine-net
    network inspect alpine-net
"""
CONNECTING = f"""
    network create --subnet 172.28.0.0/16 --ip-range 172.28.5.0/24 --gateway 172.28.5.254 br0
    network create --driver bridge --subnet 172.25.0.0/16 --label a=b --internal isolated_nw
    network inspect br0 isolated_nw
    run -d --name container1 {SLEEP}
    run -d --name container2 --network isolated_nw {SLEEP}
    run -d --name container3 --network isolated_nw --ip 172.25.3.3 {SLEEP}
    run -d --rm --name container4 --network isolated_nw --ip 172.25.3.3 {SLEEP}
    run -d --rm --name container4 --network isolated_nw --ip 172.26.3.3 {SLEEP}
    network connect isolated_nw container1
    network connect --ip 172.28.5.9 --alias c2 --alias other br0 container2
    network connect --link container2:two br0 container3
    exec container1 ip route
    exec container2 ip route
    exec container3 ip route
    exec container2 ping -c 1 -W 5 container3
    exec container3 ping -c 1 -W 5 two
    exec container3 ping -c 1 -W 5 c2
    inspect container2
    inspect container3
    network inspect isolated_nw
    network disconnect -f br0 container2
    network disconnect br0 nosuch
    network connect nosuch container1
    network connect br0 nosuch
    network rm br0 nosuch
    network rm bridge
    network create bridge
    network create --subnet 172.28.0.0/24 over
    network create --subnet nonsense over
    network create --driver nosuch over
    network create --gateway 10.1.1.1 over
    network connect host container1
    network disconnect host container1
    network inspect nosuch
    network ls --filter nosuch=1
    rm -f container1 container2 container3
    network rm br0 isolated_nw
"""
HOST = f"""
    run --rm -d --network host --name my_nginx busybox httpd -f -p 80 -h /etc
    exec my_nginx ip -o -4 addr show wan0
    exec my_nginx wget -qO- http://localhost:80/hostname
    network inspect host
    inspect my_nginx
    container stop -t 0 my_nginx
    run --rm --network host -p 80:80 busybox true
    run --rm --network host --ip 10.9.0.1 busybox true
    run -d --name my_none --network none {SLEEP}
    exec my_none ip -o link show
    exec my_none ip route
    network inspect none
    network connect bridge my_none
    inspect my_none
    rm -f my_none
    run -d --name first {SLEEP}
    run --rm --network container:first busybox ip -o -4 addr show eth0
    run --rm --network container:first -p 80:80 busybox true
    run --rm --network container:nosuch busybox true
    run -d --name db -e A=b -e PATH=/bin --expose 5432 --expose 53/udp --expose 600-603 --expose 700-701 {SLEEP}
    run --rm --name web -e THE_DB_NAME=mine -h web --link db:the-db busybox env
    run -d --name web -h web --link db:the-db {SLEEP}
    exec -e B=c web env
    exec web cat /etc/hosts
    rm -f db web
    rm -f first
"""
MACVLAN = f"""
    network create -d macvlan --subnet 172.16.86.0/24 --gateway 172.16.86.1 -o parent=wan0 my-macvlan-net
    network ls --filter driver=macvlan --format '{{{{.Name}}}}'
    run --rm -dit --network my-macvlan-net --name my-macvlan-alpine {SLEEP}
    network inspect my-macvlan-net
    inspect my-macvlan-alpine
    exec my-macvlan-alpine ip -o -4 addr show eth0
    exec my-macvlan-alpine ip route
    container stop -t 0 my-macvlan-alpine
    network rm my-macvlan-net
"""
CHANGED = {  # complaints that are other words in Docker 28, which are ours
    "network rm alpine-net": "has active endpoints",
    "run -d --rm --name container4 --network isolated_nw --ip 172.26.3.3 busybox sleep 600": "no configured subnet",
    "network rm br0 nosuch": "has active endpoints",
    "network create --subnet 172.28.0.0/24 over": "pool overlaps with other one on this address space",
    "network create --subnet nonsense over": "invalid cidr address: nonsense",
    "network create --driver nosuch over": "could not find plugin nosuch",
}
DIFFERENT = re.compile(
    r"bridge\.name: "  # of the default network: ours is wherry0, or after its id
    r"|\.Aliases: "  # Docker 28 has the short id elsewhere
    r"|(IPAMConfig|DriverOpts): docker {}, wherry None$|Aliases: docker \[\], wherry None$"
    r"|IPAM.Config: docker \[\], wherry None$"  # as in Docker 28
    r"|Networks\.isolated_nw\.Gateway: docker '172.25.0.1', wherry ''$"  # of an internal network, which leads nowhere
)
WALKS = {
    "the default bridge": DEFAULT_BRIDGE,
    "user-defined bridges": USER_DEFINED,
    "connecting": CONNECTING,
    "host and none": HOST,
    "macvlan": MACVLAN,
}


@dataclass
class Engines:
    docker: Dockerd
    theirs: Machine
    ours: Machine

    def both(self, step: str) -> tuple[Outcome, Outcome]:
        words = shlex.split(step)
        enter = ("nsenter", f"--net={self.theirs.host.path}", "--")
        pipe = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        first = subprocess.Popen([*enter, *self.docker.argv(*words)], env=self.docker.env, **pipe)  # type: ignore[call-overload]
        second = self.ours.wherry.popen(*words)
        return Outcome.of(first, words), Outcome.of(second, words)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    complaint: str
    documents: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, process: subprocess.Popen[bytes], words: list[str]) -> Outcome:
        out, err = (text.decode(errors="replace") for text in process.communicate(timeout=120))
        documents: list[dict[str, Any]] = []
        if "inspect" in words[:2]:
            documents, out = json.loads(out), ""
        if words[0] == "run" and process.returncode == 125:
            out = ""  # the id of a container that Docker keeps for a while
        return cls(process.returncode, timeless(out), complaint(plain(err)), tuple(documents))


def timeless(text: str) -> str:
    """Without how long a ping took, and the numbers of interfaces."""
    text = re.sub(r"time=[\d.]+ ms|= [\d./]+ ms|ttl=\d+", "…", text)
    text = re.sub(r"^\d+: ", "N: ", text, flags=re.M)
    text = re.sub(r"@if\d+", "@if", text).replace("::0\t", "::\t")
    return plain(text)


def same(theirs: Any, ours: Any, where: str) -> Iterator[str]:
    """What Docker's document has and ours has otherwise; newer Dockers have more, and so have we."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        names = {re.sub(r"^[0-9a-f]{64}$", "ID", name): value for name, value in ours.items()}
        if list(theirs) and all(re.fullmatch("[0-9a-f]{64}", name) for name in theirs):  # containers, by their ids
            theirs = {value["Name"]: value for value in theirs.values()}
            names = {value["Name"]: value for value in ours.values()}
            if theirs.keys() != names.keys():
                yield f"{where}: {sorted(theirs)} {sorted(names)}"
        for name, value in theirs.items():
            if name not in names:
                yield f"{where}.{name} is missing"
            elif not IDENTITY.search(f"{where}.{name}"):
                yield from same(value, names[name], f"{where}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from same(one, other, f"{where}[{number}]")
    elif plain(str(theirs)) != plain(str(ours)):
        yield f"{where}: docker {theirs!r}, wherry {ours!r}"


IDENTITY = re.compile(r"\.(Id|EndpointID|NetworkID|Created|SandboxID|SandboxKey)$")


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    for name in ("root", "debian", "busybox", "iproute2", "dockerd"):
        if not needs.present(name):
            pytest.skip(needs.reason(name))
    archive = images.busybox().docker_archive(tmp_path_factory.mktemp("walk") / "busybox.tar", "busybox:latest")
    with machine() as theirs, machine() as ours:
        try:
            docker = Dockerd(prefix=("nsenter", f"--net={theirs.host.path}", "--"), networks=True)
        except NotHere:
            pytest.skip(needs.reason("dockerd"))
        try:
            ours.wherry.load(archive)
            subprocess.run(docker.argv("load", "-i", archive), env=docker.env, check=True, capture_output=True)
            yield Engines(docker, theirs, ours)
        finally:
            docker.close()


@pytest.mark.parametrize("walk", list(WALKS))
def test_the_same(walk: str, engines: Engines) -> None:
    differences: list[str] = []
    for step in filter(None, map(str.strip, WALKS[walk].splitlines())):
        theirs, ours = engines.both(step)
        agree = theirs.complaint == ours.complaint or (step in CHANGED and CHANGED[step] in ours.complaint)
        if (theirs.code, theirs.out) != (ours.code, ours.out) or not agree:
            differences.append(f"{step}\n  docker: {theirs}\n  wherry: {ours}")
        if "inspect" in step.split(" ")[:2]:
            found = [] if len(theirs.documents) == len(ours.documents) else ["not as many documents"]
            for one, other in zip(theirs.documents, ours.documents, strict=False):
                if "NetworkSettings" in one:
                    one, other = one["NetworkSettings"], other["NetworkSettings"]
                found += same(one, other, "")
            differences += [f"{step}: {text}" for text in found if not DIFFERENT.search(text)]
    assert not differences, "\n" + "\n".join(differences)
