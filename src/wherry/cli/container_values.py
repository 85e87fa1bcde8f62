"""Option values of `run` and `create` that need more than a copy: files to read, variables to look up, paths."""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.main import Call

_MAX_FILE = 16 * 1024 * 1024


def add(call: Call, fields: dict[str, Any]) -> None:
    """Puts into ``fields`` what these options say.  Raises `InvalidArgument` in the words of Docker's client."""
    values = call.values
    if "env" in values or "env-file" in values or "label" in values or "label-file" in values:
        _variables(call, fields)
    if "volume" in values or "mount" in values or "tmpfs" in values:
        _mounts(values, fields)
    if "device" in values or "gpus" in values:
        _devices(values, fields)
    if "security-opt" in values:
        fields["security_opt"] = tuple([_security(text) for text in values["security-opt"]])
    if "expose" in values:
        from wherry.container.parse import expose

        exposed = [port for text in values["expose"] for port in expose(text)]
        fields["exposed_ports"] = tuple(dict.fromkeys([*fields.get("exposed_ports", ()), *exposed]))
    if values.get("no-healthcheck") or any(f"health-{name}" in values for name in ("cmd", "retries", *_HEALTH_TIMES)):
        _health(values, fields)
    if "restart" in values:
        from wherry.container.restart import parse

        fields["restart_policy"], fields["restart_retries"] = parse(values["restart"])
        if values.get("rm") and fields["restart_policy"] not in ("", "no"):
            raise InvalidArgument("conflicting options: cannot specify both --restart and --rm")
    for name, field in (("annotation", "annotations"), ("log-opt", "log_opts"), ("sysctl", "sysctls")):
        if name in values:
            fields[field] = tuple(dict(values[name]).items())
    fields["dns_options"] = tuple(values.get("dns-opt", []) + values.get("dns-option", []))
    if "pull" in values and values["pull"] not in ("always", "missing", "never"):
        raise InvalidArgument(
            f'invalid pull option: \'{values["pull"]}\': must be one of "always", "missing" or "never"'
        )
    if values.get("stop-signal"):
        from wherry.container.parse import signal

        signal(values["stop-signal"])


_HEALTH_TIMES = ("interval", "timeout", "start-period", "start-interval")


def _health(values: dict[str, Any], fields: dict[str, Any]) -> None:
    given = {name: values.get(f"health-{name}", 0) for name in ("retries", *_HEALTH_TIMES)}
    if values.get("no-healthcheck"):
        if values.get("health-cmd") or any(given.values()):
            raise InvalidArgument("--no-healthcheck conflicts with --health-* options")
        fields["health_test"] = ("NONE",)
        return
    for name, value in given.items():
        if value < 0:
            raise InvalidArgument(f"--health-{name} cannot be negative")
        fields["health_" + name.replace("-", "_")] = value
    if values.get("health-cmd"):
        fields["health_test"] = ("CMD-SHELL", values["health-cmd"])


def _variables(call: Call, fields: dict[str, Any]) -> None:
    from wherry.container.parse_file import environment, labels

    env_files = [(path, read_variables(path)) for path in call.get("env-file", ())]
    fields["env"] = environment(env_files, call.get("env", ()), call.environ())
    label_files = [(path, read_variables(path)) for path in call.get("label-file", ())]
    fields["labels"] = labels(label_files, call.get("label", ()))


def read_variables(path: str) -> bytes:
    if os.path.isdir(path):
        raise InvalidArgument(f"invalid env file ({path}): read {path}: is a directory")
    return _read(path)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise InvalidArgument(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    if len(content) > _MAX_FILE:
        raise InvalidArgument(f"{path}: larger than {_MAX_FILE} bytes")
    return content


def _mounts(values: dict[str, Any], fields: dict[str, Any]) -> None:
    from wherry.container.parse_mount import absolute_source, mount, volume

    directory = os.getcwd()
    binds: list[str] = []
    anonymous: list[str] = []
    for text in values.get("volume", ()):
        text = absolute_source(text, directory)
        option = volume(text)
        if option.source:
            binds.append(text)
        else:
            anonymous.append(option.target)
    fields["binds"] = tuple(binds)
    fields["volumes"] = tuple(dict.fromkeys(anonymous))
    fields["mounts"] = tuple([mount(text, directory) for text in values.get("mount", ())])
    tmpfs = [text.partition(":") for text in values.get("tmpfs", ())]
    fields["tmpfs"] = tuple({target: options for target, _colon, options in tmpfs}.items())


def _devices(values: dict[str, Any], fields: dict[str, Any]) -> None:
    from wherry.container.parse_device import cdi_request, device, is_cdi

    texts = values.get("device", ())
    requests = list(values.get("gpus", ()))
    named = tuple([text for text in texts if is_cdi(text)])
    if named:
        requests.append(cdi_request(named))
    fields["devices"] = tuple([mapping for text in texts if not is_cdi(text) for mapping in device(text)])
    fields["device_requests"] = tuple(requests)


def _security(text: str) -> str:
    """One ``--security-opt``; a seccomp profile's text takes the place of its path."""
    key, equals, value = text.partition("=")
    if not equals and key != "no-new-privileges":
        key, equals, value = text.partition(":")
    if not value and key != "no-new-privileges":
        from wherry.cli.quote import quote

        raise InvalidArgument(f"Invalid --security-opt: {quote(text)}")
    if key != "seccomp" or value in ("unconfined", "builtin"):
        return text
    from wherry.container.parse_file import compact_profile

    try:
        content = _read(value)
    except InvalidArgument as error:
        raise InvalidArgument(f"opening seccomp profile ({value}) failed: {error.message}") from None
    return "seccomp=" + compact_profile(content, value)
