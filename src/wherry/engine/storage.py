"""Which snapshotter new images get: what is configured, and what the kernel can do.

``storage.toml`` in a directory of the configuration may say ``snapshotter = "auto"`` (the default), ``"erofs"`` or
``"overlay"``.  Images and containers that are there keep what they have.  ``blobs`` says what becomes of compressed
layers: ``"keep"`` (the default) or ``"drop"`` (`wherry.engine.dropped`).
"""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument, NotSupported
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine

AUTO, EROFS, OVERLAY = "auto", "erofs", "overlay"
KEEP, DROP = "keep", "drop"
_KNOWN = {"snapshotter": (AUTO, EROFS, OVERLAY), "blobs": (KEEP, DROP)}


class Choice(Record):
    """``snapshotter`` is "erofs" or "overlay", ``reason`` why it is not erofs although it may be; ``backing`` the type
    of the file system that the layers are on, where it was asked for."""

    snapshotter: str
    reason: str = ""
    backing: str = ""


def choose(engine: Engine) -> Choice:
    """The snapshotter of new images.  Raises `NotSupported` when erofs is configured and cannot be had."""
    wanted = configured(engine).get("snapshotter", AUTO)
    if wanted == OVERLAY:
        return Choice(OVERLAY)
    reason = obstacle(engine)
    if not reason:
        return Choice(EROFS)
    if wanted == EROFS:
        raise NotSupported(
            f"the erofs snapshotter cannot be used: {reason}", hint='say snapshotter = "auto" in storage.toml'
        )
    return Choice(OVERLAY, reason)


def describe(engine: Engine) -> Choice:
    """What new images get, and why, for people; raises nothing where `choose` does."""
    try:
        choice = choose(engine)
    except (NotSupported, InvalidArgument) as error:
        choice = Choice(OVERLAY, str(error))
    device = os.stat(engine.layout.root).st_dev
    wanted = f" {os.major(device)}:{os.minor(device)} "
    with open("/proc/self/mountinfo") as file:
        found = [line.partition(" - ")[2].split()[0] for line in file if wanted in line.partition(" - ")[0]]
    return choice.replace(backing=found[0] if found else "unknown")


def drops_blobs(engine: Engine) -> bool:
    """Whether compressed layers that can be made again are not kept.  Raises `InvalidArgument`."""
    return configured(engine).get("blobs", KEEP) == DROP


def configured(engine: Engine) -> dict[str, str]:
    """What ``storage.toml`` says, the last directory's first.  Raises `InvalidArgument`."""
    for directory in reversed(engine.paths.config):
        try:
            with open(f"{directory}/storage.toml", "rb") as file:
                data = file.read(1 << 20)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InvalidArgument(f"{directory}/storage.toml: {os.strerror(error.errno or 0).lower()}") from None
        import tomllib

        try:
            content = tomllib.loads(data.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{directory}/storage.toml: {error}") from None
        for key, value in content.items():
            if key not in _KNOWN:
                raise InvalidArgument(f"{directory}/storage.toml: unknown key {key!r}")
            if value not in _KNOWN[key]:
                *others, last = _KNOWN[key]
                hint = f"one of {', '.join(others)} and {last}"
                raise InvalidArgument(f"{directory}/storage.toml: {key} is {value!r}", hint=hint)
        return content
    return {}


def obstacle(engine: Engine) -> str:
    """Why EROFS images in files cannot be mounted here; empty when they can.  Kept until the kernel changes."""
    if engine.rootless:
        return "only root can mount EROFS"
    layout = engine.layout
    answer = f"{layout.cache}/erofs-{os.uname().release}-{os.stat(layout.root).st_dev}"
    try:
        return os.readlink(answer).partition(":")[2]
    except OSError:
        from wherry.engine.try_erofs import attempt

        found = attempt(engine)
        try:
            os.symlink(f"erofs:{found}", answer)
        except OSError:
            pass  # a full disk, or another process was first: asked again next time
        return found
