"""`wherry events`."""

from __future__ import annotations

import sys

from wherry.cli.commands.images import CHECKS, FORMAT, filters
from wherry.cli.parser import Command
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.cli.main import Call
    from wherry.store.events import Event

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("system events", "events"),
    usage="[OPTIONS]",
    summary="Get real time events from the engine",
    description="Whatever process changes something tells it. At least the last 3,900 events are kept, over reboots. "
    "Filters are **container**, **daemon**, **event**, **image**, **label**, **network**, **plugin**, **scope**, "
    "**type** and **volume**.",
    most=0,
    options=(
        ("filter", "f", "filter", "", "Filter output based on conditions provided"),
        ("format", "", "string", "", FORMAT),
        ("since", "", "string", "", "Show all events created since timestamp"),
        ("until", "", "string", "", "Stream events until this timestamp"),
    ),
)
# fmt: on


FIELDS = {
    "Status": "status",
    "ID": "id",
    "From": "from",
    "Type": "Type",
    "Action": "Action",
    "Actor": "Actor",
    "Scope": "scope",
    "Time": "time",
    "TimeNano": "timeNano",
}
"""A template's names, and those of the JSON."""


def main(call: Call) -> int:
    """Prints what happened since, and what happens until."""
    from wherry.engine.event_stream import Wanted, stream
    from wherry.engine.logs import timestamp

    line = _writer(call.get("format", ""))
    wanted = Wanted(
        since=timestamp(call.get("since", ""), "since"),
        until=timestamp(call.get("until", ""), "until"),
        filters=filters(call),
    )
    try:
        for found in call.verb(stream)(wanted):
            sys.stdout.write("".join([line(event) for event in found]))
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    return 0


def _writer(form: str) -> Callable[[Event], str]:
    """How one event is written, with its line end."""
    if not form:
        return _line
    from wherry.cli.format import visible
    from wherry.cli.inspection import BadTemplate, typed
    from wherry.cli.template import Named, TemplateError, compile
    from wherry.engine.event_stream import document

    try:
        template = compile("{{json .}}" if form == "json" else form)
    except TemplateError as error:
        raise BadTemplate(f"error parsing format: {error.message}") from None

    def render(event: Event) -> str:
        shown = document(event)
        fields = {field: shown.get(name, "") for field, name in FIELDS.items()}
        try:
            text = template.render(Named(typed(fields), shown))
        except TemplateError as error:
            raise WherryError(error.message) from None
        return (visible(text) if sys.stdout.isatty() else text) + "\n"

    return render


def _line(event: Event) -> str:
    """``2006-01-02T15:04:05.000000000Z container start ID (image=busybox, name=x)``, in the local time zone."""
    from wherry.cli.quote import harmless
    from wherry.cli.units import rfc3339

    seconds, rest = divmod(event.time, 1_000_000_000)
    moment = rfc3339(seconds)
    attributes = ", ".join([f"{name}={event.attributes[name]}" for name in sorted(event.attributes)])
    text = f"{event.kind} {event.action} {event.actor}" + (f" ({attributes})" if attributes else "")
    return f"{moment[:19]}.{rest:09d}{moment[19:]} {harmless(text)}\n"
