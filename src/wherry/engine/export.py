"""``docker export``: a container's root file system as a tar, without what is mounted on it."""

from __future__ import annotations

import os

from wherry.engine import events
from wherry.engine.archive import PipeEnd, pipe
from wherry.engine.view import View
from wherry.layers.pack import Packer
from wherry.linux import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.layers.pack import Writable

_PIECE = 1 << 20


def export(engine: Engine, name: str, out: Writable) -> None:
    """Write the tar, with the ids that the container sees; memory stays flat.

    Raises `NotFound`, `Conflict` while another command has the container, and what ``out.write`` raises.
    """
    with View(engine, name) as view:
        read, write = pipe()
        end = PipeEnd(write)

        def work(root: int) -> None:
            os.close(read)
            packer = Packer(end)
            packer.tree(openat2.open_in(root, "/", os.O_RDONLY | os.O_DIRECTORY), b"")
            packer.end()

        try:
            with view.start(work, mounts=False) as worker:
                end.close()
                while piece := os.read(read, _PIECE):
                    out.write(piece)
                worker.result()
        finally:
            end.close()
            os.close(read)
        events.of_container(engine.db, view.record, "export")
