"""Lists as tables, templates or JSON, as ``--format`` asks (docs.docker.com/engine/cli/formatting).

A command describes its list by a `Listing`: the fields that templates may use and the table it has without a format.
"""

from __future__ import annotations

import sys

from wherry.cli.quote import harmless
from wherry.errors import WherryError
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Fields = dict[str, Callable[..., Any]]

_GAP = 3  # blanks between columns
_NARROWEST = 10  # of a column with its gap


class Listing(Record):
    """``kind`` is the Go type that messages name; ``headers`` the title of each field; ``table`` the usual columns."""

    kind: str
    headers: dict[str, str]
    table: tuple[str, ...]
    raw: str = ""  # template of ``--format raw``


class FormatError(WherryError):
    """The template of ``--format`` is wrong."""


def show(listing: Listing, rows: Iterable[Fields], form: str, columns: Sequence[str] = ()) -> None:
    """Prints ``rows`` as ``form`` asks: empty or "table", "table TEMPLATE", "json", "raw" or a template.

    ``columns`` are those of the default table, where they differ from the listing's.
    """
    text = render(listing, rows, form, columns)
    sys.stdout.write(text if form and not form.startswith("table") and not sys.stdout.isatty() else visible(text))


def render(listing: Listing, rows: Iterable[Fields], form: str, columns: Sequence[str] = ()) -> str:
    """The text that `show` prints."""
    if form in ("", "table"):
        names = columns or listing.table
        lines = [[harmless(str(row[name]())).replace("\t", " ") for name in names] for row in rows]
        return layout([[listing.headers[name] for name in names], *lines])
    if form.startswith("table"):
        return _template_table(listing, rows, form[len("table") :].strip())
    template = {"json": "{{json .}}", "raw": listing.raw or form}.get(form, form)
    return "".join([text + "\n" for text in _rendered(listing, rows, template)])


def _template_table(listing: Listing, rows: Iterable[Fields], template: str) -> str:
    from wherry.cli.template import Struct, compile

    template = _unescaped(template)
    safe = [{name: _harmless_field(field) for name, field in row.items()} for row in rows]
    body = _rendered(listing, safe, template)
    same: dict[str, Callable[..., Any]] = {
        name: (lambda value, *_rest: value) for name in ("json", "title", "lower", "upper", "truncate", "split", "join")
    }
    headers = Struct(listing.headers)
    if "Label" in headers:
        from wherry.cli.template import Row

        named: Fields = {name: (lambda title=title: title) for name, title in listing.headers.items()}
        named["Label"] = _label_title
        header = compile(template, same).render(Row(listing.kind, named))
    else:
        header = compile(template, same).render(headers)
    return layout([line.split("\t") for text in (header, *body) for line in text.split("\n")])


def _label_title(name: str) -> str:
    """The title of a column of labels: what follows the last dot or dash, without the separators."""
    part = name.rpartition(".")[2]
    return part.replace("-", " ").replace("_", " ")


def _harmless_field(field: Callable[..., Any]) -> Callable[..., Any]:
    def safe(*given: Any) -> Any:
        value = field(*given)
        return harmless(value) if isinstance(value, str) else value

    return safe


def _rendered(listing: Listing, rows: Iterable[Fields], text: str) -> list[str]:
    from wherry.cli.template import Row, TemplateError, compile

    try:
        template = compile(_unescaped(text))
    except TemplateError as error:
        raise FormatError(f"failed to parse template: {error.message}") from None
    try:
        return [template.render(Row(listing.kind, row)) for row in rows]
    except TemplateError as error:
        raise FormatError(f"failed to execute template: {error.message}") from None


def _unescaped(template: str) -> str:
    return template.replace("\\t", "\t").replace("\\n", "\n")


def visible(text: str) -> str:
    r"""For a terminal: control characters other than ``\n`` and ``\t`` made visible."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "\n".join(["\t".join([harmless(cell) for cell in line.split("\t")]) for line in text.split("\n")])


def layout(lines: Sequence[Sequence[str]]) -> str:
    """Cells in columns, as Go's text/tabwriter sets them: a column is as wide as its widest cell in the lines that
    follow one another and have it; the last cell of a line belongs to none."""
    widths: list[list[int]] = [[0] * len(line) for line in lines]
    deepest = max((len(line) for line in lines), default=0)
    for column in range(deepest - 1):
        start = 0
        while start < len(lines):
            end = start
            while end < len(lines) and len(lines[end]) > column + 1:
                end += 1
            if end > start:
                widest = max([_NARROWEST, *(len(line[column]) + _GAP for line in lines[start:end])])
                for number in range(start, end):
                    widths[number][column] = widest
            start = max(end, start + 1)
    return "".join(
        ["".join([cell.ljust(width) for cell, width in zip(line, wide)]) + "\n" for line, wide in zip(lines, widths)]
    )
