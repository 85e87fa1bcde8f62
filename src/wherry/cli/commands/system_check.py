"""`wherry system check`."""

from __future__ import annotations

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("system check",),
    usage="[OPTIONS]",
    summary="Check that everything Wherry keeps is as it should be",
    description="Compares the database with what is on disk and in the kernel, and prints what does not agree: rows "
    "without files, files without rows, containers without monitors, leftovers of processes that were killed. Blobs, "
    "and layers that are kept as tars, are read and compared with their digests. The exit status is 1 when "
    "something is wrong and left so.\n\n"
    "After a power failure nothing has to be checked: the next command puts right what it meets. **--repair** is for "
    "what is left then, a damaged disk for example. A database that cannot be read is replaced by one with the rows "
    "that can, and kept in *damaged-DATE* below the root directory, together with the files of containers whose rows "
    "were lost.",
    most=0,
    options=(
        ("quick", "", "bool", "", "Do not read blobs and layers to compare them with their digests"),
        ("repair", "", "bool", "", "Mend what was found, as far as that can be"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Prints problems; 1 when one is left."""
    from wherry.engine.check import check

    left = False
    for finding in check(call.engine(), repair=call.get("repair", False), quick=call.get("quick", False)):
        print(f"{finding.what} ({finding.outcome})" if finding.outcome else finding.what, flush=True)
        left = left or finding.is_left
    return int(left)
