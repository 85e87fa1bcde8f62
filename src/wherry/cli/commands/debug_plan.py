"""`wherry debug plan`: what would be done to start a container, without doing it."""

from __future__ import annotations

from wherry.cli.container_options import CHECKS, OPTIONS, UNSUPPORTED, build
from wherry.cli.parser import Command
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.main import Call
    from wherry.runtime.ops import Op

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("debug plan",),
    usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary="Print the operations that would start a container",
    description="Takes the options of **wherry run**. The container is created, planned and removed again; "
    "nothing is started. Each operation is one line: its number, whether it happens outside or inside the "
    "container, its name and what it is given.",
    interspersed=False,
    least=1,
    options=(
        *OPTIONS,
        ("format", "", "string", "", "\"json\" for one JSON array, \"spec\" for the OCI runtime specification"),
        ("pull", "", "string", "missing", 'Pull image before planning ("always", "missing", "never")'),
    ),
    unsupported=UNSUPPORTED,
)
# fmt: on


def main(call: Call) -> int:
    """Prints a plan."""
    from wherry.cli.commands.run import when_pulling
    from wherry.engine.bundle import runtime_spec
    from wherry.engine.create import create
    from wherry.engine.run import get_image
    from wherry.engine.undo import Undo
    from wherry.errors import InvalidArgument
    from wherry.runtime.plan import plan

    form = call.get("format", "")
    if form not in ("", "json", "spec"):
        raise InvalidArgument(f"unknown format {form!r}", hint="json or spec")
    options = build(call)
    engine = call.engine()
    image = get_image(engine, options, when_pulling(call))
    with Undo() as undo:
        record = create(engine, options, image, undo)
        rootfs = engine.mounts(record, record.id, idmap=bool(record.id_base))
        with engine.lower_layers(record) as lower:
            spec = runtime_spec(engine, record, (rootfs.upper, *lower))
        bundle = engine.layout.run_container(record.id)
        operations = plan(dict(spec), engine.host, rootfs, container_id=record.id, bundle=bundle)
    if form == "spec":
        _print_json(spec)
    elif form == "json":
        _print_json([{"operation": type(op).__name__, **_plain(op)} for op in operations])
    else:
        for number, operation in enumerate(operations, 1):
            print(_line(number, operation))
    return 0


def _line(number: int, operation: Op) -> str:
    side = "outside" if operation.outside else "inside"
    fields = " ".join([f"{name}={_shown(value)}" for name, value in _given(operation).items()])
    return f"{number:3} {side:7} {type(operation).__name__} {fields}".rstrip()


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    text = value if isinstance(value, str) else repr(_plain(value))
    return repr(text) if not text or (" " in text and isinstance(value, str)) else text


def _given(record: Record) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    defaults = record._defaults
    return {name: value for name, value in record.as_dict().items() if name not in defaults or value != defaults[name]}


def _plain(value: Any) -> Any:
    """JSON-able: records as objects, byte strings as their length."""
    if isinstance(value, Record):
        return _plain(_given(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else value


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=4, default=str))
