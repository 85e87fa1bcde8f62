"""``--detach-keys``: ``ctrl-p,ctrl-q`` and the like, as the bytes that a terminal sends (docker-attach(1))."""

from __future__ import annotations

from wherry.errors import InvalidArgument

_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def strip(keys: bytes, seen: int, data: bytes) -> tuple[bytes, int, bool]:
    """``data`` without the sequence ``keys``, of which ``seen`` bytes came before; how many are held back now, and
    whether the sequence is complete.  A beginning that does not go on is given on (moby, term.EscapeProxy)."""
    passed = bytearray()
    for byte in data if keys else b"":
        if byte == keys[seen]:
            seen += 1
            if seen == len(keys):
                return bytes(passed), 0, True
            continue
        passed += keys[:seen]
        seen = int(byte == keys[0])
        if not seen:
            passed.append(byte)
    return bytes(passed) if keys else data, seen, False


def detach_keys(text: str) -> bytes:
    """Keys separated by commas, each one character or ``ctrl-`` and one of ``a-z @ [ \\ ] ^ _``.

    Without any it is the default, ctrl-p and ctrl-q, as in Docker.

    Raises `InvalidArgument`.
    """
    keys = bytearray()
    for key in text.split(",") if text else ("ctrl-p", "ctrl-q"):
        if len(key) == 1 and key.isascii():
            keys.append(ord(key))
        elif key.startswith("ctrl-") and len(key) == 6 and key[5] in _CONTROL:
            keys.append(_CONTROL.index(key[5]))
        else:
            raise InvalidArgument(
                f"invalid detach keys ({text}): unknown character: '{key}'",
                hint="write single characters and ctrl-a to ctrl-z, separated by commas",
            )
    return bytes(keys)
