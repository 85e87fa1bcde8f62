"""docs/compatibility.md says what the comparison with Docker compares and last saw."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from support import compared

ROOT = Path(__file__).parent.parent.parent


def test_the_page_is_current() -> None:
    spec = importlib.util.spec_from_file_location("compatibility", ROOT / "tools/compatibility.py")
    assert spec and spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PAGE.read_text() == tool.render(), "run tools/compatibility.py and look at what it changes"


def test_every_comparison_has_been_made() -> None:
    seen = json.loads((ROOT / "tests/golden/docker/compared.json").read_text())["seen"]
    wanted = {case.name: "different" if case.why else "same" for case in compared.SAME + compared.DIFFERENT}
    assert seen == wanted, "run tests/e2e/test_against_docker.py with WHERRY_UPDATE_GOLDEN=1 where Docker is installed"


def test_names_are_unique() -> None:
    names = [case.name for case in compared.SAME + compared.DIFFERENT]
    assert len(names) == len(set(names))
