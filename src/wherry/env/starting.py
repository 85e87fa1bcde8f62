"""``wherry env init``: what a folder needs to become an environment, and no more."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from wherry.env import toml
from wherry.env.inputs import project, requirements
from wherry.errors import Conflict, InvalidArgument, NotFound


def init(folder: Path, packages: tuple[str, ...], python: str, base: str) -> Path:
    """Adds ``[tool.wherry.env]`` to the folder's ``pyproject.toml``, which is made where there is none; its path.

    A folder without any file that says what it needs gets a project with ``packages``.  Raises `Conflict` when the
    table is there, or ``packages`` are given for a folder that has a list of its own; `InvalidArgument`, `NotFound`.
    """
    if not folder.is_dir():
        raise NotFound("folder", str(folder))
    path = folder / "pyproject.toml"
    before = path.read_text("utf-8") if path.exists() else ""
    own = project.own_options(folder)  # reads it: what is no TOML is an error now
    if "env" in tomllib.loads(before).get("tool", {}).get("wherry", {}):
        raise Conflict(f"{path} has [tool.wherry.env] already")
    has = project.has_inputs(folder)
    if has and packages:
        raise Conflict(f"{folder} has a list of packages already: add {' '.join(packages)} there")
    for each in packages:
        requirements.check(each, "init")
    asked = tomllib.loads(before).get("project", {}).get("requires-python", "")
    python, wanted = project.target(python or own.python, base, asked, "init")
    text = "" if has else _project(folder, packages, python)
    text += "[tool.wherry.env]\n" + toml.entry("python", python)
    if base and base != "debian":
        text += toml.entry("base", wanted)
    whole = f"{before.rstrip()}\n\n{text}" if before.strip() else text
    try:
        tomllib.loads(whole)
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"{path} cannot be added to: {error}") from None
    try:
        path.write_text(whole, "utf-8")
    except OSError as error:
        raise InvalidArgument(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None
    return path


def _project(folder: Path, packages: tuple[str, ...], python: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "environment"
    lines = {"name": name, "version": "0", "requires-python": f">={python}"}
    text = "[project]\n" + "".join(toml.entry(key, each) for key, each in lines.items())
    listed = "".join(f"    {toml.value(each)},\n" for each in packages)
    return text + (f"dependencies = [\n{listed}]\n\n" if packages else "dependencies = []\n\n")
