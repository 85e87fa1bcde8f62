"""The same commands with docker and with wherry, both real, side by side: the table is tests/support/compared.py.

A third time docker's client does them on `wherry serve`.

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
from support.serving import Served
from support.side_by_side import Outcome, outcome, prepare, start, words

SEEN = Path(__file__).parent.parent / "golden/docker/compared.json"
pytestmark = [pytest.mark.needs("root", "dockerd", "debian", "busybox"), pytest.mark.xdist_group("dockerd")]


Steps = list[tuple[str, Outcome, Outcome, Outcome]]
SHARED = "PYTEST_XDIST_WORKER" in os.environ  # then this process may have to do only a part of the cases
ALONE = ("containers in lists", "images")  # topics whose cases would see what others do meanwhile


@dataclass
class Engines:
    docker: Dockerd
    wherry: Wherry
    served: Served
    directory: Path
    seen: dict[str, str] = field(default_factory=dict)
    ahead: dict[str, Future[Steps]] = field(default_factory=dict)
    done: dict[str, Steps] = field(default_factory=dict)

    def compare(self, case: Case) -> Steps:
        """Each step of a case with its outcome in docker, in wherry and on its server; most have been done ahead."""
        if case.name in self.ahead:
            return self.ahead[case.name].result()
        wait(self.ahead.values())
        if case.name not in self.done:
            self.done[case.name] = every(self, case)
        return self.done[case.name]

    @property
    def exact(self) -> bool:
        """The words of other versions are others; these were compared with each other."""
        return self.docker.server.startswith("20.10.") and self.docker.client.startswith("28.")


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
    wherry, behind = Wherry.make(), Wherry.make()
    served = Served(behind)
    try:
        for name, built in (("busybox", images.busybox()), ("everything", images.everything(directory / "image"))):
            archive = built.docker_archive(directory / f"{name}.tar", f"{name}:latest")
            wherry.load(archive)
            behind.load(archive)
            subprocess.run(docker.argv("load", "-i", archive), env=docker.env, check=True, capture_output=True)
        made = Engines(docker, wherry, served, directory)
        with ThreadPoolExecutor(4) as pool:  # Docker waits more than it works
            for item in () if SHARED else request.session.items:
                if item.path == Path(__file__) and isinstance(item, pytest.Function):
                    case: Case = item.callspec.params["case"]
                    if case.topic not in ALONE and case.name not in made.ahead:
                        made.ahead[case.name] = pool.submit(every, made, case)
            yield made
        if os.environ.get("WHERRY_UPDATE_GOLDEN") and not SHARED:
            content = {"client": docker.client, "server": docker.server, "seen": made.seen}
            SEEN.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    finally:
        docker.close()
        wherry.close()
        served.close()
        behind.close()


def every(engines: Engines, case: Case) -> Steps:
    """Each step with its outcome in docker, in wherry and on its server, which do it at the same time."""
    name = f"case{(compared.SAME + compared.DIFFERENT).index(case)}"

    def do(way: str, command: Dockerd | Wherry | Served, env: dict[str, str]) -> list[Outcome]:
        directory, found = prepare(engines.directory / name / way), []
        for step in case.steps:
            arguments, text = words(step, directory, name)
            found.append(outcome(start(command.argv(*arguments), env, directory, text), directory))
        return found

    docker, wherry, served = engines.docker, engines.wherry, engines.served
    with ThreadPoolExecutor(3) as pool:
        doing = [
            pool.submit(do, "docker", docker, docker.env),
            pool.submit(do, "wherry", wherry, wherry.environment()),
            pool.submit(do, "served", served, served.env),
        ]
        return list(zip(case.steps, *[one.result() for one in doing], strict=True))


def identifier(case: Case) -> str:
    return re.sub(r"[^\w./:=-]+", " ", case.name)[:70].strip()


@pytest.mark.parametrize("case", compared.SAME, ids=identifier)
def test_same(case: Case, engines: Engines) -> None:
    for step, theirs, ours, _served in engines.compare(case):
        assert (ours.code, ours.out) == (theirs.code, theirs.out), f"{step}\ndocker: {theirs}\nwherry: {ours}"
        assert bool(ours.complaint) == bool(theirs.complaint), f"{step}\ndocker: {theirs}\nwherry: {ours}"
        if case.words and engines.exact:
            assert ours.complaint == theirs.complaint, step
    engines.seen[case.name] = "same"


@pytest.mark.parametrize("case", compared.SAME, ids=identifier)
def test_same_on_the_server(case: Case, engines: Engines) -> None:
    found = [_difference(case, engines, *one) for one in engines.compare(case)]
    why = compared.DIFFERENT_ON_THE_SERVER.get(case.name, "")
    assert any(found) == bool(why), f"{why or 'not listed as different'}: " + "\n".join(filter(None, found))


def _difference(case: Case, engines: Engines, step: str, theirs: Outcome, ours: Outcome, served: Outcome) -> str:
    """What docker's client makes of a daemon and of our server that is not the same; our hints are in brackets.

    What Docker's daemon sometimes loses is `test_same`'s business: there our own command line has the same.
    """
    if served == ours:
        return ""
    same = (served.code, served.out, bool(served.complaint)) == (theirs.code, theirs.out, bool(theirs.complaint))
    if same and case.words and engines.exact:
        more = served.complaint.removeprefix(theirs.complaint)
        same = not more or re.fullmatch(r" \(.+\)", more) is not None
    return "" if same else f"{step}\ndocker: {theirs}\nserved: {served}"


@pytest.mark.parametrize("case", compared.DIFFERENT, ids=identifier)
def test_different_on_purpose(case: Case, engines: Engines) -> None:
    outcomes = engines.compare(case)
    assert any((theirs.code, theirs.out) != (ours.code, ours.out) for _step, theirs, ours, _served in outcomes), (
        f"no difference any more, which is news for tests/support/compared.py: {outcomes}"
    )
    engines.seen[case.name] = "different"
