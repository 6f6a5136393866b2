"""Opens the databases: from a URL or a folder to sessions for reading, transactions and the group writer.

On SQLite the records, the ledger and the definitions are three files in one folder, so that no fsync of one delays
another; on Postgres they are one database. Shown in use by tests/integration/test_database.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel.ext.asyncio.session import AsyncSession

from evolvent.events.errors import ConfigInvalid
from evolvent.storage.failures import door, retried
from evolvent.storage.migrations.upgrade import Line, upgrade
from evolvent.storage.writer import GroupWriter

T = TypeVar("T")
Durability = Literal["power", "process"]
_WRITE = "evolvent_write"
_DEADLINE_SECONDS = 30.0


class Database:
    """One of the three: sessions for reading, transactions for rare writes, `writer` for the hot path."""

    def __init__(self, line: Line, url: URL, *, durability: Durability = "power") -> None:
        self.line = line
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._sync = create_engine(_with_driver(url, "sqlite", "postgresql+psycopg"), pool_pre_ping=not self.is_sqlite)
        self._async: AsyncEngine = create_async_engine(
            _with_driver(url, "sqlite+aiosqlite", "postgresql+asyncpg"), pool_pre_ping=not self.is_sqlite
        )
        for engine in (self._sync, self._async.sync_engine):
            _prepare(engine, durability)
        self._reads = async_sessionmaker(self._async, class_=AsyncSession, expire_on_commit=False)
        self._writes = async_sessionmaker(
            self._async.execution_options(**{_WRITE: True}), class_=AsyncSession, expire_on_commit=False
        )
        self._reader: Connection | None = None
        self.writer = GroupWriter(self._sync.execution_options(**{_WRITE: True}), name=line)

    def migrate(self) -> None:
        """Bring the schema up to this code. Blocking, and safe in several processes at once.

        Raises:
            SchemaTooNew: a newer Evolvent wrote it.
        """
        with door():
            upgrade(self._sync.execution_options(**{_WRITE: True}), self.line)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Give a session that only reads, with one view of the data."""
        with door():
            async with self._reads() as session:
                yield session

    async def write(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Execute `work` in one write transaction; all of it again while the database is busy.

        Raises:
            StorageUnavailable: it stayed busy or gone; or what `work` raised.
        """

        async def once() -> T:
            async with self._writes() as session, session.begin():
                return await work(session)

        return await retried(once, deadline_seconds=_DEADLINE_SECONDS)

    async def look_up(self, work: Callable[[Connection], T]) -> T:
        """Execute a short read by key. On SQLite that takes microseconds, less than any hand-over to a thread."""
        return self._look_up(work) if self.is_sqlite else await asyncio.to_thread(self._look_up, work)

    def _look_up(self, work: Callable[[Connection], T]) -> T:
        with door():
            if not self.is_sqlite:
                with self._sync.connect() as conn:
                    return work(conn)
            if self._reader is None:
                self._reader = self._sync.connect()
            try:
                return work(self._reader)
            except BaseException:
                self._forget_reader()
                raise

    def _forget_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    async def close(self) -> None:
        """Commit what is queued and close every connection."""
        await self.writer.close()
        self._forget_reader()
        await self._async.dispose()
        self._sync.dispose()


@dataclass(frozen=True, slots=True)
class Databases:
    """The three databases of a platform."""

    records: Database
    ledger: Database
    definitions: Database

    @classmethod
    async def open(cls, where: str | Path, *, durability: Durability = "power") -> Databases:
        """Open and migrate.

        Args:
            where: a folder, `sqlite:///folder`, or `postgresql://user:password@host/name`.
            durability: `power` survives a power cut; `process` only the death of processes.

        Raises:
            ConfigInvalid: the URL is none of these.
        """
        records, ledger, definitions = (
            Database(line, _url(where, line), durability=durability)
            for line in (Line.RECORDS, Line.LEDGER, Line.DEFINITIONS)
        )
        opened = cls(records, ledger, definitions)
        try:
            for database in (records, ledger, definitions):
                await asyncio.to_thread(database.migrate)
        except BaseException:
            await opened.close()
            raise
        return opened

    async def close(self) -> None:
        """Close all three."""
        for database in (self.records, self.ledger, self.definitions):
            await database.close()


def _url(where: str | Path, line: Line) -> URL:
    text = str(where)
    if "://" not in text:
        return _sqlite_file(Path(text), line)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ConfigInvalid(
            "The database URL cannot be read; use sqlite:///folder or postgresql://host/name."
        ) from error
    match url.get_backend_name():
        case "sqlite" if url.database:
            return _sqlite_file(Path(url.database), line)
        case "postgresql" | "postgres":
            _require_drivers("psycopg", "asyncpg")
            return url
        case other:
            raise ConfigInvalid(f"{other!r} databases cannot be used; use sqlite:///folder or postgresql://host/name.")


def _require_drivers(*names: str) -> None:
    if missing := [name for name in names if find_spec(name) is None]:
        raise ConfigInvalid(
            f"PostgreSQL needs {' and '.join(missing)}; install the extra `postgres` (in a clone: "
            "`uv sync --extra postgres`), or leave the database out for SQLite."
        )


def _sqlite_file(path: Path, line: Line) -> URL:
    folder = path.parent if path.suffix == ".db" else path
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigInvalid(f"The data folder {folder} cannot be made: {error.strerror}; choose another.") from error
    return URL.create("sqlite", database=str(folder / f"{line}.db"))


def _with_driver(url: URL, sqlite: str, postgres: str) -> URL:
    return url.set(drivername=sqlite if url.get_backend_name() == "sqlite" else postgres)


def _prepare(engine: Engine, durability: Durability) -> None:
    """Hook the settings of every connection and the start of every transaction."""
    if engine.dialect.name != "sqlite":
        if durability == "process":
            event.listen(engine, "begin", _begin_without_wal_flush)
        return
    synchronous = "FULL" if durability == "power" else "NORMAL"

    def connected(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("busy_timeout=5000", f"synchronous={synchronous}", "foreign_keys=ON", "temp_store=MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", _begin_sqlite)


def _begin_sqlite(conn: Connection) -> None:
    """Begin as what the transaction is: a reader that later writes fails with BUSY_SNAPSHOT at once."""
    conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get(_WRITE) else "BEGIN")


def _begin_without_wal_flush(conn: Connection) -> None:
    conn.exec_driver_sql("SET LOCAL synchronous_commit TO OFF")
