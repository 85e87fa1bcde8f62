"""Variables and labels: ``-e``, ``--env-file``, ``--label``, ``--label-file`` (docker/cli, ``pkg/kvfile``)."""

from __future__ import annotations

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wherry.container.options import Pairs

MAX_LINE = 64 * 1024


def lines(content: bytes, name: str) -> list[tuple[str, str | None]]:
    """(key, value) of each line ``KEY=VALUE``; the value of a bare ``KEY`` is None.

    Leading blanks, empty lines, lines that begin with ``#`` and a byte order mark are skipped; values are taken as they
    stand, quotes and trailing blanks included.  Raises `InvalidArgument` naming the file ``name``.
    """
    found: list[tuple[str, str | None]] = []
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if len(raw) > MAX_LINE:
            raise InvalidArgument(f"invalid env file ({name}): line {number} is longer than {MAX_LINE} bytes")
        try:
            line = raw.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError:
            shown = " ".join([str(byte) for byte in raw[:40]])
            raise InvalidArgument(
                f"invalid env file ({name}): invalid utf8 bytes at line {number}: [{shown}]"
            ) from None
        if not line or line[0] == "#":
            continue
        key, equals, value = line.partition("=")
        if not key:
            raise InvalidArgument(f"invalid env file ({name}): no variable name on line '{line}'")
        if " " in key or "\t" in key:
            raise InvalidArgument(f"invalid env file ({name}): variable '{key}' contains whitespaces")
        if "\0" in line:
            raise InvalidArgument(f"invalid env file ({name}): variable '{key}' holds a NUL character")
        found.append((key, value if equals else None))
    return found


def environment(
    files: Iterable[tuple[str, bytes]], given: Iterable[str], environ: Mapping[str, str]
) -> tuple[str, ...]:
    """``env`` of the options: what ``--env-file`` has, then what ``-e`` gives.

    A bare name takes its value from ``environ``, the caller's environment; from a file it is left out when it is not
    there, from ``-e`` it then stays and removes what the image sets.  ``files`` are (name, content).
    """
    entries: list[str] = []
    for name, content in files:
        for key, value in lines(content, name):
            if value is None:
                value = environ.get(key)
            if value is not None:
                entries.append(f"{key}={value}")
    for text in given:
        key, equals, _value = text.partition("=")
        if not key:
            raise InvalidArgument(f"invalid environment variable: {text}")
        if not equals and key in environ:
            text = f"{key}={environ[key]}"
        entries.append(text)
    return tuple(entries)


def labels(files: Iterable[tuple[str, bytes]], given: Iterable[str]) -> Pairs:
    """``labels`` of the options: what ``--label-file`` has, then ``--label``; a later value of a name wins."""
    found: dict[str, str] = {}
    for name, content in files:
        for key, value in lines(content, name):
            found[key] = value or ""
    for text in given:
        key, _equals, value = text.partition("=")
        if not key:
            raise InvalidArgument(f"invalid label '{text}': empty name")
        found[key] = value
    return tuple(found.items())


def compact_profile(content: bytes, path: str) -> str:
    """A seccomp profile's JSON on one line, for ``--security-opt seccomp=PATH``."""
    from wherry import fastjson

    try:
        document = fastjson.loads(content)
    except (fastjson.JSONError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"compacting json for seccomp profile ({path}) failed: {error}") from None
    if not isinstance(document, dict):
        raise InvalidArgument(f"seccomp profile ({path}) is not a JSON object")
    return fastjson.dumps(document)
