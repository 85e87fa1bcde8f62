"""What else may be asked for of one interface: its name, parameters of the kernel, link-local addresses.  Pure.

They are Docker's ``--driver-opt`` of a container's place in a network and ``--link-local-ip``
(docs.docker.com, "docker network connect"; Docker 27 for ``sysctls``, 28 for ``ifname``).
"""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotSupported
from wherry.network.addresses import Range, normal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.network.model import EndpointSettings, Network, Pairs

_OURS = "com.docker.network."  # of Docker's drivers; whatever else there is is for other drivers, and kept
_SYSCTLS = "com.docker.network.endpoint.sysctls"
_NAME = "com.docker.network.endpoint.ifname"
_LONGEST_NAME = 15  # IFNAMSIZ, less the byte that ends it
_LINK_LOCAL = (("169.254.0.0/16", 16), ("fe80::/10", 64))


def check(network: Network, settings: EndpointSettings) -> None:
    """Raises `InvalidArgument` for what cannot be, `NotSupported` for options that this engine does not know."""
    for name, _value in settings.driver_options:
        if name.startswith(_OURS) and name not in (_SYSCTLS, _NAME):
            raise NotSupported(
                f"the driver option {name} of an endpoint is not supported", hint=f"there are {_SYSCTLS} and {_NAME}"
            )
    interface_name(settings)
    sysctls(settings, "eth0")
    for address in link_local(settings):
        if ":" in address and network.ipv6 is None:
            raise InvalidArgument(
                f"invalid link-local address {address}: network {network.name} has no IPv6",
                hint="create it with --ipv6",
            )


def interface_name(settings: EndpointSettings) -> str:
    """What the interface is to be called, or "".  Raises `InvalidArgument` for what the kernel does not take."""
    name = dict(settings.driver_options).get(_NAME, "")
    if name and (len(name) > _LONGEST_NAME or name in (".", "..", "lo") or set(name) & set("/: ") or not name.isascii()
                 or not name.isprintable()):  # fmt: skip
        raise InvalidArgument(
            f"invalid interface name: {name!r}", hint=f"at most {_LONGEST_NAME} characters, none of / : and blank"
        )
    return name


def sysctls(settings: EndpointSettings, interface: str) -> Pairs:
    """Parameters of the interface by their paths in /proc/sys.  Raises `InvalidArgument`, in Docker's words."""
    text = dict(settings.driver_options).get(_SYSCTLS, "")
    found = []
    for one in text.split(",") if text else ():
        key, equals, value = one.partition("=")
        parts = key.split(".")
        if not equals or len(parts) != 5 or parts[0] != "net" or parts[3] != "IFNAME" or not all(map(_is_word, parts)):
            raise InvalidArgument(
                f"invalid sysctl setting {one!r} for an interface",
                hint="write for example net.ipv4.conf.IFNAME.log_martians=1",
            )
        parts[3] = interface
        found.append(("/".join(parts), value))
    return tuple(found)


def _is_word(text: str) -> bool:
    return bool(text) and text.isascii() and text.replace("_", "").replace("-", "").isalnum()


def link_local(settings: EndpointSettings) -> tuple[str, ...]:
    """The addresses, with prefixes.  Raises `InvalidArgument` for others."""
    found = []
    for text in settings.link_local:
        address = normal(text)
        prefix = next((prefix for subnet, prefix in _LINK_LOCAL if Range(subnet).holds(address)), 0)
        if not prefix:
            raise InvalidArgument(f"invalid link-local IP address: {text}", hint="one of 169.254.0.0/16 or fe80::/10")
        found.append(f"{address}/{prefix}")
    return tuple(found)
