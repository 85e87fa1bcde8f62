"""Text as Go quotes it (strconv.Quote), as in Docker's messages and templates; and text made harmless."""

from __future__ import annotations

_SHORT = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def quote(text: str, mark: str = '"') -> str:
    """A Go string literal.  Bytes that are not UTF-8 (surrogate escapes) become ``\\xNN``."""
    return mark + "".join([_escaped(character, mark) for character in text]) + mark


def _escaped(character: str, mark: str) -> str:
    if character == mark:
        return "\\" + character
    if character in _SHORT and character != '"':
        return _SHORT[character]
    code = ord(character)
    if character.isprintable() and (character == " " or not character.isspace()):
        return character
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def harmless(text: str) -> str:
    """The same text with control characters (terminal escapes, line breaks, C1, bidirectional overrides) made visible.

    For what a stranger chose and a person reads: names, labels, image history, messages of a registry.
    """
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else _escaped(c, "") for c in text])
