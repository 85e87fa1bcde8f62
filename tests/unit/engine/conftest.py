"""An engine on state of the test's own, which never needs a user namespace: nothing here writes layers of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.engine.engine import Engine
from wherry.engine.paths import find


class Here(Engine):
    """Whoever runs the tests counts as root: the unit tests write no owners."""

    @property
    def rootless(self) -> bool:
        return False


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Here(find({"HOME": str(tmp_path)}, root=str(tmp_path / "root"), run=str(tmp_path / "run")))
