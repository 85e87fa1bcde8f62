"""What clients send, read with the types it must have."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.api.fields import Fields, Query, parse
from wherry.errors import InvalidArgument


def query(text: str) -> Query:
    from urllib.parse import parse_qs

    several = parse_qs(text, keep_blank_values=True)
    return Query({name: values[0] for name, values in several.items()}, several)


def test_names_are_found_whatever_their_case() -> None:
    found = parse(b'{"image": "a", "HostConfig": {"memory": 5.0, "Binds": null}}')
    assert found.text("Image") == "a"
    assert found.part("HostConfig").integer("Memory") == 5
    assert found.part("HostConfig").texts("Binds") == ()
    assert parse(b"").text("Image") == "" and not parse(b"null").has("Image")


@pytest.mark.parametrize(
    ("body", "read", "named"),
    [
        ('{"A": {"B": 1}}', lambda f: f.part("A").text("B"), "A.B must be a string"),
        ('{"A": "1"}', lambda f: f.integer("A"), "A must be a 64-bit number"),
        ('{"A": true}', lambda f: f.integer("A"), "A must be a 64-bit number"),
        ('{"A": 9223372036854775808}', lambda f: f.integer("A"), "A must be a 64-bit number"),
        ('{"A": 1e999}', lambda f: f.integer("A"), "A must be a 64-bit number"),
        ('{"A": 1}', lambda f: f.boolean("A"), "A must be true or false"),
        ('{"A": [1]}', lambda f: f.texts("A"), "A must be a string"),
        ('{"A": []}', lambda f: f.part("A"), "A must be an object"),
        ('{"A": {"b": 1}}', lambda f: f.lists("A"), "A must be an object of lists"),
        ('{"A": "\\ud800"}', lambda f: f.text("A"), "A must be text"),
        ("[]", lambda f: f.text("A"), "the body must be an object"),
        ("{", lambda f: f.text("A"), "invalid JSON"),
    ],
)
def test_a_wrong_type_names_its_field(body: str, read: object, named: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid JSON") as caught:
        read(parse(body.encode()))  # type: ignore[operator]
    assert named in caught.value.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["A", "b", "C"]), inner, max_size=3),
    max_leaves=8,
)


@given(
    json_values, st.sampled_from(["text", "boolean", "integer", "texts", "keys", "pairs", "part", "objects", "lists"])
)
def test_nothing_but_invalid_argument_comes_of_any_document(value: object, method: str) -> None:
    try:
        getattr(Fields({"a": value}), method)("A")
    except InvalidArgument:
        pass


def test_flags_are_read_as_docker_reads_them() -> None:
    found = query("a=1&b=true&c=0&d=False&e=&f=no&g=anything")
    assert [found.flag(name) for name in "abcdefgh"] == [True, True, False, False, False, False, True, False]
    assert found.flag("h", True)


def test_both_forms_of_filters() -> None:
    assert query('filters={"label":["a","b=c"]}').filters() == {"label": ["a", "b=c"]}
    assert query('filters={"dangling":{"true":true,"false":false}}').filters() == {"dangling": ["true"]}
    assert query("").filters() == {}
    for text in ("[]", '{"a": 1}', '{"a": [1]}', "{"):
        with pytest.raises(InvalidArgument):
            query("filters=" + text).filters()


def test_a_number_in_the_query() -> None:
    assert (query("t=5").integer("t"), query("t=").integer("t", 7), query("t=-1").integer("t")) == (5, 7, -1)
    for text in ("x", "1.5", str(1 << 63)):
        with pytest.raises(InvalidArgument):
            query(f"t={text}").integer("t")


def test_names_of_filters_survive_json() -> None:
    body = json.dumps({"label!": ["a"]})
    assert query(f"filters={body}").filters() == {"label!": ["a"]}
