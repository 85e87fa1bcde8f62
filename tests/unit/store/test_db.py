"""The database: made once, shared by threads and processes, all or nothing."""

from __future__ import annotations

import gc
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from wherry.errors import Corrupt, NotSupported
from wherry.store import db as databases
from wherry.store import volumes
from wherry.store.db import Database
from wherry.store.volumes import VolumeRow


def in_children(count: int, work: object) -> list[int]:
    """Runs ``work(number)`` in processes of their own; their exit statuses."""
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(number)  # type: ignore[operator]
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def test_many_processes_make_it_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")

    def work(number: int) -> None:
        volumes.create(Database(path), VolumeRow(f"volume{number}"))

    assert in_children(12, work) == [0] * 12
    assert len(volumes.list_all(Database(path))) == 12
    Database(path).check()


def test_threads_have_connections_of_their_own(db: Database) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                volumes.create(db, VolumeRow(f"v{number}-{step}"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(volumes.list_all(db)) == 60


def test_the_connection_of_a_thread_ends_with_it(db: Database) -> None:
    """One that stayed would be there in a child that is forked later."""

    thread = threading.Thread(target=lambda: db.rows("SELECT * FROM images"))
    before = {id(one) for one in gc.get_objects() if isinstance(one, sqlite3.Connection)}
    thread.start()
    thread.join()
    left = [one for one in gc.get_objects() if isinstance(one, sqlite3.Connection) and id(one) not in before]
    for one in left:  # it is garbage, but not collected
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            _ = one.total_changes
    assert db.rows("SELECT * FROM images") == []


def test_a_forked_child_opens_its_own(db: Database) -> None:
    volumes.create(db, VolumeRow("before"))

    def work(_number: int) -> None:
        volumes.create(db, VolumeRow("child"))

    assert in_children(1, work) == [0]
    assert [row.name for row in volumes.list_all(db)] == ["before", "child"]
    db.check()


def test_transactions_are_all_or_nothing(db: Database) -> None:
    with pytest.raises(RuntimeError), db.transaction():
        volumes.create(db, VolumeRow("first"))
        with db.transaction():
            volumes.create(db, VolumeRow("second"))
        raise RuntimeError
    assert volumes.list_all(db) == []
    with db.transaction():
        volumes.create(db, VolumeRow("third"))
    assert len(volumes.list_all(db)) == 1


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    volumes.list_all(Database(str(path)))
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version={len(databases.MIGRATIONS) + 1}")
    raw.close()
    with pytest.raises(NotSupported, match="newer Wherry"):
        volumes.list_all(Database(str(path)))


def test_migrations_are_applied_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "x.db")
    volumes.create(Database(path), VolumeRow("kept"))
    more = (*databases.MIGRATIONS, ("CREATE TABLE later (a)", "INSERT INTO later VALUES (1)"))
    monkeypatch.setattr(databases, "MIGRATIONS", more)
    assert Database(path).row("SELECT a FROM later") == (1,)
    assert volumes.get(Database(path), "kept").name == "kept"


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "x.db")
    volumes.create(Database(path), VolumeRow("kept"))
    before = databases.MIGRATIONS
    monkeypatch.setattr(databases, "MIGRATIONS", (*before, ("CREATE TABLE later (a)", "CREATE TABLE nonsense")))
    with pytest.raises(Exception, match="database"):
        volumes.list_all(Database(path))
    monkeypatch.setattr(databases, "MIGRATIONS", before)
    assert [row.name for row in volumes.list_all(Database(path))] == ["kept"]


def test_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(Corrupt):
        volumes.list_all(Database(str(path)))


def test_files_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        volumes.create(Database(str(tmp_path / "x.db")), VolumeRow("v1"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
