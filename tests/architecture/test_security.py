"""Every known attack has a test that names it, or a reason why there is nothing to attack."""

from __future__ import annotations

import tomllib

import pytest

from source import ROOT

SECURITY = ROOT / "tests" / "security"
CATALOGUE: dict[str, dict[str, str]] = tomllib.loads((SECURITY / "catalogue.toml").read_text())
EXEMPT: dict[str, str] = tomllib.loads((SECURITY / "not_applicable.toml").read_text())
TESTS = "\n".join(path.read_text() for path in sorted(SECURITY.rglob("test_*.py"))).lower().replace("_", "-")


@pytest.mark.parametrize("attack", [name for section in CATALOGUE.values() for name in section])
def test_attack_has_a_test_or_a_reason(attack: str) -> None:
    tested = attack.lower() in TESTS
    if attack in EXEMPT:
        assert EXEMPT[attack].strip()
        assert not tested, f"{attack} has a test: take it out of not_applicable.toml"
    else:
        assert tested, f"no test in tests/security names {attack}"


def test_reasons_are_for_known_attacks() -> None:
    known = {name for section in CATALOGUE.values() for name in section}
    assert set(EXEMPT) <= known
