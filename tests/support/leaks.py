"""What a test may leave behind on a host: nothing.

`of` finds what still belongs to a state directory; other tests and other people may work on the same machine at the
same time, so nothing else is looked at.  `Snapshot` is the coarse look before and after a whole run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_bytes().decode(errors="replace")
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether *pid* runs (a zombie does not)."""
    text = _read(f"/proc/{pid}/stat")
    return bool(text) and text.rpartition(")")[2].split()[0] not in ("Z", "X")


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def mounts_of(directory: Path) -> list[str]:
    """Mount points in our mount namespace that are in *directory* or made out of it."""
    text = _read("/proc/self/mountinfo")
    return [line.split()[4] for line in text.splitlines() if f"{directory}/" in line.replace("\\040", " ")]


def _belongs(pid: int, needle: str, ours: str, ids: set[str]) -> bool:
    if pid == os.getpid() or not alive(pid):
        return False
    if needle in _read(f"/proc/{pid}/cmdline").replace("\0", " ") + " ":
        return True
    group = _read(f"/proc/{pid}/cgroup")
    if any(one in group for one in ids):
        return True
    with contextlib.suppress(OSError):
        if os.readlink(f"/proc/{pid}/ns/mnt") != ours:
            # what it stands on: a copy of our mounts, with some in the directory, is anybody's
            mounts = _read(f"/proc/{pid}/mountinfo").splitlines()
            return any(needle in line for line in mounts if line.split()[4] == "/")
    return False


def container_ids(directory: Path) -> set[str]:
    """Ids of the containers that the state in *directory* knows by their directories."""
    found: set[str] = set()
    for containers in (directory / "root" / "containers", directory / "run" / "containers"):
        with contextlib.suppress(OSError):
            found |= {name for name in os.listdir(containers) if len(name) == 64}
    return found


def processes_of(directory: Path) -> list[int]:
    """Monitors, containers and commands that work on the state in *directory*."""
    ours = os.readlink("/proc/self/ns/mnt")
    ids = container_ids(directory)
    return [pid for pid in processes() if _belongs(pid, f"{directory}/", ours, ids)]


def cgroups_of(ids: set[str]) -> list[Path]:
    return [path for path in cgroups() if any(one in path.name for one in ids)]


def cgroups() -> Iterator[Path]:
    """Every cgroup of Wherry's containers: what is in a directory ``wherry`` of any hierarchy."""
    for parent, names, _files in os.walk(CGROUPS):  # which does not mind that directories vanish meanwhile
        if "wherry" in Path(parent).relative_to(CGROUPS).parts:
            yield from (Path(parent) / name for name in names)


def remove_cgroups(name: str, timeout: float = 20) -> None:
    """Remove the cgroup *name* of every hierarchy, as soon as the groups in it are gone; OSError if they stay."""
    end = time.monotonic() + timeout
    for path in [Path(parent) / name for parent, names, _files in os.walk(CGROUPS) if name in names]:
        while True:
            try:
                path.rmdir()
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)


def interfaces_of(directory: Path) -> set[str]:
    """Bridges and interfaces of containers that the state in *directory* knows, or has labelled, and that are there."""
    labelled = {name for name, label in labels() if label == f"{table_name(directory)} network"}
    try:
        with contextlib.closing(sqlite3.connect(f"file:{directory}/root/wherry.db?mode=ro", uri=True)) as database:
            known = [row for (row,) in database.execute("SELECT record FROM networks")]
            known += [row for (row,) in database.execute("SELECT record FROM endpoints WHERE record != ''")]
    except sqlite3.Error:
        return labelled
    records = [json.loads(text) for text in known]
    names = {record.get("bridge") or record.get("host_interface") for record in records}
    return labelled | {str(name) for name in names if name and os.path.exists(f"/sys/class/net/{name}")}


def labels() -> list[tuple[str, str]]:
    """The host's interfaces, and what is noted on them."""
    return [(name, _read(f"/sys/class/net/{name}/ifalias").strip()) for name in os.listdir("/sys/class/net")]


