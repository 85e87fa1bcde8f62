"""Bridges and published ports: each engine in a network namespace of its own that plays a host, with another beside it
that plays a second host.  What engines leave in them, bridges and rules, goes with them."""

from __future__ import annotations

import contextlib
import ctypes
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import subjects
from measure import Failed, in_child
from support import images

IMAGE = "bench/iperf3:latest"
PACKAGES = ("libc6", "libssl3", "libsctp1", "libiperf0", "iperf3")
HOST, OUTSIDE = "198.18.0.1", "198.18.0.2"  # of the range for measurements (RFC 2544)
SECONDS = 3  # of one transfer
PORT = 5201
CNI = Path("/var/lib/cni")


def iperf() -> images.Built:
    """busybox, and the distribution's iperf3."""

    def build(directory: Path, files: dict[str, Path]) -> images.Built:
        known: set[str] = set()
        layer = images.add_busybox(images.skeleton(images.Layer(), known), files)
        wanted = {name: path for name, path in files.items() if name.startswith(("usr/lib", "usr/bin/iperf3"))}
        return images.Image([images.add_files(layer, wanted, known)], {"Env": [images.PATH]}).build(directory)

    return images.cached("iperf3", images.BUSYBOX_PACKAGES + PACKAGES, build)


class Bridged(subjects.Docker):
    """Docker with its bridge and its rules."""

    network = ()


class Ground:
    """One engine in its namespaces.  ``open`` raises `Failed` where something of it does not work here."""

    def __init__(self, engine: subjects.Engine) -> None:
        self.engine, self.name = engine, engine.name
        self._inside, self._outside = f"wb-{self.name}", f"wb-{self.name}-out"
        self._server = ""
        if isinstance(engine, subjects.Docker):
            engine.prefix = ("nsenter", f"--net=/run/netns/{self._inside}")

    def open(self, archives: list[Path]) -> None:
        for name in (self._inside, self._outside):
            subjects.output("ip", "netns", "add", name)
            subjects.output("ip", "-n", name, "link", "set", "lo", "up")
        pair = ("type", "veth", "peer", "name", "eth0", "netns", self._outside)
        subjects.output("ip", "-n", self._inside, "link", "add", "eth0", *pair)
        for name, address in ((self._inside, HOST), (self._outside, OUTSIDE)):
            subjects.output("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            subjects.output("ip", "-n", name, "link", "set", "eth0", "up")
        # on before any of them: who turns it on makes rules against being a router
        subjects.output("ip", "netns", "exec", self._inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.engine.open()
        for archive in archives:
            self.engine.load(archive)
        self.run()

    def close(self) -> None:
        self.engine.close()
        for name in (self._inside, self._outside):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def _command(self, *words: str) -> list[str]:
        extra = self.engine.extra if isinstance(self.engine, subjects.Podman) else ()
        return [*self.engine.base, words[0], *extra, *words[1:]]

    def _in(self, namespace: str, function: Callable[[], float]) -> float:
        return in_child(lambda: enter(namespace), function)

    def run(self, *options: str) -> float:
        """Milliseconds of one container that does nothing."""
        argv = self._command("run", "--rm", *options, subjects.IMAGE, "true")
        return self._in(self._inside, lambda: self.engine.time(argv))

    def serve(self) -> None:
        """Start the server, its port published."""
        argv = self._command("run", "-d", "--name", "server", "-p", f"{PORT}:{PORT}", IMAGE, "iperf3", "-s")
        self._in(self._inside, lambda: self.engine.time(argv))
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self._server = subjects.output(*self.engine.base, "inspect", "-f", form, "server").strip()

    def stop(self) -> None:
        argv = [*self.engine.base, "rm", "-f", "server"]
        with contextlib.suppress(Failed):
            self._in(self._inside, lambda: self.engine.time(argv))

    def from_outside(self) -> float:
        """Gbit/s from the other host through the published port."""
        return self._in(self._outside, lambda: rate(client(HOST)))

    def between(self) -> float:
        """Gbit/s from a second container."""
        return self._in(self._inside, lambda: rate(self._command("run", "--rm", IMAGE, *client(self._server))))


class Grounds:
    """Those where everything works, and why others do not."""

    def __init__(self) -> None:
        self.all: list[Ground] = []
        self.absent: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    @contextlib.contextmanager
    def servers(self) -> Iterator[list[Ground]]:
        ready = []
        try:
            for one in self.all:
                try:
                    one.serve()
                    ready.append(one)
                except Failed as error:
                    self.absent[one.name] = str(error)
            yield ready
        finally:
            for one in self.all:
                one.stop()


@contextlib.contextmanager
def grounds(directory: Path, *archives: Path) -> Iterator[Grounds]:
    """Every engine with an empty store in its own namespaces; all is undone at the end."""
    found = Grounds()
    had_cni = CNI.exists()
    opened: list[Ground] = []
    place = directory / "networks"
    place.mkdir()
    try:
        for kind in (subjects.Wherry, Bridged, subjects.Podman):
            ground = Ground(kind(place))
            opened.append(ground)
            try:
                ground.open(list(archives))
                found.all.append(ground)
                found.versions[ground.name] = ground.engine.version
            except (Failed, OSError) as error:
                found.absent[ground.name] = f"networks: {error}"
        yield found
    finally:
        for ground in opened:
            ground.close()
        if not had_cni:
            shutil.rmtree(CNI, ignore_errors=True)  # where podman keeps addresses, wherever its storage is


def enter(namespace: str) -> None:
    """Have this process, and what it starts, be in a network namespace of ip(8)."""
    with open(f"/run/netns/{namespace}") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), f"enter {namespace}")


def client(address: str) -> tuple[str, ...]:
    return ("iperf3", "-c", address, "-p", str(PORT), "-t", str(SECONDS), "-J")


def rate(argv: list[str] | tuple[str, ...]) -> float:
    """Gbit/s that arrived, of iperf3 with -J."""
    done = subprocess.run(argv, env=subjects.ENV, capture_output=True, text=True, check=False, timeout=60)
    try:
        return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e9
    except (ValueError, KeyError):
        raise Failed(f"{' '.join(argv[:4])} …: {(done.stderr or done.stdout).strip()[-300:]}") from None
