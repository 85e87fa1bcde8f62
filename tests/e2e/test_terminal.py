"""`run -it` under a real pty: raw mode, window size, keys, detaching, exit status."""

from __future__ import annotations

import termios
import uuid

from support.command import Wherry, wait_for
from support.terminal import Terminal

READY = "/ # \x1b[6n"  # busybox's prompt, and its question where the cursor is: it reads keys from here on


def test_a_shell_with_the_windows_size_and_its_changes(box: Wherry) -> None:
    with Terminal(box, "run", "--rm", "-it", "busybox", "sh", rows=33, columns=121) as terminal:
        terminal.expect("/ # ")
        terminal.type("stty size; tty; echo TERM=$TERM\n")
        terminal.expect("33 121")
        terminal.expect("/dev/pts/0")
        terminal.expect("TERM=xterm")
        terminal.expect("/ # ")
        terminal.resize(50, 99)
        if box.user is not None:  # no controlling terminal there: the signal comes from here
            terminal.process.send_signal(28)
        wait_for(lambda: _size(terminal) == "50 99", step=0.2)
        terminal.type("exit 5\n")
        assert terminal.end() == 5
        assert terminal.mode_is_restored()


def _size(terminal: Terminal) -> str:
    terminal.type("echo =`stty size`=\n")
    terminal.expect("\n=")
    return terminal.expect("=")[:-1]


def test_keys_reach_the_container_raw(box: Wherry) -> None:
    """ctrl-c is the container's terminal's business, not the client's."""
    with Terminal(box, "run", "--rm", "-it", "busybox", "sh") as terminal:
        terminal.expect(READY)
        assert not termios.tcgetattr(terminal.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
        # a shell that says so when it is the terminal's foreground process
        terminal.type("sh -c 'trap \"exit 130\" INT; echo go; while :; do sleep 0.1; done'\n")
        terminal.expect("\ngo")
        terminal.type(b"\x03")
        terminal.expect(READY)
        terminal.type("echo status $?\n")
        terminal.expect("status 130")
        terminal.expect(READY)
        terminal.type(b"\x04")
        assert terminal.end() == 0


def test_detach_keys(box: Wherry) -> None:
    container = "t-" + uuid.uuid4().hex[:12]
    with Terminal(box, "run", "-it", "--name", container, "--detach-keys", "ctrl-a,d", "busybox", "sh") as terminal:
        terminal.expect("/ # ")
        terminal.type(b"echo \x01x\n")  # the beginning of the sequence, then something else: both are given on
        terminal.expect("x")
        terminal.type(b"\x01d")
        assert terminal.end() == 0
        assert terminal.mode_is_restored()
    assert "Up" in box.ok("ps", "--filter", f"name={container}", "--format", "{{.Status}}")
    box.ok("rm", "-f", container)


def test_output_only_terminal(box: Wherry) -> None:
    """-t without -i: the container has a terminal, what is typed stays here."""
    with Terminal(box, "run", "--rm", "-t", "busybox", "sh", "-c", "tty; test -t 1 && echo yes") as terminal:
        terminal.expect("/dev/pts/0")
        terminal.expect("yes")
        assert terminal.end() == 0


def test_a_terminal_is_needed_for_a_terminal(box: Wherry) -> None:
    result = box("run", "--rm", "-it", "busybox", "true")
    assert result.code == 1
    assert "the input device is not a TTY" in result.err


def test_a_users_terminal_belongs_to_that_user(box: Wherry) -> None:
    with Terminal(
        box, "run", "--rm", "-it", "-u", "bob", "busybox", "sh", "-c", "echo hi > /dev/tty; ls -l $(tty)"
    ) as t:
        t.expect("hi")
        assert "bob" in t.expect("/dev/pts/0")
        assert t.end() == 0
