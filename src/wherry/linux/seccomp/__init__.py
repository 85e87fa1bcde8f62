"""System call filters: Docker's profiles, resolved for a container and compiled to BPF.

The story of one container::

    seccomp = profile.docker_default(capabilities)  # or load_profile(text, capabilities); OCI's linux.seccomp
    program = filter_for(seccomp, cache_dir)        # 2 ms the first time, read from the cache afterwards
    ready = prepare(program)                        # before fork
    install(ready, flags_of(seccomp))               # in the child, last thing before execve

Man page seccomp(2); OCI runtime spec, config-linux.md, "Seccomp".
"""

from __future__ import annotations

from wherry.linux.seccomp.cache import filter_for
from wherry.linux.seccomp.kernel import (
    FLAG_LOG,
    FLAG_NEW_LISTENER,
    FLAG_SPEC_ALLOW,
    FLAG_TSYNC,
    FLAG_WAIT_KILLABLE_RECV,
    Prepared,
    flags_of,
    install,
    prepare,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.seccomp.profile import Profile

__all__ = [
    "FLAG_LOG",
    "FLAG_NEW_LISTENER",
    "FLAG_SPEC_ALLOW",
    "FLAG_TSYNC",
    "FLAG_WAIT_KILLABLE_RECV",
    "Prepared",
    "compile",
    "filter_for",
    "flags_of",
    "install",
    "prepare",
]


def compile(seccomp: Profile, arch: str = "") -> bytes:
    """``linux.seccomp`` as an array of struct sock_filter for ``arch`` (``uname -m``; this machine's when empty).

    Raises `InvalidArgument` for an unknown action, operator or flag, `NotSupported` for an architecture without a
    system call table.
    """
    from wherry.linux.seccomp.compiler import compile_filter

    return compile_filter(seccomp, arch)
