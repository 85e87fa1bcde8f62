"""The relay between a container's streams and a client, with real processes, pipes and sockets."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from pathlib import Path

import pytest

from wherry.monitor.log import JSONFileLog
from wherry.monitor.protocol import CONTROL, STDERR, STDIN, STDOUT, Decoder, control, frame
from wherry.monitor.supervise import HIGH_WATER, Supervisor


class Container:
    """A child process in the place of a container, and its supervisor in a thread."""

    def __init__(
        self, argv: list[str], log: JSONFileLog | None = None, *, stdin_once: bool = True, attached: bool = True
    ) -> None:
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
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind("")  # an unused name of the kernel's choice
        self.listener.listen()
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()
        self.supervisor = Supervisor(
            self.pidfd,
            {out_r: STDOUT, err_r: STDERR},
            self.stdin,
            log,
            self.obey,
            listener=self.listener,
            stdin_once=stdin_once,
        )
        self.supervisor.welcome({"started": self.pid})
        self.supervisor.add(theirs, (True, True, True) if attached else None)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def obey(self, message: dict[str, object]) -> dict[str, object]:
        self.controls.append(message)
        if "later" in message:
            self.supervisor.later(0.1, lambda: os.kill(self.pid, 9))
        return {"done": True}

    def _run(self) -> None:
        self.supervisor.run()
        self.supervisor.finish({"exited": 0})
        self.told = time.monotonic()
        self.supervisor.linger()

    def connect(self, *messages: dict[str, object]) -> socket.socket:
        """One more client, which has said this."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.address)
        client.settimeout(20)
        for message in messages:
            client.sendall(control(message))
        return client

    def attach(self, *streams: str) -> socket.socket:
        """One more client, attached to these streams; returns when it is."""
        client = self.connect({"attach": {name: name in streams for name in ("stdin", "stdout", "stderr")}})
        assert self.hear(client) == {"started": self.pid}
        return client

    def hear(self, client: socket.socket) -> dict[str, object]:
        """The next event."""
        header = client.recv(8, socket.MSG_WAITALL)
        assert header[0] == CONTROL
        message: dict[str, object] = json.loads(client.recv(int.from_bytes(header[4:], "big"), socket.MSG_WAITALL))
        return message

    def read_all(self, client: socket.socket | None = None) -> dict[int, bytearray]:
        decoder, seen = Decoder(), {STDOUT: bytearray(), STDERR: bytearray()}
        while True:
            for kind, payload in decoder.feed((client or self.client).recv(65536)):
                if kind != CONTROL:
                    seen[kind] += payload
                elif b"exited" in payload:
                    return seen

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
    assert container.controls == [{"signal": 10}]  # an attached client gets no answers among its output


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
    (peer,) = container.supervisor._peers.values()
    assert len(peer.pending) < HIGH_WATER + 2 * 65536
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


def test_every_attached_client_gets_its_streams() -> None:
    container = Container(["sh", "-c", "read line; echo $line; echo problem >&2"])
    one, two = container.attach("stdout"), container.attach("stdout", "stderr")
    container.client.sendall(frame(STDIN, b"hello\n"))
    assert container.read_all(one) == {STDOUT: b"hello\n", STDERR: b""}
    assert container.read_all(two) == {STDOUT: b"hello\n", STDERR: b"problem\n"}
    assert container.read_all() == {STDOUT: b"hello\n", STDERR: b"problem\n"}
    container.end()


def test_a_client_that_only_waits_is_told_of_the_end_and_slows_nothing() -> None:
    container = Container(["sh", "-c", "read line; head -c 5000000 /dev/zero"], attached=False)
    waiting = container.connect({"wait": True})
    typing = container.attach("stdin")
    typing.sendall(frame(STDIN, b"go\n"))
    assert container.hear(waiting) == {"started": container.pid}
    assert container.hear(waiting) == {"exited": 0}
    assert container.read_all(typing) == {STDOUT: b"", STDERR: b""}
    container.end()


def test_a_slow_client_makes_the_container_wait_and_keeps_nobody_from_the_end() -> None:
    container = Container(["sh", "-c", "read go; head -c 3000000 /dev/zero; read line"], attached=False)
    slow, quick = container.attach("stdout"), container.attach("stdout", "stdin")
    waiting = container.connect({"wait": True})
    assert container.hear(waiting) == {"started": container.pid}
    quick.sendall(frame(STDIN, b"go\n"))
    assert all(select.select([one], [], [], 10)[0] for one in (slow, quick))  # both are there before the output
    os.kill(container.pid, 9)
    assert container.hear(waiting) == {"exited": 0}
    assert container.thread.is_alive()
    assert len(container.read_all(quick)[STDOUT]) == len(container.read_all(slow)[STDOUT])
    assert container.end() == -9


def test_clients_vanish_while_they_are_written_to() -> None:
    container = Container(["sh", "-c", "read line; seq 1 100000"], stdin_once=False)
    gone = [container.attach("stdout") for _ in range(10)] + [container.connect() for _ in range(10)]
    for client in gone[::2]:
        client.close()
    container.client.sendall(frame(STDIN, b"go\n"))
    for client in gone[1::2]:
        client.recv(100)
        client.close()
    assert container.read_all()[STDOUT].split()[-1] == b"100000"
    container.end()


def test_input_goes_on_after_its_client_unless_it_was_once() -> None:
    container = Container(["cat"], stdin_once=False)
    first = container.attach("stdin")
    first.sendall(frame(STDIN, b"one\n") + frame(STDIN, b""))
    first.close()
    second = container.attach("stdin")
    second.sendall(frame(STDIN, b"two\n"))
    seen = b""
    decoder = Decoder()
    while b"two" not in seen:
        seen += b"".join(payload for kind, payload in decoder.feed(container.client.recv(4096)) if kind == STDOUT)
    assert seen == b"one\ntwo\n"
    os.kill(container.pid, 15)
    container.read_all()
    container.end()


def test_only_who_asked_for_it_types() -> None:
    container = Container(["cat"])
    container.attach("stdout").sendall(frame(STDIN, b"no\n") + frame(STDIN, b""))
    container.client.sendall(frame(STDIN, b"yes\n") + frame(STDIN, b""))
    assert container.read_all()[STDOUT] == b"yes\n"
    container.end()


def test_commands_are_answered_and_alarms_ring() -> None:
    container = Container(["sleep", "60"], attached=False)
    client = container.connect({"later": True})
    assert container.hear(client) == {"done": True}
    assert container.hear(client) == {"exited": 0}
    assert container.end() == -9


def test_what_is_not_a_client_is_let_go() -> None:
    container = Container(["cat"])
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", control({"attach": 3}), control({"attach": {}}), frame(CONTROL, b"[")):
        client = container.connect()
        client.sendall(nonsense)
        assert client.recv(100) == b""
    container.client.sendall(frame(STDIN, b""))
    container.read_all()
    container.end()


def test_more_clients_than_are_served_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry.monitor.supervise.MOST_CLIENTS", 50)
    container = Container(["cat"])
    many = [container.connect({"wait": True}) for _ in range(55)]
    assert container.hear(many[0]) == {"started": container.pid}
    for client in many[:10]:
        client.close()
    assert container.hear(many[-1]) == {"started": container.pid}
    container.client.sendall(frame(STDIN, b""))
    container.read_all()
    container.end()
