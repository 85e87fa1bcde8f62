"""The Python of a base image: found by asking it, once for each image."""

from __future__ import annotations

import hashlib

from wherry import fastjson
from wherry.env import cache, inside, throwaway
from wherry.errors import CannotInvoke, CommandNotFound, Corrupt, InvalidArgument, NotSupported
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.store.images import ImageRow


class Interpreter(Record):
    """``path`` is where the image ``image_id`` has it, ``version`` "3.11", ``tag`` that of its byte code
    ("cpython-311"), ``libc`` "glibc 2.36" or "musl"; ``identity`` is the same for the same interpreter in the same
    layers."""

    image_id: str
    path: str
    version: str
    tag: str
    libc: str
    identity: str


def find(engine: Engine, directory: str, image: ImageRow, version: str) -> Interpreter:
    """The interpreter of this version in an image for this machine.

    Raises `InvalidArgument` when there is none, or another one; what running a container raises.
    """
    identity = hashlib.sha256(" ".join(("1", version, *image.diff_ids)).encode()).hexdigest()
    place = f"{directory}/interpreters/{identity}"
    known = cache.read(place)
    if known is None:
        known = _ask(engine, image, version)
        _check(fastjson.loads(known.decode()), image, version)
        cache.write(place, known)
    facts = fastjson.loads(known.decode())
    libc = facts["libc"] or ("musl" if "musl" in facts["musl"] else "")
    return Interpreter(image.id, facts["path"], facts["version"], facts["tag"], libc, identity)


def _ask(engine: Engine, image: ImageRow, version: str) -> bytes:
    for name in (f"python{version}", "python3", "python"):
        try:
            ran = throwaway.run(engine, image.id, (name, "-I", "-S", "-B", "-c", inside.PROBE))
        except (CommandNotFound, CannotInvoke):
            continue
        if ran.status == 0:
            return ran.out
        if ran.status != 127:
            tail = ran.err.decode(errors="replace").strip().splitlines()[-1:] or [f"exit status {ran.status}"]
            raise InvalidArgument(f"the Python of the base image does not work: {tail[0]}")
    raise InvalidArgument(
        f"the base image has no Python {version} on its PATH",
        hint="choose a base that has it, such as python:3.11-slim",
    )


def _check(facts: Any, image: ImageRow, version: str) -> None:
    if not isinstance(facts, dict) or not all(isinstance(value, str) for value in facts.values()):
        raise Corrupt(f"the Python of image {image.id[7:19]} does not answer as a Python does")
    if facts["implementation"] != "cpython":
        raise NotSupported(f"the base image has {facts['implementation']}: only CPython is supported")
    if facts["version"] != version:
        raise InvalidArgument(
            f"the base image has Python {facts['version']}, and the environment wants {version}",
            hint="choose another base, or lock again with its version of Python",
        )
