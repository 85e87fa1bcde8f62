"""Packages to layers: which share one, and making those that are not there, in a few processes at once.

A large package has a layer of its own, the small ones share as their names decide, so that a package that changes
changes one layer and moves no other.  There are fewer than 100 in all: other engines stop at 127.
"""

from __future__ import annotations

import hashlib
import os

from wherry import fastjson
from wherry.engine import new_image, unpack
from wherry.engine.worker import Worker
from wherry.env import cache
from wherry.env.bytecode import Compiled
from wherry.env.deflate import stored
from wherry.env.package_layer import Entry, PackageLayer, entries
from wherry.env.wheels import PREFIX, Wheel
from wherry.errors import NotSupported
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.new_image import NewLayer
    from wherry.env.interpreter import Interpreter

FORM = "2"
"""Part of every layer's key: changes when what is written for the same packages does."""
LARGE = 1 << 20
"""Bytes of a wheel that has a layer of its own."""
LAYERS = 99
_SHARED = 32
_ALONE = 48


class Part(Record):
    """One package of an environment: its wheel (whose hash is verified) and its byte code, when that is made."""

    name: str
    version: str
    wheel: str
    sha256: str
    size: int
    bytecode: str = ""


class Group(Record):
    """What becomes one layer: packages, or none for the environment's own files."""

    key: str
    parts: tuple[Part, ...]

    @property
    def title(self) -> str:
        """For a person."""
        if not self.parts:
            return "the environment"
        names = [part.name for part in self.parts]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def groups(parts: Sequence[Part], interpreter: Interpreter, below: int) -> list[Group]:
    """The layers of an environment on a base of ``below`` layers, in their order.

    Raises `NotSupported` for a base of too many.
    """
    room = min(_ALONE, LAYERS - 1 - _SHARED - below)
    if room < 0:
        raise NotSupported(
            f"the base image has {below} layers: an environment needs room for {_SHARED + 1} more below 100"
        )
    large = sorted((part for part in parts if part.size >= LARGE), key=lambda part: (-part.size, part.name))[:room]
    shared: dict[int, list[Part]] = {}
    for part in sorted(parts, key=lambda part: part.name):
        if part not in large:
            shared.setdefault(hashlib.sha256(part.name.encode()).digest()[0] % _SHARED, []).append(part)
    ordered = [tuple(shared[number]) for number in sorted(shared)]
    ordered += [(part,) for part in sorted(large, key=lambda part: part.name)]
    return [Group(_key(members, interpreter), members) for members in ((), *ordered)]


def _key(parts: Sequence[Part], interpreter: Interpreter) -> str:
    text = " ".join((FORM, interpreter.identity, *(f"{part.name} {part.sha256}" for part in parts)))
    return hashlib.sha256(text.encode()).hexdigest()


def known(engine: Engine, directory: str, group: Group) -> NewLayer | None:
    """The layer that the group became before, while it is here."""
    text = cache.read(f"{directory}/layers/{group.key}")
    if text is None:
        return None
    digest, size, diff_id = fastjson.loads(text.decode())
    return new_image.NewLayer(digest, size, diff_id) if unpack.is_whole(engine, digest, diff_id) else None


def make(
    engine: Engine, directory: str, todo: Sequence[Group], interpreter: Interpreter, workers: int,
    done: Callable[[int], None],
) -> list[NewLayer]:  # fmt: skip
    """Make layers, in processes that may write them; ``done`` is told the number of each as it is ready.

    The caller holds `wherry.store.gc.adding`, and has one thread.  Raises `Corrupt`, `StorageFull`.
    """
    order = sorted(range(len(todo)), key=lambda number: -sum(part.size for part in todo[number].parts))
    jobs, more = os.pipe()
    ready, tell = os.pipe()
    try:
        os.write(more, bytes(order))  # fewer than 100: each process takes the next byte
        os.close(more)

        def work() -> dict[int, tuple[str, int, str]]:
            os.close(ready)
            found = {}
            while taken := os.read(jobs, 1):
                layer = _layer(engine, todo[taken[0]], interpreter)
                found[taken[0]] = (layer.digest, layer.size, layer.diff_id)
                os.write(tell, taken)
            return found

        results = _in_processes(engine, work, min(workers, len(todo)), ready, tell, done)
    finally:
        os.close(jobs)
        os.close(ready)
    layers = [new_image.NewLayer(*results[number]) for number in range(len(todo))]
    for group, layer in zip(todo, layers, strict=True):
        text = fastjson.dumps([layer.digest, layer.size, layer.diff_id])
        cache.write(f"{directory}/layers/{group.key}", text.encode())
    return layers


def _in_processes(
    engine: Engine, work: Callable[[], dict[int, tuple[str, int, str]]], count: int, ready: int, tell: int,
    done: Callable[[int], None],
) -> dict[int, tuple[str, int, str]]:  # fmt: skip
    from wherry.linux.namespaces import start, start_in_user_namespace

    def begin(child: Callable[[], int]) -> int:
        return start_in_user_namespace(engine.id_maps, child) if engine.rootless else start(0, child)

    running: list[Worker[dict[int, tuple[str, int, str]]]] = []
    found: dict[int, tuple[str, int, str]] = {}
    try:
        for _ in range(count):
            running.append(Worker(engine, work, begin))
        os.close(tell)
        tell = -1
        while number := os.read(ready, 1):
            done(number[0])
        for worker in running:
            found |= worker.result()
    finally:
        if tell >= 0:
            os.close(tell)
        for worker in running:
            worker.__exit__()
    return found


def _layer(engine: Engine, group: Group, interpreter: Interpreter) -> NewLayer:
    if not group.parts:
        return new_image.add_compressed(engine, PackageLayer(_own_files(interpreter)))

    def every() -> Iterator[Entry]:
        for part in group.parts:
            with Wheel(part.wheel, f"{part.name} {part.version}", interpreter.version) as wheel:
                yield from entries(wheel, Compiled(part.bytecode))

    return new_image.add_compressed(engine, PackageLayer(every()))


def _own_files(interpreter: Interpreter) -> Iterator[Entry]:
    """What makes the prefix a virtual environment (PEP 405)."""
    home = os.path.dirname(interpreter.path)
    settings = f"home = {home}\ninclude-system-site-packages = false\nversion = {interpreter.version}\n"
    nothing = stored(b"")
    for name, target in (
        ("python", interpreter.path), ("python3", "python"), (f"python{interpreter.version}", "python"),
    ):  # fmt: skip
        yield Entry(f"{PREFIX}/bin/{name}", 0o777, nothing, kind=b"2", link=target.encode())
    yield Entry(f"{PREFIX}/lib64", 0o777, nothing, kind=b"2", link=b"lib")
    yield Entry(f"{PREFIX}/pyvenv.cfg", 0o644, stored(settings.encode()))
