"""The rules of one store's networks: one table of our own, which nobody else's rules are mixed with.

A published port is one element of a map, a network a few chains; both come and go in one transaction each.  Who flushed
the table (``nft flush ruleset``) is found out at the next `Firewall.up`.  docs/decisions/0110-firewall.md has the table
and the reasons.
"""

from __future__ import annotations

import errno

from wherry.errors import Forbidden, NotSupported, SystemFailure, WherryError
from wherry.linux import nftables as nft
from wherry.linux.netlink import NetlinkFailure
from wherry.linux.nftables import Batch, Connection
from wherry.network import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wherry.network.model import Network, PublishedPort

DEFAULT_TABLE = "wherry"
_OTHERS_STATE = (errno.EEXIST, errno.EBUSY, errno.ENOENT)  # the table is not what the database says
_MISSING = (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT)


def table_name(root: str, default_root: str = "/var/lib/wherry") -> str:
    """The table of the store at ``root``: several stores live side by side."""
    if root == default_root:
        return DEFAULT_TABLE
    from zlib import crc32

    return f"{DEFAULT_TABLE}-{crc32(root.encode()):08x}"


class Firewall:
    """The table ``table``.  ``guard``: see `rules.skeleton`.

    The database says what should be in it.  Rows are committed before `up` and deleted before `withdraw` and
    `remove`; `rebuild` is called in a transaction of the database, with what that has: then nothing is lost or left
    when several processes do these at once.

    Methods raise `NotSupported` when the kernel has no nf_tables and something is to be there, `Forbidden` without
    CAP_NET_ADMIN.
    """

    def __init__(self, table: str, *, guard: bool = False) -> None:
        self._table = table
        self._guard = guard

    def up(self, network: Network, ports: Sequence[PublishedPort] = ()) -> bool:
        """Whether the network's rules are in place and its ports answer now; False: `rebuild` is needed.

        That is so for a new network, after somebody flushed the rules, and where a process that was killed left
        elements behind.  Costs one question, and one transaction when there are ports.
        """
        try:
            with Connection() as connection:
                if connection.chain_use(self._table, f"to-{network.bridge}") != len(rules.entering(network)) + 1:
                    return False
                batch = Batch(self._table)
                for name, elements in _elements([network], ports).items():
                    batch.add_elements(name, elements)
                connection.commit(batch)
        except SystemFailure as error:
            if isinstance(error, NetlinkFailure) and error.errno in _OTHERS_STATE:
                return False
            raise _failure(error) from None
        return True

    def has(self, network: Network) -> bool:
        """Whether a network has rules at all, be they another version's."""
        try:
            with Connection() as connection:
                return connection.chain_use(self._table, f"to-{network.bridge}") > 1
        except SystemFailure as error:
            raise _failure(error) from None

    def watch(self, restore: Callable[[], None]) -> RulesWatch:
        """Look out for whoever else deletes rules."""
        return RulesWatch(self._table, restore)

    def bridges(self) -> list[str]:
        """The bridges of the networks that have rules."""
        try:
            with Connection() as connection:
                return [element.key.rstrip(b"\0").decode() for element in connection.elements(self._table, "entering")]
        except SystemFailure as error:
            raise _failure(error) from None

    def rebuild(self, networks: Sequence[Network], ports: Sequence[PublishedPort]) -> None:
        """Make the table what these networks with bridges and these ports want, at one instant.

        Connections that exist go on.  Without networks there is no table afterwards.
        """
        batch = Batch(self._table)
        batch.add_table()
        batch.delete_table()
        if networks:
            rules.skeleton(batch, guard=self._guard)
            for network in networks:
                rules.add_network(batch, network)
            for name, elements in _elements(networks, ports).items():
                batch.add_elements(name, elements)
        try:
            self._commit(batch)
        except NotSupported:
            if networks:
                raise

    def remove(self, network: Network) -> None:
        """Take a network's rules away; the table is the caller's to end, by `rebuild` without networks."""
        batch = Batch(self._table)
        rules.delete_network(batch, network)
        try:
            self._commit(batch)
        except NotSupported:
            return
        except SystemFailure as error:
            if error.errno != errno.ENOENT:
                raise

    def withdraw(self, network: Network, ports: Iterable[PublishedPort]) -> None:
        """Take published ports back; those that are not there are not."""
        found = _elements([network], list(ports))
        if not found:
            return
        try:
            with Connection() as connection:
                try:
                    batch = Batch(self._table)
                    for name, elements in found.items():
                        batch.delete_elements(name, elements)
                    connection.commit(batch)
                except NetlinkFailure as error:
                    if error.errno != errno.ENOENT:
                        raise
                    self._withdraw_each(found)
        except SystemFailure as error:
            failure = _failure(error)
            if not isinstance(failure, NotSupported):
                raise failure from None

    def _withdraw_each(self, found: dict[str, list[nft.Element]]) -> None:
        for name, elements in found.items():
            for element in elements:
                batch = Batch(self._table)
                batch.delete_elements(name, [element])
                with Connection() as connection:
                    try:
                        connection.commit(batch)
                    except NetlinkFailure as error:
                        if error.errno != errno.ENOENT:
                            raise

    def _commit(self, batch: Batch) -> None:
        try:
            with Connection() as connection:
                connection.commit(batch)
        except SystemFailure as error:
            raise _failure(error) from None


