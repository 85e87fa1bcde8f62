"""Timing a command, and the memory of a process tree."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import statistics
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TIMEOUT = 300


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
