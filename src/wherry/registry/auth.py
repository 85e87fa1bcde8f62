"""Authentication with one registry: Basic, and Docker's tokens (distribution project, "Token Authentication").

A registry answers 401 with a challenge; from then on every request carries a header that is made from it.  Tokens are
kept per scope until shortly before they expire; a 401 for one that should be good is answered once with a new one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from wherry.errors import Corrupt, Forbidden, Unauthorized, Unavailable
from wherry.record import Record
from wherry.registry.config import Endpoint
from wherry.registry.credentials import Credential
from wherry.registry.failures import Problem, is_transient, printable, read_problem, refused, unauthorized
from wherry.registry.retry import retry_after
from wherry.registry.transport import Response, Transport, origin

_MAX_CHALLENGE = 8 << 10
_MAX_TOKEN = 256 << 10
_DEFAULT_LIFE = 60
_MAX_SCOPES = 8
_REPOSITORY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:")
_NAME = frozenset("!#$%&'*+-.^_`|~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


class Challenge(Record):
    """One challenge of a ``WWW-Authenticate`` header (RFC 9110, 11.3); names and scheme in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """A parameter's value, empty when it is not there."""
        return dict(self.parameters).get(name, "")


class AnonymousRefused(Unauthorized):
    """The registry wants credentials, and there are none."""


class Authorizer:
    """The authentication of one endpoint, shared by threads.

    With ``offline`` the token server is asked for an ``identity_token`` (OAuth2: refresh token) to keep instead of the
    password; it is empty where there is none.  Scopes are written ``repository:NAME:ACTIONS``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        transport: Transport,
        credential: Callable[[], Credential | None],
        clock: Callable[[], float] = time.monotonic,
        *,
        offline: bool = False,
    ) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._credential = credential
        self._clock = clock
        self._offline = offline
        self.identity_token = ""
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    def header(self, scopes: Iterable[str]) -> str:
        """The ``Authorization`` header to send for ``scopes`` by what is known so far; empty for none."""
        with self._lock:
            if self._challenge is None:
                return ""
            return self._make(self._challenge, _scopes(scopes))

    def answer(self, response: Response, scopes: Iterable[str], sent: str) -> str:
        """The header to send again after ``response`` answered 401 to a request with the header ``sent``.

        Raises `AnonymousRefused` when there is nothing to send, `Unauthorized` when what there is was refused.
        """
        offered = parse_challenges(response.headers.getlist("www-authenticate"))
        chosen = next((one for kind in ("bearer", "basic") for one in offered if one.scheme == kind), None)
        problem = read_problem(response.read_some())
        if chosen is None:
            raise unauthorized(problem)
        with self._lock:
            asked = _scopes(scopes)
            wider = _scopes(asked, chosen.get("scope").split(" "))
            self._challenge = chosen
            for key, (token, _) in list(self._tokens.items()):
                if f"Bearer {token}" == sent:
                    del self._tokens[key]
            made = self._make(chosen, wider)
            if wider in self._tokens:
                self._tokens[asked] = self._tokens[wider]
        if not made:
            raise AnonymousRefused("no basic auth credentials")
        if made == sent:
            raise unauthorized(problem)
        return made

    def _make(self, challenge: Challenge, scopes: tuple[str, ...]) -> str:
        credential = self._credential()
        if challenge.scheme == "basic":
            return credential.basic() if credential and credential.username and credential.password else ""
        if credential and credential.registry_token:
            return f"Bearer {_clean_token(credential.registry_token)}"
        token, ends = self._tokens.get(scopes, ("", 0.0))
        if not token or self._clock() >= ends:
            token, life = self._fetch(challenge, scopes, credential)
            self._tokens[scopes] = (token, self._clock() + life - min(10.0, life / 4))
        return f"Bearer {token}"

    def _fetch(self, challenge: Challenge, scopes: tuple[str, ...], credential: Credential | None) -> tuple[str, float]:
        realm = self._check_realm(challenge.get("realm"))
        query = [("service", challenge.get("service"))] if challenge.get("service") else []
        if credential and credential.identity_token:
            fields = [("grant_type", "refresh_token"), ("refresh_token", credential.identity_token)]
            fields += [*query, ("client_id", "wherry"), ("scope", " ".join(scopes))]
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
            body = urlencode(fields).encode()
            response = self._transport.visit(self._endpoint, "POST", realm, headers, body=body)
        else:
            query += [("scope", scope) for scope in scopes]
            authorization = ""
            if credential and credential.username:
                query.insert(0, ("account", credential.username))
                authorization = credential.basic()
                if self._offline:
                    query += [("offline_token", "true"), ("client_id", "wherry")]
            parts = urlsplit(realm)
            joined = "&".join(part for part in (parts.query, urlencode(query)) if part)
            url = urlunsplit(parts._replace(query=joined, fragment=""))
            headers = {"Accept": "application/json"}
            response = self._transport.visit(self._endpoint, "GET", url, headers, authorization)
        return self._read_token(response, realm, credential is not None)

    def _check_realm(self, realm: str) -> str:
        where = f"registry {self._endpoint.host}: token server"
        if not realm:
            raise Unavailable(f"{where}: the challenge names none")
        target = origin(realm)
        if not self._transport.is_confidential(self._endpoint, realm):
            raise Forbidden(
                f"{where} {target.netloc} has no TLS: refusing to ask it",
                hint="if that is on purpose, set insecure = true for its host in registries.toml",
            )
        return realm

    def _read_token(self, response: Response, realm: str, known: bool) -> tuple[str, float]:
        where = f"failed to fetch a token from {origin(realm).netloc}"
        if response.status != 200:
            problem = read_problem(response.read_some())
            if response.status in (401, 403):
                if known:
                    raise unauthorized(problem if problem.message else Problem("", "the credentials were refused"))
                raise AnonymousRefused(problem.message or "authentication required")
            if is_transient(response.status):
                raise refused(where, response.status, problem, retry_after(response.headers.get("retry-after")))
            tail = f": {problem}" if str(problem) else ""
            raise Unavailable(f"{where}: received unexpected HTTP status: {response.status}{tail}")
        try:
            value: Any = json.loads(response.read_all(_MAX_TOKEN, "the token"))
        except (ValueError, RecursionError, Corrupt):
            raise Unavailable(f"{where}: the answer is not a token") from None
        value = value if isinstance(value, dict) else {}
        token = _clean_token(value.get("token") or value.get("access_token"))
        if not token:
            raise Unavailable(f"{where}: authorization server did not include a token in the response")
        if self._offline:
            self.identity_token = _clean_token(value.get("refresh_token"))
        life = value.get("expires_in")
        good = isinstance(life, int | float) and not isinstance(life, bool) and life > 0
        return token, float(min(life, 86400)) if good else _DEFAULT_LIFE


def _clean_token(text: object) -> str:
    """``text`` if it can stand in a header, else nothing."""
    return text if isinstance(text, str) and text.isascii() and text.isprintable() and " " not in text else ""


def _scopes(own: Iterable[str], offered: Iterable[str] = ()) -> tuple[str, ...]:
    """Our ``own`` scopes and those that a server asks for, merged by resource, in a fixed order.

    Of what is ``offered`` only ``pull`` of repositories is taken: who wants to do more says so.
    """
    found = {scope.rpartition(":")[0]: scope for scope in own}
    for scope in (scope for scope in offered if len(scope) < 1000):
        resource, _, actions = scope.rpartition(":")
        kind, _, name = resource.partition(":")
        if kind == "repository" and name and _REPOSITORY.issuperset(name) and "pull" in actions.split(","):
            found.setdefault(resource, f"{resource}:pull")
    return tuple(sorted(found.values())[:_MAX_SCOPES])


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges of ``WWW-Authenticate`` headers, in order.  What cannot be read ends the list."""
    found: list[Challenge] = []
    for header in headers:
        found += _Reader(header[:_MAX_CHALLENGE]).challenges()
    return tuple(found)


