"""Who the first process is: ``--user`` and ``--group-add`` against the image's /etc/passwd and /etc/group.

Those files are a stranger's.  They are read through `wherry.container.lookup`, bounded (CVE-2026-47262), and only when
they are regular files (CVE-2024-9676).  A number is always an id, even when somebody's name is that number
(CVE-2026-46680); an id that does not fit is an error and never wraps round to root (CVE-2024-40635).  The primary group
is always among the supplementary ones (CVE-2022-36109, CVE-2023-25173).  passwd(5), group(5).
"""

from __future__ import annotations

from wherry.container.facts import Identity
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ID = (1 << 31) - 1
MAX_FILE = 4 << 20  # bytes of /etc/passwd or /etc/group
MAX_GROUPS = 65_536  # NGROUPS_MAX of Linux


def resolve(user: str, group_add: tuple[str, ...], passwd: bytes, group: bytes) -> Identity:
    """The ids for ``--user`` text (``name|uid[:name|gid]``, "" for root) and every ``--group-add``.

    ``passwd`` and ``group`` are the files' bytes, empty where the image has none.  Raises `InvalidArgument` in
    Docker's words for a name that neither file has.
    """
    who, _colon, group_text = user.partition(":")
    number = _id(who)
    uid, gid, home, name = number or 0, 0, "", ""
    for entry in _entries(passwd, 6):
        matches = int(entry[2]) == uid if number is not None or not who else entry[0] == who
        if matches and _plausible(entry[3]):
            uid, gid, home, name = int(entry[2]), int(entry[3]), entry[5], entry[0]
            break
    else:
        if who and number is None:
            raise InvalidArgument(
                f"unable to find user {who}: no matching entries in passwd file", hint="a number needs no entry"
            )
    groups: list[int] = []
    if group_text:
        gid = _group_id(group_text, group)
    elif name:
        for entry in _entries(group, 4):
            if name in entry[3].split(","):
                groups.append(int(entry[2]))
    if group_add:
        groups += _added(group_add, group)
    chosen = tuple(dict.fromkeys([gid, *groups]))
    if len(chosen) > MAX_GROUPS:
        raise InvalidArgument(f"the user is in {len(chosen)} groups; a process can be in {MAX_GROUPS}")
    return Identity(uid, gid, chosen, home if home.startswith("/") else "/")


def _group_id(text: str, group: bytes) -> int:
    number = _id(text)
    if number is not None:
        return number
    for entry in _entries(group, 3):
        if entry[0] == text:
            return int(entry[2])
    raise InvalidArgument(
        f"unable to find group {text}: no matching entries in group file", hint="a number needs no entry"
    )


def _added(names: tuple[str, ...], group: bytes) -> list[int]:
    by_name: dict[str, int] = {}
    if any(_id(name) is None for name in names):
        for entry in _entries(group, 3):
            by_name.setdefault(entry[0], int(entry[2]))
    ids = []
    for name in names:
        number = _id(name)
        if number is None:
            number = by_name.get(name)
        if number is None:
            raise InvalidArgument(f"Unable to find group {name}: no matching entries in group file")
        ids.append(number)
    return ids


def _id(text: str) -> int | None:
    """The id that ``text`` is, or None when it is a name.  Raises `InvalidArgument` for one out of range."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    if text[:1] == "-" or len(digits) > 10 or int(digits) > MAX_ID:
        raise InvalidArgument(f"uids and gids must be in range 0-{MAX_ID}", hint=f"{text[:40]} is not")
    return int(digits)


def _entries(content: bytes, fields: int) -> Iterator[list[str]]:
    """The lines of ``content`` that have at least ``fields`` fields.

    Lines with an id out of range are skipped: they cannot be anybody's and must not stop a container that runs as
    another user.
    """
    for line in content.split(b"\n"):
        if line[:1] in (b"", b"#"):
            continue
        entry = line.decode("utf-8", "surrogateescape").strip().split(":")
        if len(entry) >= fields and _plausible(entry[2]):
            yield entry


def _plausible(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID
