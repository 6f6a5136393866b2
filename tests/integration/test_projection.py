from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, event, text
from support.databases import database_url, databases, postgres_server  # noqa: F401
from support.journals import completed_run, run_id_of, stream, suspended_run, workflow_run
from support.runs import AGENT, NOW

from evolvent.events.errors import NotFound
from evolvent.events.messages.runs import CancelRequested
from evolvent.storage import archive, blobs, improvements, jobs  # noqa: F401  # every table of the records
from evolvent.storage.database import Databases
from evolvent.storage.errors import CorruptRecord
from evolvent.storage.projections import JournalEntry
from evolvent.storage.recording import record_runs
from evolvent.storage.rows import RecordsRow
from evolvent.storage.runs import RunStore

TABLES = (
    "runs", "run_events", "tasks", "model_turns", "tool_calls", "attempts", "agent_totals", "daily_totals",
)  # fmt: skip
ENTRIES = stream(completed_run(0), workflow_run(1), suspended_run(2), suspended_run(3, ends=False), completed_run(4))


def _rows(conn: Connection) -> dict[str, list[tuple[Any, ...]]]:
    found = {table: sorted(map(repr, conn.execute(text(f"SELECT * FROM {table}")).all())) for table in TABLES}
    return {**found, "finished": sorted(map(repr, conn.execute(text("SELECT run_id FROM finished_runs")).all()))}


def _recorded(deliveries: Sequence[Sequence[int]]) -> dict[str, list[tuple[Any, ...]]]:
    """Deliver the entries with these sequences, batch by batch; mend gaps as the recorder does."""
    by_seq = {entry.seq: entry for entry in ENTRIES}
    engine = create_engine("sqlite://")
    event.listen(engine, "begin", lambda conn: None)
    RecordsRow.metadata.create_all(engine)
    for batch in deliveries:
        with engine.begin() as conn:
            gaps = record_runs(conn, [by_seq[seq] for seq in batch]).gaps
        for gap in gaps:
            journal = [e for e in ENTRIES if e.event.run_id == gap.run_id and e.seq > gap.last_seq]
            with engine.begin() as conn:
                assert record_runs(conn, journal).gaps == ()
    with engine.connect() as conn:
        found = _rows(conn)
    engine.dispose()
    return found


IN_ORDER = _recorded([[entry.seq for entry in ENTRIES]])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.integers(1, 6), st.lists(st.sampled_from(ENTRIES), max_size=12))
def test_any_split_order_and_repetition_of_deliveries_gives_the_same_rows(
    chance: random.Random, size: int, again: list[JournalEntry]
) -> None:
    order = [entry.seq for entry in ENTRIES] + [entry.seq for entry in again]
    chance.shuffle(order)
    assert _recorded([order[at : at + size] for at in range(0, len(order), size)]) == IN_ORDER


async def test_what_is_recorded_can_be_asked_about(databases: Databases) -> None:  # noqa: F811
    runs = RunStore(databases.records)
    assert (await runs.record(ENTRIES)).applied == len(ENTRIES)
    assert (await runs.record(ENTRIES)).applied == 0
    run = await runs.get(run_id_of(0))
    assert (run.status, run.answer, run.model_calls, run.tool_calls) == ("completed", "42", 2, 1)
    assert run.routing is not None
    assert run.routing.chosen == AGENT.agent_id
    assert run.started_at == NOW
    failed = await runs.get(run_id_of(1))
    assert failed.error is not None
    assert (failed.error.code, failed.attempts) == ("model.unavailable", 2)
    assert [(t.task_id, t.status, t.busy_seconds) for t in await runs.tasks(run_id_of(1))] == [
        ("look", "completed", 0.5),
        ("answer", "failed", 0.0),
    ]
    assert await runs.summary() == {"completed": 2, "failed": 1, "cancelled": 1, "suspended": 1}
    assert [r.run_id for r in await runs.latest(limit=2)] == [run_id_of(4), run_id_of(3)]
    assert [r.run_id for r in await runs.latest(user_id="user1")] == [run_id_of(3), run_id_of(1)]
    assert await runs.last_run_of("alice", "user0") == run_id_of(4)
    assert await runs.last_run_of("nobody") is None
    assert await runs.exists(run_id_of(0)) == ("completed", "h")
    assert await runs.exists("unknown") is None
    journal = await runs.events(run_id_of(0))
    assert [entry.event for entry in journal] == [e.event for e in ENTRIES if e.event.run_id == run_id_of(0)]
    traces = await runs.tool_calls([run_id_of(0), run_id_of(3)])
    assert [(call.name, call.result) for call in traces[run_id_of(0)]] == [("look", {"rows": [1, 2]})]
    assert traces[run_id_of(3)] == []
    assert [turn.turn for turn in await runs.turns(run_id_of(0))] == [1, 2]
    (today,) = await runs.daily_totals(since_day="2026-11-21")
    assert (today.runs, today.completed, today.failed, today.cancelled) == (4, 2, 1, 1)
    totals = await runs.agent_totals([AGENT.agent_id])
    assert (totals[AGENT.agent_id].runs, totals[AGENT.agent_id].successes) == (4, 2)
    with pytest.raises(NotFound):
        await runs.get("unknown")


