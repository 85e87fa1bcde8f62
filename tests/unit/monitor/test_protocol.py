"""Frames survive any cutting of the stream; what is not a frame is refused; errors keep their class."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry import errors
from wherry.monitor.protocol import (
    CONTROL,
    MAX_PAYLOAD,
    STDOUT,
    Decoder,
    control,
    describe_error,
    frame,
    parse_control,
    raise_error,
)


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=300))), st.integers(1, 50))
def test_any_cutting_gives_the_same_frames(frames: list[tuple[int, bytes]], piece: int) -> None:
    wire = b"".join(frame(kind, payload) for kind, payload in frames)
    decoder = Decoder()
    seen = [item for start in range(0, len(wire), piece) for item in decoder.feed(wire[start : start + piece])]
    assert seen == frames


def test_docker_reads_our_output_frames() -> None:
    """The header of the Engine API: kind, three zeros, big-endian length."""
    assert frame(STDOUT, b"hello") == b"\x01\x00\x00\x00\x00\x00\x00\x05hello"


@pytest.mark.parametrize("wire", [b"\x04\0\0\0\0\0\0\0", b"\x01\0\0\0" + (MAX_PAYLOAD + 1).to_bytes(4, "big")])
def test_what_is_not_a_frame_is_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match="not a monitor frame"):
        list(Decoder().feed(wire))


def test_a_control_frame_holds_an_object() -> None:
    ((kind, payload),) = Decoder().feed(control({"resize": [24, 80]}))
    assert (kind, parse_control(payload)) == (CONTROL, {"resize": [24, 80]})
    with pytest.raises(ValueError, match="object"):
        parse_control(b"[1]")


@pytest.mark.parametrize(
    "error",
    [
        errors.CommandNotFound('exec: "x": executable file not found in $PATH', hint="look"),
        errors.NotFound("image", "x"),
        errors.SystemFailure("mount /proc", "fsmount", 1),
    ],
)
def test_an_error_crosses_processes(error: errors.WherryError) -> None:
    with pytest.raises(type(error)) as caught:
        raise_error(describe_error(error))
    assert (caught.value.message, caught.value.hint, caught.value.exit_code) == (
        error.message,
        error.hint,
        error.exit_code,
    )


def test_an_unforeseen_error_crosses_too() -> None:
    with pytest.raises(errors.WherryError, match="ZeroDivisionError: oh"):
        raise_error(describe_error(ZeroDivisionError("oh")))
