"""Option grammar and messages, each as the docker client 28.2.2 has them."""

from __future__ import annotations

import pytest

from wherry.cli.parser import Command, UsageError, check_count, integer, parse
from wherry.errors import InvalidArgument

COMMAND = Command(
    paths=("do",),
    usage="[OPTIONS] THING [ARG...]",
    summary="Do",
    options=(
        ("all", "a", "bool", "", "All"),
        ("env", "e", "list", "", "Env"),
        ("force", "f", "bool", "", "Force"),
        ("memory", "m", "bytes", "", "Memory"),
        ("number", "n", "int", "", "Number"),
        ("weight", "", "uint16", "", "Weight"),
    ),
    unsupported=(("publish", "p", "no bridges"),),
    least=1,
)
STOPS = COMMAND.replace(interspersed=False)


def size(text: str) -> int:
    if not text.isdigit():
        raise InvalidArgument(f"invalid size: '{text}'")
    return int(text)


@pytest.mark.parametrize(
    ("arguments", "values", "rest"),
    [
        ("", {}, []),
        ("-a x", {"all": True}, ["x"]),
        ("-af x", {"all": True, "force": True}, ["x"]),
        ("x -a", {"all": True}, ["x"]),
        ("x -- -a", {}, ["x", "-a"]),
        ("-- -a", {}, ["-a"]),
        ("-", {}, ["-"]),
        ("--all=false", {"all": False}, []),
        ("--all=T -f=false", {"all": True, "force": False}, []),
        ("-af=false", {"all": True, "force": False}, []),
        ("-m5 -m=6 -m 7", {"memory": 7}, []),
        ("--memory 5 x", {"memory": 5}, ["x"]),
        ("--memory=5", {"memory": 5}, []),
        ("-am5", {"all": True, "memory": 5}, []),
        ("-am 5 x", {"all": True, "memory": 5}, ["x"]),
        ("-e A=b -eC --env=D=e=f", {"env": ["A=b", "C", "D=e=f"]}, []),
        ("-e -a", {"env": ["-a"]}, []),
        ("-n -5 --weight 0x10", {"number": -5, "weight": 16}, []),
        ("-h", {"help": True}, []),
        ("--help x", {"help": True}, ["x"]),
    ],
)
def test_reading(arguments: str, values: dict[str, object], rest: list[str]) -> None:
    assert parse(COMMAND, "do", arguments.split(), {"memory": size}) == (values, rest)


def test_options_after_the_image_belong_to_the_container() -> None:
    assert parse(STOPS, "do", ["-a", "x", "-f", "--help"]) == ({"all": True}, ["x", "-f", "--help"])
    assert parse(STOPS, "do", ["--", "-x", "--", "y"]) == ({}, ["-x", "--", "y"])
    assert parse(STOPS, "do", ["x", "--", "y"]) == ({}, ["x", "--", "y"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["--foo=bar"], "unknown flag: --foo"),
        (["-Q"], "unknown shorthand flag: 'Q' in -Q"),
        (["-aQ"], "unknown shorthand flag: 'Q' in -Q"),
        (["-Q="], "unknown shorthand flag: 'Q' in -Q="),
        (["-a="], "unknown shorthand flag: '=' in -="),
        (["--memory"], "flag needs an argument: --memory"),
        (["-m"], "flag needs an argument: 'm' in -m"),
        (["-am"], "flag needs an argument: 'm' in -m"),
        (["--="], "bad flag syntax: --="),
        (["---x"], "bad flag syntax: ---x"),
        (["-mx"], 'invalid argument "x" for "-m, --memory" flag: invalid size: \'x\''),
        (
            ["--all=maybe"],
            'invalid argument "maybe" for "-a, --all" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (["--all="], 'invalid argument "" for "-a, --all" flag: strconv.ParseBool: parsing "": invalid syntax'),
        (["-n", "x"], 'invalid argument "x" for "-n, --number" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (
            ["--weight", "99999"],
            'invalid argument "99999" for "--weight" flag: strconv.ParseUint: parsing "99999": value out of range',
        ),
        (
            ["-n", 'a"b\\c\né'],
            'invalid argument "a\\"b\\\\c\\né" for "-n, --number" flag: strconv.ParseInt: '
            'parsing "a\\"b\\\\c\\né": invalid syntax',
        ),
    ],
)
def test_messages(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(COMMAND, "do", arguments, {"memory": size})
    usage = "\n\nUsage:  wherry do [OPTIONS] THING [ARG...]\n\nRun 'wherry do --help' for more information"
    assert caught.value.message == message + usage
    assert caught.value.exit_code == 125


@pytest.mark.parametrize("arguments", [["--publish", "80:80"], ["--publish=80"], ["-p80"], ["-ap", "80"]])
def test_options_that_this_version_does_not_have_are_refused_with_the_reason(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^wherry: -p, --publish is not supported: no bridges$") as caught:
        parse(COMMAND, "do", arguments)
    assert caught.value.exit_code == 125


@pytest.mark.parametrize(
    ("text", "value"),
    [("0x10", 16), ("010", 8), ("0o10", 8), ("0b11", 3), ("1_0", 10), ("+5", 5), ("-5", -5), ("00", 0), ("0_1", 1)],
)
def test_integers(text: str, value: int) -> None:
    assert integer(text, -(1 << 63), (1 << 63) - 1) == value


@pytest.mark.parametrize("text", ["", " 1", "08", "1_", "_1", "1__0", "0x", "--5", "1.0", "٣", "0_8"])
def test_not_integers(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid syntax"):
        integer(text, -(1 << 63), (1 << 63) - 1)


@pytest.mark.parametrize("text", ["+5", "-5"])
def test_unsigned_numbers_have_no_sign(text: str) -> None:
    with pytest.raises(InvalidArgument, match="ParseUint"):
        integer(text, 0, 65535)


@pytest.mark.parametrize(
    ("least", "most", "count", "message"),
    [
        (0, 0, 1, "accepts no arguments\n\nUsage:  wherry do X\n\nRun"),
        (1, -1, 0, "requires at least 1 argument\n\nUsage:  wherry do X\n\nSee"),
        (2, -1, 1, "requires at least 2 arguments\n\nUsage:  wherry do X\n\nSee"),
        (1, 1, 2, "requires 1 argument\n\nUsage:  wherry do X\n\nRun"),
        (2, 2, 1, "requires 2 arguments\n\nUsage:  wherry do X\n\nRun"),
        (0, 1, 2, "requires at most 1 argument\n\nUsage:  wherry do X\n\nRun"),
        (1, 2, 0, "requires at least 1 and at most 2 arguments\n\nUsage:  wherry do X\n\nRun"),
    ],
)
def test_numbers_of_arguments(least: int, most: int, count: int, message: str) -> None:
    command = Command(paths=("do",), usage="X", summary="", least=least, most=most)
    with pytest.raises(UsageError) as caught:
        check_count(command, "do", ["x"] * count)
    assert caught.value.message == f"wherry: 'wherry do' {message} 'wherry do --help' for more information"
    assert caught.value.exit_code == 1
