"""What is done with new blobs and layers when whoever brought them has ended, in a process that nobody waits for.

Those that are not kept are dropped; the others are put under fs-verity where the store's file system has it: what the
disk damages is then refused at every read, and not only found by a check (docs/decisions/0152-fs-verity.md).
"""

from __future__ import annotations

import os

from wherry import precompiled
from wherry.engine import storage
from wherry.linux import verity
from wherry.rootfs.erofs import HEADS, TAR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.engine.engine import Engine

    Layers = Iterable[tuple[str, str]]

_LOWEST = 19  # nice(2)


def later(engine: Engine, layers: Layers, blobs: Iterable[str]) -> None:
    """`work` in a process of its own, if there is any.  The caller may have threads, but holds no lock that the child
    could want."""
    if not (storage.drops_blobs(engine) and engine.keeps_tars) and not seals(engine):
        return
    engine.will_fork()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        from wherry.monitor.main import leave_terminal

        if os.fork() == 0:
            leave_terminal(precompiled.descriptors())
            work(engine, layers, blobs)
    finally:
        os._exit(0)


def work(engine: Engine, layers: Layers, blobs: Iterable[str]) -> None:
    """All of it, for ``layers``, (digest of the blob, diff id), and other ``blobs``; with the lowest priority."""
    os.nice(_LOWEST)
    if storage.drops_blobs(engine):
        from wherry.engine.dropped import drop

        drop(engine, layers)
    if seals(engine):
        seal(engine, layers, blobs)


def seals(engine: Engine) -> bool:
    """Whether the store's file system, and the kernel, have fs-verity."""
    return verity.state(engine.layout.root + "/oci-layout") != ""


def seal(engine: Engine, layers: Layers, blobs: Iterable[str]) -> None:
    """Puts them under fs-verity, those that are still here.  Layers that are unpacked are not: their files may be
    thousands.  A file that the kernel does not take stays as it is."""
    files = [engine.content.path(one) for one in (*blobs, *(digest for digest, _diff_id in layers))]
    files += [f"{engine.tars.path(diff_id)}/{name}" for _digest, diff_id in layers for name in (TAR, HEADS)]
    for path in files:
        try:
            verity.seal(path)
        except OSError:
            continue