class _Reader:
    """A header with its position: ``scheme [name=value | name="value"] [, …]``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def challenges(self) -> list[Challenge]:
        found: list[tuple[str, dict[str, str]]] = []
        while True:
            self._skip(" \t,")
            word = self._word()
            if not word:
                break
            self._skip(" \t")
            if self._peek() == "=" and found:
                self._at += 1
                self._skip(" \t")
                value = self._value()
                if value is None:
                    break
                found[-1][1].setdefault(word.lower(), value)
            else:
                found.append((word.lower(), {}))
        return [Challenge(scheme, tuple(values.items())) for scheme, values in found]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, characters: str) -> None:
        while self._peek() and self._peek() in characters:
            self._at += 1

    def _word(self) -> str:
        start = self._at
        while self._peek() in _NAME:
            self._at += 1
        return self._text[start : self._at]

    def _value(self) -> str | None:
        if self._peek() != '"':
            start = self._at
            while self._peek() and self._peek() not in ", \t":
                self._at += 1
            return self._text[start : self._at]
        self._at += 1
        pieces = []
        while (character := self._peek()) != '"':
            if character == "\\":
                self._at += 1
                character = self._peek()
            if not character:
                return None
            pieces.append(character)
            self._at += 1
        self._at += 1
        return printable("".join(pieces), 4096)
