"""Searches of the log index, over a connection that the index opened."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from evolvent.events.errors import Category, EvolventError
from evolvent.storage.log_query import COLUMNS, LogQuery, condition_sql, field_pattern

MOST_COUNTED = 1_000_000
MOST_ROWS = 1_000
_OPERATIONS_BETWEEN_LOOKS = 20_000


class LogSearchTooLong(EvolventError):
    """The search took too long and was given up; narrow its time range or name an index. Nothing was changed."""

    code, category = "logs.search_too_long", Category.TIMEOUT


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that was found; its time in microseconds since 1970."""

    time_us: int
    host: str
    text: str
    index_name: str
    sourcetype: str
    path: str


@dataclass(frozen=True, slots=True)
class Found:
    """The latest events that meet a query, or its rows, and how many events meet it.

    Where it is not `is_whole`, there are more events than were counted, or more rows than are shown.
    """

    events: tuple[StoredEvent, ...]
    rows: tuple[dict[str, str | int], ...]
    total: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """How much there is under one name."""

    name: str
    events: int
    text_bytes: int
    first_us: int | None
    last_us: int | None


def search(
    connection: sqlite3.Connection, query: LogQuery, between: tuple[int, int], *, limit: int, most_seconds: float
) -> Found:
    """Return what a query finds.

    Raises:
        LogSearchTooLong: it took longer than `most_seconds`.
    """
    condition, values = condition_sql(query.condition)
    where = f"e.time_us >= ? AND e.time_us < ? AND {condition}"
    given: list[str | int] = [*between, *values]
    most = min(limit, query.head or limit)
    with _limited(connection, most_seconds):
        connection.create_function("has_field", 4, _has_field, deterministic=True)
        if query.count_by is not None:
            return _counted(connection, query, where, given)
        counting = f"SELECT count(*) FROM (SELECT 1 FROM events e WHERE {where} LIMIT {MOST_COUNTED + 1})"  # noqa: S608
        total = connection.execute(counting, given).fetchone()[0]
        listing = (
            "SELECT e.time_us, e.host, e.text, f.index_name, f.sourcetype, f.path FROM events e"  # noqa: S608
            f" JOIN files f ON f.id = e.file_id WHERE {where} ORDER BY e.time_us DESC, e.id DESC LIMIT ?"
        )
        events = tuple(StoredEvent(*row) for row in connection.execute(listing, [*given, most]))
        return Found(events, (), min(total, MOST_COUNTED), is_whole=total <= MOST_COUNTED)


def summaries(
    connection: sqlite3.Connection, by: Literal["index_name", "sourcetype"], *, within: str | None
) -> list[Summary]:
    """Return how much there is under every name, within one index or in all."""
    found = connection.execute(
        f"SELECT {by}, sum(events), sum(text_bytes), min(first_us), max(last_us) FROM files"  # noqa: S608
        f" WHERE head_length > 0 AND (?1 IS NULL OR index_name = ?1) GROUP BY {by} ORDER BY {by}",
        (within,),
    )
    return [Summary(*row) for row in found]


def _counted(connection: sqlite3.Connection, query: LogQuery, where: str, given: list[str | int]) -> Found:
    places = query.count_by or ()
    columns = "".join(f"{COLUMNS[place]}, " for place in places)
    grouping = f" GROUP BY {columns[:-2]}" if places else ""
    rows = connection.execute(
        f"SELECT {columns}count(*) FROM events e JOIN files f ON f.id = e.file_id WHERE {where}{grouping}"  # noqa: S608
        f" ORDER BY count(*) DESC, 1 LIMIT {MOST_ROWS + 1}",
        given,
    ).fetchall()
    shown = rows[: min(query.head or MOST_ROWS, MOST_ROWS)]
    named = tuple(dict(zip((*places, "count"), row, strict=True)) for row in shown)
    return Found((), named, sum(row[-1] for row in rows), is_whole=len(rows) <= MOST_ROWS)


@contextmanager
def _limited(connection: sqlite3.Connection, most_seconds: float) -> Iterator[None]:
    give_up_at = time.monotonic() + most_seconds
    connection.set_progress_handler(lambda: time.monotonic() > give_up_at, _OPERATIONS_BETWEEN_LOOKS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        raise LogSearchTooLong(
            f"The search took more than {most_seconds:g} s; narrow its time range, or name an index."
            " Nothing was changed."
        ) from None
    finally:
        connection.set_progress_handler(None, 0)


def _has_field(text: str, name: str, value: str, is_prefix: int) -> bool:
    return field_pattern(name, value, is_prefix).search(text) is not None
