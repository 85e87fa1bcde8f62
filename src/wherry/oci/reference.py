"""Image references as Docker reads them: ``[domain[:port]/]path[:tag][@digest]``.

The grammar and the normalisation (``nginx`` is ``docker.io/library/nginx``) are those of
github.com/distribution/reference, error texts included.  Written without ``re``: `run` parses one at every start.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.oci import digest as digests
from wherry.record import Record

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_OFFICIAL = "library/"
_MAX_PATH = 255
_MAX_TAG = 128

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALNUM = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD = _ALNUM | {"_"}
_TAG = _WORD | {".", "-"}
_IPV6 = frozenset("0123456789abcdefABCDEF:")


class Reference(Record):
    """A normalised name.  ``tag`` and ``digest`` are empty when they were not given (see `tagged`)."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The repository with its domain: ``docker.io/library/nginx``."""
        return f"{self.domain}/{self.path}"

    @property
    def identifier(self) -> str:
        """What to ask the registry for: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or DEFAULT_TAG

    def tagged(self) -> Reference:
        """The same reference, with the tag ``latest`` when it has neither tag nor digest."""
        return self if self.tag or self.digest else self.replace(tag=DEFAULT_TAG)

    def familiar_name(self) -> str:
        """The repository as people write it: ``nginx``, ``user/app``, ``ghcr.io/org/app``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in short else short

    def familiar(self) -> str:
        """The whole reference as people write it: ``nginx:latest``."""
        return self.familiar_name() + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix()


def parse(text: str) -> Reference:
    """The reference that ``text`` means.  Raises `InvalidArgument` in Docker's words."""
    if len(text) == 64 and digests.is_hex(text):
        raise InvalidArgument(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, rest = _split_domain(text)
    name, at, digest = rest.partition("@")
    path, colon, tag = name.partition(":")
    if path != path.lower() and _is_path(path.lower()):
        raise InvalidArgument(f"invalid reference format: repository name ({path}) must be lowercase")
    if not _is_path(path) or not is_domain(domain) or (colon and not is_tag(tag)):
        raise InvalidArgument("invalid reference format", hint=_explain(text))
    if at and not digests.is_digest(digest):
        try:
            digests.parse(digest)
        except InvalidArgument as error:
            raise InvalidArgument("invalid reference format", hint=error.message) from None
    if len(path) > _MAX_PATH:
        raise InvalidArgument(f"repository name must not be more than {_MAX_PATH} characters")
    return Reference(domain, path, tag, digest)


def _explain(text: str) -> str:
    return f"{text[:300]!r} is not of the form [registry/]name[:tag][@digest]"


def _split_domain(text: str) -> tuple[str, str]:
    head, slash, tail = text.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost" or head.lower() != head):
        domain, rest = head, tail
    else:
        domain, rest = DEFAULT_DOMAIN, text
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in rest.partition("@")[0]:
        rest = _OFFICIAL + rest
    return domain, rest


def is_domain(text: str) -> bool:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host = text
    elif not (port.isascii() and port.isdigit()):
        return False
    if host.startswith("[") and host.endswith("]"):
        return len(host) > 2 and _IPV6.issuperset(host[1:-1])
    for label in host.split("."):
        if not label or label[0] == "-" or label[-1] == "-" or not _ALNUM.issuperset(label.replace("-", "")):
            return False
    return True


def _is_path(text: str) -> bool:
    return all(_is_component(part) for part in text.split("/"))


def _is_component(text: str) -> bool:
    """Lower-case words joined by one of ``.``, ``_``, ``__`` or any number of ``-``."""
    if not text or text[0] not in _LOWER or text[-1] not in _LOWER:
        return False
    separator = ""
    for character in text:
        if character in _LOWER:
            if separator not in ("", ".", "_", "__") and separator.strip("-"):
                return False
            separator = ""
        elif character in "._-":
            separator += character
        else:
            return False
    return True


def is_tag(text: str) -> bool:
    """Whether ``text`` may stand after the colon."""
    return 0 < len(text) <= _MAX_TAG and text[0] in _WORD and _TAG.issuperset(text)
