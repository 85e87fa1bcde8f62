"""The names in the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.network.known import Names, read
from wherry.network.model import Endpoint, EndpointSettings, to_json
from wherry.store import networks
from wherry.store.db import Database

WEB, DB, LONELY = "a" * 64, "b" * 64, "c" * 64
FRONT, BACK = "1" * 64, "2" * 64


class Store:
    def __init__(self, path: Path) -> None:
        self.db = Database(str(path / "wherry.db"))
        networks.create(self.db, networks.NetworkRow(FRONT, "Front", '{"driver":"bridge"}'))
        networks.create(self.db, networks.NetworkRow(BACK, "back", '{"driver":"bridge","internal":true}'))
        for identity, name in ((WEB, "web"), (DB, "DB"), (LONELY, "lonely")):
            values = (identity, name, "image", "{}", "running", 1, 0, 0, 0, 0, 0, "", 0, 0)
            columns = len(self.db.rows("PRAGMA table_info(containers)"))
            marks = ", ".join("?" * columns)
            self.db.execute(f"INSERT INTO containers VALUES ({marks})", values + ("",) * (columns - len(values)))

    def place(self, container: str, network: str, *addresses: str, **settings: tuple[str, ...]) -> None:
        row = networks.EndpointRow(
            container[:8] + network[:8], network, container, to_json(EndpointSettings(**settings))
        )
        networks.add_endpoint(self.db, row)
        ipv4, ipv6 = (*addresses, "")[:2]
        own = Endpoint(row.id, network, container, ipv4=ipv4, ipv6=ipv6, names=(container[:12],))
        networks.activate(self.db, row.id, ipv4.partition("/")[0], ipv6.partition("/")[0], to_json(own))

    @property
    def bridge(self) -> str:
        return networks.find(self.db, "bridge").id


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    one = Store(tmp_path)
    yield one
    one.db.close()


def test_name_alias_and_short_id_of_those_in_the_same_network(store: Store) -> None:
    store.place(WEB, FRONT, "172.18.0.2/16", "fd00::2/64", aliases=("www",))
    store.place(DB, FRONT, "172.18.0.3/16")
    store.place(LONELY, BACK, "172.19.0.2/16")
    known = read(store.db, DB)
    for name in ("web", "www", "a" * 12, "web.front"):
        assert known.find(name) == ("172.18.0.2", "fd00::2"), name
    assert known.find("db") == ("172.18.0.3",)
    assert known.find("lonely") is None
    assert known.names == {"172.18.0.2": "web.Front", "fd00::2": "web.Front", "172.18.0.3": "DB.Front"}
    assert known.forwards


def test_who_has_one_alias_together_is_found_together(store: Store) -> None:
    store.place(WEB, FRONT, "172.18.0.2/16", aliases=("pool",))
    store.place(DB, FRONT, "172.18.0.3/16", aliases=("pool",))
    assert read(store.db, WEB).find("pool") == ("172.18.0.2", "172.18.0.3")


def test_the_default_bridge_knows_no_names(store: Store) -> None:
    store.place(WEB, store.bridge, "172.17.0.2/16")
    store.place(DB, store.bridge, "172.17.0.3/16")
    known = read(store.db, WEB)
    assert known.find("db") is None and known.names == {} and known.forwards


def test_internal_networks_alone_forward_nothing(store: Store) -> None:
    store.place(WEB, BACK, "172.19.0.2/16")
    assert not read(store.db, WEB).forwards
    store.place(WEB, FRONT, "172.18.0.2/16")
    assert read(store.db, WEB).forwards


def test_links_are_names_for_one_container(store: Store) -> None:
    store.place(WEB, FRONT, "172.18.0.2/16", links=("DB:database",))
    store.place(DB, FRONT, "172.18.0.3/16")
    assert read(store.db, WEB).find("database") == ("172.18.0.3",)
    assert read(store.db, DB).find("database") is None


def test_what_has_changed_is_read_again(store: Store, tmp_path: Path) -> None:
    store.place(WEB, FRONT, "172.18.0.2/16")
    other = Database(str(tmp_path / "wherry.db"))
    names = Names(other, WEB)
    assert names() is names()
    assert names().find("db") is None
    store.place(DB, FRONT, "172.18.0.3/16")
    assert names().find("db") == ("172.18.0.3",)
    store.db.execute("UPDATE containers SET name = 'renamed' WHERE id = ?", (DB,))
    assert names().find("db") is None and names().find("renamed") == ("172.18.0.3",)
    networks.deactivate(store.db, DB)
    assert names().find("renamed") is None
    other.close()
