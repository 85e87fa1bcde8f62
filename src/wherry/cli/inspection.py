"""``inspect``: documents as indented JSON, or through a template."""

from __future__ import annotations

import sys

from wherry.errors import NotFound, WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

# Fields of Docker's API that are maps or lists, which matters where they are null or empty.
_MAPS = frozenset(
    (
        "Annotations",
        "Attributes",
        "Config.Labels",
        "Data",
        "DriverOpts",
        "ExposedPorts",
        "Labels",
        "LogConfig.Config",
        "Networks",
        "Options",
        "PortBindings",
        "Ports",
        "Runtimes",
        "StorageOpt",
        "Sysctls",
        "Tmpfs",
        "Volumes",
    )
)
_LISTS = frozenset(
    (
        "Args",
        "Binds",
        "BlkioDeviceReadBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceWriteIOps",
        "BlkioWeightDevice",
        "CapAdd",
        "CapDrop",
        "Cmd",
        "DeviceCgroupRules",
        "DeviceRequests",
        "Devices",
        "Dns",
        "DnsOptions",
        "DnsSearch",
        "Entrypoint",
        "Env",
        "ExecIDs",
        "ExtraHosts",
        "GroupAdd",
        "Layers",
        "Links",
        "MaskedPaths",
        "Mounts",
        "OnBuild",
        "ReadonlyPaths",
        "RepoDigests",
        "RepoTags",
        "SecurityOpt",
        "Shell",
        "Ulimits",
        "VolumesFrom",
        "Warnings",
    )
)


def typed(document: Any, name: str = "", parent: str = "") -> Any:
    """The document with structures, maps and nulls as Docker's API types them, for templates."""
    from wherry.cli.template import Nil, Struct

    if document is None:
        is_map = name in _MAPS or f"{parent}.{name}" in _MAPS
        return Nil("map" if is_map else "slice" if name in _LISTS else "pointer")
    if isinstance(document, list):
        return [typed(item, "", name) for item in document]
    if not isinstance(document, dict):
        return document
    parts = {key: typed(value, key, name) for key, value in document.items()}
    return parts if name in _MAPS or f"{parent}.{name}" in _MAPS else Struct(parts)


def show(names: Sequence[str], find: Callable[[str], dict[str, Any]], form: str) -> int:
    """Prints the document that ``find`` gives for each name; those that are not found are reported at the end."""
    found: list[dict[str, Any]] = []
    errors: list[WherryError] = []
    template = _template(form)
    for name in names:
        try:
            found.append(find(name))
        except NotFound as error:
            errors.append(error)
    out = _text(found, form) if template is None else "".join([_line(template, one) for one in found]) or "\n"
    if template is not None and sys.stdout.isatty():
        from wherry.cli.format import visible

        out = visible(out)
    sys.stdout.write(out)
    sys.stdout.flush()
    from wherry.cli.main import fail

    for missing in errors:
        fail(missing)
    return 1 if errors else 0


class BadTemplate(WherryError):
    """The template of ``--format`` cannot be read."""

    exit_code = 64


def _template(form: str) -> Any:
    if form in ("", "json"):
        return None
    from wherry.cli.template import TemplateError, compile

    try:
        return compile(form.removeprefix("table ").replace("\\t", "\t").replace("\\n", "\n"))
    except TemplateError as error:
        raise BadTemplate(f"template parsing error: {error.message}") from None


def _line(template: Any, document: dict[str, Any]) -> str:
    from wherry.cli.template import TemplateError

    try:
        return str(template.render(typed(document))) + "\n"
    except TemplateError as error:
        raise WherryError(f"template parsing error: {error.message}") from None


def _text(found: list[dict[str, Any]], form: str) -> str:
    import json

    if form == "json":
        text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    else:
        text = json.dumps(found, ensure_ascii=False, indent=4)
        for plain, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
            text = text.replace(plain, escaped)
    if not text.replace("\n", "").isprintable():  # C1 controls and bidirectional overrides: the same JSON without them
        text = "".join([c if c == "\n" or c.isprintable() else _unicode(c) for c in text])
    return text + "\n"


def _unicode(character: str) -> str:
    """The character as JSON writes it in ASCII."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join([f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2)])
