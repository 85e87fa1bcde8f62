"""The tests of control groups on a host that has nothing but cgroup v2: a virtual machine with Debian's kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import vm
from wherry.linux import cgroup

pytestmark = [
    pytest.mark.needs("root", "x86_64", "debian", "vm"),
    pytest.mark.xdist_group("vm"),
    pytest.mark.timeout(900),
]

SCRIPT = """
import pytest
arguments = ["-q", "-rs", "--tb=short", "--color=no", "--noconftest", "-c", "/pytest.ini", "-p", "no:cacheprovider"]
print("status", int(pytest.main([*arguments, "/test_cgroup.py"])), flush=True)
"""


@pytest.mark.skipif(
    cgroup.detect().version == "v2", reason="needs cgroup-v1: this machine mounts no cgroup v1 controllers"
)
def test_version_2_alone(kernel: vm.Kernel) -> None:
    shown = vm.run(
        kernel,
        SCRIPT,
        files={"/test_cgroup.py": Path(__file__).with_name("test_cgroup.py")},
        texts={"/pytest.ini": "[pytest]\nmarkers =\n    needs(*names): not asked for here\n"},
    )
    assert "status 0" in shown, shown[-6000:]
    assert "cgroup-v2" not in shown  # nothing was skipped of what only this machine can show
