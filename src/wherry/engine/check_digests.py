"""What `wherry system check` reads whole: blobs and layers, compared with their digests.

A layer that is kept as a tar is what its diff id says, or is damaged; a layer that is unpacked into a directory has no
digest of its own, and cannot be compared.  What the disk, or the file system's own verification (fs-verity, dm-verity,
checksums), does not let us read is damaged too.
"""

from __future__ import annotations

import errno
import os

from wherry.engine import forms
from wherry.engine.problem import Problem
from wherry.errors import Corrupt, NotFound
from wherry.linux import verity
from wherry.oci import digest as digests
from wherry.rootfs.erofs import TAR
from wherry.store import gc, images
from wherry.store import layers as rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.engine.engine import Engine

_PIECE = 1 << 20
_REFUSED = "is damaged, fs-verity does not let it be read"


def blobs(engine: Engine) -> Iterator[Problem]:
    """Blobs whose content is not what their names say."""
    for digest in sorted(engine.content.list_all()):
        try:
            good = engine.content.verify(digest)
        except NotFound:
            continue  # removed meanwhile
        except OSError as error:
            if _is_refused(engine.content.path(digest), error):
                yield Problem(
                    f"blob {digest} {_REFUSED}; mended, it can be pulled again", engine.content.delete, (digest,)
                )
            else:
                yield Problem(f"blob {digest} cannot be read: {_why(error)}")
            continue
        if not good:
            yield Problem(f"blob {digest} is damaged; mended, it can be pulled again", engine.content.delete, (digest,))


def recipes(engine: Engine) -> Iterator[Problem]:
    """Blobs that were dropped, and cannot be made again."""
    from wherry.engine import dropped

    for digest in sorted(engine.content.recipes()):
        recipe = engine.content.recipe(digest)
        if (
            not os.path.exists(engine.content.path(digest))
            and recipe is not None
            and not dropped.is_good(engine, digest)
        ):
            yield Problem(f"blob {digest} was not kept, and cannot be made again as it was: pull its image again")


def missing(engine: Engine) -> Iterator[Problem]:
    """Images that lack a blob: they run, but can be neither saved nor pushed where it is not."""
    for row in images.list_all(engine.db):
        for digest in sorted(gc.image_blobs(engine.content, row)):
            if not engine.content.has(digest) and images.get(engine.db, row.id) is not None:
                names = [name.reference for name in images.names(engine.db, row.id)]
                yield Problem(f"image {names[0] if names else row.id} lacks the blob {digest}: pull it again")


def tars(engine: Engine) -> Iterator[Problem]:
    """Layers kept as tars that are not what their diff ids say."""
    for row in rows.list_all(engine.db):
        if not engine.tars.has(row.diff_id):
            continue
        try:
            with forms.KeptTar(engine, row.diff_id) as tar:
                check = digests.hasher(row.diff_id)
                os.posix_fadvise(tar.fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
                stream = tar.open()
                while piece := stream.read(_PIECE):
                    check.update(piece)
            good = check.hexdigest() == digests.hex_part(row.diff_id)
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError as error:
            if _is_refused(f"{engine.tars.path(row.diff_id)}/{TAR}", error):
                yield Problem(f"layer {row.diff_id} {_REFUSED}: remove the images that have it, and pull them again")
            else:
                yield Problem(f"layer {row.diff_id} cannot be read: {_why(error)}")
            continue
        except Corrupt:
            good = False
        if not good:
            yield Problem(f"layer {row.diff_id} is damaged: remove the images that have it, and pull them again")


def _is_refused(path: str, error: OSError) -> bool:
    """Whether it is fs-verity that does not let it be read: then the disk has something else than was written."""
    try:
        return error.errno == errno.EIO and verity.state(path) == "on"
    except OSError:
        return False


def _why(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
