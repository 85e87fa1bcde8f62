"""Control groups of this machine: v1 where it has them, and v2 with what its mount carries."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wherry.errors import Conflict, InvalidArgument, NotSupported
from wherry.linux import cgroup, syscall

pytestmark = pytest.mark.needs("root")

M = 1 << 20
HERE = cgroup.detect()
CLONE_INTO_CGROUP = 0x200000000


def only_v2() -> cgroup.Layout:
    """This host as if it had nothing but its v2 mount."""
    controllers = {name: place for name, place in HERE.controllers.items() if place == HERE.unified}
    return HERE.replace(version="v2", controllers=controllers)


def only_v1() -> cgroup.Layout:
    controllers = {name: place for name, place in HERE.controllers.items() if place != HERE.unified}
    return HERE.replace(version="v1", controllers=controllers, unified="", unified_controllers=frozenset())


LAYOUTS = {"v1": only_v1, "v2": only_v2, "host": lambda: HERE}


@pytest.fixture
def parent() -> Iterator[str]:
    """A path of the test's own; whatever is below it in any hierarchy goes when the test ends."""
    name = f"/wherry-test-{os.getpid()}-{time.monotonic_ns()}"
    yield name
    for layout in (only_v1(), only_v2()):
        for mount in (*layout.hierarchies(), layout.unified):
            if mount and os.path.isdir(mount + name):
                group = cgroup.Cgroup(layout, name, () if mount == layout.unified else (mount,), "")
                group = cgroup.open_cgroup(layout, name) if mount == layout.unified else group
                group.kill()
                group.remove()


@pytest.fixture(params=list(LAYOUTS))
def layout(request: pytest.FixtureRequest) -> cgroup.Layout:
    found = LAYOUTS[request.param]()
    if request.param == "v1" and not found.hierarchies():
        pytest.skip("needs cgroup-v1: this machine mounts no cgroup v1 controllers")
    if request.param == "v2" and not found.unified:
        pytest.skip("needs cgroup-v2: no controller is on the cgroup v2 hierarchy of this machine")
    return found


@pytest.fixture
def v1() -> cgroup.Layout:
    found = only_v1()
    if "memory" not in found.controllers:
        pytest.skip("needs cgroup-v1: this machine mounts no cgroup v1 controllers")
    return found


@pytest.fixture
def v2() -> cgroup.Layout:
    found = only_v2()
    if not found.unified:
        pytest.skip("needs cgroup-v2: no controller is on the cgroup v2 hierarchy of this machine")
    return found


def read(group: cgroup.Cgroup, controller: str, file: str) -> str:
    return Path(group.directory(controller) or "", file).read_text().strip()


