"""A lock in the words of others: requirements, plain ``pylock.toml``, a Dockerfile.  (`sbom` has CycloneDX.)"""

from __future__ import annotations

import tomllib

from wherry.env import lock_file, toml
from wherry.env.debian.package import DebianBase
from wherry.env.lock import ImageBase, Lock, LockedPackage
from wherry.errors import NotSupported

FORMATS = ("requirements", "pylock", "dockerfile", "cyclonedx")

_PREFIX = "/opt/venv"
_PLAIN = ("name", "version", "marker", "dependencies", "sdist", "wheels")


def requirements(lock: Lock) -> str:
    """For ``pip install --require-hashes --no-deps -r``: every file that the lock allows."""
    head = f"# Python {lock.python}; every package is named, with the hashes that its files may have\n"
    return head + "".join(_requirement(one) for one in lock.packages)


def _requirement(package: LockedPackage) -> str:
    files = [*package.wheels, *([package.sdist] if package.sdist else [])]
    marker = f" ; {package.marker}" if package.marker else ""
    hashes = sorted({file.sha256 for file in files})
    lines = [f"{package.name}=={package.version}{marker}", *(f"    --hash=sha256:{each}" for each in hashes)]
    return " \\\n".join(lines) + "\n"


def pylock(lock: Lock) -> str:
    """As PEP 751 has it, without the table that only Wherry reads."""
    document = tomllib.loads(lock_file.write(lock))
    text = "".join(
        toml.entry(key, document[key]) for key in ("lock-version", "environments", "requires-python", "created-by")
    )
    for package in document["packages"]:
        text += "\n[[packages]]\n" + "".join(toml.entry(key, package[key]) for key in _PLAIN if key in package)
    return text if document["packages"] else f"{text}packages = []\n"


def dockerfile(lock: Lock) -> str:
    """Installs the same packages with pip: the same versions and files, though not the same bytes of layers.

    Raises `NotSupported` for a variable that a Dockerfile cannot write.
    """
    options = lock.options
    lines = ["# syntax=docker/dockerfile:1", "# Made from a lock by 'wherry env export'.", *_from(lock.base)]
    lines += [
        f"RUN python3 -m venv {_PREFIX}",
        f"ENV VIRTUAL_ENV={_PREFIX} PATH={_PREFIX}/bin:$PATH",
        f"RUN <<'EOF' cat > {_PREFIX}/requirements.txt",
        *requirements(lock).splitlines(),
        "EOF",
        f"RUN pip install --no-cache-dir --no-deps --require-hashes -r {_PREFIX}/requirements.txt",
    ]
    lines += [f"ENV {name}={_quoted(name, value)}" for name, value in options.env]
    lines += [f"WORKDIR {options.workdir}"] if options.workdir else []
    lines += [f"USER {options.user}"] if options.user else []
    return "\n".join(lines) + "\n"


def _from(base: DebianBase | ImageBase) -> list[str]:
    if isinstance(base, ImageBase):
        return [f"FROM {base.reference.partition('@')[0]}@{base.digest}"]
    versions = {one.name: one.version for _architecture, packages in base.packages for one in packages}
    wanted = ["ca-certificates", "python3", *base.system]
    pinned = [f"{name}={versions[name]}" for name in sorted(set(wanted)) if name in versions]
    pinned += [f"python3-venv={versions['python3']}"] if "python3" in versions else ["python3-venv"]  # of one source
    return [
        f"FROM debian:{base.release}-slim",
        "RUN apt-get update && apt-get install -y --no-install-recommends \\",
        f"    {' '.join(pinned)} && \\",
        "    rm -rf /var/lib/apt/lists/*",
    ]


WRITERS = {"requirements": requirements, "pylock": pylock, "dockerfile": dockerfile}


def _quoted(name: str, value: str) -> str:
    """A value for ENV: in quotes, with what has a meaning there taken from it."""
    if "\n" in value:
        raise NotSupported(f"a Dockerfile cannot set {name}: its value has several lines")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
