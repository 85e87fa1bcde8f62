"""Who a process is."""

from __future__ import annotations

import os
import subprocess

from wherry.linux.process import start_time


def test_a_process_has_one_start_time() -> None:
    assert start_time(os.getpid()) == start_time(os.getpid()) != ""


def test_one_that_has_ended_has_none() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert start_time(process.pid) == ""  # a zombie
    assert start_time(process.pid) == ""
