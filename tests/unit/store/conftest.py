"""A store in a directory of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.store.content import Content
from wherry.store.db import Database
from wherry.store.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(str(tmp_path / "root"), str(tmp_path / "run"))
    made.ensure()
    return made


@pytest.fixture
def db(layout: Layout) -> Database:
    return Database(layout.db)


@pytest.fixture
def content(layout: Layout) -> Content:
    return Content(layout)
