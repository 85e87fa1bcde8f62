"""The two forms in which a layer is kept: unpacked into a directory, or as its tar (decision 0125).

A layer has one of them, or both when images of both kinds have it.  Which kind a new image becomes is decided when it
is recorded: on EROFS where the kernel mounts that from files and every layer can be indexed, else on overlay.
"""

from __future__ import annotations

import hashlib
import os

from wherry.errors import Corrupt, NotSupported
from wherry.layers import compress, compression, erofs_image, erofs_index, erofs_layer, erofs_tar, fixup
from wherry.layers.apply import ApplyOptions, apply
from wherry.layers.erofs_tree import Directory, check, merge
from wherry.rootfs.erofs import HEADS, IMAGE, INDEX, TAR
from wherry.store import layers
from wherry.store.layers import LayerRow
from wherry.store.layout import translate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.layers.compression import Readable
    from wherry.rootfs import Staging

#: Part of every image's key: changes when what is written for the same layers does.
_FORM = "wherry erofs 1"
#: After the id of a layer in that key, where its tar is in two parts: its files are elsewhere than in a whole one.
_SPLIT = "/split"
#: An image is kept compressed when that saves so much: expanding it delays a start by a few milliseconds for each MB.
_WORTH = 64 << 10


def is_kept(engine: Engine, row: LayerRow | None) -> bool:
    """Whether a layer is complete on disk, in the form in which a new image would have it."""
    if row is None:
        return False
    snapshotter = engine.tars if engine.keeps_tars and not row.unfit else engine.snapshotter
    return snapshotter.has(row.diff_id)


def keep(engine: Engine, diff_id: str, stream: Readable, options: ApplyOptions, unfit: str = "") -> LayerRow:
    """Write the layer ``diff_id``, read from ``stream`` compressed or not, in the form that new images have.

    ``unfit`` is why it can only be unpacked.  Raises `Corrupt` when it is another one, and what reading and writing
    raise; nothing is left then.
    """
    plain = compression.reader(stream)
    if not engine.keeps_tars or unfit:
        return _unpack(engine, diff_id, plain, options, unfit)
    with engine.tars.prepare(diff_id) as staging:
        parts: list[int] = []
        try:
            for name in (TAR, HEADS):
                parts.append(_create(staging, name))
            tar, heads = parts
            found = erofs_layer.index(plain, (tar, heads))
            _check(found.applied.diff_id, diff_id)
            if found.root is None:
                return _unpack(engine, diff_id, erofs_tar.Tar(tar, heads), options, found.reason)
        except OSError as error:
            raise translate(error, "keep a layer") from error
        finally:
            for fd in parts:
                os.close(fd)
        applied = found.applied
        _write(staging, INDEX, erofs_index.dump(erofs_index.Layer(found.root, applied.tar_size, found.blocks)))
        staging.commit()
    return LayerRow(diff_id, applied.size, applied.entries, applied.implied_dirs, applied.missing_links)


def _unpack(engine: Engine, diff_id: str, plain: Readable, options: ApplyOptions, unfit: str) -> LayerRow:
    with engine.snapshotter.prepare(diff_id) as staging:
        applied = apply(plain, staging.fd, options)
        _check(applied.diff_id, diff_id)
        staging.commit()
    return LayerRow(diff_id, applied.size, applied.entries, applied.implied_dirs, applied.missing_links, unfit)


def _check(found: str, wanted: str) -> None:
    if found != wanted:
        raise Corrupt(f"layer's content has the diff id {found}, but the image's configuration says {wanted}")


class KeptTar:
    """The tar of a layer, to be read any number of times: a context manager.  Making and opening it raises OSError."""

    def __init__(self, engine: Engine, diff_id: str) -> None:
        self._directory = directory = engine.tars.path(diff_id)
        self.heads: int | None = None
        try:
            self.heads = os.open(f"{directory}/{HEADS}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            pass  # an earlier version has kept it; or it is removed just now, and so is what follows
        try:
            self.fd = os.open(f"{directory}/{TAR}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            if self.heads is not None:
                os.close(self.heads)
            raise

    def __enter__(self) -> KeptTar:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.fd)
        if self.heads is not None:
            os.close(self.heads)

    @property
    def size(self) -> int:
        """Its bytes.  Raises OSError, and `Corrupt` when the layer's index does not say."""
        with open(f"{self._directory}/{INDEX}", "rb") as file:
            return erofs_index.head(file.read(128), any_form=True).tar_size

    def open(self) -> erofs_tar.Tar:
        """It from its beginning.  Raises `Corrupt`."""
        return erofs_tar.Tar(self.fd, self.heads, self.size if self.heads is None else 0)


def _create(staging: Staging, name: str) -> int:
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=staging.fd)


def _write(staging: Staging, name: str, data: bytes | bytearray) -> None:
    fd = _create(staging, name)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        raise translate(error, "keep a layer") from error
    finally:
        os.close(fd)


