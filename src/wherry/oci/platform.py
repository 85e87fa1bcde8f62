"""Platforms, and which of an index's manifests suits one (OCI image index; the rules of containerd/platforms)."""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotFound
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.oci.manifest import Descriptor

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "386": ("386", ""),
    "aarch64": ("arm64", ""),
    "arm64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv8l": ("arm", "v8"),
    "arm": ("arm", "v7"),
}
_OTHER = frozenset(("ppc64", "ppc64le", "riscv64", "s390x", "mips", "mipsle", "mips64", "mips64le", "loong64", "wasm"))
_SYSTEMS = frozenset(("linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "wasip1"))
_PART = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Platform(Record):
    """``os``/``architecture``/``variant`` with Go's names; ``os_version`` is only ever set by Windows images."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def host() -> Platform:
    """The platform of the running kernel."""
    import os

    machine = os.uname().machine
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return Platform("linux", architecture, "v8" if architecture == "arm64" else variant)


def parse(text: str) -> Platform:
    """``linux/arm64/v8``, ``linux/amd64`` or ``arm64``.  Raises `InvalidArgument`."""
    parts = text.split("/")
    if len(parts) > 3 or not all(part and _PART.issuperset(part) for part in parts):
        raise InvalidArgument(
            f'"{text}" is an invalid platform: platform specifier component must match "^[A-Za-z0-9_.-]+$"',
            hint="a platform is written os/architecture or os/architecture/variant, such as linux/arm64",
        )
    if len(parts) == 1:
        word = parts[0].lower()
        if word in _SYSTEMS:
            return host().replace(os=word)
        if word not in _ARCHITECTURES and word not in _OTHER:
            raise InvalidArgument(f'"{text}": unknown operating system or architecture')
        parts = ["linux", word]
    word = parts[1].lower()
    architecture, variant = _ARCHITECTURES.get(word, (word, ""))
    if len(parts) == 3:
        variant = parts[2].lower()
        variant = "v" + variant if variant.isdigit() else variant
    elif architecture == "arm" and word == "arm":
        variant = ""
    return Platform(parts[0].lower(), architecture, variant)


def normal(platform: Platform) -> Platform:
    """The form that compares: default variants written out the same way."""
    word = platform.architecture.lower()
    architecture, variant = _ARCHITECTURES.get(word, (word, ""))
    given = platform.variant.lower()
    given = "v" + given if given.isdigit() else given
    if (architecture == "arm64" and given == "v8") or (architecture == "amd64" and given == "v1"):
        given = ""
    return Platform(platform.os.lower(), architecture, given or variant)


def _runnable(platform: Platform) -> Iterator[Platform]:
    """What a machine of ``platform`` can run, best first."""
    base = normal(platform)
    yield base
    older = {"v8": ("v7", "v6", "v5"), "v7": ("v6", "v5"), "v6": ("v5",)}
    if base.architecture == "amd64":
        if base.variant[1:].isdigit():
            for level in range(int(base.variant[1:]) - 1, 1, -1):
                yield base.replace(variant=f"v{level}")
        yield base.replace(variant="")
        yield base.replace(architecture="386", variant="")
    elif base.architecture == "arm64":
        if base.variant:
            yield base.replace(variant="")
        for variant in ("v8", *older["v8"]):
            yield base.replace(architecture="arm", variant=variant)
    elif base.architecture == "arm":
        for variant in older.get(base.variant, ()):
            yield base.replace(variant=variant)


def matches(wanted: Platform, offered: Platform) -> bool:
    """Whether a machine of ``wanted`` can run an image of ``offered``."""
    return normal(offered) in _runnable(wanted.replace(os_version=""))


def best(manifests: tuple[Descriptor, ...], wanted: Platform) -> Descriptor:
    """The entry of an index that suits ``wanted`` best; entries without a platform come last.

    Raises `NotFound` in Docker's words when none does.
    """
    for candidate in _runnable(wanted):
        for entry in manifests:
            if entry.platform is not None and normal(entry.platform) == candidate:
                return entry
    for entry in manifests:
        if entry.platform is None and "vnd.docker.reference.type" not in dict(entry.annotations):
            return entry
    offered = sorted({str(entry.platform) for entry in manifests if entry.platform and entry.platform.os != "unknown"})
    raise NotFound(
        "manifest",
        str(wanted),
        f"no matching manifest for {wanted} in the manifest list entries",
        hint=f"the image is there for {', '.join(offered[:20])}" if offered else "",
    )
