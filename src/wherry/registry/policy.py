"""Which images may be pulled: ``policy.toml`` (docs/registries.md).

Every file is a policy of its own and all must agree, so that a user's file cannot loosen the host's.  Within one the
table of the longest name counts: a registry, or a repository or the beginning of one by whole components.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from wherry.errors import Forbidden, InvalidArgument
from wherry.oci.reference import Reference
from wherry.record import Record
from wherry.registry.failures import printable

ACCEPT, REJECT, REQUIRE = "accept", "reject", "require"
MATCH, ANY = "match", "any"
_KEYS = {"rule": str, "keys": list, "identity": str}
_MAX_FILE = 1 << 20


class Rule(Record):
    """What holds for a name.  ``rule`` is accept, reject or require; for that ``keys`` are paths of public keys, one of
    which must have signed; ``identity`` says whether the signature must name the repository."""

    file: str
    name: str
    rule: str = ACCEPT
    keys: tuple[str, ...] = ()
    identity: str = MATCH


class Policy(Record):
    """One file."""

    file: str
    default: str = ACCEPT
    rules: tuple[Rule, ...] = ()

    def rule(self, reference: Reference) -> Rule:
        """The rule for a repository."""
        found = Rule(self.file, "", self.default)
        for rule in self.rules:
            covers = rule.name in (reference.name, reference.domain) or reference.name.startswith(rule.name + "/")
            if covers and len(rule.name) > len(found.name):
                found = rule
        return found


def load(files: Sequence[str]) -> tuple[Policy, ...]:
    """The policies of the files that exist.  Raises `InvalidArgument` that names the file and the key."""
    found = []
    for file in files:
        try:
            with open(file, "rb") as stream:
                body = stream.read(_MAX_FILE + 1)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # a policy that cannot be read must not be taken for none
            raise InvalidArgument(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
        try:
            if len(body) > _MAX_FILE:
                raise ValueError("the file is too large")
            document = tomllib.loads(body.decode())
        except ValueError as error:
            raise InvalidArgument(f"{file}: {printable(str(error), 200)}") from None
        found.append(_policy(file, document))
    return tuple(found)


def decide(policies: Sequence[Policy], reference: Reference) -> tuple[Rule, ...]:
    """The rules under which the image must have signatures; none: it may be pulled as it is.

    Raises `Forbidden` when a policy rejects it.
    """
    rules = [policy.rule(reference) for policy in policies]
    for rule in rules:
        if rule.rule == REJECT:
            raise Forbidden(
                f"{reference.familiar()}: rejected by policy",
                hint=f"{rule.file} says so for {rule.name or 'everything that it does not name'}",
            )
    return tuple(rule for rule in rules if rule.rule == REQUIRE)


def _policy(file: str, document: Mapping[str, Any]) -> Policy:
    unknown = set(document) - {"default", "repository"}
    if unknown:
        raise InvalidArgument(f"{file}: unknown key {printable(min(unknown), 60)!r}")
    default = document.get("default", ACCEPT)
    if default not in (ACCEPT, REJECT):
        raise InvalidArgument(f'{file}: default must be "accept" or "reject"')
    tables = document.get("repository", {})
    if not isinstance(tables, dict):
        raise InvalidArgument(f"{file}: repository must be a table of tables")
    return Policy(file, default, tuple(_rule(file, name, table) for name, table in tables.items()))


def _rule(file: str, name: str, table: Any) -> Rule:
    where = f"{file}: repository {printable(name, 100)!r}"
    if not isinstance(table, dict):
        raise InvalidArgument(f"{where}: not a table")
    if not name or name != name.strip("/ ") or any(character in name for character in "@*? "):
        raise InvalidArgument(f"{where}: a registry, or a repository or the beginning of one, without tag")
    for key, value in table.items():
        if key not in _KEYS:
            raise InvalidArgument(f"{where}: unknown key {printable(key, 60)!r}")
        if not isinstance(value, _KEYS[key]) or not all(isinstance(one, str) for one in value):
            raise InvalidArgument(f"{where}: {key} is not a {'list of paths' if key == 'keys' else 'word'}")
    rule, keys, identity = table.get("rule", ""), tuple(table.get("keys", ())), table.get("identity", MATCH)
    if rule not in (ACCEPT, REJECT, REQUIRE):
        raise InvalidArgument(f'{where}: rule must be "accept", "reject" or "require"')
    if identity not in (MATCH, ANY):
        raise InvalidArgument(f'{where}: identity must be "match" or "any"')
    if bool(keys) != (rule == REQUIRE) or not all(key.startswith("/") for key in keys):
        raise InvalidArgument(f"{where}: keys are absolute paths, and go with the rule require")
    return Rule(file, name.removeprefix("index.").lower() if "/" not in name else name, rule, keys, identity)
