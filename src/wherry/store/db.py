"""The database: one SQLite file in WAL mode, opened at every command.

Opening costs about half a millisecond and a write a tenth, because ``synchronous=NORMAL`` leaves the write-ahead log to
the kernel until a checkpoint: a crash of Wherry loses nothing, a power failure may lose the last moments but never
breaks the file (https://sqlite.org/wal.html).  Closing the last connection would checkpoint and cost ten times
as much, so short-lived processes end without closing.

``import sqlite3`` would import ``datetime`` and ``collections``; its C half is all that is needed here
(docs/decisions/0013-sqlite.md).

A connection belongs to the thread and the process that opened it: `Database` opens one for each, and a forked child
never touches the one it inherited (https://sqlite.org/howtocorrupt.html, section 2.6).
"""

from __future__ import annotations

import os
from _thread import _local, get_native_id

from wherry.errors import Corrupt, NotSupported, StorageFull, Unavailable, WherryError
from wherry.store.sqlite import sqlite3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any

    Value = str | int | float | bytes | None
    Row = tuple[Any, ...]

BUSY_SECONDS = 20.0
CHECKPOINT_PAGES = 200

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE images (id TEXT PRIMARY KEY, manifest TEXT NOT NULL, manifest_type TEXT NOT NULL,
           manifest_size INTEGER NOT NULL, config TEXT NOT NULL, diff_ids TEXT NOT NULL, size INTEGER NOT NULL,
           created INTEGER NOT NULL, platform TEXT NOT NULL, fixup TEXT NOT NULL, tagged INTEGER NOT NULL)""",
        """CREATE TABLE names (reference TEXT PRIMARY KEY, image_id TEXT NOT NULL, target TEXT NOT NULL)
           WITHOUT ROWID""",
        "CREATE INDEX names_image ON names(image_id)",
        """CREATE TABLE layers (diff_id TEXT PRIMARY KEY, size INTEGER NOT NULL, entries INTEGER NOT NULL,
           implied_dirs TEXT NOT NULL, missing_links TEXT NOT NULL)""",
        "CREATE TABLE blobs (digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, image_id TEXT NOT NULL,
           record TEXT NOT NULL, status TEXT NOT NULL, pid INTEGER NOT NULL, exit_code INTEGER NOT NULL,
           started_at INTEGER NOT NULL, finished_at INTEGER NOT NULL, id_base INTEGER NOT NULL,
           created INTEGER NOT NULL, error TEXT NOT NULL, oom_killed INTEGER NOT NULL,
           restart_count INTEGER NOT NULL)""",
        "CREATE UNIQUE INDEX containers_ids ON containers(id_base) WHERE id_base > 0",
        """CREATE TABLE volumes (name TEXT PRIMARY KEY, driver TEXT NOT NULL, options TEXT NOT NULL,
           labels TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE events (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, action TEXT NOT NULL,
           actor TEXT NOT NULL, attributes TEXT NOT NULL)""",
        """CREATE TRIGGER events_kept AFTER INSERT ON events WHEN new.id % 128 = 0
           BEGIN DELETE FROM events WHERE id <= new.id - 4096; END""",
    ),
    ("ALTER TABLE containers ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0",),
    (
        "ALTER TABLE containers ADD COLUMN health TEXT NOT NULL DEFAULT ''",
        "CREATE TABLE health (id TEXT PRIMARY KEY, streak INTEGER NOT NULL, log TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TRIGGER health_kept AFTER DELETE ON containers BEGIN DELETE FROM health WHERE id = old.id; END",
    ),
    ("CREATE TABLE manifest_lists (name TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID",),
    (
        """CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL,
           created INTEGER NOT NULL)""",
        """CREATE TABLE endpoints (id TEXT PRIMARY KEY, network_id TEXT NOT NULL, container_id TEXT NOT NULL,
           settings TEXT NOT NULL, active INTEGER NOT NULL, ipv4 TEXT NOT NULL, ipv6 TEXT NOT NULL,
           record TEXT NOT NULL)""",
        "CREATE UNIQUE INDEX endpoints_places ON endpoints(container_id, network_id)",
        "CREATE UNIQUE INDEX endpoints_ipv4 ON endpoints(network_id, ipv4) WHERE ipv4 != ''",
        "CREATE UNIQUE INDEX endpoints_ipv6 ON endpoints(network_id, ipv6) WHERE ipv6 != ''",
        """CREATE TABLE ports (protocol TEXT NOT NULL, host_ip TEXT NOT NULL, host_port INTEGER NOT NULL,
           container_ip TEXT NOT NULL, container_port INTEGER NOT NULL, bridge TEXT NOT NULL,
           network_id TEXT NOT NULL, container_id TEXT NOT NULL,
           PRIMARY KEY (protocol, host_port, host_ip)) WITHOUT ROWID""",
        """CREATE TRIGGER containers_gone AFTER DELETE ON containers BEGIN
           DELETE FROM endpoints WHERE container_id = OLD.id;
           DELETE FROM ports WHERE container_id = OLD.id; END""",
        *[
            f"""INSERT INTO networks VALUES (lower(hex(randomblob(32))), '{name}', '{{"driver":"{driver}"}}',
                CAST(strftime('%s', 'now') AS INTEGER) * 1000000000)"""
            for name, driver in (("bridge", "bridge"), ("host", "host"), ("none", "null"))
        ],
    ),
    (
        "ALTER TABLE images ADD COLUMN snapshotter TEXT NOT NULL DEFAULT 'overlay'",
        "ALTER TABLE layers ADD COLUMN unfit TEXT NOT NULL DEFAULT ''",
    ),
    ("ALTER TABLE containers ADD COLUMN boot TEXT NOT NULL DEFAULT ''",),
    (
        """CREATE TABLE execs (id TEXT PRIMARY KEY, container_id TEXT NOT NULL, asked TEXT NOT NULL,
           started INTEGER NOT NULL, exit_code INTEGER, ended INTEGER NOT NULL) WITHOUT ROWID""",
        "CREATE INDEX execs_container ON execs(container_id)",
        "CREATE TRIGGER execs_kept AFTER DELETE ON containers BEGIN DELETE FROM execs WHERE container_id = old.id; END",
    ),
    ("ALTER TABLE images ADD COLUMN parent TEXT NOT NULL DEFAULT ''",),
)
"""Statement by statement, what makes schema version N+1 out of version N.  Entries are only ever added at the end."""

_INHERITED: list[object] = []  # connections of the parent process: kept from being closed here


class _State(_local):
    connection: sqlite3.Connection | None = None
    end: _End | None = None
    pid = 0
    depth = 0


class _End:
    """Closes a thread's connection when the thread ends.

    Left alone, a connection is in a cycle with its own cache of statements, stays until a collection, and is there in a
    child that is forked meanwhile (see `wherry.engine.engine.Engine.will_fork`).
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._close, self._pid, self._getpid = connection.close, os.getpid(), os.getpid

    def __del__(self) -> None:
        if self._getpid() == self._pid:
            self._close()


class Transaction:
    """``with db.transaction():``: all of it or nothing; written at once, so that it never fails half-way for a lock.

    Inside another transaction of the same thread it is part of that one.
    """

    __slots__ = ("_db",)

    def __init__(self, db: Database) -> None:
        self._db = db

    def __enter__(self) -> Database:
        self._db._begin()
        return self._db

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db._end(kind is None)


class Database:
    """The database at ``path``, made with its schema when it is not there.

    Any thread may use it.  Methods raise `Unavailable` when other processes keep it locked for `BUSY_SECONDS`,
    `StorageFull`, `Corrupt` when the file is not a healthy database, `NotSupported` when a newer Wherry made it.
    """

    __slots__ = ("_state", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._state = _State()

    def execute(self, statement: str, values: Sequence[Value] = ()) -> int:
        """Runs a statement and returns how many rows it changed."""
        try:
            return self._connection().execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def rows(self, query: str, values: Sequence[Value] = ()) -> list[Row]:
        """Every row of a query."""
        try:
            return self._connection().execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def row(self, query: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query."""
        try:
            found: Row | None = self._connection().execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise self._translate(error) from error
        return found

    def transaction(self) -> Transaction:
        """A context in which everything is written, or nothing."""
        return Transaction(self)

    def close(self) -> None:
        """Closes this thread's connection.  Not needed before the process ends, and slow when it is the last one."""
        state = self._state
        if state.connection is not None and state.pid == os.getpid():
            state.connection.close()
            state.connection = state.end = None

    def abandon(self) -> None:
        """In a forked child: leaves the inherited connection alone for good; the next use opens one of its own."""
        if self._state.connection is not None:
            _INHERITED.append(self._state.connection)
            self._state.connection = None

    def check(self) -> None:
        """Reads the whole file and raises `Corrupt` when something in it is wrong."""
        found = self.row("PRAGMA integrity_check")
        if found != ("ok",):
            raise Corrupt(f"the database {self.path} is damaged: {found[0] if found else 'no answer'}")

    def _connection(self) -> sqlite3.Connection:
        state = self._state
        if state.connection is not None:
            if state.pid == os.getpid():
                return state.connection
            _INHERITED.append(state.connection)
            state.connection = None
        connection = self._open()
        state.connection, state.pid, state.depth = connection, os.getpid(), 0
        if get_native_id() != os.getpid():  # the main thread's ends with the process
            state.end = _End(connection)
        return connection

    def _open(self) -> sqlite3.Connection:
        if not os.path.exists(self.path):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != len(MIGRATIONS):
            from wherry.store.locks import Lock

            with Lock(f"{self.path}.lock"):  # going to WAL mode does not wait for another process that does the same
                self._migrate(connection, connection.execute("PRAGMA user_version").fetchone()[0])
        return connection

    def _migrate(self, connection: sqlite3.Connection, version: int) -> None:
        if version == 0:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise NotSupported(
                    f"the store {self.path} was written by a newer Wherry (its schema is {version})",
                    hint=f"this version knows schemas up to {len(MIGRATIONS)}",
                )
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _begin(self) -> None:
        state = self._state
        connection = self._connection_or_error()
        if state.depth == 0:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise self._translate(error) from error
        state.depth += 1

    def _end(self, good: bool) -> None:
        state = self._state
        connection = state.connection
        assert connection is not None
        state.depth -= 1
        if state.depth:
            return
        try:
            if good:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._translate(error) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _connection_or_error(self) -> sqlite3.Connection:
        try:
            return self._connection()
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def _translate(self, error: sqlite3.Error) -> WherryError:
        code = getattr(error, "sqlite_errorname", "") or str(error)
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "locked" in code:
            return Unavailable(f"the database {self.path} is kept busy by another process")
        if code.startswith("SQLITE_FULL") or "full" in code:
            return StorageFull(f"no space left on device for {self.path}")
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "malformed" in code or "not a database" in code:
            return Corrupt(f"the database {self.path} is damaged: {error}")
        return WherryError(f"database {self.path}: {error}")
