"""Mounts that only a short-lived child can make.

Overlays on kernels that cannot build them from detached layers (before Linux 6.15), or have no ``lowerdir+`` (6.5).

There the layers have to be attached somewhere first, and ``lowerdir`` is one string of limited length.  A short-lived
child does that in a mount namespace of its own, where nobody else sees it, and hands back the finished mount.
"""

from __future__ import annotations

import os

from wherry.linux import mount as m
from wherry.linux import namespaces
from wherry.linux.syscall import call, failed
from wherry.runtime import channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from wherry.oci.mount import Mount
    from wherry.runtime.channel import Channel


def overlay(mount: Mount, attributes: int, lowers: list[int]) -> int:
    """The detached overlay of ``mount``; ``lowers`` are its detached layers, or none to use their paths.

    Raises CallError as the child met it.
    """
    return in_child(lambda: _build(mount, attributes, lowers), namespaces.CLONE_NEWNS)


def in_child(make: Callable[[], int], flags: int = 0) -> int:
    """The descriptor that ``make`` gives in a child, which is born with ``flags`` and ends at once.

    Raises CallError as the child met it.
    """
    ours, theirs = channel.pair()
    pid = namespaces.clone(flags)
    if pid == 0:
        _make_and_send(theirs, make)
    theirs.close()
    try:
        kind, body, descriptors = ours.receive()
    except channel.Closed:
        kind, body, descriptors = channel.FAILED, channel.encode_failure(0, "mount", 5, ""), []
    finally:
        ours.close()
        os.waitpid(pid, 0)
    if kind == channel.TREES:
        return descriptors[0]
    _, name, code, _ = channel.decode_failure(body)
    raise failed(name, code)


def _make_and_send(link: Channel, make: Callable[[], int]) -> NoReturn:
    try:
        link.send(channel.TREES, b"", (make(),))
    except OSError as error:
        name = getattr(error, "call", "mount")
        link.send(channel.FAILED, channel.encode_failure(0, name, error.errno or 0, ""))
    finally:
        os._exit(0)


def _build(mount: Mount, attributes: int, lowers: list[int]) -> int:
    m.set_propagation("/", m.MS_PRIVATE, recursive=True)
    # absolute paths of layers must stay reachable: the scratch file system is entered, not attached over them
    scratch = m.new("tmpfs", ("mode=700",))
    m.attach_at(scratch, "/")
    names = []
    for number, tree in enumerate(lowers or [m.clone_tree(directory) for directory in mount.lower]):
        os.mkdir(str(number), dir_fd=scratch)
        place = os.open(str(number), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=scratch)
        m.attach(tree, place)
        names.append(str(number))
    os.mkdir("whole", dir_fd=scratch)
    options = [f"lowerdir={':'.join(names)}"]
    for name, directory in (("upperdir", mount.upper), ("workdir", mount.work)):
        if directory:
            held = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            options.append(f"{name}=/proc/self/fd/{held}")
    options += mount.options
    os.fchdir(scratch)
    call("mount", b"overlay\0", b"whole\0", b"overlay\0", 0, os.fsencode(",".join(options)) + b"\0")
    whole = m.clone_tree("whole")
    wanted = attributes | (0 if mount.upper else m.ATTR_RDONLY)
    if wanted:
        m.set_read_only(whole, attributes=wanted)
    return whole
