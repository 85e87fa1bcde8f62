"""Timing a command, the memory of a process tree, and samples of several subjects by turns."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

TIMEOUT = 300
WARM_UP = 2


class Failed(Exception):
    """The command did not end well; the text is the end of what it said."""


def timed(
    argv: Sequence[str], env: dict[str, str], *, log: Path, watch: Callable[[int], PeakMemory] | None = None
) -> float:
    """Milliseconds from the start of *argv* to its end; its output goes to *log*.  Raises `Failed`.

    *watch* is called with the process id and entered while the command runs.
    """
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    start = time.perf_counter()
    pid = os.posix_spawnp(argv[0], list(argv), env, file_actions=actions)
    timer = threading.Timer(TIMEOUT, os.kill, (pid, signal.SIGKILL))
    timer.daemon = True
    timer.start()
    with watch(pid) if watch else contextlib.nullcontext():
        _, status = os.waitpid(pid, 0)
    taken = (time.perf_counter() - start) * 1000
    timer.cancel()
    os.close(out)
    os.close(null)
    if status:
        text = log.read_text(errors="replace").strip().splitlines()
        code = os.waitstatus_to_exitcode(status)
        raise Failed(f"{' '.join(argv[:4])} …: status {code}: {' '.join(text[-2:])[-300:]}")
    return taken


def in_child(prepare: Callable[[], None], function: Callable[[], float]) -> float:
    """The result of *function* in a forked child that ran *prepare* first."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            prepare()
            os.write(write, struct.pack("d", function()))
        except BaseException as error:
            os.write(write, b"!" + str(error).encode()[:4000])
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    if data[:1] == b"!" and len(data) != 8:
        raise Failed(data[1:].decode(errors="replace"))
    return float(struct.unpack("d", data)[0])


def without_cgroup2() -> None:
    """A mount namespace without the empty cgroup2 of a hybrid host, which crun refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None):
        raise OSError(ctypes.get_errno(), "unshare")
    for line in Path("/proc/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2" and fields[1] != "/sys/fs/cgroup":
            libc.umount2(fields[1].encode(), 2)


def tree(pid: int) -> list[int]:
    """*pid* and its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += tree(int(child))
    return found


def resident(pid: int) -> int:
    """Bytes of memory that the tree under *pid* takes, shared pages counted once (proportional set size)."""
    return sum(proportional(one) for one in tree(pid))


def proportional(pid: int) -> int:
    """Bytes of memory of one process, its part of shared pages; 0 when it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class PeakMemory:
    """A context manager: ``peak`` is the most memory that the tree under *pid* was seen to take, in bytes."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak = pid, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, resident(self.pid))

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()


def summary(samples: Sequence[float], best: Callable[[Sequence[float]], float] = min) -> dict[str, float]:
    """Median, best and quartiles, rounded to hundredths."""
    quartiles = statistics.quantiles(samples, n=4) if len(samples) > 1 else [samples[0]] * 3
    values = {"median": statistics.median(samples), "best": best(samples), "q1": quartiles[0], "q3": quartiles[2]}
    return {name: round(value, 2) for name, value in values.items()} | {"n": len(samples)}


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Series:
    """Samples of one measurement, by subject; a subject that fails once takes no further part."""

    def __init__(self, title: str, best: Callable[[Sequence[float]], float] = min) -> None:
        self.title = title
        self.best = best
        self.samples: dict[str, list[float]] = {}
        self.failures: dict[str, str] = {}

    def collect(self, turns: dict[str, Callable[[], float]], rounds: int, warm_up: int = WARM_UP) -> None:
        names = list(turns)
        for number in range(-warm_up, rounds):
            at = number % len(names) if names else 0
            for name in names[at:] + names[:at]:
                if name in self.failures:
                    continue
                try:
                    value = turns[name]()
                except (Failed, OSError) as error:
                    self.failures[name] = str(error)
                    note(f"  {name}: {error}")
                    continue
                if number >= 0:
                    self.samples.setdefault(name, []).append(round(value, 3))
        for name in self.failures:
            self.samples.pop(name, None)

    def result(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "summary": {name: summary(values, self.best) for name, values in self.samples.items()},
            "failures": self.failures,
            "samples": self.samples,
        }


@contextlib.contextmanager
def fresh_disk(parent: Path) -> Iterator[Path]:
    """A new ext4 file system: one that has just seen many files removed makes new ones several times slower, and which
    engine pays for that would be a matter of the order."""
    image, point = parent / "disk.img", parent / "disk"
    subprocess.run(["truncate", "-s", "8G", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    point.mkdir()
    subprocess.run(["mount", "-o", "loop", image, point], check=True)
    try:
        yield point
    finally:
        end = time.monotonic() + 30  # what watched the container may still be cleaning up
        while subprocess.run(["umount", point], check=False, capture_output=True).returncode:
            if time.monotonic() > end:
                raise SystemExit(f"{point} stays busy")
            time.sleep(0.1)
        point.rmdir()
        image.unlink()
