"""Fixtures that every suite may use, listed skips, and the look for what a run leaves behind.

* ``registry``, ``registry_with(tls=…, auth=…)``: a real registry on loopback (tests/support/registry.py).
* ``busybox``, ``python_image``: images out of Debian packages; ``scratch``: a directory that every user can reach.
* ``wherry``: the command line with state of the test's own, checked for leaks when the test ends; ``rootless`` is a
  user and ``wherry_as(user)`` the command line as that user; ``anyone`` runs a test as root and rootless.
* ``@pytest.mark.needs("root", "registry")``: skipped, with a reason from tests/skips.toml, where that is missing.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import hypothesis
import pytest
from hypothesis import HealthCheck

sys.path.insert(0, str(Path(__file__).parent))

from support import images, leaks, needs, places, users
from support.command import Wherry
from support.registry import Registry

ORDER = ("architecture", "unit", "golden", "contract", "kernel", "security", "e2e")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--leaks", action="store_true", help="fail the run when the host has more mounts, cgroups … after it"
    )


def pytest_configure(config: pytest.Config) -> None:
    # how long examples take says how busy the machine is
    hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    hypothesis.settings.load_profile("patient")
    config.addinivalue_line("markers", "needs(*names): what of tests/skips.toml the test cannot do without")
    config.addinivalue_line("markers", "keeps: the test leaves containers behind on purpose; no look for leaks")
    config.addinivalue_line("markers", "survival: kills, races, full disks, lost power; `make survive` repeats these")
    if not hasattr(config, "workerinput"):
        users.ensure_account()
        places.sweep()
        if not config.option.basetemp and not config.option.collectonly:
            config.stash[TEMPORARY] = places.make("pytest")
            config.option.basetemp = str(config.stash[TEMPORARY])
        config.stash[BEFORE] = leaks.Snapshot.take(PLACES)


PLACES = f"{places.PLACE}/wt-"
BEFORE = pytest.StashKey[leaks.Snapshot]()
TEMPORARY = pytest.StashKey[Path]()
LEFT = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cheap suites first: what is broken there explains what is broken later."""

    def rank(item: pytest.Item) -> int:
        part = next((part for part in item.path.parts if part in ORDER), "")
        return ORDER.index(part) if part else len(ORDER)

    items.sort(key=rank)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            if not needs.present(name):
                pytest.skip(needs.reason(name))


def _refuse_unlisted_skip(report: Any) -> None:
    """A skip that tests/skips.toml does not excuse is a failure."""
    if report.skipped and not hasattr(report, "wasxfail"):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        text = text.removeprefix("Skipped: ")
        if not needs.excused(text):
            report.outcome = "failed"
            report.longrepr = f"unexpected skip ({text}): tests/skips.toml does not list it for this machine"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    outcome: Any = yield
    _refuse_unlisted_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    outcome: Any = yield
    _refuse_unlisted_skip(outcome.get_result())


@pytest.hookimpl(trylast=True)  # the workers have ended
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput"):
        return
    if config.getoption("--leaks"):
        config.stash[LEFT] = config.stash[BEFORE].settled(PLACES)
        if config.stash[LEFT] and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    temporary = config.stash.get(TEMPORARY, None)
    if (
        temporary is not None and session.exitstatus == 0
    ):  # what failed tests have made may explain why; swept next time
        shutil.rmtree(temporary, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = config.stash.get(LEFT, [])
    if found:
        terminalreporter.section("left behind on this host")
        for line in found:
            terminalreporter.write_line(line)


# -- images and registries -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def busybox() -> images.Built:
    """One layer; see `images.busybox`."""
    _need("debian", "busybox")
    return images.busybox()


@pytest.fixture(scope="session")
def python_image() -> images.Built:
    """Three layers with the distribution's Python; see `images.python`."""
    _need("debian", "busybox")
    return images.python()


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """A plain registry without authentication, shared by the tests of one worker: use names of your own."""
    _need("registry")
    with Registry() as running:
        yield running


@pytest.fixture
def registry_with() -> Iterator[Callable[..., Registry]]:
    """``registry_with(tls=True, auth="token")``: a registry of the test's own."""
    _need("registry")
    started: list[Registry] = []

    def start(*, tls: bool = False, auth: Literal["htpasswd", "token"] | None = None) -> Registry:
        if auth == "htpasswd":
            _need("htpasswd")
        if tls or auth == "token":
            _need("openssl")
        started.append(Registry(tls=tls, auth=auth))
        return started[-1]

    yield start
    for one in started:
        one.close()


def _need(*names: str) -> None:
    for name in names:
        if not needs.present(name):
            pytest.skip(needs.reason(name))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory on disk whose path is short and open to every user (pytest's own are neither)."""
    path = places.make("scratch")
    path.chmod(0o755)
    yield path
    for point in reversed(leaks.mounts_of(path)):
        os.system(f"umount -l '{point}'")
    shutil.rmtree(path, ignore_errors=True)


# -- users and the command line --------------------------------------------------------------------------------------


@pytest.fixture
def rootless() -> Iterator[users.User]:
    """An unprivileged user with an account and subordinate ids, and new HOME and XDG directories."""
    _need("user-namespaces")
    if os.geteuid() == 0:
        _need("uidmap")
    user = users.User.make(users.UID if os.geteuid() == 0 else os.geteuid())
    yield user
    user.remove()


@pytest.fixture
def rootless_single() -> Iterator[users.User]:
    """An unprivileged user without an account and without subordinate ids: one id is all there is."""
    _need("root", "user-namespaces")
    user = users.User.make(users.SINGLE_UID)
    yield user
    user.remove()


@pytest.fixture
def run_as() -> Callable[..., Any]:
    """``run_as(uid, argv, env)``: a program as another user."""
    return users.run_as


@pytest.fixture
def wherry_as(request: pytest.FixtureRequest) -> Iterator[Callable[..., Wherry]]:
    """``wherry_as(user)``: the command line as *user* (None: as oneself); each call makes state of its own."""
    made: list[Wherry] = []

    def make(user: users.User | None = None) -> Wherry:
        made.append(Wherry.make(user))
        return made[-1]

    yield make
    found: list[str] = []
    for one in made:
        if not request.node.get_closest_marker("keeps"):
            found += leaks.settled(one.directory)
        one.close()
    assert not found, "left behind:\n" + "\n".join(found)


@pytest.fixture
def wherry(wherry_as: Callable[..., Wherry]) -> Wherry:
    """The command line as the person who runs the tests."""
    return wherry_as()


@pytest.fixture(params=["root", "rootless"])
def anyone(request: pytest.FixtureRequest, wherry_as: Callable[..., Wherry]) -> Wherry:
    """The command line, once as root and once as a user with subordinate ids."""
    if request.param == "root":
        _need("root")
        return wherry_as()
    user: users.User = request.getfixturevalue("rootless")
    return wherry_as(user)
