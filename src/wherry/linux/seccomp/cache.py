"""Compiled filters on disk: a profile is compiled once for each set of capabilities that containers ask for."""

from __future__ import annotations

import os
from marshal import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.seccomp.profile import Profile

try:
    from _blake2 import blake2b  # hashlib costs 2.5 ms, most of it for OpenSSL
except ImportError:  # pragma: no cover - an interpreter built otherwise
    from hashlib import blake2b

#: Bump with compiler.COMPILER_VERSION (a test holds them together); reading the compiler is what a hit saves.
FORMAT = b"wherry-bpf-1\0\0\0\0"
_DIGEST = 32
#: Files kept; the oldest go first.  Profiles are few, but a caller of the API can invent new ones for ever.
_KEEP = 256
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def filter_for(seccomp: Profile, cache_dir: str, arch: str = "") -> bytes:
    """The compiled filter, from ``cache_dir`` when it is there, else compiled and put there.

    A cached filter counts only if it is a regular file that belongs to this user, that nobody else may write, and
    whose digest matches: partial writes and tampering end in compiling again, never in a weaker filter.  A directory
    that cannot be written costs time, no more.  ``cache_dir`` is made (mode 0700) when missing.  Raises as `compile`.
    """
    # Version 2 of marshal is deterministic: no references, no interning.
    key = blake2b(dumps(seccomp, 2), digest_size=_DIGEST, key=FORMAT, person=(arch or os.uname().machine)[:16].encode())
    name = f"{cache_dir}/{key.hexdigest()}.bpf"
    found = _read(name, key.digest())
    if found is None:
        from wherry.linux.seccomp.compiler import compile_filter

        found = compile_filter(seccomp, arch)
        _write(cache_dir, name, key.digest(), found)
    return found


def _sum(key: bytes, program: bytes) -> bytes:
    return blake2b(program, digest_size=_DIGEST, key=key).digest()


def _read(name: str, key: bytes) -> bytes | None:
    try:
        fd = os.open(name, _OPEN)
    except OSError:
        return None
    try:
        facts = os.fstat(fd)
        if facts.st_mode & 0o170022 != 0o100000 or facts.st_uid != os.geteuid() or facts.st_size > 65536:
            return None
        content = os.read(fd, 65537)
    except OSError:
        return None
    finally:
        os.close(fd)
    program = content[_DIGEST:]
    if not program or len(program) % 8 or _sum(key, program) != content[:_DIGEST]:
        return None
    return program


def _write(cache_dir: str, name: str, key: bytes, program: bytes) -> None:
    """Written aside and renamed, so that no reader sees half of it."""
    aside = f"{name}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        os.makedirs(cache_dir, mode=0o700, exist_ok=True)
        facts = os.stat(cache_dir)
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            return  # others can put files here
        _prune(cache_dir)
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, _sum(key, program) + program)
        finally:
            os.close(fd)
        os.rename(aside, name)
    except OSError:
        try:
            os.unlink(aside)
        except OSError:
            pass


def _prune(cache_dir: str) -> None:
    with os.scandir(cache_dir) as entries:
        files = [entry for entry in entries if ".bpf" in entry.name]
    if len(files) < _KEEP:
        return
    ages = []
    for entry in files:
        try:
            ages.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
        except OSError:
            pass
    for _, path in sorted(ages)[: len(ages) - _KEEP // 2]:
        try:
            os.unlink(path)
        except OSError:
            pass
