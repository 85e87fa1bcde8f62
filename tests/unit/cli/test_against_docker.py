"""Templates and lists, held to what the real docker client prints (recorded by tools/record_docker_client.py)."""

from __future__ import annotations

import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from wherry.cli import format as lists
from wherry.cli import inspection, parser
from wherry.cli.commands import history, images, ps
from wherry.cli.container_list import LISTING, fields
from wherry.cli.main import Call
from wherry.cli.template import Struct, TemplateError, compile
from wherry.engine.images import Step, Summary
from wherry.errors import WherryError

GOLDEN = Path(__file__).parents[2] / "golden/docker"
TEMPLATES = json.loads((GOLDEN / "templates.json").read_text())
LISTS = json.loads((GOLDEN / "lists.json").read_text())
CONTEXT = Struct(
    Name="default",
    Metadata=Struct(),
    Endpoints={"docker": Struct(Host="unix:///var/run/docker.sock", SkipTLSVerify=False)},
    TLSMaterial={},
    Storage=Struct(MetadataPath="<IN MEMORY>", TLSPath="<IN MEMORY>"),
)
# Where we differ on purpose, or where the client's own Go types show through.
DIFFERENT = {
    "{{$}}": "prints fields that JSON leaves out",
    "{{a b": "our lexer sees the unclosed action first",
    "{{len nil}}": "words of Go's reflect package",
    "{{call .Name}}": "names the argument",
    "{{eq .Endpoints .Endpoints}}": "a Go formatting mistake",
}


@pytest.fixture(autouse=True)
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is when the recording was made, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: float(LISTS["recorded"]))
    monkeypatch.setattr(time, "time_ns", lambda: LISTS["recorded"] * 10**9)


@pytest.mark.parametrize(("text", "status", "expected"), TEMPLATES, ids=[one[0] for one in TEMPLATES])
def test_template(text: str, status: int, expected: str) -> None:
    if text in DIFFERENT:
        pytest.xfail(DIFFERENT[text])
    try:
        got = compile(text).render(CONTEXT) + "\n"
    except TemplateError as error:
        assert status
        got = f"template parsing error: {error.message}"
    missing = expected.partition("can't evaluate field ")
    if status and missing[2].endswith("in type context.contextWithTLSListing"):
        # of an API object the client asks the JSON document next, and that is our answer at once
        expected = f'{missing[0]}map has no entry for key "{missing[2].split()[0]}"'
    assert got == expected


class Listed:
    """A container of the recording where our engine would give one of its own."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.recorded = document

    def document(self, *, size: bool) -> dict[str, Any]:
        return self.recorded if size else {name: self.recorded[name] for name in self.recorded if "Size" not in name}


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    words = arguments[1:] if arguments[0] == "image" else arguments
    name, rest = words[0], words[1:]
    modules: dict[str, Any] = {"ps": ps, "images": images, "history": history}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if name == "inspect":
            form = rest[1] if rest[0] == "-f" else ""
            inspection.show(["x"], lambda _name: LISTS["inspect"], form)
            return out.getvalue()
        module = modules[name]
        values, words = parser.parse(module.COMMAND, name, rest, getattr(module, "CHECKS", None))
        call = Call(name, values, words, {})
        monkeypatch.setattr(call, "engine", lambda: type("Engine", (), {"db": None}))
        monkeypatch.setattr("wherry.engine.container_list.select", lambda *_a, **_k: map(Listed, LISTS["containers"]))
        monkeypatch.setattr("wherry.engine.images.list_images", lambda *_a, **_k: map(summary, LISTS["images"]))
        monkeypatch.setattr("wherry.engine.images.history", lambda *_a: map(step, LISTS["history"]))
        module.main(call)
    return out.getvalue()


def summary(one: dict[str, Any]) -> Summary:
    tags, digests = tuple(one["RepoTags"]), tuple(one["RepoDigests"])
    return Summary(one["Id"], tags, digests, one["Created"], one["Size"], (), 0, "linux/amd64")


def step(one: dict[str, Any]) -> Step:
    return Step(one["Id"], one["Created"], one["CreatedBy"], one["Size"], one["Comment"], ())


@pytest.mark.parametrize("recorded", LISTS["runs"], ids=[" ".join(one["arguments"]) for one in LISTS["runs"]])
def test_list(recorded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        got = run(recorded["arguments"], monkeypatch)
    except WherryError as error:
        assert recorded["status"]
        # the client words the same mistake in two ways, by command; ours are one
        assert error.message.rpartition("template: :")[2] == recorded["err"].strip().rpartition("template: :")[2]
        return
    if recorded["arguments"] == ["ps", "--format", "json"]:  # the made-up daemon measures although nobody asked
        recorded = recorded | {"out": recorded["out"].replace("12.3kB (virtual 123MB)", "0B")}
    if "json" in recorded["arguments"] and recorded["arguments"][0] == "images":
        ours = [json.loads(line) for line in got.splitlines()]
        theirs = [json.loads(line) for line in recorded["out"].splitlines()]
        for one in ours:
            one["Containers"] = "N/A"  # Docker leaves this to `system df`
        assert ours == theirs
        return
    assert got == recorded["out"]


def test_label_column_is_titled_by_the_last_part_of_its_name() -> None:
    rows = [fields(one, whole=False) for one in LISTS["containers"]]
    text = lists.render(LISTING, rows, 'table {{.Label "a.b_c-d"}}\\tx')
    assert text.splitlines()[0].startswith("b c d ")
