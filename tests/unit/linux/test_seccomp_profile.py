"""Docker's profiles: what holds for whom, and documents that people get wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wherry.errors import InvalidArgument
from wherry.linux import seccomp
from wherry.linux.seccomp import compiler
from wherry.linux.seccomp import profile as profiles
from wherry.linux.seccomp.profile import version


def rules_of(profile: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [rule for rule in profile["syscalls"] if name in rule["names"]]


def test_default_denies_what_docker_denies() -> None:
    profile = profiles.docker_default(["CAP_CHOWN"], "x86_64", (6, 1))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["defaultErrnoRet"] == 1
    assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    for name in ("mount", "bpf", "kexec_load", "io_uring_setup", "userfaultfd", "unshare", "reboot", "keyctl"):
        assert not rules_of(profile, name), name
    assert [rule["action"] for rule in rules_of(profile, "clone3")] == ["SCMP_ACT_ERRNO"]
    assert rules_of(profile, "clone")[0]["args"][0]["op"] == "SCMP_CMP_MASKED_EQ"
    assert rules_of(profile, "arch_prctl")
    assert rules_of(profile, "ptrace")


def test_capabilities_open_calls() -> None:
    profile = profiles.docker_default(["CAP_SYS_ADMIN", "CAP_SYS_TIME"], "x86_64", (6, 1))
    for name in ("mount", "bpf", "clone3", "unshare", "clock_settime"):
        assert [rule["action"] for rule in rules_of(profile, name)] == ["SCMP_ACT_ALLOW"], name
    assert not rules_of(profile, "reboot")


def test_architecture_and_kernel() -> None:
    profile = profiles.docker_default([], "aarch64", (4, 4))
    assert profile["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert rules_of(profile, "cacheflush")
    assert not rules_of(profile, "arch_prctl")
    assert not rules_of(profile, "ptrace")


def test_result_is_an_oci_document() -> None:
    profile = profiles.docker_default([], "x86_64", (6, 1))
    assert json.loads(json.dumps(profile)) == profile
    assert set(profile) <= {"defaultAction", "defaultErrnoRet", "architectures", "flags", "syscalls"}
    assert all(set(rule) <= {"names", "action", "errnoRet", "args"} for rule in profile["syscalls"])


def test_excludes_and_single_names() -> None:
    text = """{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "flags": [], "syscalls": [
      {"name": "read", "action": "SCMP_ACT_ERRNO", "args": [], "excludes": {"minKernel": "5.4"}},
      {"name": "write", "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "excludes": {"arches": ["arm64"]}},
      {"names": ["open"], "action": "SCMP_ACT_KILL", "comment": "no", "includes": {"caps": ["CAP_A", "CAP_B"]}}]}"""
    found = profiles.load_profile(text, ["CAP_A"], "x86_64", (5, 10))
    assert found == {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": [],
        "syscalls": [{"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22}],
    }
    both = profiles.load_profile(text, ["CAP_A", "CAP_B"], "aarch64", (5, 3))
    assert both is not None
    assert [rule["names"] for rule in both["syscalls"]] == [["read"], ["open"]]


def test_a_profile_without_anything_is_no_filter() -> None:
    assert profiles.load_profile("{}", []) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Decoding seccomp profile failed"),
        ("[]", "not a JSON object"),
        ('{"defaultAction": 5}', "defaultAction is not of type str"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}', "syscalls is not of type list"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ["read"]}', "syscalls[0] is not an object"),
        ('{"defaultAction": "x", "syscalls": [{"names": [3]}]}', "names holds something not a string"),
        ('{"defaultAction": "x", "syscalls": [{"name": "a", "names": ["b"]}]}', "both 'name' and 'names'"),
        ('{"defaultAction": "x", "syscalls": [{"args": [{"index": "0"}]}]}', "args[0].index is not of type int"),
        ('{"defaultAction": "x", "syscalls": [{"includes": {"minKernel": "new"}}]}', "invalid kernel version: new"),
        ('{"defaultAction": "x", "syscalls": [{"includes": []}]}', "includes is not of type dict"),
        ('{"defaultAction": "x", "architectures": ["a"], "archMap": [{}]}', "both 'architectures' and 'archMap'"),
        ('{"defaultAction": "x", "archMap": [7]}', "archMap[0] is not an object"),
    ],
)
def test_bad_documents(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        profiles.load_profile(text, [], "x86_64", (6, 1))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_versions() -> None:
    assert version("6.12.3-cloud-amd64") == (6, 12)
    assert version("4.8") == (4, 8)
    assert version("6.1+rc1") == (6, 1)
    for text in ("6", "", "x.y", "6."):
        with pytest.raises(InvalidArgument):
            version(text)


def test_flags() -> None:
    assert seccomp.flags_of({}) == seccomp.FLAG_SPEC_ALLOW
    assert seccomp.flags_of({"flags": []}) == 0
    assert seccomp.flags_of({"flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]}) == 3
    with pytest.raises(InvalidArgument, match="FLAG_X"):
        seccomp.flags_of({"flags": ["SECCOMP_FILTER_FLAG_X"]})


@pytest.mark.parametrize(("abi", "header"), [("x86_64", "unistd_64.h"), ("x86", "unistd_32.h")])
def test_tables_hold_the_headers_of_this_machine(abi: str, header: str) -> None:
    """Numbers never change: whatever headers are installed are a subset of the table."""
    table = compiler.tables()[abi]
    paths = [
        path for base in ("/usr/include/x86_64-linux-gnu/asm", "/usr/include/asm") for path in [Path(base, header)]
    ]
    for path in paths:
        for line in path.read_text().splitlines() if path.exists() else ():
            words = line.split()
            if len(words) == 3 and words[1].startswith("__NR_") and words[2].isdigit():
                assert table[words[1][5:]] == int(words[2])
    assert len(table) > 370


def test_generator_reads_headers(tmp_path: Path) -> None:
    """The script that made the tables, on headers of our own."""
    for name in ("x86/asm/unistd_64.h", "x86/asm/unistd_32.h", "arm64/asm/unistd_64.h"):
        lines = [f"#define __NR_call{number} {number}" for number in range(320)]
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("\n".join(lines))
    x32 = [f"#define __NR_call{number} (__X32_SYSCALL_BIT + {number})" for number in range(320)]
    (tmp_path / "x86/asm/unistd_x32.h").write_text("\n".join(x32))
    arm = [f"#define __NR_call{number} (__NR_SYSCALL_BASE + {number})" for number in range(320)]
    (tmp_path / "arm/asm").mkdir(parents=True)
    (tmp_path / "arm/asm/unistd-eabi.h").write_text("\n".join(arm))
    script = Path(__file__).parents[3] / "tools" / "generate_seccomp_data.py"
    command = [sys.executable, str(script), "--check", "--headers", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "syscalls.json differs" in found.stderr
