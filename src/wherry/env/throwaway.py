"""A container that runs one program of an image and is gone: no network, no capabilities, nothing to write to but what
is given."""

from __future__ import annotations

import os

from wherry.container.options import ContainerOptions, MountOption
from wherry.engine.progress import Silent
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine

_ENV = (
    "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONOPTIMIZE",
    "SOURCE_DATE_EPOCH=315532800", "TZ=UTC", "LC_ALL=C.UTF-8",
)  # fmt: skip
"""A name without a value takes away what the image sets."""
_LIMIT = 1 << 20  # bytes of output that are kept


class Ran(Record):
    """How it ended: its exit status, and what it wrote to either stream (the last megabyte)."""

    status: int
    out: bytes
    err: bytes


def run(
    engine: Engine,
    image_id: str,
    command: tuple[str, ...],
    mounts: tuple[tuple[str, str, bool], ...] = (),
    env: tuple[str, ...] = (),
    directory: str = "/",
) -> Ran:
    """Run ``command`` in a container of the image as its root; wait for it.

    ``mounts`` are (directory here, directory there, whether it may write).  The environment is the image's and the
    same few variables every time: locale, time zone, hash seed.  Raises what `wherry.engine.run.run` does.
    """
    from wherry.engine.run import run as run_container
    from wherry.monitor.streams import Streams

    options = ContainerOptions(
        image=image_id,
        hostname="build",
        user="0:0",
        attach_stdout=True,
        attach_stderr=True,
        env=(*_ENV, *env),
        cmd=command,
        entrypoint=("",),
        working_dir=directory,
        health_test=("NONE",),
        auto_remove=True,
        mounts=tuple([MountOption("bind", there, here, read_only=not writes) for here, there, writes in mounts]),
        tmpfs=(("/tmp", "exec,mode=1777"),),
        network_mode="none",
        cap_drop=("ALL",),
        readonly_rootfs=True,
        security_opt=("no-new-privileges",),
        log_driver="none",
    )
    out, err = os.memfd_create("out", os.MFD_CLOEXEC), os.memfd_create("err", os.MFD_CLOEXEC)
    try:
        status = run_container(engine, options, Streams(None, out, err), Silent())
        return Ran(status, _tail(out), _tail(err))
    finally:
        os.close(out)
        os.close(err)


def _tail(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, _LIMIT, max(0, size - _LIMIT))
