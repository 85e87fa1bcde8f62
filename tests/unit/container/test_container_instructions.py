"""Instructions that change a configuration, as `commit -c` takes them; what they come to was seen with Docker 20.10."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.container.instructions import apply, words
from wherry.errors import InvalidArgument

BASE = {"Env": ["A=1"], "Cmd": ["sh"], "WorkingDir": "/w", "Labels": {"l": "m"}}


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ('CMD ["a", "b"]', "Cmd", ["a", "b"]),
        ("cmd echo $A", "Cmd", ["/bin/sh", "-c", "echo $A"]),
        ('CMD ["not json]', "Cmd", ["/bin/sh", "-c", '["not json]']),
        ("ENTRYPOINT x y", "Entrypoint", ["/bin/sh", "-c", "x y"]),
        ("ENTRYPOINT []", "Entrypoint", None),
        ('ENV B=2 C="x y" D=a\\ b', "Env", ["A=1", "B=2", "C=x y", "D=a b"]),
        ("ENV A some  text", "Env", ["A=some  text"]),
        ("ENV B=${A}-$A-${X:-y}-${A:+z}-'$A'", "Env", ["A=1", "B=1-1-y-z-$A"]),
        ("EXPOSE 80 53/udp 90-91", "ExposedPorts", {"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}}),
        ('LABEL a="b c" d=e', "Labels", {"l": "m", "a": "b c", "d": "e"}),
        ("LABEL a b", "Labels", {"l": "m", "a": "b"}),
        ("ONBUILD RUN x", "OnBuild", ["RUN x"]),
        ("STOPSIGNAL SIGINT", "StopSignal", "SIGINT"),
        ("USER $A", "User", "1"),
        ('VOLUME ["/a b"]', "Volumes", {"/a b": {}}),
        ("VOLUME /a /b", "Volumes", {"/a": {}, "/b": {}}),
        ("WORKDIR x/../y", "WorkingDir", "/w/y"),
        ("WORKDIR /x", "WorkingDir", "/x"),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        (
            "HEALTHCHECK --interval=5s --retries=3 CMD curl x", "Healthcheck",
            {"Test": ["CMD-SHELL", "curl x"], "Interval": 5_000_000_000, "Retries": 3},
        ),
        ('HEALTHCHECK CMD ["a"]', "Healthcheck", {"Test": ["CMD", "a"]}),
    ],
)  # fmt: skip
def test_an_instruction(line: str, key: str, value: Any) -> None:
    before = {name: (list(one) if isinstance(one, list) else one) for name, one in BASE.items()}
    found = apply(BASE, [line])
    assert found[key] == value
    assert before == BASE  # not changed in place


def test_an_entrypoint_takes_the_command_away_unless_it_is_given_too() -> None:
    assert apply(BASE, ["ENTRYPOINT x"])["Cmd"] is None
    assert apply(BASE, ['CMD ["a"]', "ENTRYPOINT x"])["Cmd"] == ["a"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RUN x", "run is not a valid change command"),
        ("foo", "foo is not a valid change command"),
        ("", "file with no instructions"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", "can't find ="),
        ("EXPOSE x", "Invalid containerPort: x"),
        ("EXPOSE 70000", "Invalid containerPort: 70000"),
        ("EXPOSE 1-99999999999", "Invalid containerPort"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("USER a b", "USER requires exactly one argument"),
        ("VOLUME ['']", ""),
        ("STOPSIGNAL nosuch", "nosuch"),
        ("HEALTHCHECK --nosuch=1 CMD x", "unknown flag: --nosuch"),
        ("HEALTHCHECK FOO x", 'Unknown type "FOO" in HEALTHCHECK'),
        ("HEALTHCHECK CMD", "Missing command"),
        ('ENV A="x', "unexpected end of statement"),
    ],
)
def test_what_is_refused(line: str, message: str) -> None:
    if message:
        with pytest.raises(InvalidArgument, match=message.replace("?", r"\?")):
            apply(BASE, [line])


def test_words() -> None:
    assert words(r"""a "b c" 'd "e' f\ g "h\"i" j''k "" """, {}) == ["a", "b c", 'd "e', "f g", 'h"i', "jk", ""]
