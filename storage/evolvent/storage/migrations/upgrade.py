"""Brings a database up to this code's schema, once, however many processes start at the same time.

All steps run in one transaction that excludes other writers, so a process that comes second waits and finds the
work done, and one that dies half-way leaves nothing behind.
"""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from evolvent.storage.errors import SchemaTooNew
from evolvent.storage.failures import is_transient, pause_seconds

_HERE = Path(__file__).parent
_ADVISORY_LOCK = 0x45564F4C
_DEADLINE_SECONDS = 60.0
_ALEMBIC_IS_GLOBAL = threading.Lock()


class Line(StrEnum):
    """The three databases, and so the three lines of versions."""

    RECORDS = "records"
    LEDGER = "ledger"
    DEFINITIONS = "definitions"


def upgrade(engine: Engine, line: Line) -> None:
    """Run the steps that are missing.

    Raises:
        SchemaTooNew: the database has a step that this code doesn't know.
    """
    ends_at = time.monotonic() + _DEADLINE_SECONDS
    attempt = 0
    while True:
        try:
            _upgrade_once(engine, line)
        except Exception as error:
            if not is_transient(error) or time.monotonic() >= ends_at:
                raise
            time.sleep(pause_seconds(attempt))
            attempt += 1
        else:
            return


def version_table(line: Line) -> str:
    """Return the table that holds the version of one line."""
    return f"evolvent_{line}_version"


def _upgrade_once(engine: Engine, line: Line) -> None:
    if engine.dialect.name == "sqlite":
        _use_wal(engine)
    script = ScriptDirectory(str(_HERE), version_locations=[str(_HERE / line)])
    with engine.begin() as conn:
        if engine.dialect.name == "postgresql":
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        _run_steps(conn, script, line)


def _run_steps(conn: Connection, script: ScriptDirectory, line: Line) -> None:
    head = script.get_current_head()
    options = {
        "version_table": version_table(line),
        "fn": lambda current, _context: script._upgrade_revs("head", current),
    }
    context = MigrationContext.configure(conn, opts=options)
    current = context.get_current_revision()
    if current == head:
        return
    _refuse_newer(script, current, line)
    with _ALEMBIC_IS_GLOBAL, Operations.context(context):
        context.run_migrations()


def _refuse_newer(script: ScriptDirectory, current: str | None, line: Line) -> None:
    try:
        known = current is None or script.get_revision(current) is not None
    except (CommandError, ResolutionError):
        known = False
    if not known:
        raise SchemaTooNew(
            f"The {line} database is at version {current}, which this Evolvent does not know; upgrade Evolvent. "
            "Nothing was changed."
        )


def _use_wal(engine: Engine) -> None:
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.close()
    finally:
        connection.close()
