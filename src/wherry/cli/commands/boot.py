"""`wherry boot`."""

from __future__ import annotations

import os
import sys

from wherry.cli.main import fail
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("boot",),
    usage="[OPTIONS]",
    summary="Start the containers that are to run after the machine was started",
    description="Starts, oldest first, the containers with the restart policy `always`, and those with "
    "`unless-stopped` that nobody had stopped, and prints their names. What ran when the machine went down is shown as "
    "exited with 255. Run again it does nothing, but for containers whose monitor was killed.\n\n"
    "systemd calls it by a unit that **--unit** prints:\n\n"
    "    wherry boot --unit > /etc/systemd/system/wherry.service && systemctl enable --now wherry\n\n"
    "and for a user\n\n"
    "    wherry boot --unit > ~/.config/systemd/user/wherry.service && systemctl --user enable --now wherry\n\n"
    "with `loginctl enable-linger`, so that it does not wait for a login.",
    most=0,
    options=(
        ("stop", "", "bool", "", "Stop every container, for the machine to go down; the next boot starts them again"),
        ("unit", "", "bool", "", "Print a systemd unit for this installation: the system's for root, else the user's"),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Starts or stops containers; the names of those, and 1 when one of them failed."""
    if call.get("unit"):
        print(unit(call), end="")
        return 0
    from wherry.engine.boot import boot, shut_down

    status = 0
    for name, error in (shut_down if call.get("stop") else boot)(call.engine()):
        if error is None:
            print(name, flush=True)
        else:
            error.message = f"{name}: {error.message}"
            status = fail(error)
    return status


def unit(call: Call) -> str:
    """The text of a unit that runs this `wherry` on these directories."""
    paths = call.engine().paths
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    words = [os.path.abspath(sys.executable), "-I", "-S", f"{package}/__main__.py"]
    for option, name in (("root", "root"), ("run-root", "run")):
        if call.directories()[name]:
            words.append(f"--{option}={getattr(paths, name)}")
    with open(f"{package}/data/systemd/{'system' if os.geteuid() == 0 else 'user'}.service") as file:
        text = file.read()
    return text.replace("@WHERRY@", " ".join([_quoted(word) for word in words])).replace("@ROOT@", _quoted(paths.root))


def _quoted(word: str) -> str:
    """A word of a unit's command line (systemd.service(5), "Command lines")."""
    word = word.replace("%", "%%").replace("$", "$$")
    plain = all(letter.isalnum() or letter in "/._-=+:@%$" for letter in word)
    return word if plain else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
