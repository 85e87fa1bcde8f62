"""The stand-in for `os`: the same to whoever imports it, and `os` itself as soon as that makes a difference."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
BEGIN = """import sys; sys.path.append(sys.argv[1]); from wherry import fastos
fastos.install(); stand_in = sys.modules['os']
"""


def run(code: str, environ: dict[str, str] | None = None) -> str:
    """What the code prints in an interpreter that has not imported `os`."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", BEGIN + code, str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_c_half_has_does_not_load_the_rest() -> None:
    code = "import os; from os import O_RDONLY, getpid; os.close(os.open('/', os.O_RDONLY))\n"
    assert run(code + "print(os is stand_in, '_collections_abc' in sys.modules)") == "True False\n"


def test_paths_do_not_load_the_rest() -> None:
    code = "import os.path; from os.path import join; print(os.path.join('a', 'b'), join('c', 'd'))\n"
    code += "import posixpath; print(os.path is posixpath, os is stand_in, '_collections_abc' in sys.modules)"
    assert run(code) == "a/b c/d\nTrue True False\n"


def test_another_name_loads_it_for_everybody() -> None:
    code = "import os as held\nfrom os import PathLike, sep\nimport os\nfrom collections.abc import Mapping\n"
    code += "print(os is stand_in, held is stand_in, held.environ is os.environ, sep, os.path is held.path)\n"
    code += "print(os.environ['GIVEN'], held.getenv('GIVEN'), isinstance(os.environ, Mapping))"
    assert run(code, {"GIVEN": "here"}) == "False True True / True\nhere here True\n"


def test_every_name_of_the_module_is_found() -> None:
    names = sorted(name for name in dir(os) if not name.startswith("__"))
    code = f"import os\nprint([name for name in {names!r} if not hasattr(os, name)])"
    assert run(code) == "[]\n"


def test_a_name_that_is_nowhere_is_an_error_as_ever() -> None:
    code = "import os\ntry:\n    os.no_such_name\nexcept AttributeError as error:\n    print(error)"
    assert run(code) == "module 'os' has no attribute 'no_such_name'\n"


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "en_US.ISO-8859-1"])
def test_names_of_files_are_encoded_as_ever(locale: str) -> None:
    given = ["plain", "gr\xfc\xdfe", "\udcff", b"plain", b"\xff\xc3\xbc", 3]
    code = f"import os\ngiven = {given!r}\n"
    code += "def both(one):\n    yield lambda: os.fsencode(one)\n    yield lambda: os.fsdecode(one)\n"
    code += "def tell(call):\n    try:\n        return ascii(call())\n    except (TypeError, UnicodeError) as error:\n"
    code += "        return type(error).__name__\n"
    code += "def told(values):\n    return [tell(call) for one in values for call in both(one)]\n"
    code += "before = told(given); assert os is stand_in; mine = os.fsencode; os.environ\n"
    code += "assert os.fsencode is not mine, 'the module itself has not been loaded'\n"
    code += "print(before == told(given), len(set(before)) > 4)"
    assert run(code, {"LC_ALL": locale}) == "True True\n"


def test_the_slow_part_of_the_standard_library_works_on_it() -> None:
    code = "import subprocess, tempfile, shutil, pathlib, multiprocessing, logging.handlers, sysconfig\n"
    code += "print(subprocess.run(['echo', 'said'], capture_output=True, text=True).stdout, pathlib.Path('/').is_dir())"
    assert run(code) == "said\n True\n"


def test_nothing_happens_where_it_is_loaded_already() -> None:
    code = "import sys, os; before = sys.modules['os']; sys.path.append(sys.argv[1]); from wherry import fastos\n"
    code += "fastos.install(); print(sys.modules['os'] is before, before.environ is not None)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(SOURCE)], capture_output=True, text=True)
    assert done.stdout == "True True\n"
