"""Values: made by position and by name, compared by what they hold, and never changed."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.record import Record


class Base(Record):
    number: int
    protocol: str = "tcp"


class Longer(Base):
    host: str = ""
    protocol: str = "udp"


@pytest.mark.parametrize(
    "made", [Base(80, "tcp"), Base(80), Base(80, protocol="tcp"), Base(number=80), Base(protocol="tcp", number=80)]
)
def test_fields_are_given_by_position_or_by_name(made: Base) -> None:
    assert made == Base(80) and hash(made) == hash(Base(80))
    assert made.as_dict() == {"number": 80, "protocol": "tcp"}
    assert repr(made) == "Base(number=80, protocol='tcp')"


def test_a_subclass_has_the_fields_of_its_base_first() -> None:
    assert Longer(number=1).as_dict() == {"number": 1, "protocol": "udp", "host": ""}
    assert Longer(1, "sctp", "h") == Longer(number=1, protocol="sctp", host="h") != Longer(1)


@pytest.mark.parametrize(
    ("args", "named", "message"),
    [
        ((), {}, "Base needs 'number'"),
        ((), {"protocol": "udp"}, "Base needs 'number'"),
        ((), {"port": 80}, "Base needs 'number'"),  # as many as there are fields, but not those
        ((), {"number": 80, "port": 80}, "Base has no field 'port'"),
        ((80,), {"number": 80}, "Base got 'number' twice"),
        ((80, "tcp", 1), {}, "Base takes 2 values, 3 were given"),
    ],
)
def test_what_does_not_fit_is_refused(args: tuple[Any, ...], named: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Base(*args, **named)


def test_a_record_cannot_be_changed() -> None:
    one = Base(80)
    with pytest.raises(AttributeError, match="use replace"):
        one.number = 81  # type: ignore[misc]
    assert one.replace(number=81) == Base(81)
    assert one.number == 80