def table_name(directory: Path) -> str:
    """What the table of the store in *directory* is called."""
    return f"wherry-{zlib.crc32(str(directory / 'root').encode()):08x}"


def table_of(directory: Path) -> str:
    """The nf_tables table of the store in *directory*, "" when there is none."""
    name = table_name(directory)
    if os.geteuid() != 0:
        return ""
    found = (
        subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
        if _has_nft()
        else ""
    )
    return name if f"table inet {name}" in found.splitlines() else ""


def of(directory: Path, ids: set[str] | None = None) -> list[str]:
    """One line for each thing left of the state in *directory* and of the containers *ids*."""
    found = [f"mount {point}" for point in mounts_of(directory)]
    for pid in processes_of(directory):
        found.append(f"process {pid}: {_read(f'/proc/{pid}/cmdline').replace(chr(0), ' ')[:200]}")
    found += [f"cgroup {path}" for path in cgroups_of((ids or set()) | container_ids(directory))]
    interfaces = interfaces_of(directory)
    found += [f"interface {name}" for name in sorted(interfaces)]
    if found or interfaces or not os.path.exists(directory / "root"):
        return found
    table = table_of(directory)
    return [f"table {table}"] if table else []


def settled(directory: Path, ids: set[str] | None = None, timeout: float = 20) -> list[str]:
    """`of`, after giving a monitor that is still cleaning up the time to finish."""
    end = time.monotonic() + timeout
    while (found := of(directory, ids)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def sweep(directory: Path) -> None:
    """Kill, unmount and remove all that is left of the state in *directory*."""
    ids = container_ids(directory)
    for _ in range(20):
        pids = processes_of(directory)
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for name in interfaces_of(directory):
        subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)
    table = table_of(directory)
    if table:
        subprocess.run(["nft", "delete", "table", "inet", table], check=False, capture_output=True)
    for point in reversed(mounts_of(directory)):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
    for path in sorted(cgroups_of(ids), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()


@dataclass(frozen=True)
class Snapshot:
    """What the host has of Wherry's: not of one state directory, and without what somebody else is using."""

    mounts: frozenset[str]
    cgroups: frozenset[str]
    links: frozenset[str]
    tables: frozenset[str]

    @classmethod
    def take(cls, places: str) -> Snapshot:
        """*places* is how the paths of the tests' directories begin."""
        lines = _read("/proc/self/mountinfo").splitlines()
        rules = (
            subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
            if _has_nft()
            else ""
        )
        return cls(
            frozenset(line.split()[4] for line in lines if places in line and not _in_use(line, places)),
            frozenset(str(path) for path in cgroups() if not _populated(path)),
            frozenset(name for name, label in labels() if name.startswith("wh") or label.startswith("wherry")),
            frozenset(line for line in rules.splitlines() if "wherry" in line),
        )

    def new_in(self, later: Snapshot) -> list[str]:
        """What *later* has and this one has not."""
        found: list[str] = []
        for name in ("mounts", "cgroups", "links", "tables"):
            found += [f"{name}: {one}" for one in sorted(getattr(later, name) - getattr(self, name))]
        return found

    def settled(self, places: str, timeout: float = 20) -> list[str]:
        """What is new and stays: a container that somebody else starts or ends meanwhile is not."""
        end = time.monotonic() + timeout
        found = self.new_in(Snapshot.take(places))
        while found and time.monotonic() < end:
            time.sleep(0.1)
            now = self.new_in(Snapshot.take(places))
            found = [one for one in found if one in now]
        return found


def _in_use(line: str, places: str) -> bool:
    """Whether another run of the tests has this mount: the number in a directory's name is the process that made it."""
    return any(int(pid) != os.getpid() and alive(int(pid)) for pid in re.findall(rf"{places}[a-z]+-(\d+)-", line))


def _populated(group: Path) -> bool:
    return any(_read(Path(parent) / "cgroup.procs") for parent, _names, _files in os.walk(group))


def _has_nft() -> bool:
    return os.geteuid() == 0 and any(os.access(f"{path}/nft", os.X_OK) for path in ("/usr/sbin", "/sbin", "/usr/bin"))