async def test_a_suspended_run_holds_its_state_until_it_goes_on(databases: Databases) -> None:  # noqa: F811
    runs = RunStore(databases.records)
    await runs.record(ENTRIES)
    (waiting,) = await runs.suspended(reason="approval")
    assert (waiting.run_id, waiting.suspension) == (run_id_of(3), 1)
    assert await runs.state_of_suspended(run_id_of(3)) == {"at": "pay"}
    assert await runs.state_of_suspended(run_id_of(0)) is None
    assert await runs.suspended(due_before=NOW) == []
    assert len(await runs.suspended(due_before=NOW + timedelta(hours=1))) == 1
    assert await runs.running_first_seq(pending_since=NOW) is None


async def test_only_running_runs_hold_the_journal_back(databases: Databases) -> None:  # noqa: F811
    runs = RunStore(databases.records)
    await runs.record(ENTRIES[:10])
    assert await runs.running_first_seq(pending_since=NOW) == 1
    await runs.record(ENTRIES)
    assert await runs.running_first_seq(pending_since=NOW) is None


async def test_a_command_for_a_run_that_never_began_holds_the_journal_back_for_a_while(databases: Databases) -> None:  # noqa: F811
    runs = RunStore(databases.records)
    said = CancelRequested(event_id="c", run_id=str(uuid.uuid4()), occurred_at=NOW, source="t", prev_seq=0)
    await runs.record([JournalEntry(7, said, said.encode())])
    assert await runs.running_first_seq(pending_since=NOW - timedelta(hours=1)) == 7
    assert await runs.running_first_seq(pending_since=NOW + timedelta(hours=1)) is None


async def test_runs_that_wait_come_in_pages(databases: Databases) -> None:  # noqa: F811
    runs = RunStore(databases.records)
    await runs.record(ENTRIES)
    assert [run.run_id for run in await runs.suspended(after="", limit=1)] == [run_id_of(3)]
    assert await runs.suspended(after=run_id_of(3)) == []


async def test_each_ended_run_has_one_position_after_the_ones_before(databases: Databases) -> None:  # noqa: F811
    runs = RunStore(databases.records)
    await asyncio.gather(*(runs.record(ENTRIES) for _ in range(3)))
    first = await runs.finished_since(0, limit=2)
    rest = await runs.finished_since(first[-1][0])
    seen = [run.run_id for _, run in (*first, *rest)]
    assert sorted(seen) == sorted(run_id_of(n) for n in (0, 1, 2, 4))
    assert await runs.finished_since(rest[-1][0]) == []


async def test_a_damaged_row_fails_alone(databases: Databases) -> None:  # noqa: F811
    runs = RunStore(databases.records)
    await runs.record(ENTRIES)
    await databases.records.writer.run(
        lambda conn: (
            conn.execute(
                text("UPDATE runs SET routing = '{\"half' WHERE run_id = :run_id"), {"run_id": run_id_of(0)}
            ).rowcount
        )
    )
    with pytest.raises(CorruptRecord, match="routing"):
        await runs.get(run_id_of(0))
    assert (await runs.get(run_id_of(4))).status == "completed"


async def test_forgotten_runs_leave_their_totals(databases: Databases) -> None:  # noqa: F811
    runs = RunStore(databases.records)
    await runs.record(ENTRIES)
    assert await runs.forget_before(NOW + timedelta(days=1)) == 4
    assert await runs.summary() == {"suspended": 1}
    assert await runs.events(run_id_of(0)) == []
    assert len(await runs.daily_totals(since_day="2026-01-01")) == 1
