"""A verb has the same parameters here and there, so that a command is written once."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

from wherry.client.verbs import VERBS, find

EVERY = [(module, name) for module, names in VERBS.items() for name in names]


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function).parameters
    return dict(list(found.items())[1:])  # without the engine


@pytest.mark.parametrize(("module", "name"), EVERY)
def test_parameters_are_the_engines(module: str, name: str) -> None:
    """What the counterpart does not have, has a default."""
    there = find(module, name)
    assert there is not None
    ours, theirs = parameters(getattr(import_module(f"wherry.engine.{module}"), name)), parameters(there)
    assert set(theirs) <= set(ours)
    for parameter in ours.values():
        other = theirs.get(parameter.name)
        if other is None:
            assert parameter.default is not inspect.Parameter.empty, parameter
        else:
            assert (other.kind, other.default) == (parameter.kind, parameter.default)
    common = [one for one in ours if one in theirs]
    assert common == list(theirs)
