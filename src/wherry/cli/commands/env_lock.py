"""`wherry env lock`."""

from __future__ import annotations

import sys

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from wherry.cli.main import Call
    from wherry.env.lock import Lock
    from wherry.env.locking import Request
    from wherry.env.spec import Spec

# fmt: off
COMMAND = Command(
    paths=("env lock",),
    usage="[OPTIONS] [FOLDER]",
    summary="Choose and pin all that an environment is made of",
    description="Reads what a project needs out of its **uv.lock**, **pyproject.toml**, **requirements.txt**, "
    "**environment.yml** or **pylock.toml**, the first of them that is there, and its options out of "
    "**[tool.wherry.env]** in **pyproject.toml**; or takes what **--with** names. uv chooses the versions, for Linux "
    "on amd64 and arm64. They go with their hashes, and with the exact base, into **pylock.toml**.\n\n"
    "Versions of the lock that is there already stay where they can: **--upgrade** and **--upgrade-package** move "
    "them. **--check** changes nothing, and fails when the lock is not of its project any more.",
    most=1,
    options=(
        ("base", "", "string", "", 'Base: "debian:bookworm" and the like, or an image (default the Debian with the '
         "Python that is wanted)"),
        ("check", "", "bool", "", "Only say whether the lock matches its project"),
        ("cuda", "", "string", "", "With --with: version of CUDA, or none"),
        ("exclude-newer", "", "string", "", "Take no file that was published after this day (UTC) or instant"),
        ("index", "", "string", "", "With --with: URL of the package index"),
        ("offline", "", "bool", "", "Use no network, only what was looked up before"),
        ("output", "o", "string", "", "File of the lock (default pylock.toml in the folder)"),
        ("platform", "", "list", "", "With --with: platform, such as linux/amd64 (default that and linux/arm64)"),
        ("python", "", "string", "", "Version of Python, such as 3.11, where the project does not say"),
        ("quiet", "q", "bool", "", "Only print errors"),
        ("system", "", "list", "", "With --with: package of Debian to have in the base"),
        ("upgrade", "U", "bool", "", "Take the newest of all packages and of the base"),
        ("upgrade-base", "", "bool", "", "Take the newest of the base"),
        ("upgrade-package", "P", "list", "", "Take the newest of this package"),
        ("with", "w", "list", "", "Package to have, such as scikit-learn==1.5.2, without a project"),
    ),
    example="wherry env lock --with scikit-learn==1.5.2 --python 3.9",
)
# fmt: on


def main(call: Call) -> int:
    """Writes the lock; says what changed."""
    import os
    from pathlib import Path

    from wherry.cli.environments import follow_pip
    from wherry.cli.progress import open_progress
    from wherry.env import locking
    from wherry.env.inputs import project

    follow_pip(os.environ)
    folder = Path(call.arguments[0] if call.arguments else ".")
    output = Path(call.get("output")) if call.get("output") else project.new_lock_path(folder)
    old = _old(output)
    spec = _spec(call, folder, old)
    if call.get("check"):
        locking.check(locking.read(output), spec, str(output))
        if not call.get("quiet"):
            print(f"{output} matches {spec.source}")
        return 0
    locked = locking.lock(
        call.engine(), spec, old, _request(call), open_progress(quiet=call.get("quiet", False), stream=sys.stderr)
    )
    for warning in locked.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    if locked.from_cache and not call.get("offline"):
        print("WARNING: no network: the versions are those that were looked up before", file=sys.stderr)
    changed = locking.write(output, locked.lock)
    if not call.get("quiet"):
        _say(output, old, locked.lock, changed=changed)
    return 0


def _old(path: Path) -> Lock | None:
    """The lock that is there, for its versions; one that was damaged, as by a merge, is made anew."""
    from wherry.env import locking
    from wherry.env.inputs import project
    from wherry.errors import InvalidArgument

    if not path.exists():
        return None
    try:
        return locking.read(path)
    except InvalidArgument as error:
        if not project.is_ours(path):
            raise
        print(f"WARNING: {error.message}: its versions are not kept", file=sys.stderr)
        return None


def _spec(call: Call, folder: Path, old: Lock | None) -> Spec:
    from wherry.cli.environments import architecture
    from wherry.env import locking
    from wherry.env.inputs import project
    from wherry.env.spec import ARCHITECTURES, Wishes
    from wherry.errors import Conflict, InvalidArgument

    packages = tuple(call.get("with", ()))
    if packages:
        if project.has_inputs(folder) and not call.get("output"):
            raise Conflict(
                f"--with has nothing to do with the project in {folder}", hint="name another file for the lock with -o"
            )
        return project.from_wishes(Wishes(
            packages=packages,
            python=call.get("python", ""),
            base=call.get("base", ""),
            system=tuple(call.get("system", ())),
            index=call.get("index", ""),
            cuda=call.get("cuda", ""),
            architectures=tuple(sorted({architecture(each) for each in call.get("platform", ())})) or ARCHITECTURES,
        ))  # fmt: skip
    for name in ("system", "index", "cuda", "platform"):
        if call.get(name):
            raise InvalidArgument(f"--{name} goes with --with; of a project it is an option in [tool.wherry.env]")
    kept = locking.wishes_of(old, folder) if old else Wishes()
    python, base = call.get("python", ""), call.get("base", "")
    if python or base:  # what was chosen before gives way, as one goes with the other
        kept = Wishes(python=python, base=base)
    return project.read(folder, kept)


def _request(call: Call) -> Request:
    from wherry.cli.environments import debian_mirrors
    from wherry.env.locking import Request

    return Request(
        upgrade=tuple(call.get("upgrade-package", ())),
        upgrade_all=call.get("upgrade", False),
        upgrade_base=call.get("upgrade-base", False),
        exclude_newer=call.get("exclude-newer", ""),
        offline=call.get("offline", False),
        debian_mirrors=debian_mirrors(call.environ()),
    )


def _say(output: Path, old: Lock | None, new: Lock, *, changed: bool) -> None:
    from wherry.env import diff

    names = {package.name for package in new.packages}
    base = diff.base_name(new.base)
    if not changed:
        print(f"{output} is up to date: {len(names)} packages, Python {new.python} on {base}")
        return
    if old is not None:
        for line in diff.lines(diff.locks(old, new)):
            print(line)
    print(f"Wrote {output}: {len(names)} packages, Python {new.python} on {base}, {' and '.join(new.architectures)}")
