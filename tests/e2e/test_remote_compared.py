"""The same commands here and over an API: on a Docker daemon with docker and with wherry, on ours with and without -H.

The table is tests/support/compared.py; a part of it is enough to see that nothing is lost on the way, and
``WHERRY_COMPARE_ALL=1`` goes through all of it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import compared, images, needs
from support.command import Wherry
from support.compared import Case
from support.dockerd import Dockerd, NotHere
from support.remote import Far
from support.serving import Served
from support.side_by_side import Outcome, outcome, prepare, start, words

pytestmark = [pytest.mark.needs("root", "dockerd", "debian", "busybox"), pytest.mark.xdist_group("dockerd")]

LEFT_OUT = ("rmi busybox", "volume create -d nosuch NAME", "sleep 1;", "echo two >&2")
"""What takes the image away from the other side, what Docker looks for half a minute for, what has to be attached to
within a second, and what two streams may put into a log in any order."""
CASES = [case for case in compared.SAME if not any(words in step for words in LEFT_OUT for step in case.steps)]
EVERY = 1 if os.environ.get("WHERRY_COMPARE_ALL") else 4


class Side:
    """One way to give a command."""

    def __init__(self, name: str, command: Wherry | Dockerd, env: dict[str, str]) -> None:
        self.name = name
        self.command = command
        self.env = env

    def run(self, step: str, directory: Path, name: str) -> Outcome:
        arguments, text = words(step, directory, name)
        found = outcome(start(self.command.argv(*arguments), self.env, directory, text), directory)
        return Outcome(found.code, _plain(found.out, name), _plain(found.complaint, name))


def _plain(text: str, name: str) -> str:
    return re.sub(r"\b\d{10}(\.\d{9})?\b", "TIME", text.replace(name, "NAME"))


@dataclass
class Pair:
    """An engine, and two ways to it."""

    near: Side
    far: Side
    directory: Path

    def compare(self, case: Case) -> list[tuple[str, Outcome, Outcome]]:
        """Each step of a case, its outcome on the one way and on the other."""
        number = compared.SAME.index(case)
        found = []
        directories = [prepare(self.directory / f"{number}{side}") for side in ("near", "away")]
        for side, directory in zip((self.near, self.far), directories, strict=True):
            name = f"case{number}{directory.name[-4:]}"
            found.append([side.run(step, directory, name) for step in case.steps])
        return list(zip(case.steps, *found, strict=True))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("archives")
    built = {"busybox": images.busybox(), "everything": images.everything(directory / "image")}
    return [one.docker_archive(directory / f"{name}.tar", f"{name}:latest") for name, one in built.items()]


@pytest.fixture(scope="module")
def docker(archives: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    try:
        dockerd = Dockerd()
    except NotHere:
        pytest.skip(needs.reason("dockerd"))
    wherry = Wherry.make()
    try:
        for archive in archives:
            subprocess.run(dockerd.argv("load", "-i", archive), env=dockerd.env, check=True, capture_output=True)
        far = Far.of(wherry, "-H", f"unix://{dockerd.socket}")
        near = Side("docker", dockerd, dockerd.env)
        yield Pair(near, Side("wherry -H", far, far.environment()), tmp_path_factory.mktemp("docker"))
    finally:
        dockerd.close()
        wherry.close()


@pytest.fixture(scope="module")
def ours(archives: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    wherry = Wherry.make()
    try:
        for archive in archives:
            wherry.load(archive)
        served = Served(wherry)
        try:
            far = Far.to(served)
            near = Side("wherry", wherry, wherry.environment())
            yield Pair(near, Side("wherry -H", far, far.environment()), tmp_path_factory.mktemp("ours"))
        finally:
            served.close()
    finally:
        wherry.close()


def identifier(case: Case) -> str:
    return re.sub(r"[^\w./:=-]+", " ", case.name)[:70].strip()


def check(pair: Pair, case: Case, *, words: bool) -> None:
    for step, near, far in pair.compare(case):
        what = f"{step}\n{pair.near.name}: {near}\n{pair.far.name}: {far}"
        assert (far.code, far.out) == (near.code, near.out), what
        assert bool(far.complaint) == bool(near.complaint), what
        assert not words or far.complaint.lower() == near.complaint.lower(), what


@pytest.mark.parametrize("case", CASES[::EVERY], ids=identifier)
def test_on_a_docker_daemon(case: Case, docker: Pair) -> None:
    check(docker, case, words=case.words)


@pytest.mark.parametrize("case", CASES[EVERY // 2 :: EVERY], ids=identifier)
def test_on_our_own(case: Case, ours: Pair) -> None:
    check(ours, case, words=True)
