"""Names for containers that were given none, and the grammar of names that were."""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument

_ADJECTIVES = (
    "able agile amber ample ancient arctic astute autumn balmy bold bonny brave breezy bright brisk calm candid "
    "careful cheery clever coastal cosy crisp curious daring deft eager early earnest elated fair fearless fine "
    "fluent fond frank free fresh gallant gentle gifted glad golden graceful grand hardy hearty honest humble "
    "jolly jovial keen kind lively loyal lucid lucky mellow merry mighty modest neat nimble noble northern open "
    "patient placid plucky polite prompt proud quick quiet rapid ready robust rosy salty serene sharp silent "
    "silver sincere smart snug sober southern spry stable steady stoic stout sturdy sunny swift tender tidy "
    "tranquil trim trusty upbeat valiant vivid warm western windy wise witty young zesty"
)

# People of shipping, measuring and computing.
_SURNAMES = (
    "abel adams aiken anning ampere archimedes babbage backus banks banneker barbera bartik bell berners "
    "blackwell bohr boole booth borg bowditch brahe brunel cabot carson cauchy cavendish chappe cook copernicus "
    "cori curie dampier darwin davies diderot dijkstra drake earhart edison engelbart erdos euclid euler faraday "
    "fermat fitzroy flinders floyd fourier franklin frobisher fulton galileo galois gauss germain goldberg "
    "grimaldi hadley halley hamilton harrison heaviside henson hertz hipparchus hopper hooke hubble hudson "
    "huygens hypatia jacquard jemison johnson joule keller kelvin kepler kilby kirch knuth kovalevsky lagrange "
    "lamarr laplace leibniz lister lovelace magellan marconi maury maxwell mccarthy meitner mercator mitchell "
    "moore morse nansen napier neumann newton nightingale noether ohm pascal pasteur peary plimsoll ptolemy "
    "pytheas ramanujan ritchie ross russell shackleton shannon slocum snell somerville stevin sutherland tasman "
    "tesla torvalds turing vancouver vaughan villard volta watt wiles wren wright zheng zuse"
)

_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_REST = _FIRST | frozenset("_.-")


def random_name(attempt: int = 0) -> str:
    """``adjective_surname``; later attempts, after a name was taken, end in a digit so that they run out less soon."""
    pick = int.from_bytes(os.urandom(8), "little")
    adjectives, surnames = _ADJECTIVES.split(), _SURNAMES.split()
    name = f"{adjectives[pick % len(adjectives)]}_{surnames[(pick >> 24) % len(surnames)]}"
    return f"{name}{(pick >> 48) % 10 ** min(attempt, 4)}" if attempt else name


def check_name(name: str) -> str:
    """``name`` without a leading slash.  Raises `InvalidArgument` for what Docker would not take as a name."""
    bare = name.removeprefix("/")
    if len(bare) < 2 or bare[0] not in _FIRST or not _REST.issuperset(bare):
        raise InvalidArgument(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            hint="at least two characters, the first a letter or digit",
        )
    return bare
