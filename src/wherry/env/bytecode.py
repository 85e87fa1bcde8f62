"""Byte code, made by the image's own interpreter in a container without a network (docs/decisions/0171-byte-code.md).

It is kept by the hash of the wheel and what the interpreter is.  It names the hash of its source and is not checked
against it at import (PEP 552, "unchecked"), so that no time stamp is in it.
"""

from __future__ import annotations

import hashlib
import os
import struct

from wherry.env import inside, throwaway
from wherry.env.cache import scratch, write
from wherry.env.deflate import Packed
from wherry.errors import Corrupt, WherryError
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    from wherry.engine.engine import Engine
    from wherry.env.interpreter import Interpreter
    from wherry.env.wheels import Item
else:
    Protocol = object

_FORM = "2"  # changes when what is made of the same source does
_HEAD = struct.Struct("<II")
_ENTRY = struct.Struct("<III")  # lengths of the path, of the byte code, and of that compressed
_LIMIT = 1 << 28


class Compiled(Record):
    """The byte code of one wheel, in the file ``path``; there is none where that is empty."""

    path: str = ""

    def read(self) -> dict[str, Packed]:
        """Path in the image → byte code."""
        if not self.path:
            return {}
        with open(self.path, "rb") as file:
            data = memoryview(file.read())
        found, at = {}, 0
        while at < len(data):
            length, size, packed = _ENTRY.unpack_from(data, at)
            at += _ENTRY.size
            name = bytes(data[at : at + length]).decode()
            at += length
            found[name] = Packed(data[at : at + packed], size)
            at += packed
        return found


def place(directory: str, sha256: str, interpreter: Interpreter) -> str:
    """The file with the byte code of the wheel with this hash."""
    key = hashlib.sha256(f"{_FORM} {sha256} {interpreter.identity}".encode()).hexdigest()
    return f"{directory}/bytecode/{key}"


class Sources(Protocol):
    """What has modules to compile: a `wherry.env.wheels.Wheel`, or packages of another kind."""

    def sources(self) -> Iterable[Item]: ...

    def content(self, item: Item, /) -> bytes: ...


def compile_wheels(
    engine: Engine, directory: str, interpreter: Interpreter, todo: Sequence[tuple[Sources, str]], workers: int
) -> None:
    """Make the byte code of wheels and keep it where it is said (see `place`).  Raises `WherryError`, `Corrupt`."""
    sources = [(number, item) for number, (wheel, _path) in enumerate(todo) for item in wheel.sources()]
    shares: list[list[int]] = [[] for _ in range(max(1, min(workers, len(sources))))]
    loads = [0] * len(shares)
    for index in sorted(range(len(sources)), key=lambda index: (-sources[index][1].size, index)):
        least = loads.index(min(loads))
        shares[least].append(index)
        loads[least] += sources[index][1].size + 200
    found: dict[int, Packed] = {}
    if sources:
        with scratch(directory) as work:
            for name in ("in", "out"):
                os.mkdir(f"{work}/{name}", 0o755)
            for number, share in enumerate(shares):
                with open(f"{work}/in/{number}", "wb") as file:
                    for index in share:
                        wheel, item = todo[sources[index][0]][0], sources[index][1]
                        content = wheel.content(item)
                        where = f"/{item.path}".encode()
                        file.write(_HEAD.pack(len(where), len(content)) + where + content)
            _run(engine, interpreter, work, len(shares))
            for number, share in enumerate(shares):
                found |= _collect(f"{work}/out/{number}", share)
    for number, (_wheel, path) in enumerate(todo):
        parts = []
        for index, (owner, item) in enumerate(sources):
            if owner == number and index in found:
                packed, cached = found[index], _cached(item.path, interpreter.tag).encode()
                parts.append(_ENTRY.pack(len(cached), packed.size, len(packed.data)) + cached + packed.data)
        write(path, b"".join(parts))


def _run(engine: Engine, interpreter: Interpreter, work: str, count: int) -> None:
    command = (interpreter.path, "-s", "-S", "-B", "-W", "ignore", "-c", inside.COMPILE, str(count))
    mounts = ((f"{work}/in", "/run/in", False), (f"{work}/out", "/run/out", True))
    ran = throwaway.run(engine, interpreter.image_id, command, mounts)
    if ran.status:
        tail = ran.err.decode(errors="replace").strip().splitlines()[-1:] or [f"status {ran.status}"]
        raise WherryError(f"the image's Python cannot compile the packages: {tail[0]}")


def _collect(path: str, share: Sequence[int]) -> dict[int, Packed]:
    with open(path, "rb") as file:
        data = file.read()
    found, at = {}, 0
    for index in share:
        if at + _HEAD.size > len(data):
            raise Corrupt("the image's Python gave less byte code than it has compiled")
        size, packed = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if packed:
            if size > _LIMIT or at + packed > len(data):
                raise Corrupt("the image's Python gave byte code that is malformed")
            found[index] = Packed(data[at : at + packed], size)
        at += packed
    return found


def _cached(path: str, tag: str) -> str:
    """Where Python looks for the byte code of a source (PEP 3147)."""
    directory, _, name = path.rpartition("/")
    return f"{directory}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc"
