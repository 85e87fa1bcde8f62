"""The base as an image of its own: layers of packages, what scripts would have done, and byte code.

`base_image` is the story.  The packages are compressed, and the modules compiled, by the base's own Python in a
container without a network, so that no library of this machine decides a byte
(docs/decisions/0181-layers-of-a-base.md).
"""

from __future__ import annotations

import hashlib
import io
import os
from functools import partial

from wherry import fastjson
from wherry.engine import gc, new_image, unpack
from wherry.env import bytecode, cache, throwaway
from wherry.env.debian import install, unpacked
from wherry.env.debian.layers import Group, Packages, groups, setup_key
from wherry.env.debian.releases import find
from wherry.env.interpreter import Interpreter
from wherry.env.package_layer import Entry, PackageLayer
from wherry.env.wheels import Item
from wherry.errors import Conflict, InvalidArgument, WherryError
from wherry.oci import platform as platforms
from wherry.oci.manifest import OCI_LAYER, Descriptor
from wherry.record import Record
from wherry.store import images
from wherry.store.gc import adding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.new_image import NewLayer
    from wherry.engine.progress import Progress
    from wherry.env.debian.mirrors import Mirrors
    from wherry.env.debian.package import DebianBase, DebPackage
    from wherry.env.debian.unpacked import Facts
    from wherry.store.images import ImageRow

_FORM = "1"
_EPOCH = "1970-01-01T00:00:00Z"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SQUEEZE = """\
import os, sys, zlib
def squeeze(name):
    packer = zlib.compressobj(4, zlib.DEFLATED, 31)
    with open("/run/in/" + name, "rb") as source, open("/run/out/" + name, "wb") as out:
        while True:
            piece = source.read(1 << 20)
            if not piece:
                break
            out.write(packer.compress(piece))
        out.write(packer.flush())
names = sorted(os.listdir("/run/in"), key=lambda name: (-os.path.getsize("/run/in/" + name), name))
count = int(sys.argv[1])
children = []
for number in range(count):
    child = os.fork()
    if not child:
        status = 1
        try:
            for name in names[number::count]:
                squeeze(name)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    children.append(child)
sys.exit(1 if any([os.waitpid(child, 0)[1] for child in children]) else 0)
"""


class Planned(Record):
    """One layer to be: its key, what the history says of it, and the file with its tar, where it has to be made."""

    key: str
    what: str
    tar: str = ""


def base_image(
    engine: Engine, base: DebianBase, architecture: str, mirrors: Mirrors, progress: Progress
) -> ImageRow:  # fmt: skip
    """The image of a base for an architecture, made where it is not here; it has no name.

    For another machine's architecture the base for this machine is made, too: its Python does the work.  Raises
    `Unavailable` naming what has to be downloaded and cannot be, `Corrupt` for packages that are not what was locked,
    `Conflict` for packages with the same file, `StorageFull`; nothing of the image is there then.
    """
    directory = cache.directory(engine)
    packages = base.of(architecture)
    if not packages:
        raise InvalidArgument(f"the lock has no packages of debian:{base.release} for {architecture}")
    text = " ".join(("debian", _FORM, unpacked.FORM, install.FORM, architecture, *(one.sha256 for one in packages)))
    place = f"{directory}/images/{hashlib.sha256(text.encode()).hexdigest()}"
    known = cache.read(place)
    row = images.get(engine.db, known.decode()) if known else None
    if row is not None:
        return row
    native = platforms.host().architecture
    twin = None
    if architecture != native:
        _check_twin(base, architecture, native)
        twin = base_image(engine, base, native, mirrors, progress)
    with cache.scratch(directory) as scratch:
        held = Packages(engine, base, architecture, mirrors, progress, scratch)
        making = _Making(engine, directory, scratch, held, base, architecture, progress)
        try:
            with adding(engine.layout):
                image_id = making.run(twin.id if twin else "")
        except WherryError:
            gc.collect(engine)
            raise
    cache.write(place, image_id.encode())
    row = images.get(engine.db, image_id)
    assert row is not None
    return row


def forget(engine: Engine, image_id: str) -> None:
    """Let the image of a base go that nothing names and no container uses; its layers stay while others have them."""
    from wherry.store import containers

    if not images.names(engine.db, image_id) and not containers.using_image(engine.db, image_id):
        images.delete(engine.db, image_id)


