"""The full-text index of log files: one SQLite file that can be deleted and built anew at any time.

It mirrors files: each has a place up to which it was read, and every event belongs to one. A batch of events and the
place behind them are one transaction that names the place before them, so no line is lost or taken twice, even by
two processes. All calls block; callers use threads. Shown in use by tests/integration/test_log_index.py.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from evolvent.storage.errors import StorageClosed, StorageFull, StorageRefused, StorageUnavailable
from evolvent.storage.log_query import LogQuery
from evolvent.storage.log_search import Found, Summary, search, summaries

SCHEMA_VERSION = 1
_CACHE_KIB = 16 * 1024
_SCHEMA = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY, root TEXT NOT NULL, path TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, index_name TEXT NOT NULL, sourcetype TEXT NOT NULL,
    head_length INTEGER NOT NULL, head_hash BLOB NOT NULL,
    offset INTEGER NOT NULL DEFAULT 0, tail_hash BLOB NOT NULL DEFAULT x'', events INTEGER NOT NULL DEFAULT 0,
    text_bytes INTEGER NOT NULL DEFAULT 0, first_us INTEGER, last_us INTEGER);
CREATE TABLE batches (first_id INTEGER PRIMARY KEY, last_id INTEGER NOT NULL, file_id INTEGER NOT NULL);
CREATE INDEX batches_by_file ON batches (file_id);
CREATE TABLE events (
    id INTEGER PRIMARY KEY, file_id INTEGER NOT NULL, time_us INTEGER NOT NULL, host TEXT NOT NULL,
    text TEXT NOT NULL);
CREATE INDEX events_by_time ON events (time_us);
CREATE VIRTUAL TABLE words USING fts5(text, content='events', content_rowid='id', columnsize=0);
"""


@dataclass(frozen=True, slots=True)
class FileState:
    """What is known of a file: where it lies, how its content begins, and which events it is."""

    root: str
    path: str
    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    index_name: str
    sourcetype: str
    head_length: int
    head_hash: bytes


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file in the index, and how far it was read. `offset` counts unpacked bytes."""

    file_id: int
    state: FileState
    offset: int
    tail_hash: bytes
    events: int
    text_bytes: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """An event to be stored: microseconds since 1970, host, text."""

    time_us: int
    host: str
    text: str


_STATE = ", ".join(field.name for field in fields(FileState))
_ADVANCE = """
UPDATE files SET offset = :end, tail_hash = :tail, events = events + :events, text_bytes = text_bytes + :bytes,
    first_us = coalesce(min(first_us, :first), first_us, :first),
    last_us = coalesce(max(last_us, :last), last_us, :last)
