"""The stub, the channel and the environment."""

from __future__ import annotations

import os
import struct

import pytest

from wherry.errors import CannotInvoke, CommandNotFound, InvalidArgument, NotSupported
from wherry.runtime import channel, shield
from wherry.runtime.create import environment
from wherry.runtime.failures import exec_failure, failure
from wherry.runtime.ops import Execute, JoinCgroup


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_the_stub_is_an_elf_program_of_its_machine(machine: str, number: int) -> None:
    program = shield.program(7, machine)
    assert program[:7] == b"\x7fELF\x02\x01\x01"
    kind, found, _, entry = struct.unpack_from("<HHIQ", program, 16)
    assert (kind, found) == (2, number)
    _, flags, offset, address, _, size, memory = struct.unpack_from("<IIQQQQQ", program, 64)
    assert flags == 5 and offset == 0 and size == memory == len(program) and entry - address == 120


def test_the_arm_stub_word_by_word() -> None:
    words = struct.unpack("<24I", shield.program(7, "aarch64")[120:])
    assert [f"{word:08x}" for word in words] == [
        "528000e0",  # mov w0, #7
        "52800041",  # mov w1, #2
        "52800022",  # mov w2, #1
        "52800328",  # mov w8, #25          fcntl
        "d4000001",  # svc #0
        "37f80200",  # tbnz w0, #31, fail
        "f94007e0",  # ldr x0, [sp, #8]
        "910043e1",  # add x1, sp, #16
        "f94003e2",  # ldr x2, [sp]
        "8b020c22",  # add x2, x1, x2, lsl #3
        "52801ba8",  # mov w8, #221         execve
        "d4000001",
        "4b0003e0",  # neg w0, w0
        "53185c00",  # lsl w0, w0, #8
        "11016000",  # add w0, w0, #0x58
        "f81f0fe0",  # str x0, [sp, #-16]!
        "528000e0",
        "910003e1",  # mov x1, sp
        "52800042",
        "52800808",  # mov w8, #64          write
        "d4000001",
        "52800fe0",  # mov w0, #127
        "52800bc8",  # mov w8, #94          exit_group
        "d4000001",
    ]


def test_the_stub_is_not_made_for_other_machines() -> None:
    with pytest.raises(NotSupported):
        shield.program(3, "riscv64")


def test_the_stub_runs_a_command_and_reports() -> None:
    """By itself: it executes argv[0] with the rest, and says which error it met."""
    for command, expected in ((b"/bin/true", b""), (b"/no/such", b"X\x02")):
        read, write = os.pipe()
        stub = shield.make(201)
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(stub, 200, inheritable=True)
                os.dup2(write, 201, inheritable=True)
                os.execve(200, [command, b"true"], {})
            finally:
                os._exit(99)
        os.close(write)
        os.close(stub)
        assert os.read(read, 16) == expected
        os.close(read)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (127 if expected else 0)


def test_messages_and_descriptors_cross_the_channel() -> None:
    ours, theirs = channel.pair()
    read, write = os.pipe()
    theirs.send_trees([read] * 251)
    found = ours.receive_trees(251)
    os.write(write, b"x" * 251)
    assert os.read(found[-1], 300) == b"x" * 251
    for descriptor in (*found, read, write):
        os.close(descriptor)
    theirs.send(channel.READY)
    with pytest.raises(channel.Closed):
        ours.expect(channel.START)
    theirs.close()
    with pytest.raises(channel.Closed):
        ours.receive()
    with pytest.raises(channel.Closed):
        ours.send(channel.START)
    ours.close()


def test_failures_become_errors() -> None:
    operations = (JoinCgroup(), Execute(("x",), ()))
    found = failure(operations, channel.encode_failure(0, "write", 13, ""))
    assert str(found) == "join the cgroup: write: permission denied" and found.exit_code == 125
    assert isinstance(failure(operations, channel.encode_failure(1, "stat", 2, "exec: x")), CommandNotFound)
    assert isinstance(failure(operations, channel.encode_failure(-1, "execve", 8, "exec: x")), CannotInvoke)
    assert str(exec_failure(8, "/x")) == "exec /x: exec format error"


def test_environment() -> None:
    assert environment(["A=1", "B", "=x", "A=2", "C="]) == {b"A": b"2", b"C": b""}
    with pytest.raises(InvalidArgument):
        environment(["A=\0"])
