"""Units, tables, quoting and progress."""

from __future__ import annotations

import io
import os
import pty

import pytest

from wherry.cli import units
from wherry.cli.format import Listing, layout, render
from wherry.cli.progress import Bars, Lines, open_progress
from wherry.cli.quote import harmless, quote

HOUR = 3600
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (5591300, "5.59MB"),
        (187654321, "188MB"),
        (10**12, "1TB"),
        (999999, "1e+03kB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert units.size(count) == text


def test_other_sizes() -> None:
    assert units.size(187654321, 4) == "187.7MB"
    assert units.binary_size(2000000000) == "1.863GiB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (HOUR, "About an hour"),
        (1.6 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (61 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


def test_ellipsis() -> None:
    assert units.ellipsis("abcdef", 6) == "abcdef"
    assert units.ellipsis("abcdefg", 6) == "abcde…"
    assert units.ellipsis("ab", 1) == "a"


def test_columns() -> None:
    assert layout([["A", "B", "C"], ["long long long", "x", "y"]]) == (
        "A                B         C\nlong long long   x         y\n"
    )
    assert layout([]) == ""
    assert layout([["only"]]) == "only\n"


def test_a_column_is_as_wide_as_the_lines_together_need() -> None:
    """As Go's tabwriter: a line without the column ends it."""
    assert layout([["wide wide wide", "x"], ["alone"], ["a", "b"]]) == "wide wide wide   x\nalone\na         b\n"


HOSTILE = "evil\x1b[2J\x1b]0;title\x07\n\t\x9b31m\u202ename"


def test_what_strangers_chose_cannot_move_the_cursor() -> None:
    listing = Listing("*x", {"Name": "NAME", "Other": "OTHER"}, ("Name", "Other"))
    rows = [{"Name": lambda: HOSTILE, "Other": lambda: "x"}]
    for form in ("", "table {{.Name}}\\t{{.Other}}"):
        text = render(listing, rows, form)
        assert len(text.splitlines()) == 2
        assert text.replace("\n", "").isprintable()
        assert "\\x1b[2J" in text


def test_quoting() -> None:
    assert quote('a"\\\n\té\x00\x7f') == '"a\\"\\\\\\n\\té\\x00\\x7f"'
    assert quote("\udc80\u200b") == '"\\x80\\u200b"'
    assert harmless("plain é") == "plain é"
    assert harmless("\x1b[31m\r\n\x9b\u2028") == "\\x1b[31m\\r\\n\\u009b\\u2028"


def test_lines_for_logs() -> None:
    out = io.StringIO()
    progress = open_progress(stream=out)
    assert isinstance(progress, Lines)
    progress.message("latest: Pulling from library/x")
    progress.start("aaa", "Pulling fs layer")
    progress.start("aaa", "Downloading")
    progress.advance("aaa", 5, 10)
    progress.start("aaa", "Download complete")
    progress.start("aaa", "Extracting")
    progress.done("aaa", "Pull complete\x1b[2J")
    assert out.getvalue().splitlines() == [
        "latest: Pulling from library/x",
        "aaa: Pulling fs layer",
        "aaa: Download complete",
        "aaa: Pull complete\\x1b[2J",
    ]


class Screen:
    """As much of a terminal as the bars use: lines, "up" and "erase line"."""

    def __init__(self, columns: int, lines: int) -> None:
        self.master, slave = pty.openpty()
        import fcntl
        import struct
        import termios

        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.stream = os.fdopen(slave, "w")

    def shown(self) -> list[str]:
        self.stream.write("\0")  # the kernel hands over what was written in pieces, and later
        self.stream.flush()
        written = b""
        while not written.endswith(b"\0"):
            written += os.read(self.master, 1 << 20)
        text = written[:-1].decode()
        lines, row = [""], 0
        while text:
            if text.startswith("\x1b["):
                end = min(text.index(letter) for letter in "AK" if letter in text)
                if text[end] == "A":
                    row = max(0, row - int(text[2:end]))
                else:
                    lines[row] = ""
                text = text[end + 1 :]
            elif text[0] == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
                text = text[1:]
            elif text[0] == "\r":
                text = text[1:]
            else:
                lines[row] += text[0]
                text = text[1:]
        return lines

    def close(self) -> None:
        self.stream.close()
        os.close(self.master)


def test_bars_on_a_terminal() -> None:
    screen = Screen(100, 24)
    progress = open_progress(stream=screen.stream)
    assert isinstance(progress, Bars)
    progress.message("latest: Pulling from library/x")
    progress.start("aaaaaaaaaaaa", "Pulling fs layer")
    progress.start("bbbbbbbbbbbb", "Pulling fs layer")
    progress.start("aaaaaaaaaaaa", "Downloading")
    progress.advance("aaaaaaaaaaaa", 5_000_000, 10_000_000)
    progress.advance("aaaaaaaaaaaa", 10_000_000, 10_000_000)
    progress.done("bbbbbbbbbbbb", "Already exists")
    progress.advance("aaaaaaaaaaaa", 10_000_000, 10_000_000)
    progress.message("Digest: sha256:0")
    assert [line.rstrip() for line in screen.shown()] == [
        "latest: Pulling from library/x",
        "aaaaaaaaaaaa: Downloading [==================================================]  10MB/10MB",
        "bbbbbbbbbbbb: Already exists",
        "Digest: sha256:0",
        "",
    ]
    screen.close()


@pytest.mark.parametrize(("columns", "lines"), [(20, 24), (100, 3), (1, 1)])
def test_bars_stay_inside_a_small_terminal(columns: int, lines: int) -> None:
    screen = Screen(columns, lines)
    progress = Bars(screen.stream)
    for number in range(6):
        progress.start(f"layer{number}", "Downloading")
        progress.advance(f"layer{number}", 10, 10)
    for number in range(6):
        progress.done(f"layer{number}", "Pull complete")
    shown = screen.shown()
    assert all(len(line) < max(columns, 2) for line in shown)
    if columns == 100:
        assert len([line for line in shown if line.strip()]) == 6
    screen.close()
