"""``--log-driver`` and ``--log-opt``: what is allowed, and what the monitor is told to do (moby, ``daemon/logger``).

Loaded when one of them was given; a container without has a ``json-file`` log that is never rotated, as in Docker.
"""

from __future__ import annotations

from wherry.container.parse import boolean, decimal_size
from wherry.container.parse import size as binary_size
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.container.options import ContainerOptions, Pairs
    from wherry.container.record import ContainerRecord

DEFAULT = "json-file"
DRIVERS = ("journald", "json-file", "local", "none")
LOCAL_SIZE, LOCAL_FILES = 20 * 1024 * 1024, 5
BUFFER_SIZE = 1024 * 1024  # of mode=non-blocking

_ELSEWHERE = ("awslogs", "fluentd", "gcplogs", "gelf", "splunk", "syslog")
_ATTRIBUTES = ("labels", "labels-regex", "env", "env-regex", "tag")
_ROTATION = ("max-size", "max-file", "compress")
_TAG_FIELDS = ("ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "DaemonName")


def option(text: str) -> tuple[str, str]:
    """One ``--log-opt``: ``name=value``; a bare name has the empty value."""
    name, _equals, value = text.partition("=")
    return name, value


def check(driver: str, given: Pairs) -> None:
    """Refuse what cannot be; `InvalidArgument` in Docker's words."""
    driver, options = driver or DEFAULT, dict(given)
    if driver == "none":
        if options:
            raise InvalidArgument("invalid logging opts for driver none")
        return
    if options.get("mode", "") not in ("", "blocking", "non-blocking"):
        raise InvalidArgument(f"logger: logging mode not supported: {options['mode']}")
    if "max-buffer-size" in options:
        if options.get("mode") != "non-blocking":
            raise InvalidArgument("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        _buffer_size(options["max-buffer-size"])
    if driver not in DRIVERS:
        hint = ""
        if driver in _ELSEWHERE:
            hint = (
                f"Wherry sends logs to no other machine; use one of {', '.join(DRIVERS)}, and ship the log from there"
            )
        raise InvalidArgument(f'error looking up logging plugin {driver}: plugin "{driver}" not found', hint=hint)
    known = _ATTRIBUTES if driver == "journald" else _ATTRIBUTES + _ROTATION
    for name in options:
        if name not in known and name not in ("mode", "max-buffer-size"):
            where = "for log driver local" if driver == "local" else f"for {driver} log driver"
            raise InvalidArgument(f"unknown log opt '{name}' {where}", hint=f"the options are {', '.join(known)}")
    if driver != "journald":
        rotation(driver, options)
    _expressions(options)
    tag(options.get("tag", ""), {})


def _buffer_size(text: str) -> int:
    try:
        return binary_size(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"error parsing option max-buffer-size: {error.message}") from None


def rotation(driver: str, options: dict[str, str]) -> dict[str, Any]:
    """``max_size`` in bytes (-1: any), ``max_files`` and ``compress`` of `wherry.monitor.log_file.LogFile`."""
    local = driver == "local"
    size, files, compress = (LOCAL_SIZE, LOCAL_FILES, True) if local else (-1, 1, False)
    if "max-size" in options:
        size = decimal_size(options["max-size"])
        if size <= 0 and not local:
            raise InvalidArgument("max-size must be a positive number")
    if "max-file" in options:
        text = options["max-file"]
        if not (text.isascii() and text.removeprefix("-").removeprefix("+").isdigit()):
            raise InvalidArgument(f'strconv.Atoi: parsing "{text}": invalid syntax', hint="max-file is a number")
        files = int(text)
        if files < (0 if local else 1):
            raise InvalidArgument("max-file must not be negative" if local else "max-file cannot be less than 1")
    if "compress" in options:
        compress = boolean(options["compress"])
    if compress and local and files <= 1:
        raise InvalidArgument("compression cannot be enabled when max file count is 1")
    if compress and (files == 1 or size == -1):
        raise InvalidArgument("compress cannot be true when max-file is less than 2 or max-size is not set")
    return {"max_size": size, "max_files": files, "compress": compress}


def _expressions(options: dict[str, str]) -> dict[str, Any]:
    found = {}
    for name in ("labels-regex", "env-regex"):
        if options.get(name):
            import re

            try:
                found[name] = re.compile(options[name])
            except re.error as error:
                raise InvalidArgument(f"error parsing regexp: {error}: `{options[name]}`") from None
    return found


def tag(template: str, fields: dict[str, str]) -> str:
    """A log tag: text with ``{{.Name}}`` and the like."""
    text, rest = "", template
    while rest:
        plain, opened, rest = rest.partition("{{")
        text += plain
        if opened:
            action, closed, rest = rest.partition("}}")
            name = action.strip().removeprefix(".")
            if not closed or not action.strip().startswith(".") or name not in _TAG_FIELDS:
                known = ", ".join(["{{." + field + "}}" for field in _TAG_FIELDS])
                raise InvalidArgument(
                    f"invalid log tag {template}: unknown field {{{{{action}}}}}", hint=f"use {known}"
                )
            text += fields.get(name, "")
    return text


def _tag_fields(record: ContainerRecord) -> dict[str, str]:
    image = record.image_id.removeprefix("sha256:")
    return {
        "ID": record.short_id,
        "FullID": record.id,
        "Name": record.name,
        "ImageID": image[:12],
        "ImageFullID": record.image_id,
        "ImageName": record.options.image or record.image_name,
        "DaemonName": "wherry",
    }


def attributes(options: ContainerOptions, given: dict[str, str]) -> dict[str, str]:
    """The labels and variables of the container that ``labels``, ``env`` and their ``-regex`` forms choose."""
    labels = dict(options.labels)
    variables = {name: value for name, equals, value in [e.partition("=") for e in options.env] if equals}
    expressions = _expressions(given)
    found: dict[str, str] = {}
    for name, values in (("labels", labels), ("env", variables)):
        found |= {key: values[key] for key in given.get(name, "").split(",") if key in values}
        expression = expressions.get(f"{name}-regex")
        if expression is not None:
            found |= {key: value for key, value in values.items() if expression.search(key)}
    return found


def path(directory: str, identity: str, driver: str) -> str:
    """The log in a container's directory; "" for a driver that keeps none there."""
    if driver in ("", DEFAULT):
        return f"{directory}/{identity}-json.log"
    return f"{directory}/local-logs/container.log" if driver == "local" else ""


def settings(record: ContainerRecord, directory: str) -> dict[str, Any] | None:
    """What `wherry.monitor.log.open_log` takes; plain values.  ``directory`` is the container's."""
    options, given = record.options, dict(record.options.log_opts)
    driver = options.log_driver or DEFAULT
    if driver == "none":
        return None
    found: dict[str, Any] = {"driver": driver, "path": path(directory, record.id, driver)}
    if given.get("mode") == "non-blocking":
        found["buffer"] = _buffer_size(given["max-buffer-size"]) if "max-buffer-size" in given else BUFFER_SIZE
    chosen = attributes(options, given)
    if driver == "journald":
        text = tag(given.get("tag") or "{{.ID}}", _tag_fields(record))
        found["fields"] = _journal_fields(record, text, chosen)
        return found
    found["rotation"] = rotation(driver, given)
    text = tag(given.get("tag", ""), _tag_fields(record))
    if text:
        chosen["tag"] = text
    if chosen:
        found["attributes"] = chosen
    return found


def _journal_fields(record: ContainerRecord, text: str, chosen: dict[str, str]) -> dict[str, str]:
    return {
        "CONTAINER_ID": record.short_id,
        "CONTAINER_ID_FULL": record.id,
        "CONTAINER_NAME": record.name,
        "CONTAINER_TAG": text,
        "IMAGE_NAME": record.options.image or record.image_name,
        "SYSLOG_IDENTIFIER": text,
        **{name: value for name, value in [(journal_name(key), value) for key, value in chosen.items()] if name},
    }


def journal_name(text: str) -> str:
    """A name as journal fields have it: capitals, digits and, not at its beginning, underscores."""
    capitals = [one.upper() if one.isascii() and one.isalnum() else "_" for one in text]
    return "".join(capitals).lstrip("_")
