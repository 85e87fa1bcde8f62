"""Where packages come from: what a project says, else what apt uses on a Debian machine, else Debian's own mirror."""

from __future__ import annotations

import os
import re

from wherry.errors import InvalidArgument
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DEFAULT = "http://deb.debian.org/debian"
_SCHEMES = ("http://", "https://")
_LINE = re.compile(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s")


class Mirrors(Record):
    """The addresses of the two archives, without a slash at the end.  What is there needs no trust: it is signed."""

    debian: str
    security: str

    def url(self, archive: str, path: str) -> str:
        """The address of a file of an archive ("debian" or "debian-security")."""
        return f"{self.security if archive == 'debian-security' else self.debian}/{path}"


def find(configured: Sequence[str] = (), root: str = "/") -> Mirrors:
    """The mirrors to use.  ``configured`` is that of ``debian``, and that of ``debian-security`` where it is elsewhere.

    Raises `InvalidArgument` for what is no address of the web.
    """
    if configured:
        for url in configured:
            if not url.startswith(_SCHEMES) or len(configured) > 2:
                raise InvalidArgument(
                    f'invalid Debian mirror "{url}"',
                    hint='it looks like "http://HOST/debian", then the security mirror',
                )
        return _pair(configured[0], configured[1] if len(configured) > 1 else "")
    found = list(_apt(root)) if _is_debian(root) else []
    main = [url for url in found if url.rstrip("/").endswith("/debian")]
    security = [url for url in found if url.rstrip("/").endswith("/debian-security")]
    if main and security:
        return _pair(main[0], security[0])
    return _pair(main[0] if main else _DEFAULT, "")


def _pair(main: str, security: str) -> Mirrors:
    main = main.rstrip("/")
    return Mirrors(main, security.rstrip("/") or f"{main}-security")


def _is_debian(root: str) -> bool:
    return re.search(r'^ID="?debian"?$', _read(os.path.join(root, "etc/os-release")), re.MULTILINE) is not None


def _apt(root: str) -> Iterator[str]:
    """The addresses in apt's configuration, in its order (sources.list(5))."""
    directory = os.path.join(root, "etc/apt/sources.list.d")
    paths = [os.path.join(root, "etc/apt/sources.list")]
    if os.path.isdir(directory):
        paths += [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    for path in paths:
        text = _read(path)
        if path.endswith(".sources"):
            for match in re.finditer(r"^URIs:(.*(?:\n[ \t].*)*)", text, re.MULTILINE):
                yield from (url for url in match[1].split() if url.startswith(_SCHEMES))
        elif path.endswith(".list"):
            for line in text.splitlines():
                one = _LINE.match(line)
                if one and one[1].startswith(_SCHEMES):
                    yield one[1]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
