"""The three files of /etc that a container does not take from its image: hosts, hostname, resolv.conf.  Pure."""

from __future__ import annotations

from wherry.errors import InvalidArgument

_HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


def hostname(name: str) -> str:
    """The content of /etc/hostname."""
    return f"{name}\n"


def hosts(
    name: str,
    domain: str = "",
    *,
    addresses: tuple[str, ...] = (),
    extra: tuple[str, ...] = (),
    gateway: str = "",
    base: str = "",
) -> str:
    """The content of /etc/hosts (hosts(5)): local names, ``--add-host``, then the container's own addresses.

    ``base`` is the host's file for containers on the host's network, which then stands in for the local names.
    ``gateway`` is what ``host-gateway`` in an ``extra`` entry stands for.
    """
    text = base if base else _HOSTS
    if text and not text.endswith("\n"):
        text += "\n"
    for entry in extra:
        host, address = _extra(entry)
        if address == "host-gateway":
            if not gateway:
                raise InvalidArgument("unable to derive the IP value for host-gateway")
            address = gateway
        text += f"{address}\t{host}\n"
    names = f"{name}.{domain} {name}" if domain else name
    for address in addresses:
        text += f"{address}\t{names}\n"
    return text


def _extra(entry: str) -> tuple[str, str]:
    separator = "=" if "=" in entry.partition(":")[0] else ":"
    host, _separator, address = entry.partition(separator)
    if address[:1] == "[" and address[-1:] == "]":
        address = address[1:-1]
    return host, address


def resolv_conf(
    host: str,
    *,
    servers: tuple[str, ...] = (),
    search: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
    dots: str = "",
    host_network: bool = False,
) -> str:
    """The content of /etc/resolv.conf (resolv.conf(5)): the host's, with ``--dns``, ``--dns-search``, ``--dns-option``.
    ``dots`` is an option to add where none is like it ("ndots:0").

    Servers on the host's loopback cannot be reached from another network namespace and are left out; when none is left,
    there is none, unless ``host_network``.  A search domain of "." means no search list.
    """
    found: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    for line in host.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            if host_network or not _loopback(words[1]):
                found["nameserver"].append(words[1])
        elif words[0] in ("search", "domain"):
            found["search"] = words[1:]
        elif words[0] == "options":
            found["options"] += words[1:]
    if servers:
        found["nameserver"] = list(servers)
    if search:
        found["search"] = [] if search == (".",) else list(search)
    if options:
        found["options"] = list(options)
    if dots and not any(option.startswith("ndots:") for option in found["options"]):
        found["options"].append(dots)
    text = "".join([f"nameserver {server}\n" for server in found["nameserver"]])
    for key in ("search", "options"):
        if found[key]:
            text += f"{key} {' '.join(found[key])}\n"
    return text


def reachable(host: str) -> bool:
    """Whether a resolv.conf of the host's names a server that other network namespaces reach."""
    lines = [line.split() for line in host.splitlines()]
    return any(words[0] == "nameserver" and not _loopback(words[1]) for words in lines if len(words) > 1)


def _loopback(address: str) -> bool:
    return address.startswith(("127.", "::1%")) or address in ("::1", "localhost")
