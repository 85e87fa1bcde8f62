"""``docker login`` and ``docker logout``: credentials shown to a registry, and kept or forgotten."""

from __future__ import annotations

from wherry.engine.registries import registry_config
from wherry.errors import InvalidArgument
from wherry.record import Record
from wherry.registry import login as logins_at_registries
from wherry.registry import logins
from wherry.registry.credentials import Credential, Credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine


class LoggedIn(Record):
    """``kept_in`` is the file in which the password stands, empty when a helper keeps it or a token took its place."""

    host: str
    username: str
    kept_in: str


class LoggedOut(Record):
    """``name`` is what Docker calls the registry; ``problems`` are what a credential helper complained of."""

    name: str
    problems: tuple[str, ...]


def known(engine: Engine, server: str = "") -> Credential | None:
    """The credential that there is for a registry already (empty: Docker Hub's)."""
    return Credentials(_file(engine)).get(logins_at_registries.host_of_server(server))


def login(engine: Engine, server: str, username: str, password: str) -> LoggedIn:
    """Shows the credentials to the registry ``server`` and keeps them when it takes them.

    Where its token server gives an identity token, that is kept instead of the password.  Raises `InvalidArgument`,
    `Unauthorized`, `Unavailable`; nothing is kept then, and nothing is sent when the file of logins is malformed.
    """
    _check(username, password)
    return _login(engine, server, Credential(username, password))


def login_again(engine: Engine, server: str, credential: Credential) -> LoggedIn:
    """Shows the registry what is kept for it already.  Raises as `login`."""
    return _login(engine, server, credential)


def verify(engine: Engine, server: str, username: str, password: str) -> str:
    """Shows the credentials to the registry and keeps nothing; the identity token that it gives for them, or "".

    Raises as `login`.
    """
    _check(username, password)
    host = logins_at_registries.host_of_server(server)
    return logins_at_registries.log_in(registry_config(engine), host, Credential(username, password))


def _check(username: str, password: str) -> None:
    if not username or not password or ":" in username or "\0" in username + password:
        raise InvalidArgument("a user name (without a colon) and a password are required")


def _login(engine: Engine, server: str, credential: Credential) -> LoggedIn:
    host = logins_at_registries.host_of_server(server)
    path = _file(engine)
    logins.check(path)
    token = logins_at_registries.log_in(registry_config(engine), host, credential)
    if token:
        credential = Credential(credential.username, identity_token=token)
    kept_in = logins.keep(path, host, credential)
    return LoggedIn(host, credential.username, "" if credential.identity_token else kept_in)


def logout(engine: Engine, server: str = "") -> LoggedOut:
    """Forgets the credentials for a registry (empty: Docker Hub's); no error when there are none.

    Raises `InvalidArgument` when the file of logins is malformed; it is left as it is then.
    """
    host = logins_at_registries.host_of_server(server)
    return LoggedOut(logins.key_of(host), logins.forget(_file(engine), host))


def _file(engine: Engine) -> str:
    return f"{engine.paths.docker_config}/config.json"
