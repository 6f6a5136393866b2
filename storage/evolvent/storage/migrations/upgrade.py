"""Brings a database up to this code's schema, once, however many processes start at the same time.

All steps run in one transaction that excludes other writers, so a process that comes second waits and finds the
work done, and one that dies half-way leaves nothing behind. A database that is up to date is left alone without
importing alembic, which takes longer than everything else that a process does at its start.
"""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from evolvent.storage.errors import SchemaTooNew
from evolvent.storage.failures import is_transient, pause_seconds

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

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
    if _is_current(engine, line):
        return
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


def newest(line: Line) -> str:
    """Return the newest step's revision, which its file is named by: `0001_first.py` holds `<line>_0001`."""
    number = max(path.name.split("_")[0] for path in (_HERE / line).glob("[0-9]*_*.py"))
    return f"{line}_{number}"


def _is_current(engine: Engine, line: Line) -> bool:
    try:
        with engine.connect() as conn:
            found = conn.execute(text(f"SELECT version_num FROM {version_table(line)}")).scalar()  # noqa: S608
    except DBAPIError:
        return False
    return bool(found == newest(line))


def _upgrade_once(engine: Engine, line: Line) -> None:
    from alembic.script import ScriptDirectory

    if engine.dialect.name == "sqlite":
        _use_wal(engine)
    script = ScriptDirectory(str(_HERE), version_locations=[str(_HERE / line)])
    with engine.begin() as conn:
        if engine.dialect.name == "postgresql":
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        _run_steps(conn, script, line)


def _run_steps(conn: Connection, script: ScriptDirectory, line: Line) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

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
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

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
