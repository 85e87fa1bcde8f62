"""The command line in a fork of this process: a new interpreter takes a second in a machine that is emulated."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from pathlib import Path

from support.command import MAIN, Result, Wherry
from wherry.cli.main import main


def load(golden: str) -> None:
    """Import what a list of modules names, before there are forks that would each do it."""
    for line in Path(golden).read_text().splitlines():
        if not line.startswith("#"):
            importlib.import_module(line)


def wherry(*arguments: str | Path) -> Result:
    """How a command ends; its standard input is empty."""
    argv = [str(argument) for argument in arguments]
    pipes = [os.pipe(), os.pipe()]
    pid = os.fork()
    if pid == 0:
        _run(argv, [writer for _reader, writer in pipes])
    texts = [b"", b""]

    def read(number: int, descriptor: int) -> None:
        with open(descriptor, "rb") as file:
            texts[number] = file.read()

    readers = []
    for number, (reader, writer) in enumerate(pipes):
        os.close(writer)
        readers.append(threading.Thread(target=read, args=(number, reader)))
        readers[-1].start()
    for thread in readers:
        thread.join()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Result(("wherry", *argv), code, *(text.decode(errors="replace") for text in texts))


def _run(argv: list[str], outputs: list[int]) -> None:
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, descriptor in enumerate(outputs, 1):
            os.dup2(descriptor, number)
        os.closerange(3, 1000)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        status = main(argv)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class Forked(Wherry):
    """`Wherry`, by `wherry`."""

    def __call__(self, *arguments: str | Path, **_more: object) -> Result:  # type: ignore[override]
        argv = self.argv(*arguments)
        return wherry(*argv[argv.index(str(MAIN)) + 1 :])