WHERE id = :id AND offset = :start AND head_length > 0
"""
_FILE = f"id, {_STATE}, offset, tail_hash, events, text_bytes, first_us, last_us"


class LogIndex:
    """The index in one file. One thread writes at a time; each search reads over a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the index; one that is damaged or of another version is built anew.

        Raises:
            StorageUnavailable: it cannot be opened.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, _door():
            try:
                self._connection = self._opened()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "not a database" not in str(error):
                    raise
                self._discard()
                self._connection = self._opened()

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def files(self) -> list[IndexedFile]:
        """Return every file in the index, in the order in which they came."""
        with self._reading() as connection:
            return [_file(row) for row in connection.execute(f"SELECT {_FILE} FROM files ORDER BY id")]  # noqa: S608

    def add(self, state: FileState) -> IndexedFile:
        """Begin a file."""
        with self._writing() as connection:
            marks = ", ".join("?" * len(fields(FileState)))
            values = [getattr(state, field.name) for field in fields(FileState)]
            row = connection.execute(f"INSERT INTO files ({_STATE}) VALUES ({marks})", values)  # noqa: S608
            assert row.lastrowid is not None
            return IndexedFile(row.lastrowid, state, 0, b"", 0, 0, None, None)

    def update(self, file_id: int, state: FileState) -> None:
        """Note that a file lies elsewhere, or has changed."""
        with self._writing() as connection:
            settings = ", ".join(f"{field.name} = ?" for field in fields(FileState))
            values = [getattr(state, field.name) for field in fields(FileState)]
            connection.execute(f"UPDATE files SET {settings} WHERE id = ?", [*values, file_id])  # noqa: S608

    def append(self, file_id: int, lines: Sequence[Line], *, start: int, end: int, tail_hash: bytes) -> bool:
        """Store the lines of a file between two offsets.

        Returns:
            False if the file is not at `start`: another process has read on, or it is gone. Nothing was stored.
        """
        values = {
            "id": file_id,
            "start": start,
            "end": end,
            "tail": tail_hash,
            "events": len(lines),
            "bytes": sum(len(line.text) for line in lines),
            "first": min((line.time_us for line in lines), default=None),
            "last": max((line.time_us for line in lines), default=None),
        }
        with self._writing() as connection:
            if connection.execute(_ADVANCE, values).rowcount == 0:
                return False
            if lines:
                _insert(connection, file_id, lines)
            return True

    def remove(self, file_id: int, *, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Take a file and its events out, in steps; what a stop leaves is taken out by the next call."""
        while not should_stop():
            with self._writing() as connection:
                batch = connection.execute(
                    "SELECT first_id, last_id FROM batches WHERE file_id = ? LIMIT 1", (file_id,)
                ).fetchone()
                if batch is None:
                    connection.execute("DELETE FROM files WHERE id = ?", (file_id,))
                    return
                # The file must not be taken up again once some of its events are gone.
                connection.execute("UPDATE files SET device = -1, inode = -1, head_length = 0 WHERE id = ?", (file_id,))
                connection.execute(
                    "INSERT INTO words (words, rowid, text) SELECT 'delete', id, text FROM events"
                    " WHERE id BETWEEN ? AND ?",
                    batch,
                )
                connection.execute("DELETE FROM events WHERE id BETWEEN ? AND ?", batch)
                connection.execute("DELETE FROM batches WHERE first_id = ?", batch[:1])

    def search(self, query: LogQuery, *, from_us: int, to_us: int, limit: int, most_seconds: float) -> Found:
        """Return what a query finds between two times, in microseconds since 1970.

        Raises:
            LogSearchTooLong: it took longer than `most_seconds`.
        """
        with self._reading() as connection:
            return search(connection, query, (from_us, to_us), limit=limit, most_seconds=most_seconds)

    def indexes(self) -> list[Summary]:
        """Return how much every index holds."""
        with self._reading() as connection:
            return summaries(connection, "index_name", within=None)

    def sourcetypes(self, index: str) -> list[Summary]:
        """Return how much an index holds of every sourcetype."""
        with self._reading() as connection:
            return summaries(connection, "sourcetype", within=index)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _door():
            if (connection := self._connection) is None:
                raise StorageClosed
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with _door():
            if self._connection is None:
                raise StorageClosed
            with closing(_connected(self._path)) as connection:
                yield connection

    def _opened(self) -> sqlite3.Connection:
        # Log lines may hold anything, so the file is the owner's alone from its first byte.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = _connected(self._path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.commit()
            if version not in (0, SCHEMA_VERSION):
                raise sqlite3.DatabaseError(f"version {version}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _discard(self) -> None:
        for ending in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    # A power cut may cost the last batches, which are read again; it costs no more.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


def _insert(connection: sqlite3.Connection, file_id: int, lines: Sequence[Line]) -> None:
    first = connection.execute("SELECT coalesce(max(last_id), 0) + 1 FROM batches").fetchone()[0]
    connection.execute("INSERT INTO batches VALUES (?, ?, ?)", (first, first + len(lines) - 1, file_id))
    connection.executemany(
        "INSERT INTO events (id, file_id, time_us, host, text) VALUES (?, ?, ?, ?, ?)",
        ((first + at, file_id, line.time_us, line.host, line.text) for at, line in enumerate(lines)),
    )
    connection.execute("INSERT INTO words (rowid, text) SELECT id, text FROM events WHERE id >= ?", (first,))


def _file(row: tuple[Any, ...]) -> IndexedFile:
    width = len(fields(FileState))
    return IndexedFile(row[0], FileState(*row[1 : width + 1]), *row[width + 1 :])


@contextmanager
def _door() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise StorageFull from error
        raise StorageUnavailable(f"The log index does not answer ({error}); try again.") from error
    except sqlite3.DatabaseError as error:
        raise StorageRefused(f"The log index is damaged ({error}); stop Evolvent and delete `logs.db`.") from error
