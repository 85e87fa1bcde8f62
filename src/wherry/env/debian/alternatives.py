"""Alternatives: which program a general name stands for (update-alternatives(1)), read from maintainer scripts.

The scripts are not run: what is understood is a call with literal arguments, as debhelper writes them and as most
others are.
"""

from __future__ import annotations

import re
import shlex

from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable

DIRECTORY = "etc/alternatives"
_CALL = re.compile(r"update-alternatives\s[^\n;&|]*--install\s[^\n;&|]*")
_NAME = re.compile(r"[A-Za-z0-9+._@-]+")


class Link(Record):
    """``path`` is the general name, ``name`` that of the link in /etc/alternatives, ``target`` what it stands for."""

    path: str
    name: str
    target: str


class Alternative(Record):
    """One offer for a name; the highest ``priority`` is taken.  ``slaves`` go with it."""

    link: Link
    priority: int
    slaves: tuple[Link, ...] = ()


def parse(script: str) -> tuple[Alternative, ...]:
    """The alternatives that a maintainer script registers; calls with variables are passed over."""
    found = []
    for match in _CALL.finditer(script.replace("\\\n", " ")):
        if "$" in match[0] or "`" in match[0]:
            continue
        try:
            words = shlex.split(match[0])
        except ValueError:
            continue
        one = _alternative(words)
        if one is not None and one not in found:
            found.append(one)
    return tuple(found)


def _alternative(words: list[str]) -> Alternative | None:
    at = words.index("--install") + 1
    main = _link(words[at : at + 3])
    if main is None or len(words) <= at + 3 or not words[at + 3].isdigit():
        return None
    slaves = []
    for position, word in enumerate(words):
        if word in ("--slave", "--follower"):
            slave = _link(words[position + 1 : position + 4])
            if slave is not None:
                slaves.append(slave)
    return Alternative(main, int(words[at + 3]), tuple(slaves))


def _link(words: list[str]) -> Link | None:
    if len(words) != 3 or not _NAME.fullmatch(words[1]):
        return None
    path, name, target = words
    for one in (path, target):
        if not one.startswith("/") or ".." in one.split("/") or not one.isprintable():
            return None
    return Link(path.lstrip("/"), name, target)


def links(offers: Iterable[Alternative], there: Container[str]) -> dict[str, str]:
    """Path → target of all links: of each name the offer with the highest priority, the first by target among equals.

    ``there`` has the paths of the files of all packages: a target that is not among them has no link.
    """
    best: dict[str, Alternative] = {}
    for offer in sorted(offers, key=lambda one: (-one.priority, one.link.target)):
        if _real(offer.link.target) in there:
            best.setdefault(offer.link.name, offer)
    found = {}
    for offer in best.values():
        for link in (offer.link, *offer.slaves):
            if _real(link.target) in there and _real("/" + link.path) not in there:
                found[_real("/" + link.path)] = f"/{DIRECTORY}/{link.name}"
                found[f"{DIRECTORY}/{link.name}"] = link.target
    return found


def _real(path: str) -> str:
    from wherry.env.debian.paths import place

    return place(path.lstrip("/").encode(), "").decode()
