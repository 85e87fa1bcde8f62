"""What importing the client of registries costs: neither ``importlib.metadata`` nor what only pulls need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import wherry

SHOW = "import wherry.engine.upload; print(*sys.modules)"
USE = """
import wherry.registry.transport, urllib3.http2
assert "importlib.metadata" not in sys.modules
import urllib3.http2.probe, urllib3.connection
assert urllib3.connection.http2_probe is urllib3.http2.probe
from urllib3.http2 import extract_from_urllib3
assert urllib3.http2.version("urllib3") == urllib3.__version__ and callable(extract_from_urllib3)
print("good")
"""


def python(code: str) -> str:
    code = f"import sys; sys.path.insert(0, {str(Path(wherry.__file__).parents[1])!r}); {code.lstrip()}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_push_imports_what_it_needs() -> None:
    found = set(python(SHOW).split())
    assert {"urllib3", "urllib3.http2.probe", "wherry.registry.push"} <= found
    assert not {"importlib.metadata", "zipfile", "tempfile", "wherry.engine.pull", "wherry.layers.apply"} & found


def test_http2_is_what_it_was_for_whoever_asks() -> None:
    assert python(USE) == "good\n"