def inside(group: cgroup.Cgroup, action: Callable[[], Any]) -> str:
    """repr of what a child in the group gets, the name of its errno, or the signal that killed it."""
    reader, writer = os.pipe()
    fds = group.join_fds()
    pid = os.fork()
    if pid == 0:
        try:
            for fd in fds:
                os.write(fd, b"0")
            if group.unified:
                Path(group.unified, "cgroup.procs").write_text("0")
            answer = repr(action())
        except OSError as error:
            answer = errno.errorcode[error.errno or 0]
        except BaseException as error:
            answer = repr(error)
        os.write(writer, answer.encode())
        os._exit(0)
    for fd in (*fds, writer):
        os.close(fd)
    with os.fdopen(reader) as file:
        text = file.read()
    status = os.waitpid(pid, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else text


@pytest.fixture
def sleeper() -> Iterator[Callable[[cgroup.Cgroup], int]]:
    """Starts a process in a group; kills and reaps what is left of them."""
    pids: list[int] = []

    def start(group: cgroup.Cgroup) -> int:
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        pids.append(pid)
        group.add(pid)
        return pid

    yield start
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def openable(*paths: str) -> dict[str, str]:
    found = {}
    for path in paths:
        name, _, mode = path.partition(":")
        try:
            os.close(os.open(name, {"": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}[mode] | os.O_NONBLOCK))
            found[path] = "ok"
        except OSError as error:
            found[path] = errno.errorcode[error.errno or 0]
    return found


class TestLife:
    def test_create_join_remove(self, layout: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(layout, f"{parent}/a/b", {})
        assert all(os.path.isdir(directory) for directory in group.directories())
        text = inside(group, lambda: Path("/proc/self/cgroup").read_text())
        assert text.count(f"{parent}/a/b") == len(group.directories())
        assert cgroup.open_cgroup(layout, group.path).directories() == group.directories()
        group.remove()
        assert not group.exists()
        group.remove()
        assert cgroup.open_cgroup(layout, group.path).directories() == []
        assert cgroup.open_cgroup(layout, group.path).pids() == []

    def test_leftover_is_made_anew(self, layout: cgroup.Layout, parent: str) -> None:
        first = cgroup.create(layout, f"{parent}/x", {})
        for directory in first.directories():
            os.mkdir(directory + "/child")
        again = cgroup.create(layout, f"{parent}/x", {})
        assert not any(os.path.exists(directory + "/child") for directory in again.directories())
        again.remove()

    def test_a_live_group_is_not_taken_over(
        self, layout: cgroup.Layout, parent: str, sleeper: Callable[[cgroup.Cgroup], int]
    ) -> None:
        group = cgroup.create(layout, f"{parent}/x", {})
        pid = sleeper(group)
        with pytest.raises(Conflict, match="in use"):
            cgroup.create(layout, f"{parent}/x", {})
        assert group.pids() == [pid]
        group.kill()
        os.waitpid(pid, 0)
        group.remove()

    def test_remove_takes_empty_children_and_waits(
        self, layout: cgroup.Layout, parent: str, sleeper: Callable[[cgroup.Cgroup], int]
    ) -> None:
        group = cgroup.create(layout, f"{parent}/x", {})
        for directory in group.directories():
            os.makedirs(directory + "/one/two")
        pid = sleeper(group)
        group.kill()
        group.remove()  # before the process is reaped
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        assert not group.exists()

    def test_remove_kills_nothing(
        self,
        layout: cgroup.Layout,
        parent: str,
        sleeper: Callable[[cgroup.Cgroup], int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("wherry.linux.cgroup.group._PATIENCE", 0.02)
        group = cgroup.create(layout, f"{parent}/x", {})
        pid = sleeper(group)
        with pytest.raises(Conflict, match="still has processes"):
            group.remove()
        assert group.pids() == [pid]

    def test_kill_reaches_groups_below_and_forks(self, layout: cgroup.Layout, parent: str) -> None:
        """A process that forks as fast as it can, in a child group where the hierarchy has one."""
        group = cgroup.create(layout, f"{parent}/x", {})
        pid = os.fork()
        if pid == 0:
            group.add(os.getpid())
            os.setsid()
            until = time.monotonic() + 10
            while time.monotonic() < until:
                if os.fork():
                    os._exit(0)
                time.sleep(0.0005)
            os._exit(0)
        os.waitpid(pid, 0)
        time.sleep(0.02)
        group.kill()
        group.remove()
        assert not group.exists()

    def test_freeze_and_thaw(self, layout: cgroup.Layout, parent: str) -> None:
        """A counter in shared memory stands still, and goes on."""
        group = cgroup.create(layout, f"{parent}/x", {})
        counter = mmap.mmap(-1, 8)
        pid = os.fork()
        if pid == 0:
            group.add(os.getpid())
            for number in range(1, 1 << 30):
                counter[:4] = number.to_bytes(4, "big")
                time.sleep(0.0002)

        def moves(patience: float) -> bool:
            before, until = counter[:4], time.monotonic() + patience
            while counter[:4] == before and time.monotonic() < until:
                time.sleep(0.001)
            return counter[:4] != before

        assert moves(10)
        assert not group.frozen()
        group.freeze()
        assert group.frozen()
        assert not moves(0.03)
        group.thaw()
        assert moves(10)
        assert not group.frozen()
        group.kill()
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        group.remove()

    def test_a_frozen_group_can_be_killed(
        self, layout: cgroup.Layout, parent: str, sleeper: Callable[[cgroup.Cgroup], int]
    ) -> None:
        group = cgroup.create(layout, f"{parent}/x", {})
        pid = sleeper(group)
        group.freeze()
        group.kill()
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        group.remove()

    def test_failure_leaves_nothing(self, layout: cgroup.Layout, parent: str) -> None:
        with pytest.raises((InvalidArgument, NotSupported)):
            cgroup.create(layout, f"{parent}/x", {"cpu": {"cpus": "999"}, "memory": {"limit": M * 8}})
        mounts = [*layout.hierarchies(), layout.unified]
        assert not any(mount and os.path.exists(f"{mount}{parent}/x") for mount in mounts)

    def test_clone_into_the_group(self, v2: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(v2, f"{parent}/x", {})
        fd = group.into_fd()
        assert fd is not None
        arguments = syscall.pack("=11Q", CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, fd)
        pid = syscall.call_holding_lock("clone3", arguments, len(arguments))
        if pid == 0:
            os._exit(0 if f"0::{parent}/x" in Path("/proc/self/cgroup").read_text() else 1)
        os.close(fd)
        assert os.waitpid(pid, 0)[1] == 0
        group.remove()

    def test_descriptors_are_not_inherited(self, layout: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(layout, f"{parent}/x", {})
        fds = group.join_fds()
        into = group.into_fd()
        fds += [into] if into is not None else []
        assert fds
        assert not any(os.get_inheritable(fd) for fd in fds)
        for fd in fds:
            os.close(fd)
        group.remove()


class TestDevices:
    def test_defaults(self, layout: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(layout, f"{parent}/x", {})
        found = inside(group, lambda: openable("/dev/null:rw", "/dev/zero", "/dev/urandom", "/dev/kmsg", "/dev/mem"))
        opened = eval(found)
        assert opened == {
            "/dev/null:rw": "ok", "/dev/zero": "ok", "/dev/urandom": "ok", "/dev/kmsg": "EPERM", "/dev/mem": "EPERM",
        } or "ENOENT" in opened.values()  # fmt: skip
        group.remove()

    def test_rules(self, layout: cgroup.Layout, parent: str, tmp_path: Path) -> None:
        rules = [{"allow": False}, {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]
        group = cgroup.create(layout, f"{parent}/x", {"devices": rules})
        found = inside(group, lambda: openable("/dev/kmsg", "/dev/kmsg:w", "/dev/kmsg:rw"))
        assert eval(found) == {"/dev/kmsg": "ok", "/dev/kmsg:w": "EPERM", "/dev/kmsg:rw": "EPERM"}
        node = str(tmp_path / "node")
        assert inside(group, lambda: os.mknod(node, 0o20600, os.makedev(10, 237))) == "None"
        assert inside(group, lambda: os.open(node, os.O_RDONLY)) == "EPERM"
        group.remove()

    def test_everything_but(self, layout: cgroup.Layout, parent: str) -> None:
        rules = [{"allow": True}, {"allow": False, "type": "c", "major": 1, "minor": 5, "access": "rwm"}]
        group = cgroup.create(layout, f"{parent}/x", {"devices": rules})
        found = inside(group, lambda: openable("/dev/kmsg", "/dev/zero", "/dev/null"))
        assert eval(found) == {"/dev/kmsg": "ok", "/dev/zero": "EPERM", "/dev/null": "ok"}
        group.remove()

    def test_update_replaces(self, layout: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(layout, f"{parent}/x", {})
        look = lambda: openable("/dev/kmsg", "/dev/null")  # noqa: E731
        kmsg = {"allow": True, "type": "c", "major": 1, "minor": 11}
        for rules, wanted in (
            ([{"allow": False}, kmsg], "ok"),
            ([{"allow": False}], "EPERM"),
            ([{"allow": True}], "ok"),
            ([{"allow": False}], "EPERM"),
        ):
            group.update({"devices": rules})
            assert eval(inside(group, look)) == {"/dev/kmsg": wanted, "/dev/null": "ok"}
        group.remove()

    def test_more_rules_than_fit_a_page(self, layout: cgroup.Layout, parent: str) -> None:
        rules = [{"allow": False}, *({"allow": True, "type": "c", "major": 200, "minor": n} for n in range(300))]
        group = cgroup.create(layout, f"{parent}/x", {"devices": rules})
        assert eval(inside(group, lambda: openable("/dev/kmsg", "/dev/null"))) == {
            "/dev/kmsg": "EPERM",
            "/dev/null": "ok",
        }
        group.remove()


class TestV1Limits:
    def test_everything_at_once(self, v1: cgroup.Layout, parent: str) -> None:
        resources = {
            "memory": {"limit": 64 * M, "swap": 128 * M, "reservation": 32 * M, "swappiness": 10},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
            "pids": {"limit": 7},
        }
        group = cgroup.create(v1, f"{parent}/x", resources)
        assert read(group, "memory", "memory.limit_in_bytes") == str(64 * M)
        assert read(group, "memory", "memory.memsw.limit_in_bytes") == str(128 * M)
        assert read(group, "memory", "memory.soft_limit_in_bytes") == str(32 * M)
        assert read(group, "memory", "memory.swappiness") == "10"
        assert read(group, "cpu", "cpu.shares") == "512"
        assert read(group, "cpu", "cpu.cfs_quota_us") == "50000"
        assert read(group, "cpuset", "cpuset.cpus") == "0"
        assert read(group, "cpuset", "cpuset.mems") == read(cgroup.open_cgroup(v1, parent), "cpuset", "cpuset.mems")
        assert read(group, "pids", "pids.max") == "7"
        group.remove()

    def test_cpusets_are_inherited(self, v1: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(v1, f"{parent}/deep/er/x", {})
        top = Path(v1.controllers["cpuset"])
        assert read(group, "cpuset", "cpuset.cpus") == (top / "cpuset.cpus").read_text().strip()
        assert read(group, "cpuset", "cpuset.mems") == (top / "cpuset.mems").read_text().strip()
        group.remove()

    def test_out_of_memory_is_counted(self, v1: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(v1, f"{parent}/x", {"memory": {"limit": 8 * M, "swap": 8 * M}})
        assert group.oom_kills() == 0
        assert inside(group, lambda: len(bytearray(64 * M))) == "SIGKILL"
        assert group.oom_kills() == 1
        stats = group.stats()
        assert (stats.oom_kills, stats.memory_limit, stats.swap_limit) == (1, 8 * M, 0)
        assert stats.memory_peak > 7 * M
        group.remove()

    def test_pids_limit(self, v1: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(v1, f"{parent}/x", {"pids": {"limit": 1}})
        assert inside(group, os.fork) == "EAGAIN"
        group.remove()

    def test_quota_throttles(self, v1: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(v1, f"{parent}/x", {"cpu": {"quota": 10000, "period": 100000}})

        def burn() -> float:
            started = time.process_time()
            until = time.monotonic() + 0.4
            while time.monotonic() < until:
                pass
            return time.process_time() - started

        assert float(inside(group, burn)) < 0.2
        stats = group.stats()
        assert stats.throttled_periods > 0
        assert stats.cpu_total > 0
        group.remove()

    def test_memory_grows_and_shrinks(self, v1: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(v1, f"{parent}/x", {"memory": {"limit": 64 * M, "swap": 128 * M}})
        for limit, swap in ((256 * M, 512 * M), (32 * M, 64 * M), (512 * M, -1), (16 * M, 16 * M), (-1, 0)):
            group.update({"memory": {"limit": limit, "swap": swap}})
            if limit > 0:
                assert read(group, "memory", "memory.limit_in_bytes") == str(limit)
        assert group.stats().memory_limit == -1
        group.remove()

    def test_period_that_does_not_fit_the_old_quota(self, v1: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(v1, f"{parent}/x", {"cpu": {"quota": 50000, "period": 100000}})
        group.update({"cpu": {"quota": 900000, "period": 1000000}})
        group.update({"cpu": {"quota": 1000, "period": 1000}})
        assert read(group, "cpu", "cpu.cfs_period_us") == "1000"
        with pytest.raises(InvalidArgument, match="--cpu-period"):
            group.update({"cpu": {"period": 1}})
        group.remove()

    def test_update_leaves_the_rest(self, v1: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(v1, f"{parent}/x", {"pids": {"limit": 7}, "cpu": {"shares": 512}})
        group.update({"pids": {"limit": -1}})
        assert read(group, "pids", "pids.max") == "max"
        assert read(group, "cpu", "cpu.shares") == "512"
        group.remove()

    def test_memory_in_use(self, v1: cgroup.Layout, parent: str) -> None:
        """The kernel refuses a limit below what it cannot reclaim; the message says which option."""
        group = cgroup.create(v1, f"{parent}/x", {"memory": {"limit": 64 * M, "swap": 64 * M}})

        def shrink() -> str:
            held = bytearray(os.urandom(1 << 16) * (30 * M >> 16))
            try:
                group.update({"memory": {"limit": M}})
            except Conflict as error:
                return f"{error} {len(held) > 0}"
            return "no error"

        found = inside(group, shrink)
        assert "--memory" in found or found == "SIGKILL"
        group.remove()

    @pytest.mark.parametrize(
        ("resources", "option"),
        [
            ({"cpu": {"cpus": "77"}}, "--cpuset-cpus"),
            ({"cpu": {"mems": "9"}}, "--cpuset-mems"),
            ({"cpu": {"quota": 1}}, "--cpus"),
            ({"blockIO": {"throttleReadBpsDevice": [{"major": 250, "minor": 9, "rate": 5}]}}, "--device-read-bps"),
            ({"hugepageLimits": [{"pageSize": "3MB", "limit": 5}]}, "hugepageLimits"),
        ],
    )
    def test_messages_name_the_option(
        self, v1: cgroup.Layout, parent: str, resources: dict[str, Any], option: str
    ) -> None:
        with pytest.raises((InvalidArgument, NotSupported)) as caught:
            cgroup.create(v1, f"{parent}/x", resources)
        assert option in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_own_words_for_options(self, v1: cgroup.Layout, parent: str) -> None:
        with pytest.raises(InvalidArgument, match="cpuset_cpus"):
            cgroup.create(v1, f"{parent}/x", {"cpu": {"cpus": "77"}}, options={"cpu.cpus": "cpuset_cpus"})


def as_user(action: Callable[[], Any]) -> str:
    """repr of what an unprivileged child gets."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            answer = repr(action())
        except BaseException as error:
            answer = repr(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text


class TestUnprivileged:
    def test_nothing_asked_nothing_needed(self) -> None:
        def steps() -> Any:
            group = cgroup.create(cgroup.detect(), "/wherry/x", {"devices": [{"allow": False}], "pids": {"limit": -1}})
            group.kill()
            group.remove()
            return group.path, group.join_fds(), group.into_fd(), group.pids(), group.oom_kills(), group.exists()

        assert as_user(steps) == repr(("", [], None, [], 0, False))

    def test_a_limit_names_its_option(self) -> None:
        found = as_user(lambda: cgroup.create(cgroup.detect(), "/wherry/x", {"memory": {"limit": M}}))
        assert "NotSupported" in found
        assert "--memory cannot be set" in found

    def test_delegated_subtree(self, v2: cgroup.Layout, parent: str) -> None:
        """As systemd delegates: the user owns a group and its interface files, and sits in a child of it."""
        base = v2.unified + parent
        os.makedirs(base + "/shell")
        for directory in (base, base + "/shell"):
            for name in ("", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"):
                os.chown(directory + name, 65534, 65534)

        def steps() -> Any:
            layout = cgroup.detect()
            layout = layout.replace(version="v2", controllers={}, own={layout.unified: parent + "/shell"})
            assert layout.delegated() == parent
            group = cgroup.create(layout, "/wherry/x", {})
            assert group.path == parent + "/wherry/x"
            fd = group.into_fd()
            arguments = syscall.pack("=11Q", CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, fd)
            pid = syscall.call_holding_lock("clone3", arguments, len(arguments))
            if pid == 0:
                signal.pause()
            listed = cgroup.open_cgroup(layout, group.path).pids() == [pid]
            group.kill()
            os.waitpid(pid, 0)
            group.remove()
            try:
                cgroup.create(layout, "/wherry/y", {"pids": {"limit": 5}})
            except NotSupported as error:
                return listed, str(error)
            return listed, "no error"

        pid = os.fork()
        if pid == 0:
            Path(base, "shell", "cgroup.procs").write_text(str(os.getpid()))
            found = as_user(steps)
            ok = found.startswith("(True, ") and "--pids-limit cannot be set" in found
            os.write(2, b"" if ok else found.encode())
            os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert not os.path.exists(f"{base}/wherry/y")


class TestV2:
    def test_controllers_are_handed_down(self, v2: cgroup.Layout, parent: str) -> None:
        """Whatever the v2 mount carries, a group two levels down has."""
        if not v2.unified_controllers:
            pytest.skip("needs cgroup-v2: no controller is on the cgroup v2 hierarchy of this machine")
        group = cgroup.create(v2, f"{parent}/x", {})
        known = {"cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma", "misc"}
        have = set(Path(group.unified, "cgroup.controllers").read_text().split())
        assert have >= v2.unified_controllers & known
        group.remove()

    def test_huge_pages(self, v2: cgroup.Layout, parent: str) -> None:
        if "hugetlb" not in v2.unified_controllers:
            pytest.skip("needs cgroup-v2: no controller is on the cgroup v2 hierarchy of this machine")
        group = cgroup.create(v2, f"{parent}/x", {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * M}]})
        assert Path(group.unified, "hugetlb.2MB.max").read_text().strip() == str(4 * M)
        assert Path(group.unified, "hugetlb.2MB.rsvd.max").read_text().strip() == str(4 * M)
        group.remove()

    def test_a_controller_that_is_elsewhere(self, v2: cgroup.Layout, parent: str) -> None:
        if "memory" in v2.unified_controllers:
            pytest.skip("needs cgroup-v1: this machine mounts no cgroup v1 controllers")
        with pytest.raises(NotSupported, match="--memory cannot be set"):
            cgroup.create(v2, f"{parent}/x", {"memory": {"limit": M}})
        assert not os.path.exists(f"{v2.unified}{parent}/x")

    def test_processor_time_without_the_controller(self, v2: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(v2, f"{parent}/x", {})
        inside(group, lambda: sum(range(300000)))
        assert group.stats().cpu_total > 0
        group.remove()


@pytest.fixture
def full(v2: cgroup.Layout) -> cgroup.Layout:
    """A host whose limits are on v2, as most are; tests/kernel/test_cgroup_vm.py boots one where this is another."""
    if not v2.unified_controllers >= {"memory", "cpu", "cpuset", "pids", "io"}:
        pytest.skip("needs cgroup-v2-limits: memory, cpu and pids are not on the cgroup v2 hierarchy of this machine")
    return v2


class TestV2Limits:
    def test_everything_at_once(self, full: cgroup.Layout, parent: str) -> None:
        resources = {
            "memory": {"limit": 64 * M, "swap": 96 * M, "reservation": 32 * M, "kernel": M},
            "cpu": {"shares": 2048, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
            "pids": {"limit": 7},
            "unified": {"memory.high": str(48 * M)},
        }
        group = cgroup.create(full, f"{parent}/deep/er/x", resources)
        wanted = {
            "memory.max": str(64 * M),
            "memory.low": str(32 * M),
            "memory.high": str(48 * M),
            "cpu.max": "50000 100000",
            "cpu.weight": "174",
            "cpuset.cpus": "0",
            "cpuset.mems": "0",
            "pids.max": "7",
        }
        assert {file: Path(group.unified, file).read_text().strip() for file in wanted} == wanted
        swap = Path(group.unified, "memory.swap.max")
        assert not swap.exists() or swap.read_text().strip() == str(32 * M)
        group.remove()

    def test_out_of_memory_is_counted(self, full: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(full, f"{parent}/x", {"memory": {"limit": 16 * M, "swap": 16 * M}})
        assert group.oom_kills() == 0
        assert inside(group, lambda: len(bytearray(64 * M))) == "SIGKILL"
        assert group.oom_kills() == 1
        stats = group.stats()
        assert (stats.oom_kills, stats.memory_limit) == (1, 16 * M)
        assert stats.memory_failures > 0
        group.remove()

    def test_pids_limit(self, full: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(full, f"{parent}/x", {"pids": {"limit": 1}})
        assert inside(group, os.fork) == "EAGAIN"
        assert group.stats().pids_limit == 1
        group.update({"pids": {"limit": -1}})
        assert group.stats().pids_limit == -1
        group.remove()

    def test_quota_throttles(self, full: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(full, f"{parent}/x", {"cpu": {"quota": 10000, "period": 100000}})

        def burn() -> float:
            started, until = time.process_time(), time.monotonic() + 0.4
            while time.monotonic() < until:
                pass
            return time.process_time() - started

        assert float(inside(group, burn)) < 0.2
        assert group.stats().throttled_periods > 0
        group.remove()

    def test_update(self, full: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(full, f"{parent}/x", {"memory": {"limit": 64 * M}, "cpu": {"quota": 5000}})
        group.update({"memory": {"limit": 32 * M, "swap": 64 * M}, "cpu": {"quota": -1}})
        assert Path(group.unified, "memory.max").read_text().strip() == str(32 * M)
        assert Path(group.unified, "cpu.max").read_text().strip() == "max 100000"
        group.update({"memory": {"limit": -1}})
        assert Path(group.unified, "memory.max").read_text().strip() == "max"
        with pytest.raises(InvalidArgument, match="--cpuset-cpus"):
            group.update({"cpu": {"cpus": "900"}})
        group.remove()

    def test_memory_in_use_is_checked_when_asked(self, full: cgroup.Layout, parent: str) -> None:
        group = cgroup.create(full, f"{parent}/x", {"memory": {"limit": 64 * M}})

        def shrink() -> str:
            held = bytearray(30 * M)
            try:
                group.update({"memory": {"limit": M, "checkBeforeUpdate": True}})
            except Conflict as error:
                return f"{error} {len(held) > 0}"
            return "no error"

        assert "in use" in inside(group, shrink)
        group.remove()

    def test_block_limits(self, full: cgroup.Layout, parent: str) -> None:
        """io.max of a disk where there is one; a device that does not exist is named."""
        throttle = [{"major": 250, "minor": 9, "rate": 1000}]
        with pytest.raises((InvalidArgument, NotSupported), match="--device-read-bps"):
            cgroup.create(full, f"{parent}/x", {"blockIO": {"throttleReadBpsDevice": throttle}})
        assert not os.path.exists(f"{full.unified}{parent}/x")

    def test_a_delegated_user_sets_limits(self, full: cgroup.Layout, parent: str) -> None:
        """What the system hands down can be limited."""
        base = full.unified + parent
        cgroup.create(full, f"{parent}/shell", {})
        for directory in (base, base + "/shell"):
            for name in ("", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"):
                os.chown(directory + name, 65534, 65534)

        def steps() -> Any:
            layout = cgroup.detect()
            group = cgroup.create(layout, "/wherry/x", {"memory": {"limit": 64 * M}, "pids": {"limit": 5}})
            limits = [Path(group.unified, file).read_text().strip() for file in ("memory.max", "pids.max")]
            group.remove()
            return group.path, limits

        pid = os.fork()
        if pid == 0:
            Path(base, "shell", "cgroup.procs").write_text(str(os.getpid()))
            found = as_user(steps)
            ok = found == repr((f"{parent}/wherry/x", [str(64 * M), "5"]))
            os.write(2, b"" if ok else found.encode())
            os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0

    def test_processes_in_the_way(self, full: cgroup.Layout, parent: str) -> None:
        """A user whose own group is all that is delegated: limits are refused with a way out."""
        base = full.unified + parent
        cgroup.create(full, f"{parent}/shell", {})
        for name in ("", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"):
            os.chown(base + "/shell" + name, 65534, 65534)

        def steps() -> Any:
            layout = cgroup.detect()
            group = cgroup.create(layout, "/wherry/free", {})
            group.remove()
            try:
                cgroup.create(layout, "/wherry/x", {"memory": {"limit": 64 * M}})
            except NotSupported as error:
                return group.path, str(error), error.hint
            return "no error"

        pid = os.fork()
        if pid == 0:
            Path(base, "shell", "cgroup.procs").write_text(str(os.getpid()))
            found = as_user(steps)
            ok = f"{parent}/shell/wherry/free" in found and "--memory cannot be set" in found and "Delegate" in found
            os.write(2, b"" if ok else found.encode())
            os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0
