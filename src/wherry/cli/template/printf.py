"""fmt.Sprintf for the values that templates have (pkg.go.dev/fmt)."""

from __future__ import annotations

from wherry.cli.quote import quote
from wherry.cli.template.values import go_syntax, show, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def sprintf(text: str, values: list[Any]) -> str:
    """Mistakes show up in the result as they do in Go: ``%!d(string=x)``, ``%!d(MISSING)``, ``%!(EXTRA …)``."""
    out: list[str] = []
    position, used = 0, 0
    while position < len(text):
        percent = text.find("%", position)
        if percent < 0:
            out.append(text[position:])
            break
        out.append(text[position:percent])
        spec = _Spec(text, percent + 1)
        used = spec.read(values, used)
        position = spec.end
        if not spec.verb:
            out.append("%!(NOVERB)")
        elif spec.verb == "%":
            out.append("%")
        elif used >= len(values):
            out.append(f"%!{spec.verb}(MISSING)")
        else:
            out.append(spec.format(values[used]))
            used += 1
    if used < len(values):
        extra = ", ".join([f"{type_name(v)}={show(v, top=False)}" if v is not None else "<nil>" for v in values[used:]])
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


class _Spec:
    """One ``%[flags][width][.precision]verb``."""

    def __init__(self, text: str, position: int) -> None:
        self.text = text
        self.end = position
        self.flags = ""
        self.width = 0
        self.precision = -1
        self.verb = ""

    def read(self, values: list[Any], used: int) -> int:
        while self.end < len(self.text) and self.text[self.end] in "+-# 0":
            self.flags += self.text[self.end]
            self.end += 1
        self.width, used = self._number(values, used)
        if self.width < 0:
            self.flags, self.width = self.flags + "-", -self.width
        if self.text[self.end : self.end + 1] == ".":
            self.end += 1
            self.precision, used = self._number(values, used)
        self.verb = self.text[self.end : self.end + 1]
        self.end += 1
        return used

    def _number(self, values: list[Any], used: int) -> tuple[int, int]:
        if self.text[self.end : self.end + 1] == "*":
            self.end += 1
            value = values[used] if used < len(values) else 0
            return (value if isinstance(value, int) else 0), used + 1
        start = self.end
        while self.end < len(self.text) and self.text[self.end].isdigit():
            self.end += 1
        return min(int(self.text[start : self.end] or 0), 1_000_000), used

    def format(self, value: Any) -> str:
        body = self._body(value)
        if body is None:
            shown = f"{type_name(value)}={show(value, top=False)}" if value is not None else "<nil>"
            return f"%!{self.verb}({shown})"
        return self._padded(body, value)

    def _body(self, value: Any) -> str | None:
        verb = self.verb
        if isinstance(value, list | tuple) and verb not in "vT":
            return "[" + " ".join([self.format(item) for item in value]) + "]"
        if verb == "v":
            return go_syntax(value) if "#" in self.flags else self._signed(show(value, top=False), value)
        if verb == "T":
            return type_name(value)
        if isinstance(value, bool):
            return show(value) if verb == "t" else None
        if isinstance(value, int):
            return self._integer(value)
        if isinstance(value, float):
            return self._float(value)
        if isinstance(value, str):
            return self._string(value)
        return None

    def _string(self, value: str) -> str | None:
        if self.precision >= 0:
            value = value[: self.precision]
        if self.verb == "s":
            return value
        if self.verb == "q":
            return f"`{value}`" if "#" in self.flags and "`" not in value else quote(value)
        if self.verb in "xX":
            digits = value.encode("utf-8", "surrogateescape").hex(" " if " " in self.flags else "\0").replace("\0", "")
            return digits.upper() if self.verb == "X" else digits
        return None

    def _integer(self, value: int) -> str | None:
        bases = {"d": "d", "b": "b", "o": "o", "x": "x", "X": "X", "O": "o"}
        if self.verb in bases:
            digits = format(abs(value), bases[self.verb])
            digits = digits.rjust(self.precision, "0") if self.precision > 0 else digits
            prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(self.verb, "") if "#" in self.flags else ""
            prefix = "0o" if self.verb == "O" else prefix
            return self._signed(("-" if value < 0 else "") + prefix + digits, value)
        if self.verb == "c":
            return chr(value) if 0 <= value < 0x110000 else "\ufffd"
        if self.verb == "q":
            return quote(chr(value), "'") if 0 <= value < 0x110000 else "'\ufffd'"
        if self.verb == "U":
            return f"U+{value:04X}"
        return None

    def _float(self, value: float) -> str | None:
        if self.verb in "eEfFgG":
            if self.verb in "gG" and self.precision < 0:
                return self._signed(show(value), value)
            precision = 6 if self.precision < 0 else self.precision
            return self._signed(format(value, f".{precision}{self.verb}"), value)
        return None

    def _signed(self, text: str, value: Any) -> str:
        if isinstance(value, bool | str) or not isinstance(value, int | float) or text.startswith("-"):
            return text
        return "+" + text if "+" in self.flags else " " + text if " " in self.flags else text

    def _padded(self, body: str, value: Any) -> str:
        if isinstance(value, list | tuple) and self.verb not in "vT":
            return body
        if "-" in self.flags:
            return body.ljust(self.width)
        if "0" in self.flags and not isinstance(value, str):
            sign = body[:1] if body[:1] in ("-", "+") else ""
            return sign + body[len(sign) :].rjust(self.width - len(sign), "0")
        return body.rjust(self.width, "0" if "0" in self.flags else " ")
