"""`wherry env init`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("env init",),
    usage="[OPTIONS] [FOLDER]",
    summary="Make a folder an environment",
    description="Adds **[tool.wherry.env]** to the folder's **pyproject.toml**, and makes one, with the packages of "
    "**--with**, where no file says yet what is needed. Nothing that is there is changed.",
    most=1,
    options=(
        ("base", "", "string", "", 'Base: "debian:bookworm" and the like, or an image'),
        ("python", "", "string", "", "Version of Python, such as 3.11 (default the newest that the project allows)"),
        ("with", "w", "list", "", "Package to have, such as scikit-learn==1.5.2"),
    ),
    example="wherry env init --python 3.11 --with scikit-learn",
)
# fmt: on


def main(call: Call) -> int:
    """Writes the file; says what to do next."""
    from pathlib import Path

    from wherry.env.starting import init

    folder = Path(call.arguments[0] if call.arguments else ".")
    path = init(folder, tuple(call.get("with", ())), call.get("python", ""), call.get("base", ""))
    print(f"Wrote {path}; 'wherry env lock' is next")
    return 0
