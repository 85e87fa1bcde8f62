"""Which packages a base needs: what is asked for, and what that depends on; the same choice every time.

Of alternatives the first that is there or can be had is taken, as apt does; where that leads to packages that conflict,
the choice is made anew without the one that brought it about.
"""

from __future__ import annotations

from wherry.errors import Conflict, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.env.debian.index import Candidate, Universe
    from wherry.env.debian.relations import Relation

INSTALLERS = frozenset((
    "dpkg", "debconf", "debconf-2.0", "cdebconf", "init-system-helpers", "install-info", "ucf", "adduser",
    "libpam-runtime", "systemd-sysusers", "opensysusers", "lsb-base",
))  # fmt: skip
"""What packages only need while they are installed: not followed, taken where it is asked for by name."""
_TRIES = 64


def solve(universe: Universe, wanted: Sequence[str], what: str) -> tuple[Candidate, ...]:
    """The packages, sorted by name.  ``what`` names the universe where a person reads it ("bookworm, amd64").

    Raises `NotFound` for a package, or something that one depends on, that is not there; `Conflict` for packages that
    cannot be together.
    """
    banned: set[str] = set()
    failure: Conflict | None = None
    for _ in range(_TRIES):
        choice = _Choice(universe, banned, what)
        try:
            choice.take(wanted)
        except NotFound:
            raise failure or choice.missing from None
        clash = choice.clash()
        if clash is None:
            return tuple([choice.taken[name] for name in sorted(choice.taken)])
        one, other = clash
        if failure is None:
            failure = choice.explain(one, other)
        chosen = next((name for name in (other, one) if name in choice.chosen), "")
        if not chosen:
            break
        banned.add(chosen)
    assert failure is not None
    raise failure


class _Choice:
    """One way to meet all dependencies, without what is banned."""

    def __init__(self, universe: Universe, banned: set[str], what: str) -> None:
        self._universe = universe
        self._banned = banned
        self._what = what
        self._why: dict[str, str] = {}
        self.taken: dict[str, Candidate] = {}
        self.chosen: set[str] = set()  # where there was another alternative
        self.missing = NotFound("package", "")

    def take(self, wanted: Sequence[str]) -> None:
        """Take packages and what they depend on: first what leaves no choice, then the rest in order."""
        plain: list[tuple[str, tuple[Relation, ...]]] = []
        open_: list[tuple[str, tuple[Relation, ...]]] = []
        for name in wanted:
            found = self._universe.find(name) or next(iter(self._universe.providers(name)), None)
            if found is None:
                alike = self._universe.alike(name)
                self._fail(name, f"there is no package {name} in Debian {self._what}",
                           f"did you mean {', '.join(alike)}?" if alike else "")  # fmt: skip
            assert found is not None
            self._add(found, "", plain, open_)
        while plain or open_:
            owner, group = (plain or open_).pop(0)
            if any(relation.name in INSTALLERS for relation in group) or self._is_met(group):
                continue
            found, several = self._best(group)
            if found is None:
                text = " or ".join(map(str, group))
                self._fail(group[0].name, f"{self._story(owner)} needs {text}, which is not in Debian {self._what}", "")
            assert found is not None
            if several:
                self.chosen.add(found.name)
            self._add(found, owner, plain, open_)

    def _fail(self, name: str, message: str, hint: str) -> None:
        self.missing = NotFound("package", name, message, hint=hint)
        raise self.missing

    def _add(
        self, found: Candidate, owner: str, plain: list[tuple[str, tuple[Relation, ...]]],
        open_: list[tuple[str, tuple[Relation, ...]]],
    ) -> None:  # fmt: skip
        if found.name in self.taken:
            return
        self.taken[found.name] = found
        self._why[found.name] = owner
        for group in found.depends:
            only = len(group) == 1 and self._universe.find(group[0].name) is not None
            (plain if only else open_).append((found.name, group))

    def _is_met(self, group: tuple[Relation, ...]) -> bool:
        for relation in group:
            real = self.taken.get(relation.name)
            if real is not None and real.meets(relation):
                return True
            if any(one.name in self.taken and one.meets(relation) for one in self._universe.providers(relation.name)):
                return True
        return False

    def _best(self, group: tuple[Relation, ...]) -> tuple[Candidate | None, bool]:
        """What meets a dependency best, and whether something else would, too."""
        possible: list[Candidate] = []
        for relation in group:
            real = self._universe.find(relation.name)
            for one in [real, *self._universe.providers(relation.name)]:
                if one is not None and one.meets(relation) and one.name not in self._banned and one not in possible:
                    possible.append(one)
        return (possible[0] if possible else None), len(possible) > 1

    def clash(self) -> tuple[str, str] | None:
        """Two packages of the choice that conflict (Policy, 7.3 and 7.4): who says so, and the other."""
        for name in sorted(self.taken):
            for relation in self.taken[name].conflicts:
                others = [self.taken.get(relation.name), *self._universe.providers(relation.name)]
                for one in others:
                    if one is not None and one.name in self.taken and one.name != name and one.meets(relation):
                        return name, one.name
        return None

    def explain(self, one: str, other: str) -> Conflict:
        """The error that two packages are."""
        return Conflict(
            f"{self._story(one)} conflicts with {self._story(other)} in Debian {self._what}",
            hint="only one of them can be in an environment",
        )

    def _story(self, name: str) -> str:
        """A package and who needs it: ``libfoo1, which bar needs``."""
        owner = self._why.get(name, "")
        return f"{name}, which {owner} needs," if owner else name
