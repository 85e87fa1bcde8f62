"""One health check: a command in the container, until it ends or has taken too long."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select
import time

from wherry.container import health
from wherry.container.exec_options import ExecOptions
from wherry.engine.exec import describe
from wherry.engine.execution import Execution
from wherry.errors import WherryError
from wherry.runtime.create import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.runtime.executed import ExecutedProcess


def probe(engine: Engine, record: ContainerRecord, pid: int) -> tuple[int, str]:
    """The exit code and the beginning of the output; `health.CANNOT_RUN` and why, where there is no exit code."""
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        options = ExecOptions(health.command(record.options))
        process = Execution(engine, describe(engine, record, pid, options)).create(Stdio(null, writer, writer))
        try:
            process.start()
            os.close(writer)
            return _follow(process, reader, record)
        finally:
            process.delete()
    except WherryError as error:
        return health.CANNOT_RUN, error.message


def _follow(process: ExecutedProcess, reader: int, record: ContainerRecord) -> tuple[int, str]:
    output = bytearray()
    until = time.monotonic() + health.timeout(record.options)
    poll = select.poll()
    for descriptor in (reader, process.pidfd):
        poll.register(descriptor, select.POLLIN)
    os.set_blocking(reader, False)
    ended = False
    while not ended:
        left = until - time.monotonic()
        if left <= 0:
            process.kill(_signal.SIGKILL)
            process.wait()
            return health.CANNOT_RUN, health.timed_out(record.options)
        for descriptor, _event in poll.poll(left * 1000):
            if descriptor == process.pidfd:
                ended = True
            elif not _read(reader, output):
                poll.unregister(reader)
    while _read(reader, output):
        if len(output) > health.MOST_OUTPUT:
            break
    code = os.waitstatus_to_exitcode(process.wait())
    return (128 - code if code < 0 else code), health.shortened(bytes(output))


def _read(reader: int, output: bytearray) -> bool:
    """Take what is there; False when there is nothing more.  What is beyond the limit is thrown away."""
    try:
        data = os.read(reader, 1 << 16)
    except BlockingIOError:
        return False
    output += data[: max(health.MOST_OUTPUT + 1 - len(output), 0)]
    return bool(data)
