"""Prepared SQL for the hot paths, in one spelling for SQLite and Postgres, straight to the driver.

A Core statement costs some 50 µs before the database sees it; a lease would pay that ten times. Written with
`:name` parameters; `IN :names` takes a list; `lock=True` adds FOR UPDATE where the database has it (on SQLite the
write transaction already excludes everybody else), and `/*pg ...*/` holds words for Postgres only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from evolvent.storage.columns import sqlite_moment

Values = Mapping[str, Any]
_PARAMETER = re.compile(r"(?<!:):([a-z_][a-z_0-9]*)")
_POSTGRES_ONLY = re.compile(r"/\*pg (.*?)\*/")
_LIST = re.compile(r"IN :([a-z_][a-z_0-9]*)")


class Statement:
    """One statement, ready for both databases."""

    def __init__(self, sql: str, *, lock: bool = False) -> None:
        self._lists = frozenset(_LIST.findall(sql))
        self._sqlite = _LIST.sub(r"IN (SELECT value FROM json_each(:\1))", sql)
        postgres = _LIST.sub(r"= ANY(:\1)", _POSTGRES_ONLY.sub(r"\1", sql.replace("%", "%%")))
        self._postgres = _PARAMETER.sub(r"%(\1)s", postgres) + (" FOR UPDATE" if lock else "")

    def rows(self, conn: Connection, values: Values) -> list[tuple[Any, ...]]:
        """Execute, and return every row."""
        cursor = self._execute(conn, values)
        try:
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def count(self, conn: Connection, values: Values) -> int:
        """Execute, and return how many rows it touched."""
        cursor = self._execute(conn, values)
        try:
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def many(self, conn: Connection, rows: Sequence[Values]) -> None:
        """Execute once for each row."""
        if not rows:
            return
        cursor = conn.connection.cursor()
        try:
            if conn.dialect.name == "sqlite":
                cursor.executemany(self._sqlite, [self._for_sqlite(row) for row in rows])
            else:
                cursor.executemany(self._postgres, rows)
        finally:
            cursor.close()

    def _execute(self, conn: Connection, values: Values) -> Any:
        cursor = conn.connection.cursor()
        if conn.dialect.name == "sqlite":
            cursor.execute(self._sqlite, self._for_sqlite(values))
        else:
            lists = {name: list(values[name]) for name in self._lists}
            cursor.execute(self._postgres, {**values, **lists})
        return cursor

    def _for_sqlite(self, values: Values) -> dict[str, Any]:
        bound = {k: sqlite_moment(v) if type(v) is datetime else v for k, v in values.items()}
        for name in self._lists:
            bound[name] = json.dumps(list(values[name]))
        return bound


def insert(table: str, columns: Sequence[str], *, conflict: str = "") -> Statement:
    """Return an INSERT of these columns, with what to do on conflict (`ON CONFLICT ...`)."""
    names, marks = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    return Statement(f"INSERT INTO {table} ({names}) VALUES ({marks}) {conflict}")  # noqa: S608 - names are ours
