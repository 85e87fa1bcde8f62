"""Environments for programs (docs/python-api.md)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from wherry.errors import NotFound
from wherry.python.client import DEFAULT, Client, Completed, ContainerOptions, Progress, checked, completed
from wherry.python.helper import call, words

if TYPE_CHECKING:
    from wherry.env.build import Built


class Env:
    """A Python environment: a lock, and the image that it becomes.

    ``path`` is the lock or its folder; commands run with that folder at /workspace.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, client: Client | None = None, debian_mirrors: Sequence[str] = ()
    ):
        self.path = os.path.realpath(path)
        self._client = client or DEFAULT
        self._mirrors = tuple(debian_mirrors)

    @classmethod
    def from_lock(
        cls, path: str | os.PathLike[str] = "pylock.toml", *, client: Client | None = None,
        debian_mirrors: Sequence[str] = (),
    ) -> Env:  # fmt: skip
        """The environment of a lock, whatever its project asks for by now.  Raises `NotFound`, `InvalidArgument`."""
        found = cls(path, client=client, debian_mirrors=debian_mirrors)
        found.packages()
        return found

    @classmethod
    def from_folder(
        cls, path: str | os.PathLike[str] = ".", *, client: Client | None = None, debian_mirrors: Sequence[str] = ()
    ) -> Env:
        """The environment of a project's folder: its lock is held against it, and made where there is none.

        Raises `NotFound` for what is no folder.
        """
        if not os.path.isdir(path):
            raise NotFound("folder", os.fspath(path), f"there is no folder {os.fspath(path)}")
        return cls(path, client=client, debian_mirrors=debian_mirrors)

    @property
    def folder(self) -> str:
        """The project's folder."""
        return self.path if os.path.isdir(self.path) else os.path.dirname(self.path)

    def packages(self) -> dict[str, str]:
        """Name → version of what the lock has.  Raises `NotFound`, `InvalidArgument`."""
        from wherry.env import locking
        from wherry.env.inputs import project

        path = Path(self.path)
        if path.is_dir():
            place = project.lock_path(path)
            if place is None:
                raise NotFound("lock", self.path, f"{self.path} has no lock", hint="lock() makes one")
            path = place
        return {package.name: package.version for package in locking.read(path).packages}

    def lock(self, *, upgrade: bool = False, progress: Progress | None = None) -> str:
        """Lock the project of the folder, or see that its lock is of it; the path of the lock.

        ``upgrade`` takes the newest of all packages.  Raises `Conflict` with what cannot be had together.
        """
        arguments = (self.folder, self._mirrors, upgrade)
        path: str = call(self._client.place, "env_lock", *arguments, progress=progress).value
        return path

    def build(self, *names: str, architecture: str = "", progress: Progress | None = None) -> Built:
        """Build the image of the lock, where it is not here, and give it ``names``.

        The same lock gives the same digest, on any machine.  Raises `Conflict` for a lock that is not of its project.
        """
        arguments = (self.path, names, architecture, self._mirrors)
        built: Built = call(self._client.place, "env_build", *arguments, progress=progress).value
        return built

    def run(
        self,
        command: str | Sequence[str],
        *,
        capture: bool = False,
        check: bool = False,
        input: bytes | None = None,
        progress: Progress | None = None,
        **options: Unpack[ContainerOptions],
    ) -> Completed:
        """Run a command in the environment, built where it has to be, with the folder at /workspace; wait for it.

        What it writes there belongs to the caller.  For the rest see `wherry.Client.run`.
        """
        argv = words(command)
        wanted = {"init": True, **checked(options), "command": argv, "remove": True}
        ran = call(
            self._client.place, "env_run", self.path, wanted, self._mirrors, input=input, capture=capture,
            progress=progress,
        )  # fmt: skip
        return completed(argv, ran.value, ran.stdout, ran.stderr, check=check)
