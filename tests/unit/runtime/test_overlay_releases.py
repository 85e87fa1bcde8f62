"""Which kernels are asked for overlays that take their layers one by one."""

from __future__ import annotations

import pytest

from wherry.runtime.trees import takes_layers_singly


@pytest.mark.parametrize(
    ("release", "answer"),
    [
        ("6.1.0-50-cloud-amd64", False),
        ("5.15.167.4-microsoft-standard-WSL2", False),
        ("6.4-rc1", False),
        ("6.5.0-41-generic", True),
        ("6.18.44", True),
        ("7.0-rc3", True),
        ("unknown", True),
    ],
)
def test_since_6_5(release: str, answer: bool) -> None:
    assert takes_layers_singly(release) is answer