class RulesWatch:
    """Looks out for whoever deletes rules of a table: ``look`` is to be called when ``fd`` is readable.

    Other changes, and our own, are filtered out in the kernel, so that a container is not woken by what other programs
    and other containers do.  ``restore`` is called without asking which rules they were.  Raises `SystemFailure`.
    """

    def __init__(self, table: str, restore: Callable[[], None]) -> None:
        self._restore = restore
        self._socket = nft.deletions(table)
        self.fd = self._socket.fileno()

    def look(self) -> None:
        """See what it was; a failure is left to the next start, which looks again."""
        nft.drain(self._socket)
        try:
            self._restore()
        except WherryError:
            return

    def close(self) -> None:
        """Look no more."""
        self._socket.close()


def _elements(networks: Sequence[Network], ports: Sequence[PublishedPort]) -> dict[str, list[nft.Element]]:
    if not ports:
        return {}
    routed = {
        (network.id, digit)
        for network in networks
        for digit, mode in ((4, network.gateway_mode_ipv4), (6, network.gateway_mode_ipv6))
        if mode == "routed"
    }
    direct = [port for port in ports if (port.network_id, 6 if ":" in port.container_ip else 4) in routed]
    return rules.ports([port for port in ports if port not in direct] if direct else ports, direct)


def obstacles() -> list[str]:
    """What in other programs' rules may drop the packets of networks, a line each (for a warning).

    Every table has a say: what another one drops we cannot accept.  Only chains that drop what they do not know are
    looked at (firewalld's says so in its last rule); whether they let the bridge through is not.
    """
    try:
        with Connection() as connection:
            chains = connection.base_chains()
    except SystemFailure:
        return []
    families = {nft.INET: "inet", nft.IPV4: "ip", nft.IPV6: "ip6"}
    return [
        f"Packets of networks may be dropped: chain {chain.name} of table {families[chain.family]} {chain.table} "
        "drops what it does not know"
        for chain in chains
        if chain.hook == nft.FORWARD
        and chain.family in families
        and (chain.policy == nft.DROP or (chain.table, chain.name) == ("firewalld", "filter_FORWARD"))
    ]


def _failure(error: SystemFailure) -> Forbidden | NotSupported | SystemFailure:
    number = error.errno
    if number in (errno.EPERM, errno.EACCES):
        return Forbidden("changing the host's firewall needs CAP_NET_ADMIN", hint="use --network host or none")
    if number in _MISSING and not _has_nftables():
        return NotSupported(
            "this kernel has no nf_tables, which bridge networks need",
            hint="load it with `modprobe nf_tables`, or use --network host or none",
        )
    return error


def _has_nftables() -> bool:
    """Whether the kernel knows tables of the family inet at all."""
    try:
        with Connection() as connection:
            connection.chain_use("wherry", "-")
    except SystemFailure:
        return False
    return True
