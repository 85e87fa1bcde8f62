"""The same commands with docker and with wherry, both real, side by side: the table is tests/support/compared.py.

Where a Docker daemon can be started.  ``WHERRY_UPDATE_GOLDEN=1`` writes down what was seen, which
``tools/compatibility.py`` puts into docs/compatibility.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import compared, images, needs
from support.command import Wherry
from support.compared import Case
from support.dockerd import Dockerd, NotHere
from support.side_by_side import Outcome, outcome, prepare, start, words

SEEN = Path(__file__).parent.parent / "golden/docker/compared.json"
pytestmark = [pytest.mark.needs("root", "dockerd", "debian", "busybox"), pytest.mark.xdist_group("dockerd")]


Steps = list[tuple[str, Outcome, Outcome]]
SHARED = "PYTEST_XDIST_WORKER" in os.environ  # then this process may have to do only a part of the cases
ALONE = ("containers in lists", "images")  # topics whose cases would see what others do meanwhile


@dataclass
class Engines:
    docker: Dockerd
    wherry: Wherry
    directory: Path
    seen: dict[str, str] = field(default_factory=dict)
    ahead: dict[str, Future[Steps]] = field(default_factory=dict)

    def compare(self, case: Case) -> Steps:
        """Each step of a case with its outcome in docker and in wherry; most have been done ahead."""
        if case.name in self.ahead:
            return self.ahead[case.name].result()
        wait(self.ahead.values())
        return both(self, case)


@pytest.fixture(scope="session")
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """Both engines with the images busybox and everything."""
    for name in ("root", "dockerd", "debian", "busybox"):
        if not needs.present(name):
            pytest.skip(needs.reason(name))
    directory = tmp_path_factory.mktemp("compared")
    try:
        docker = Dockerd()
    except NotHere:
        pytest.skip(needs.reason("dockerd"))
    wherry = Wherry.make()
    try:
        for name, built in (("busybox", images.busybox()), ("everything", images.everything(directory / "image"))):
            archive = built.docker_archive(directory / f"{name}.tar", f"{name}:latest")
            wherry.load(archive)
            subprocess.run(docker.argv("load", "-i", archive), env=docker.env, check=True, capture_output=True)
        made = Engines(docker, wherry, directory)
        with ThreadPoolExecutor(4) as pool:  # Docker waits more than it works
            for item in () if SHARED else request.session.items:
                if item.path == Path(__file__) and isinstance(item, pytest.Function):
                    case: Case = item.callspec.params["case"]
                    if case.topic not in ALONE:
                        made.ahead[case.name] = pool.submit(both, made, case)
            yield made
        if os.environ.get("WHERRY_UPDATE_GOLDEN") and not SHARED:
            content = {"client": docker.client, "server": docker.server, "seen": made.seen}
            SEEN.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    finally:
        docker.close()
        wherry.close()


def both(engines: Engines, case: Case) -> Steps:
    """Each step with its outcome in docker and in wherry, which do it at the same time."""
    name = f"case{(compared.SAME + compared.DIFFERENT).index(case)}"
    theirs, ours = prepare(engines.directory / name / "docker"), prepare(engines.directory / name / "wherry")
    found: Steps = []
    docker, wherry = engines.docker, engines.wherry
    for step in case.steps:
        arguments, text = words(step, theirs, name)
        first = start(docker.argv(*arguments), docker.env, theirs, text)
        arguments, text = words(step, ours, name)
        second = start(wherry.argv(*arguments), wherry.environment(), ours, text)
        found.append((step, outcome(first, theirs), outcome(second, ours)))
    return found


def identifier(case: Case) -> str:
    return re.sub(r"[^\w./:=-]+", " ", case.name)[:70].strip()


@pytest.mark.parametrize("case", compared.SAME, ids=identifier)
def test_same(case: Case, engines: Engines) -> None:
    # the words of other versions are others; these were compared with each other
    exact = case.words and engines.docker.server.startswith("20.10.") and engines.docker.client.startswith("28.")
    for step, theirs, ours in engines.compare(case):
        assert (ours.code, ours.out) == (theirs.code, theirs.out), f"{step}\ndocker: {theirs}\nwherry: {ours}"
        assert bool(ours.complaint) == bool(theirs.complaint), f"{step}\ndocker: {theirs}\nwherry: {ours}"
        if exact:
            assert ours.complaint == theirs.complaint, step
    engines.seen[case.name] = "same"


@pytest.mark.parametrize("case", compared.DIFFERENT, ids=identifier)
def test_different_on_purpose(case: Case, engines: Engines) -> None:
    outcomes = engines.compare(case)
    assert any((theirs.code, theirs.out) != (ours.code, ours.out) for _step, theirs, ours in outcomes), (
        f"no difference any more, which is news for tests/support/compared.py: {outcomes}"
    )
    engines.seen[case.name] = "different"
