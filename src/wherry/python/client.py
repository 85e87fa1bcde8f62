"""The engine's verbs for programs (docs/python-api.md)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from wherry.engine.images import Summary
from wherry.python.helper import Place, call, words
from wherry.record import Record

Progress = Callable[[str], None]
"""Called with lines for a person while something takes long."""


class Completed(Record):
    """A command that has ended, as `subprocess.CompletedProcess`: ``stdout`` and ``stderr`` are what was captured."""

    command: tuple[str, ...]
    returncode: int
    stdout: bytes = b""
    stderr: bytes = b""

    def check_returncode(self) -> None:
        """Raise `subprocess.CalledProcessError` unless the exit status is 0."""
        if self.returncode:
            raise subprocess.CalledProcessError(self.returncode, self.command, self.stdout, self.stderr)


class ContainerOptions(TypedDict, total=False):
    """What a container may be given; see docs/python-api.md for each."""

    name: str
    env: Mapping[str, str]
    labels: Mapping[str, str]
    volumes: Sequence[str]
    ports: Sequence[str]
    workdir: str
    user: str
    network: str
    gpus: str | int
    memory: str | int
    cpus: float
    entrypoint: Sequence[str]
    init: bool


def checked(options: ContainerOptions) -> ContainerOptions:
    """The options, of which there are no others.  Raises TypeError as a function does."""
    unknown = sorted(options.keys() - ContainerOptions.__annotations__.keys())
    if unknown:
        raise TypeError(f"a container has no option {unknown[0]!r}")
    return options


class Client:
    """The verbs on one store: by default the caller's own, else the directories ``root``, ``run_root`` and ``config``.

    Methods raise the errors of `wherry.errors`.  They may be called from any thread.
    """

    def __init__(self, *, root: str = "", run_root: str = "", config: str = "") -> None:
        self.place = Place(root, run_root, config)

    def run(
        self,
        image: str,
        command: str | Sequence[str] = (),
        *,
        capture: bool = False,
        check: bool = False,
        input: bytes | None = None,
        remove: bool = True,
        **options: Unpack[ContainerOptions],
    ) -> Completed:
        """Run a command in a new container of an image, pulled when it is not here, and wait for it.

        Its output is this process's unless ``capture``; its input is ``input``.  ``check`` raises
        `subprocess.CalledProcessError` for an exit status that is not 0.
        """
        argv = words(command)
        wanted = {**checked(options), "image": image, "command": argv, "remove": remove}
        ran = call(self.place, "run", wanted, input=input, capture=capture)
        return completed(argv, ran.value, ran.stdout, ran.stderr, check=check)

    def run_detached(
        self,
        image: str,
        command: str | Sequence[str] = (),
        *,
        remove: bool = False,
        **options: Unpack[ContainerOptions],
    ) -> str:
        """Start a command in a new container of an image and leave it running; the container's id."""
        wanted = {**checked(options), "image": image, "command": words(command), "remove": remove}
        identity: str = call(self.place, "run_detached", wanted).value
        return identity

    def exec(
        self,
        container: str,
        command: str | Sequence[str],
        *,
        capture: bool = False,
        check: bool = False,
        input: bytes | None = None,
        env: Mapping[str, str] | None = None,
        user: str = "",
        workdir: str = "",
    ) -> Completed:
        """Run another command in a container that runs, and wait for it; see `run`."""
        argv = words(command)
        ran = call(
            self.place, "exec_in", container, argv, dict(env or {}), user, workdir, input=input, capture=capture
        )  # fmt: skip
        return completed(argv, ran.value, ran.stdout, ran.stderr, check=check)

    def ps(self, *, all: bool = False, filters: Mapping[str, Sequence[str]] | None = None) -> list[dict[str, Any]]:
        """The containers that run, or all, as Docker's Engine API describes them (``GET /containers/json``)."""
        found: list[dict[str, Any]] = call(self.place, "ps", all, dict(filters or {})).value
        return found

    def inspect(self, name: str) -> dict[str, Any]:
        """All about a container, or else an image, as Docker's Engine API describes it."""
        found: dict[str, Any] = call(self.place, "inspect", name).value
        return found

    def logs(self, container: str, *, tail: int = -1) -> tuple[bytes, bytes]:
        """What a container has written so far, to its output and to its errors; of each stream's end ``tail`` lines."""
        found: tuple[bytes, bytes] = call(self.place, "logs", container, tail).value
        return found

    def stop(self, container: str, *, timeout: int | None = None) -> None:
        """End a container: ask it, and kill it after ``timeout`` seconds (10, or what it was made with)."""
        call(self.place, "stop", container, timeout)

    def rm(self, container: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container; ``force``: one that runs, too; ``volumes``: with its anonymous volumes."""
        call(self.place, "rm", container, force, volumes)

    def images(self, *, filters: Mapping[str, Sequence[str]] | None = None) -> tuple[Summary, ...]:
        """The images, the newest first."""
        found: tuple[Summary, ...] = call(self.place, "images", dict(filters or {})).value
        return found

    def pull(self, reference: str, *, platform: str = "", progress: Progress | None = None) -> str:
        """Bring an image from its registry; its digest there."""
        digest: str = call(self.place, "pull", reference, platform, progress=progress).value
        return digest

    def push(self, name: str, *, progress: Progress | None = None) -> tuple[str, ...]:
        """Send an image to the registry of its name; the digests of what is there now."""
        digests: tuple[str, ...] = call(self.place, "push", name, progress=progress).value
        return digests

    def tag(self, source: str, target: str) -> None:
        """Give an image another name."""
        call(self.place, "tag", source, target)

    def rmi(self, name: str, *, force: bool = False) -> None:
        """Take a name from an image; with the last, the image goes."""
        call(self.place, "rmi", name, force)


def completed(argv: tuple[str, ...], status: int, stdout: bytes, stderr: bytes, *, check: bool) -> Completed:
    done = Completed(argv, status, stdout, stderr)
    if check:
        done.check_returncode()
    return done


DEFAULT = Client()
"""The caller's own store."""