def form(engine: Engine, image_id: str, rows: list[LayerRow], options: ApplyOptions) -> tuple[str, str]:
    """Make what an image of these layers needs besides them; the name of its snapshotter, and what goes on top.

    ``rows`` are its layers, lowest first.  Raises `Corrupt` when the layers do not fit together, `StorageFull`.
    """
    diff_ids = tuple(row.diff_id for row in rows)
    if engine.keeps_tars and not any(row.unfit for row in rows):
        try:
            return "erofs", write_image(engine, diff_ids)
        except NotSupported:
            pass  # more layers, files or data than one EROFS image can have
    for diff_id in dict.fromkeys(diff_ids):
        if not engine.snapshotter.has(diff_id):
            unpack_tar(engine, diff_id, options)
    return "overlay", _fix_up(engine, image_id, rows)


def write_image(engine: Engine, diff_ids: tuple[str, ...]) -> str:
    """Write the EROFS image of these layers, lowest first, unless it is there; its key.

    Raises `NotSupported` when it would be too large, `Corrupt`, `StorageFull`.
    """
    devices = tuple(dict.fromkeys(diff_ids))
    forms = {one: one + _SPLIT * os.path.exists(f"{engine.tars.path(one)}/{HEADS}") for one in devices}
    made_of = " ".join((_FORM, *[forms[one] for one in diff_ids]))
    key = "sha256:" + hashlib.sha256(made_of.encode()).hexdigest()
    if engine.tars.has(key):
        return key
    blocks = [_read_index(engine, diff_id, head=True).blocks for diff_id in devices]
    base = {diff_id: erofs_image.base(number) for number, diff_id in enumerate(devices)}
    root = Directory(0o40755, 0, 0, 0, 0)
    for diff_id in reversed(tuple(dict.fromkeys(reversed(diff_ids)))):  # one that is there twice, where it is top-most
        merge(root, _read_index(engine, diff_id, base[diff_id]).root)
    check(root)
    with engine.tars.prepare(key) as staging:
        image = erofs_image.build(root, blocks, bytes.fromhex(key[7:39]))
        packed = compress.quickly(image)
        _write(staging, IMAGE, packed if len(packed) + _WORTH <= len(image) else image)
        staging.commit()
    return key


def _read_index(engine: Engine, diff_id: str, base: int = 0, *, head: bool = False) -> erofs_index.Layer:
    """A layer's index; made anew where it is of another form than this version writes."""
    path = f"{engine.tars.path(diff_id)}/{INDEX}"
    for attempt in (1, 2):
        try:
            with open(path, "rb") as file:
                if head:
                    return erofs_index.head(file.read(128))
                return erofs_index.load(file.read(), base)
        except Corrupt:
            if attempt == 2:
                raise
            _index_again(engine, diff_id)
    raise AssertionError


def _index_again(engine: Engine, diff_id: str) -> None:
    """Replace a layer's index, from its tar."""
    directory = engine.tars.path(diff_id)
    aside = f"{directory}/.{INDEX}-{os.urandom(6).hex()}"
    with KeptTar(engine, diff_id) as tar:
        found = erofs_layer.index(tar.open(), None, whole=tar.heads is None)
    if found.root is None or found.applied.diff_id != diff_id:
        raise Corrupt(
            f"the tar of layer {diff_id} is damaged", hint="remove the images that have it, and pull them again"
        )
    data = erofs_index.dump(erofs_index.Layer(found.root, found.applied.tar_size, found.blocks))
    try:
        with open(aside, "xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(aside, f"{directory}/{INDEX}")
    except OSError as error:
        raise translate(error, "index a layer") from error


def unpack_tar(engine: Engine, diff_id: str, options: ApplyOptions) -> None:
    """Make the directory of a layer that is here as a tar.  Raises `NotFound`, `Corrupt`, `StorageFull`."""
    try:
        tar = KeptTar(engine, diff_id)
    except FileNotFoundError:
        from wherry.errors import NotFound

        raise NotFound("layer", diff_id) from None
    with tar:
        _unpack(engine, diff_id, tar.open(), options, "")


def _fix_up(engine: Engine, image_id: str, rows: list[LayerRow]) -> str:
    """Write the layer that this image alone needs on top of ``rows``, its layers lowest first.

    Returns the id of that layer for the snapshotter, which is the image's, or nothing when it needs none.  Raises
    `Corrupt` when the layers do not fit together, `StorageFull`.
    """
    stack = [fixup.Layer(engine.snapshotter.path(row.diff_id), row.implied_dirs, row.missing_links) for row in rows]
    wanted = fixup.plan(stack)
    if not wanted.needed:
        return ""
    if not engine.snapshotter.has(image_id):
        with engine.snapshotter.prepare(image_id) as staging:
            fixup.write(wanted, stack, staging.fd)
            staging.commit()
    return image_id


def remove(engine: Engine, diff_id: str) -> None:
    """Remove a layer in every form; nothing there is fine."""
    layers.delete(engine.db, diff_id)
    engine.snapshotter.remove(diff_id)
    engine.tars.remove(diff_id)
