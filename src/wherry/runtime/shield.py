"""A sealed stub that stands between the interpreter and the command (CVE-2019-5736).

Between execve(2) and the command's first instruction, ``/proc/self/exe`` of a ``#!/proc/self/exe`` script or of a
dynamic loader from the image is the program that called execve(2).  Where root inside may write what root outside may,
that program must not be the interpreter.  So the interpreter first executes a stub of some 150 bytes in a sealed
memory file, and the stub executes the command.  It costs about 0.2 ms and is used only where it is needed.

The stub gets ``argv = [path, argument 0, ...]`` and one descriptor with a fixed number, to which it writes the byte
``X`` and the error number when execve(2) fails; it marks that descriptor close-on-exec first.
"""

from __future__ import annotations

import errno
import fcntl
import os
from _struct import pack

from wherry.errors import NotSupported
from wherry.linux import mount
from wherry.linux.syscall import MACHINE

_BASE = 0x400000
_MACHINES = {"x86_64": 62, "aarch64": 183}
_F_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4 | 0x8  # seal, shrink, grow, write
_MFD_EXEC = 0x10
_EXIT_CODE = 127


def _x86_64(link: int) -> bytes:
    fail = b"\xbf" + pack("<I", _EXIT_CODE) + b"\xb8\xe7\0\0\0\x0f\x05"  # exit_group(127)
    execute = (
        b"\x48\x8b\x7c\x24\x08"  # mov rdi, [rsp+8]          path
        b"\x48\x8d\x74\x24\x10"  # lea rsi, [rsp+16]         its arguments
        b"\x48\x8b\x04\x24"  # mov rax, [rsp]
        b"\x48\x8d\x54\xc4\x10"  # lea rdx, [rsp+rax*8+16]   environment
        b"\xb8\x3b\0\0\0\x0f\x05"  # execve
        b"\xf7\xd8\xc1\xe0\x08\x0c\x58\x50"  # neg eax; shl eax, 8; or al, 'X'; push rax
        b"\xbf" + pack("<I", link) + b"\x48\x89\xe6\xba\x02\0\0\0\xb8\x01\0\0\0\x0f\x05"  # write(link, rsp, 2)
    )
    close_on_exec = b"\xbf" + pack("<I", link) + b"\xbe\x02\0\0\0\xba\x01\0\0\0\xb8\x48\0\0\0\x0f\x05"  # fcntl
    return close_on_exec + b"\x85\xc0\x78" + bytes((len(execute),)) + execute + fail  # js to fail


def _aarch64(link: int) -> bytes:
    def move(register: int, value: int) -> int:
        return 0x52800000 | value << 5 | register

    call = 0xD4000001
    execute = (
        0xF94007E0,  # ldr x0, [sp, #8]        path
        0x910043E1,  # add x1, sp, #16         its arguments
        0xF94003E2,  # ldr x2, [sp]
        0x8B020C22,  # add x2, x1, x2, lsl #3  environment
        move(8, 221),
        call,  # execve
        0x4B0003E0,  # neg w0, w0
        0x53185C00,  # lsl w0, w0, #8
        0x11016000,  # add w0, w0, #'X'
        0xF81F0FE0,  # str x0, [sp, #-16]!
        move(0, link),
        0x910003E1,  # mov x1, sp
        move(2, 2),
        move(8, 64),
        call,  # write(link, sp, 2)
    )
    fail = (move(0, _EXIT_CODE), move(8, 94), call)  # exit_group(127)
    branch = 0x37F80000 | (len(execute) + 1) << 5  # tbnz w0, #31, fail
    words = (move(0, link), move(1, 2), move(2, 1), move(8, 25), call, branch, *execute, *fail)
    return pack(f"<{len(words)}I", *words)


def program(link: int, machine: str = MACHINE) -> bytes:
    """The stub as an ELF file that reports to descriptor ``link``.  Raises NotSupported on an unknown machine."""
    if machine not in _MACHINES or not 0 <= link < 65536:
        raise NotSupported(f"containers without a user namespace are not supported on {machine}")
    code = _x86_64(link) if machine == "x86_64" else _aarch64(link)
    size = 64 + 56 + len(code)
    header = pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        2,
        _MACHINES[machine],
        1,
        _BASE + 120,
        64,
        0,
        0,
        64,
        56,
        1,
        64,
        0,
        0,
    )
    return header + pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000) + code


def make(link: int) -> int:
    """A descriptor of the stub, sealed, or read-only where this host does not execute memory files."""
    content = program(link)
    try:
        descriptor = _memory_file()
    except OSError:
        return _on_read_only_mount(content)
    try:
        os.write(descriptor, content)
        fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("wherry-shield", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:  # before Linux 6.3
            raise
    return os.memfd_create("wherry-shield", flags)


def _on_read_only_mount(content: bytes) -> int:
    """With ``vm.memfd_noexec=2``: a file on a mount of its own, which nobody can reach, made read-only."""
    tree = mount.new("tmpfs", ("mode=755", "size=64k"))
    try:
        descriptor = os.open("stub", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o755, dir_fd=tree)
        os.write(descriptor, content)
        os.close(descriptor)
        mount.set_read_only(tree, attributes=mount.ATTR_RDONLY)
        return os.open("stub", os.O_RDONLY | os.O_CLOEXEC, dir_fd=tree)
    finally:
        os.close(tree)
