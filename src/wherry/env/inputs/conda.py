"""``environment.yml`` as far as the Python package index has what it names.

Packages keep conda's names where those are the index's, as most are; of the others, common ones are translated, and
what only conda has (compilers, CUDA, R ...) is an error that names all of them.  Channels say where conda looks and
have no meaning here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from wherry.env.inputs.requirements import check, normal
from wherry.errors import InvalidArgument, NotSupported
from wherry.record import Record

_KEYS = ("name", "channels", "dependencies", "variables", "prefix", "platforms")
_SPEC = re.compile(r"(?:[\w./:-]+::)?([A-Za-z0-9_][\w.-]*)\s*(.*)")
_VERSION = re.compile(r"[\w.+!*]+")
_RANGE = re.compile(r"(==|>=|<=|!=|~=|>|<)\s*[\w.+!*]+")
_IMPLIED = frozenset(("pip", "setuptools", "wheel"))
_RENAMED = {
    "pytorch": "torch", "matplotlib-base": "matplotlib", "pytables": "tables", "opencv": "opencv-python",
    "py-opencv": "opencv-python", "msgpack-python": "msgpack", "python-graphviz": "graphviz", "dask-core": "dask",
    "seaborn-base": "seaborn", "py-xgboost": "xgboost", "pyqt": "pyqt5", "tensorflow-gpu": "tensorflow",
    "pyarrow-core": "pyarrow",
}  # fmt: skip
_CONDA_ONLY = re.compile(
    r"_|r-|lib(?!rosa|sass|tmux|cst|clang$|usb1)|cuda|cudnn|nccl$|mkl(-|_|$)|blas|openblas|pytorch-(cuda|mutex)$|"
    r"gcc|gxx|gfortran|clang|compilers$|c-compiler|cxx-compiler|fortran-compiler|sysroot|binutils|ld_impl|make$|"
    r"nodejs$|openjdk$|perl$|ruby$|go$|rust$|git$|ffmpeg$|graphviz$|openssl$|ca-certificates$|readline$|ncurses$|"
    r"sqlite$|tk$|xz$|zlib$|bzip2$|python_abi$|tzdata$|conda|mamba|hdf5$|gdal$|proj$|geos$|openmpi$|mpich$|samtools$|"
    r"bedtools$|bwa$|pandoc$|texlive|yaml$|krb5$|icu$|freetype$|jpeg$|gettext$|curl$|wget$|intel-openmp$|llvm"
)


class Wanted(Record):
    """``python`` is major and minor, or empty; ``env`` are the file's variables."""

    requirements: tuple[str, ...]
    python: str
    env: tuple[tuple[str, str], ...]


def read(path: Path, shown: str) -> Wanted:
    """Reads a file.  Raises `InvalidArgument`, and `NotSupported` for what only conda has."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{shown} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise InvalidArgument(f"{shown} is not an environment of conda: there is no table in it")
    for key in document:
        if key not in _KEYS:
            raise InvalidArgument(f"{shown}: {key} is not known", hint=f"known are {', '.join(_KEYS)}")
    reading = _Reading(shown)
    for each in document.get("dependencies") or []:
        reading.dependency(each)
    if reading.conda_only:
        raise NotSupported(
            f"{shown}: only conda has {', '.join(reading.conda_only)}",
            hint="Debian may have it: name its package under system in [tool.wherry.env], and take the line out; "
            "'conda env export --from-history' gives a file with only what was asked for",
        )
    return Wanted(tuple(dict.fromkeys(reading.requirements)), reading.python, _variables(document, shown))


def _variables(document: dict[str, Any], shown: str) -> tuple[tuple[str, str], ...]:
    found = document.get("variables") or {}
    if not isinstance(found, dict) or not all(isinstance(each, str | int | float) for each in found.values()):
        raise InvalidArgument(f"{shown}: variables is not a table of strings")
    return tuple(sorted((str(name), str(each)) for name, each in found.items()))


class _Reading:
    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.requirements: list[str] = []
        self.conda_only: list[str] = []
        self.python = ""

    def dependency(self, each: object) -> None:
        if isinstance(each, dict) and list(each) == ["pip"] and isinstance(each["pip"], list):
            for line in each["pip"]:
                self._pip(str(line))
        elif isinstance(each, str):
            self._conda(each.strip())
        else:
            raise InvalidArgument(f"{self.shown}: a dependency is neither text nor a list for pip: {each!r}"[:200])

    def _pip(self, line: str) -> None:
        if line.startswith("-"):
            raise NotSupported(
                f"{self.shown}: pip: {line} is not supported", hint="put the lines into a requirements.txt"
            )
        check(line, f"{self.shown}: pip")
        self.requirements.append(" ".join(line.split()))

    def _conda(self, text: str) -> None:
        found = _SPEC.fullmatch(text)
        if not found:
            raise InvalidArgument(f'{self.shown}: "{text}" is not a package of conda')
        name, version = normal(found.group(1)), found.group(2).strip()
        if name == "python":
            self.python = self._python(text, version)
        elif name in _IMPLIED:
            pass
        elif found.group(1).startswith("_") or (name not in _RENAMED and _CONDA_ONLY.match(name)):
            self.conda_only.append(found.group(1))
        else:
            requirement = _RENAMED.get(name, name) + self._range(text, version)
            check(requirement, self.shown)
            self.requirements.append(requirement)

    def _range(self, text: str, version: str) -> str:
        """conda's "=1.26" is any 1.26, "==1.26" that one, "=1.26=build" one build of it (which is conda's own)."""
        if not version or version == "*":
            return ""
        if version.startswith("=") and not version.startswith("=="):
            number, _, build = version[1:].strip().partition("=")
            number = number.strip()
            if build.strip() not in ("", "*"):
                return f"=={number}"
            if _VERSION.fullmatch(number):
                return f"=={number}" if number.endswith("*") else f"=={number}.*"
        parts = [part.strip() for part in version.split(",")]
        if all(_RANGE.fullmatch(part) for part in parts):
            return ",".join(part.replace(" ", "") for part in parts)
        if _VERSION.fullmatch(version.partition(" ")[0]) and version[0].isdigit():
            return self._range(text, "=" + "=".join(version.split(None, 1)))
        raise NotSupported(f'{self.shown}: "{text}" has no equal in the Python package index')

    def _python(self, text: str, version: str) -> str:
        found = re.fullmatch(r"={1,2}\s*(3\.\d+)(\.[\d*]+)*(=.*)?", version)
        if version and not found:
            raise NotSupported(f'{self.shown}: "{text}" does not say which Python', hint="write python=3.11")
        return found.group(1) if found else ""
