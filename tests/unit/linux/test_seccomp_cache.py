"""The cache of compiled filters never gives a filter that the compiler did not make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.linux import seccomp
from wherry.linux.seccomp import cache, compiler

PROFILE = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that the compiler ran."""
    runs: list[str] = []
    real = compiler.compile_filter

    def counting(profile: dict[str, object], arch: str = "") -> bytes:
        runs.append(arch)
        return real(profile, arch)

    monkeypatch.setattr(compiler, "compile_filter", counting)
    return runs


def the_file(directory: Path) -> Path:
    (found,) = directory.iterdir()
    return found


def test_compiled_once(tmp_path: Path, compiled: list[str]) -> None:
    directory = tmp_path / "new" / "seccomp"
    first = seccomp.filter_for(PROFILE, str(directory))
    equal = {"defaultAction": "".join(["SCMP_ACT", "_ERRNO"]), "syscalls": [dict(PROFILE["syscalls"][0])]}  # type: ignore[call-overload]
    assert seccomp.filter_for(equal, str(directory)) == first == seccomp.compile(PROFILE)
    assert len(compiled) == 2  # one of them the line above
    assert directory.stat().st_mode & 0o777 == 0o700
    assert the_file(directory).stat().st_mode & 0o777 == 0o600


def test_key_covers_profile_and_machine(tmp_path: Path) -> None:
    seccomp.filter_for(PROFILE, str(tmp_path / "c"), "x86_64")
    seccomp.filter_for(PROFILE, str(tmp_path / "c"), "aarch64")
    seccomp.filter_for(PROFILE | {"defaultErrnoRet": 38}, str(tmp_path / "c"), "x86_64")
    assert len(list((tmp_path / "c").iterdir())) == 3


def test_damage_is_not_used(tmp_path: Path, compiled: list[str]) -> None:
    """Every truncation, some flipped bits, a swapped file, an empty one: compiled again, and mended."""
    good = seccomp.filter_for(PROFILE, str(tmp_path / "c"))
    path = the_file(tmp_path / "c")
    content = path.read_bytes()
    broken = [content[:size] for size in (0, 1, 31, 32, 40, len(content) - 8, len(content) - 1)]
    broken += [content + b"\0" * 8]
    broken += [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in (0, 31, 32, 50, len(content) - 1)]
    for damaged in broken:
        path.write_bytes(damaged)
        before = len(compiled)
        assert seccomp.filter_for(PROFILE, str(tmp_path / "c")) == good
        assert len(compiled) == before + 1
        assert path.read_bytes() == content


def test_a_file_of_another_profile_is_not_used(tmp_path: Path) -> None:
    lenient = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
    seccomp.filter_for(lenient, str(tmp_path / "other"))
    good = seccomp.filter_for(PROFILE, str(tmp_path / "c"))
    path = the_file(tmp_path / "c")
    path.write_bytes(the_file(tmp_path / "other").read_bytes())
    assert seccomp.filter_for(PROFILE, str(tmp_path / "c")) == good


def test_links_and_foreign_files_are_not_used(tmp_path: Path, compiled: list[str]) -> None:
    good = seccomp.filter_for(PROFILE, str(tmp_path / "c"))
    path = the_file(tmp_path / "c")
    content = path.read_bytes()
    (tmp_path / "elsewhere").write_bytes(content)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert seccomp.filter_for(PROFILE, str(tmp_path / "c")) == good
    assert not path.is_symlink()
    path.chmod(0o666)
    assert seccomp.filter_for(PROFILE, str(tmp_path / "c")) == good
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    os.mkfifo(path)
    assert seccomp.filter_for(PROFILE, str(tmp_path / "c")) == good
    assert len(compiled) == 4


def test_a_directory_that_others_can_write_is_not_filled(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert seccomp.filter_for(PROFILE, str(tmp_path)) == seccomp.compile(PROFILE)
    assert list(tmp_path.iterdir()) == []


def test_no_place_for_a_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert seccomp.filter_for(PROFILE, str(tmp_path / "file" / "c")) == seccomp.compile(PROFILE)


def test_old_filters_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_KEEP", 8)
    for errno in range(40):
        seccomp.filter_for(PROFILE | {"defaultErrnoRet": errno}, str(tmp_path / "c"))
    assert len(list((tmp_path / "c").iterdir())) <= 8


def test_format_follows_the_compiler() -> None:
    """Both numbers change together, or old filters would be taken for new ones."""
    assert cache.FORMAT.rstrip(b"\0") == b"wherry-bpf-%d" % compiler.COMPILER_VERSION
