"""The relay between a container's streams and a client, with real processes, pipes and sockets."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from wherry.monitor.log import JSONFileLog
from wherry.monitor.protocol import CONTROL, STDERR, STDIN, STDOUT, Decoder, control, frame
from wherry.monitor.supervise import HIGH_WATER, Supervisor


class Container:
    """A child process in the place of a container, and its supervisor in a thread."""

    def __init__(self, argv: list[str], log: JSONFileLog | None = None, *, client: bool = True) -> None:
        stdin_r, self.stdin = os.pipe()
        out_r, out_w = os.pipe()
        err_r, err_w = os.pipe()
        self.controls: list[dict[str, object]] = []
        self.pid = os.posix_spawnp(
            argv[0],
            argv,
            dict(os.environ),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, stdin_r, 0),
                (os.POSIX_SPAWN_DUP2, out_w, 1),
                (os.POSIX_SPAWN_DUP2, err_w, 2),
            ],
        )
        for fd in (stdin_r, out_w, err_w):
            os.close(fd)
        self.pidfd = os.pidfd_open(self.pid)
        ours, theirs = socket.socketpair()
        self.client = ours
        if not client:
            ours.close()
        self.supervisor = Supervisor(
            self.pidfd, {out_r: STDOUT, err_r: STDERR}, self.stdin, theirs, log, self.controls.append
        )
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.supervisor.run()
        self.supervisor.send({"exited": 0})
        self.supervisor.flush()

    def read_all(self) -> dict[int, bytearray]:
        decoder, seen = Decoder(), {STDOUT: bytearray(), STDERR: bytearray()}
        while True:
            for kind, payload in decoder.feed(self.client.recv(65536)):
                if kind == CONTROL:
                    return seen
                seen[kind] += payload

    def end(self) -> int:
        self.thread.join(20)
        assert not self.thread.is_alive()
        os.close(self.pidfd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_output_of_both_streams_arrives_before_the_exit(tmp_path: Path) -> None:
    log = JSONFileLog(str(tmp_path / "log"))
    container = Container(["sh", "-c", "seq 1 20000; echo problem >&2"], log)
    seen = container.read_all()
    assert container.end() == 0
    assert seen[STDOUT].split() == [str(n).encode() for n in range(1, 20001)]
    assert seen[STDERR] == b"problem\n"
    log.close()
    assert len((tmp_path / "log").read_text().splitlines()) == 20001


def test_stdin_and_its_end_are_passed_on() -> None:
    container = Container(["sh", "-c", "wc -c; echo done"])
    data = b"x" * 300_000
    for start in range(0, len(data), 60_000):
        container.client.sendall(frame(STDIN, data[start : start + 60_000]))
    container.client.sendall(frame(STDIN, b""))
    assert container.read_all()[STDOUT].split() == [b"300000", b"done"]
    container.end()


def test_a_command_that_does_not_read_its_input_does_no_harm() -> None:
    container = Container(["true"])
    try:
        for _ in range(30):
            container.client.sendall(frame(STDIN, b"y" * 60_000))
    except OSError:
        pass
    container.read_all()
    assert container.end() == 0


def test_control_frames_reach_the_owner() -> None:
    container = Container(["cat"])
    container.client.sendall(control({"signal": 10}) + frame(STDIN, b""))
    container.read_all()
    container.end()
    assert container.controls == [{"signal": 10}]


def test_the_container_outlives_its_client(tmp_path: Path) -> None:
    log = JSONFileLog(str(tmp_path / "log"))
    container = Container(["sh", "-c", "sleep 0.2; seq 1 50000; echo end"], log)
    container.client.close()
    assert container.end() == 0
    log.close()
    assert '"log":"end\\n"' in (tmp_path / "log").read_text().splitlines()[-1]


def test_a_client_that_reads_nothing_makes_the_container_wait() -> None:
    """Back-pressure: what is buffered is bounded although the container could write without end."""
    container = Container(["sh", "-c", "yes | head -c 20000000"])
    container.thread.join(0.5)
    assert container.thread.is_alive()
    assert len(container.supervisor._to_client) < HIGH_WATER + 2 * 65536
    seen = container.read_all()
    assert len(seen[STDOUT]) == 20_000_000
    container.end()


def test_a_background_process_that_keeps_the_pipe_open_does_not_keep_the_monitor() -> None:
    container = Container(["sh", "-c", "sleep 30 & echo $!; exit 0"])
    background = int(container.read_all()[STDOUT])
    container.thread.join(10)
    assert not container.thread.is_alive()
    os.kill(background, 9)
    container.end()