def _check_twin(base: DebianBase, architecture: str, native: str) -> None:
    """The other machine's bytes come out of this one's Python and zlib, so they have to be the same versions."""
    versions = [
        {one.name: one.version for one in base.of(each) if one.name in ("zlib1g", f"python{base.python}-minimal")}
        for each in (architecture, native)
    ]
    if not versions[1] or versions[0] != versions[1]:
        raise Conflict(
            f"the base for {architecture} cannot be made on {native}: the lock does not have the same Python for both",
            hint=f"lock for both architectures, or build on {architecture}",
        )


class _Making:
    def __init__(
        self, engine: Engine, directory: str, scratch: str, held: Packages, base: DebianBase, architecture: str,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._directory = directory
        self._scratch = scratch
        self._held = held
        self._base = base
        self._architecture = architecture
        self._progress = progress
        self._workers = min(8, len(os.sched_getaffinity(0)))
        self._python = f"/usr/bin/python{base.python}"

    def run(self, twin: str) -> str:
        """Make the image; its id.  ``twin`` is the image whose Python works, or empty: this one's."""
        facts = self._held.facts()
        lost = install.refuse_conflicts(facts)
        planned = groups(self._held.all, lost)
        found = [self._known(group.key) for group in planned]
        setup = self._known(setup_key(self._held.all))
        compiled = [one for one, about in zip(self._held.all, facts) if _has_modules(about)]
        code = self._known(self._code_key(compiled))
        todo = [self._tar(group, lost) for group, layer in zip(planned, found) if layer is None]
        if setup is None:
            todo.append(self._setup(facts))
        made: dict[str, NewLayer] = {}
        if todo or code is None:
            plain = {one.key: self._add_plain(one) for one in todo}
            plain |= {group.key: layer for group, layer in zip(planned, found) if layer is not None}
            order = [*(group.key for group in planned), setup_key(self._held.all)]
            first = [plain.get(key, setup) for key in order]
            whole = [layer for layer in first if layer is not None]
            worker = twin or self._keep(whole, ["packages"] * len(whole))
            try:
                made = self._squeezed(worker, todo)
                if code is None:
                    code = self._add_code(worker, compiled)
            finally:
                if not twin:
                    images.delete(self._engine.db, worker)
        layers = [layer or made[group.key] for group, layer in zip(planned, found)]
        layers += [setup or made[setup_key(self._held.all)]]
        titles = [" ".join(one.name for one in group.packages) for group in planned]
        assert code is not None
        return self._keep([*layers, code], [*titles, "links, trusted certificates, accounts", "byte code"])

    def _known(self, key: str) -> NewLayer | None:
        text = cache.read(f"{self._directory}/layers/{key}")
        if text is None:
            return None
        digest, size, diff_id = fastjson.loads(text)
        whole = unpack.is_whole(self._engine, digest, diff_id)
        return new_image.NewLayer(digest, size, diff_id) if whole else None

    def _note(self, key: str, layer: NewLayer) -> NewLayer:
        text = fastjson.dumps([layer.digest, layer.size, layer.diff_id])
        cache.write(f"{self._directory}/layers/{key}", text.encode())
        return layer

    def _tar(self, group: Group, lost: dict[str, set[bytes]]) -> Planned:
        self._progress.start(group.title, "Building")
        path = f"{self._place('in')}/{group.key}"
        self._held.write(group, path, lost)
        self._progress.done(group.title, "Built")
        return Planned(group.key, group.title, path)

    def _setup(self, facts: Sequence[Facts]) -> Planned:
        key = setup_key(self._held.all)
        path = f"{self._place('in')}/{key}"
        with open(path, "xb") as out:
            out.write(install.finish(facts, self._architecture))
        return Planned(key, "setup", path)

    def _place(self, name: str) -> str:
        path = f"{self._scratch}/{name}"
        os.makedirs(path, 0o755, exist_ok=True)
        return path

    def _add_plain(self, planned: Planned) -> NewLayer:
        """Keep a layer as it is, for the container that compresses it."""

        def add() -> tuple[str, int, str]:
            with open(planned.tar, "rb") as file:
                layer = new_image.add_compressed(self._engine, _Plain(file))
            return layer.digest, layer.size, layer.diff_id

        return new_image.NewLayer(*unpack.in_store(self._engine, add))

    def _squeezed(self, worker: str, todo: Sequence[Planned]) -> dict[str, NewLayer]:
        """The layers compressed by the Python of an image."""
        if not todo:
            return {}
        out = self._place("out")
        command = (self._python, "-I", "-S", "-B", "-c", _SQUEEZE, str(self._workers))
        mounts = ((self._place("in"), "/run/in", False), (out, "/run/out", True))
        ran = throwaway.run(self._engine, worker, command, mounts)
        if ran.status:
            tail = ran.err.decode(errors="replace").strip().splitlines()[-1:] or [f"status {ran.status}"]
            raise WherryError(f"the Python of debian:{self._base.release} does not work: {tail[0]}")

        def add() -> list[tuple[str, int, str]]:
            found = []
            for one in todo:
                with open(f"{out}/{one.key}", "rb") as file:
                    layer = new_image.add_compressed(self._engine, _Squeezed(file, one.tar))
                found.append((layer.digest, layer.size, layer.diff_id))
            return found

        layers = [new_image.NewLayer(*values) for values in unpack.in_store(self._engine, add)]
        return {one.key: self._note(one.key, layer) for one, layer in zip(todo, layers)}

    def _code_key(self, compiled: Sequence[DebPackage]) -> str:
        text = " ".join(("code", unpacked.FORM, self._base.python, *(one.sha256 for one in compiled)))
        return hashlib.sha256(text.encode()).hexdigest()

    def _add_code(self, worker: str, compiled: Sequence[DebPackage]) -> NewLayer:
        """The layer with the byte code of the standard library, which Debian makes at installation."""
        self._progress.message(f"Compiling the standard library of Python {self._base.python}")
        key = self._code_key(compiled)
        tag = f"cpython-{self._base.python.replace('.', '')}"
        interpreter = Interpreter(worker, self._python, self._base.python, tag, "", key)
        place = bytecode.place(self._directory, key, interpreter)
        if not os.path.exists(place):
            modules = _Modules(self._held.sources(compiled))
            bytecode.compile_wheels(self._engine, self._directory, interpreter, [(modules, place)], self._workers)

        def add() -> tuple[str, int, str]:
            code = bytecode.Compiled(place).read()
            entries = [Entry(path, 0o644, code[path]) for path in sorted(code)]
            layer = new_image.add_compressed(self._engine, PackageLayer(entries))
            return layer.digest, layer.size, layer.diff_id

        return self._note(key, new_image.NewLayer(*unpack.in_store(self._engine, add)))

    def _keep(self, layers: Sequence[NewLayer], titles: Sequence[str]) -> str:
        release = find(self._base.release)
        document = {
            "architecture": self._architecture,
            "os": "linux",
            "created": _EPOCH,
            "config": {"Env": [_PATH, "LANG=C.UTF-8"], "Cmd": ["python3"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [
                {"created": _EPOCH, "created_by": f"wherry env: debian:{release.name} {title}"} for title in titles
            ],
        }
        if self._architecture == "arm64":
            document["variant"] = "v8"
        descriptors = tuple([_descriptor(layer) for layer in layers])
        keep = partial(new_image.keep, self._engine, document, descriptors, docker=False, names=())
        return unpack.in_store(self._engine, keep)


def _descriptor(layer: NewLayer) -> Descriptor:
    plain = layer.digest == layer.diff_id
    return Descriptor(OCI_LAYER if plain else f"{OCI_LAYER}+gzip", layer.digest, layer.size)


def _has_modules(facts: Facts) -> bool:
    return any(unpacked.is_module(path) for path, kind in facts.files if kind in "01")


class _Modules:
    """Python modules in memory, to be compiled."""

    def __init__(self, modules: dict[str, bytes]) -> None:
        self._modules = modules

    def sources(self) -> Iterable[Item]:
        return [Item(path, 0o644, self._modules[path]) for path in sorted(self._modules)]

    def content(self, item: Item) -> bytes:
        return self._modules[item.path]


class _Plain:
    """A tar that is kept as it is."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        piece = self._file.read(size)
        self._hash.update(piece)
        return piece

    @property
    def diff_id(self) -> str:
        return "sha256:" + self._hash.hexdigest()


class _Squeezed:
    """A compressed tar; the tar itself is at ``tar``."""

    def __init__(self, file: io.BufferedReader, tar: str) -> None:
        self.read = file.read
        self._tar = tar

    @property
    def diff_id(self) -> str:
        with open(self._tar, "rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
