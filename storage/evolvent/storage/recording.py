"""Writes projected changes: all of a batch in one transaction, by executemany, straight to the driver.

One recorder writes at a time (SQLite: the write transaction; Postgres: an advisory lock), so what is read before
is still true at commit, and positions are given in commit order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from evolvent.storage.columns import optional_moment
from evolvent.storage.projections import Changes, Gap, JournalEntry, project
from evolvent.storage.run_fold import PROGRESS, RunProgress
from evolvent.storage.run_parts import AGENT_TOTALS, NO_ORIGIN, Row
from evolvent.storage.statements import Statement, insert

_LOCK = Statement("SELECT pg_advisory_xact_lock(1163284304)")
_KNOWN = Statement(f"SELECT run_id, {', '.join(PROGRESS)} FROM runs WHERE run_id IN :run_ids")  # noqa: S608 - our names
_NEW_RUN = insert("runs", ("run_id", *PROGRESS, *NO_ORIGIN))
_CHANGED_RUN = Statement(f"UPDATE runs SET {', '.join(f'{n} = :{n}' for n in PROGRESS)} WHERE run_id = :run_id")  # noqa: S608
_ORIGIN = Statement(f"UPDATE runs SET {', '.join(f'{n} = :{n}' for n in NO_ORIGIN)} WHERE run_id = :run_id")  # noqa: S608
_EVENT = insert("run_events", ("run_id", "seq", "prev_seq", "type", "event_id", "occurred_at", "body"))
_TASK_PLAN = ("run_id", "task_id", "position", "kind", "name", "agent_id", "tool", "dependencies")
_TASK_SUMS = ("turns", "tool_calls", "cost_microusd", "busy_seconds")
_TASK = Statement(
    f"INSERT INTO tasks ({', '.join((*_TASK_PLAN, *_TASK_SUMS))}, status, started_at, finished_at) "  # noqa: S608
    f"VALUES ({', '.join(f':{n}' for n in (*_TASK_PLAN, *_TASK_SUMS))}, "
    ":first_status, :started_at, :finished_at) "
    "ON CONFLICT (run_id, task_id) DO UPDATE SET "
    + ", ".join(f"{n} = tasks.{n} + excluded.{n}" for n in _TASK_SUMS)
    + ", status = CASE WHEN tasks.kind = 'tool' THEN :tool_status ELSE :status END"
    ", started_at = COALESCE(tasks.started_at, excluded.started_at)"
    ", finished_at = COALESCE(excluded.finished_at, tasks.finished_at)"
)
_TURN = insert(
    "model_turns",
    (
        "run_id", "seq", "position", "task_id", "turn", "try_number", "agent_id", "model", "prompt_tokens",
        "completion_tokens", "cached_tokens", "cost_microusd", "lease_id", "sent", "error_code", "started_at",
        "duration_seconds",
    ),
)  # fmt: skip
_TOOL = insert(
    "tool_calls",
    (
        "run_id", "seq", "position", "task_id", "call_id", "name", "effect", "schema_hash", "arguments", "outcome",
        "result", "result_ref", "error_code", "attempt", "decided_by", "started_at", "duration_seconds",
    ),
)  # fmt: skip
_ATTEMPT = insert(
    "attempts",
    ("run_id", "attempt", "owner", "cause", "began_at"),
    conflict="ON CONFLICT (run_id, attempt) DO UPDATE SET owner = excluded.owner, cause = excluded.cause",
)
_FINISHED = insert("finished_runs", ("run_id",))
_DAY_SUMS = (
    "runs", "completed", "failed", "cancelled", "by_automation", "tokens", "model_calls", "tool_calls", "cost_microusd",
    "duration_seconds",
)  # fmt: skip


def _adding(table: str, key: Sequence[str], sums: Sequence[str]) -> Statement:
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
    return insert(table, (*key, *sums), conflict=f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {added}")


_AGENT_TOTALS = _adding("agent_totals", ("agent_id",), AGENT_TOTALS)
_DAILY_TOTALS = _adding("daily_totals", ("day", "goal"), _DAY_SUMS)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a batch came to: how many events were new, and the runs whose journal must be read again."""

    applied: int
    gaps: tuple[Gap, ...]


def record_runs(
    conn: Connection, entries: Sequence[JournalEntry], *, forgive: frozenset[str] = frozenset()
) -> Recorded:
    """Record a batch of journal events; those already recorded change nothing.

    Args:
        conn: inside a write transaction of the records database.
        entries: any events, in any order, any number of times.
        forgive: runs whose gaps cannot be mended.
    """
    if conn.dialect.name == "postgresql":
        _LOCK.rows(conn, {})
    changes = project(entries, known_progress(conn, {entry.event.run_id for entry in entries}), forgive=forgive)
    _write(conn, changes)
    return Recorded(changes.applied, tuple(changes.gaps))


def known_progress(conn: Connection, run_ids: set[str]) -> dict[str, RunProgress]:
    """Return what is recorded of these runs."""
    rows = _KNOWN.rows(conn, {"run_ids": sorted(run_ids)})
    return {row[0]: _progress(row[1:]) for row in rows}


def _progress(values: tuple[Any, ...]) -> RunProgress:
    row: Row = dict(zip(PROGRESS, values, strict=True))
    for name in ("started_at", "finished_at", "wake_at"):
        row[name] = optional_moment(row[name])
    row["scripted"] = bool(row["scripted"])
    return RunProgress(**row)


def _write(conn: Connection, changes: Changes) -> None:
    _NEW_RUN.many(conn, changes.new_runs)
    _CHANGED_RUN.many(conn, changes.changed_runs)
    _ORIGIN.many(conn, changes.origins)
    _EVENT.many(conn, changes.events)
    _TASK.many(conn, changes.tasks)
    _TURN.many(conn, changes.turns)
    _TOOL.many(conn, changes.tool_calls)
    _ATTEMPT.many(conn, changes.attempts)
    _FINISHED.many(conn, changes.finished)
    _AGENT_TOTALS.many(conn, changes.agent_totals)
    _DAILY_TOTALS.many(conn, changes.daily_totals)
