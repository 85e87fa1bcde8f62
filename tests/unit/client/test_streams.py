"""What comes over a connection: frames however they are cut, progress, errors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.client import failures
from wherry.client.attached import Demultiplexer, detach_keys
from wherry.client.told import show
from wherry.errors import CannotInvoke, CommandNotFound, Conflict, InvalidArgument, NotFound, NotModified, WherryError
from wherry.monitor.protocol import STDERR, STDOUT, frame

PIECES = st.lists(st.tuples(st.sampled_from((STDOUT, STDERR)), st.binary(min_size=1, max_size=50)), max_size=8)


@given(PIECES, st.lists(st.integers(1, 40), min_size=1))
def test_any_cutting_gives_the_same_output(pieces: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join([frame(kind, piece) for kind, piece in pieces])
    found = {STDOUT: b"", STDERR: b""}
    demultiplexer, position = Demultiplexer(), 0
    while position < len(data):
        size = cuts[position % len(cuts)]
        for kind, piece in demultiplexer.feed(data[position : position + size]):
            found[kind] += piece
        position += size
    for kind in found:
        assert found[kind] == b"".join([piece for one, piece in pieces if one == kind])


def test_frames_larger_than_memory_should_hold_come_in_pieces() -> None:
    demultiplexer = Demultiplexer()
    head = bytes((1, 0, 0, 0)) + (1 << 31).to_bytes(4, "big")
    assert list(demultiplexer.feed(head + b"begin")) == [(STDOUT, b"begin")]
    assert list(demultiplexer.feed(b"more")) == [(STDOUT, b"more")]


@pytest.mark.parametrize("data", [b"no frames at all", b"\x09\0\0\0\0\0\0\x01x", b"\x03\0\0\0\0\0\0\x05oh no"])
def test_what_is_no_output_raises(data: bytes) -> None:
    with pytest.raises(WherryError):
        list(Demultiplexer().feed(data))


def test_detach_keys_as_the_api_has_them() -> None:
    assert detach_keys(b"\x10\x11") == "ctrl-p,ctrl-q" and detach_keys(b"\x1bx\0") == "ctrl-[,x,ctrl-@"


class Shown:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))


def test_progress_is_shown_as_at_home() -> None:
    shown = Shown()
    told = [
        {"status": "Pulling from library/x", "id": "1"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "ab"},
        {"status": "Downloading", "progressDetail": {"current": 1, "total": 3}, "progress": "[>", "id": "ab"},
        {"status": "Downloading", "progressDetail": {"current": 3, "total": 3}, "progress": "[=", "id": "ab"},
        {"status": "Pull complete", "progressDetail": {}, "id": "ab"},
        {"status": "Digest: sha256:1"},
        {"aux": {"ID": "x"}},
    ]
    aux: list[Any] = []
    lines = list(show(told, shown, unsaid=("Digest: ",), aux=aux.append))
    assert lines == ["1: Pulling from library/x", "Digest: sha256:1"] and aux == [{"ID": "x"}]
    assert shown.calls == [
        ("message", "1: Pulling from library/x"),
        ("start", "ab", "Pulling fs layer"),
        ("start", "ab", "Downloading"),
        ("advance", "ab", 1, 3),
        ("advance", "ab", 3, 3),
        ("done", "ab", "Pull complete"),
    ]


def test_an_error_among_the_progress_raises() -> None:
    with pytest.raises(NotFound, match="manifest unknown"):
        list(
            show([{"status": "x"}, {"errorDetail": {"message": "manifest unknown"}, "error": "manifest unknown"}], None)
        )


@pytest.mark.parametrize(
    ("status", "body", "starting", "kind", "message"),
    [
        (404, b'{"message": "No such container: x"}', False, NotFound, "No such container: x"),
        (409, b'{"message": "in use"}\n', False, Conflict, "in use"),
        (304, b"", False, NotModified, ""),
        (400, b'{"message": "exec: \\"x\\": executable file not found in $PATH"}', True, CommandNotFound, "exec: "),
        (400, b'{"message": "exec: \\"x\\": permission denied"}', True, CannotInvoke, "exec: "),
        (400, b'{"message": "permission denied"}', False, InvalidArgument, "permission denied"),
        (404, b'{"message": "no such file or directory"}', True, NotFound, "no such file"),
        (500, b"plain words", False, WherryError, "plain words"),
        (500, b"", False, WherryError, "the answer has status 500 and nothing else: is it an engine?"),
        (500, b"[]", False, WherryError, "[]"),
    ],
)
def test_errors(status: int, body: bytes, starting: bool, kind: type[WherryError], message: str) -> None:
    error = failures.from_answer(status, body, {}, starting=starting)
    assert type(error) is kind and error.message.startswith(message)


def test_our_own_server_says_more() -> None:
    headers = {"wherry-error": "NotSupported", "wherry-hint": "use%20%C3%A9"}
    error = failures.from_answer(501, '{"message": "not here (use é)"}'.encode(), headers, starting=True)
    assert (type(error).__name__, error.message, error.hint) == ("NotSupported", "not here", "use é")
    assert type(failures.from_answer(500, b'{"message": "x"}', {"wherry-error": "os"})) is WherryError
