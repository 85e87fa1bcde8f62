"""`wherry login`."""

from __future__ import annotations

import sys

from wherry.cli import prompt
from wherry.cli.parser import Command
from wherry.errors import InvalidArgument, Unauthorized, WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.main import Call
    from wherry.engine.login import LoggedIn

# fmt: off
COMMAND = Command(
    paths=("login",),
    usage="[OPTIONS] [SERVER]",
    summary="Authenticate to a registry",
    description="Without **SERVER** it is Docker Hub. The credentials are shown to the registry and kept only when it "
    "takes them: with the credential helper that **~/.docker/config.json** names for the registry (**credHelpers**, "
    "**credsStore**), else in that file, which Docker and other tools share. What is missing is asked for.",
    most=1,
    options=(
        ("password", "p", "string", "", "Password or Personal Access Token (PAT)"),
        ("password-stdin", "", "bool", "", "Take the Password or Personal Access Token (PAT) from stdin"),
        ("username", "u", "string", "", "Username"),
    ),
    example="printf %s \"$TOKEN\" | wherry login -u me --password-stdin registry.example:5000",
)
# fmt: on

_MAX_PASSWORD = 1 << 16
_WARNING = """
WARNING! Your credentials are stored unencrypted in '{}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""


def main(call: Call) -> int:
    """Logs in with what was given, with what is kept already, or with what is typed."""
    server = call.arguments[0] if call.arguments else ""
    username, password = call.get("username", ""), call.get("password", "")
    if password:
        _say("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
        if call.get("password-stdin"):
            raise InvalidArgument("--password and --password-stdin are mutually exclusive")
    if call.get("password-stdin"):
        if not username:
            raise InvalidArgument("Must provide --username with --password-stdin")
        password = _from_stdin()
    done = None if username or password else _as_before(call, server)
    if done is None:
        from wherry.engine.login import login

        username, password = _complete(call, server, username, password)
        done = login(call.here(), server, username, password)
    if done.kept_in:
        _say(_WARNING.format(done.kept_in))
    print("Login Succeeded")
    return 0


def _from_stdin() -> str:
    body = sys.stdin.buffer.read(_MAX_PASSWORD + 1)
    if len(body) > _MAX_PASSWORD:
        raise InvalidArgument(f"the password on standard input is longer than {_MAX_PASSWORD} bytes")
    text = body.decode(errors="surrogateescape")
    return text.removesuffix("\n").removesuffix("\r")


def _as_before(call: Call, server: str) -> LoggedIn | None:
    """Logs in with what is kept; None when there is nothing, or it is not taken and somebody can be asked."""
    from wherry.engine.login import known, login_again

    credential = known(call.here(), server)
    if credential is None or credential.registry_token:
        return None
    print(f"Authenticating with existing credentials... [Username: {credential.username or '<token>'}]")
    try:
        return login_again(call.here(), server, credential)
    except Unauthorized as error:
        if not prompt.is_terminal():
            raise
        _say(f"Login did not succeed, error: {error.message}")
        return None


def _complete(call: Call, server: str, username: str, password: str) -> tuple[str, str]:
    """Asks for what is missing."""
    from wherry.engine.login import known

    if not (username and password) and not prompt.is_terminal():
        raise WherryError("Cannot perform an interactive login from a non TTY device", hint="use --password-stdin")
    if not username:
        before = known(call.here(), server)
        usual = before.username if before else ""
        username = prompt.ask(f"Username ({usual}): " if usual else "Username: ").strip() or usual
        if not username:
            raise InvalidArgument("Non-null Username Required")
    if not password:
        password = prompt.ask_secret("Password: ")
        if not password:
            raise InvalidArgument("Password Required")
    return username, password


def _say(text: str) -> None:
    print(text, file=sys.stderr)
