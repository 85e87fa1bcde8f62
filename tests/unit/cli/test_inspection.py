"""What ``inspect`` prints of an image whose maker wants the reader's terminal."""

from __future__ import annotations

import json
import os
import pty
import sys

import pytest

from wherry.cli import inspection

HOSTILE = "\x1b]0;title\x07 \x9b31m \u202eevil \x7f \U000e0041 \ud800 \u4e2d <&>"


@pytest.mark.parametrize("form", ["", "json"])
def test_json_holds_no_control_characters(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspection.show(["x"], lambda _name: {"Labels": {HOSTILE: HOSTILE}}, form) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == [{"Labels": {HOSTILE: HOSTILE}}]
    assert out.replace("\n", "").isprintable()
    assert "\u4e2d" in out


def test_a_template_is_raw_in_a_pipe_and_harmless_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HOSTILE.replace("\ud800", "")
    assert inspection.show(["x"], lambda _name: {"Id": text + "\tb"}, "{{.Id}}") == 0
    assert capsys.readouterr().out == text + "\tb\n"
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w") as terminal:
            monkeypatch.setattr(sys, "stdout", terminal)
            inspection.show(["x"], lambda _name: {"Id": text + "\tb"}, "{{.Id}}")
            monkeypatch.undo()
            shown = os.read(master, 4096).decode()
    finally:
        os.close(master)
    assert "\x1b" not in shown and "\x9b" not in shown and "\u202e" not in shown
    assert "\\x1b]0;title" in shown and shown.endswith("\r\n")
