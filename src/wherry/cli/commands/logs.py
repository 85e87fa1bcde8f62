"""`wherry logs`."""

from __future__ import annotations

import sys

from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call

# fmt: off
COMMAND = Command(
    paths=("container logs", "logs"),
    usage="[OPTIONS] CONTAINER",
    summary="Fetch the logs of a container",
    least=1,
    most=1,
    options=(
        ("details", "", "bool", "", "Show extra details provided to logs"),
        ("follow", "f", "bool", "", "Follow log output"),
        ("since", "", "string", "",
         'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'),
        ("tail", "n", "string", "all", "Number of lines to show from the end of the logs"),
        ("timestamps", "t", "bool", "", "Show timestamps"),
        ("until", "", "string", "",
         'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'),
    ),
)
# fmt: on


def main(call: Call) -> int:
    """Writes what a container has written: its output here, its errors to standard error."""
    from wherry.engine.logs import Wanted, texts, timestamp

    wanted = Wanted(
        since=timestamp(call.get("since", ""), "since"),
        until=timestamp(call.get("until", ""), "until"),
        tail=_tail(call.get("tail", "all")),
        follow=call.get("follow", False),
    )
    details, timestamps = call.get("details", False), call.get("timestamps", False)
    places = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    for found in call.verb(texts)(call.arguments[0], wanted, details=details, timestamps=timestamps):
        for stream, text in found:
            places[stream].write(text)
        for place in places.values():
            place.flush()
    return 0


def _tail(text: str) -> int:
    """Lines from the end; -1, as everything that is not a number, for all."""
    return int(text) if text.isascii() and text.isdigit() else -1
