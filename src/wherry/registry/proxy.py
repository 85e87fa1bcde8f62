"""Which proxy a request goes through, by the rules of Go's ``httpproxy`` that Docker's users know."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from wherry.errors import InvalidArgument
from wherry.registry.address import is_loopback
from wherry.registry.config import Proxies


def from_environment(environ: Mapping[str, str]) -> Proxies:
    """What ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` say, upper case before lower, as Go reads them."""

    def get(name: str) -> str:
        return environ.get(name) or environ.get(name.lower(), "")

    http = "" if environ.get("REQUEST_METHOD") else get("HTTP_PROXY")  # in CGI it is a header of the client
    return Proxies(http, get("HTTPS_PROXY"), get("NO_PROXY"))


def proxy_for(proxies: Proxies, scheme: str, host: str, port: int) -> str:
    """The URL of the proxy for ``scheme://host:port``, empty for none.  Loopback is never asked through a proxy."""
    proxy = proxies.https if scheme == "https" else proxies.http
    if not proxy or is_loopback(host) or _excluded(proxies.no_proxy, host.strip("[]").lower(), port):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise InvalidArgument(f"proxies of the kind {proxy.partition('://')[0]!r} are not supported")
    return proxy


def _excluded(no_proxy: str, host: str, port: int) -> bool:
    return any(_covers(entry.strip().lower(), host, port) for entry in no_proxy.split(",") if entry.strip())


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    try:
        if "/" in entry:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        return ipaddress.ip_address(host) == ipaddress.ip_address(entry.strip("[]"))
    except ValueError:
        pass
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit():
        if int(number) != port:
            return False
        entry = name.strip("[]")
    if entry.startswith("*."):
        entry = entry[1:]
    if entry.startswith("."):
        return host.endswith(entry)
    return host == entry or host.endswith("." + entry)
