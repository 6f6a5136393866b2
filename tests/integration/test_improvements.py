from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from support.databases import NOON, database_url, databases, postgres_server  # noqa: F401

from evolvent.storage.archive import Archive, DeadLetter, StoredCommand, StoredEvent
from evolvent.storage.database import Databases
from evolvent.storage.improvements import ImprovementStore, StoredFeedback, StoredOutcome
from evolvent.storage.signatures import SignatureRows

SAID = StoredFeedback("f1", "r1", "u", "alice", "Make it\0 shorter", 2, NOON)


async def test_feedback_is_kept_once(databases: Databases) -> None:  # noqa: F811
    store = ImprovementStore(databases.records)
    assert await store.put_feedback(SAID)
    assert not await store.put_feedback(replace(SAID, text="something else"))
    (kept,) = await store.feedback(run_id="r1")
    assert (kept.text, kept.rating, kept.created_at) == ("Make it\ufffd shorter", 2, NOON)
    assert await store.feedback(since=NOON + timedelta(seconds=1)) == []


async def test_the_last_word_of_each_principal_counts(databases: Databases) -> None:  # noqa: F811
    store = ImprovementStore(databases.records)
    late = StoredOutcome("r1", "alice", ok=False, note="wrong", created_at=NOON + timedelta(seconds=5))
    await store.put_outcome(late)
    await store.put_outcome(StoredOutcome("r1", "alice", ok=True, note=None, created_at=NOON))
    await store.put_outcome(StoredOutcome("r1", "bob", ok=True, note=None, created_at=NOON))
    found = await store.outcomes(["r1", "r2"])
    assert {(one.principal, one.ok) for one in found["r1"]} == {("alice", False), ("bob", True)}
    assert "r2" not in found


async def test_who_says_that_a_run_went_wrong_disputes_it_and_who_wishes_does_not(databases: Databases) -> None:  # noqa: F811
    store, rows = ImprovementStore(databases.records), SignatureRows(databases.records)
    await store.put_feedback(SAID)
    await store.put_feedback(replace(SAID, feedback_id="f2", run_id="r2", rating=5))
    await store.put_feedback(replace(SAID, feedback_id="f3", run_id="r3", rating=None, text="That was wrong"))
    await store.put_feedback(replace(SAID, feedback_id="f6", run_id="r6", rating=None))
    await store.put_feedback(replace(SAID, feedback_id="f7", run_id="r7"), may_dispute=False)
    await store.put_outcome(StoredOutcome("r4", "alice", ok=False, note=None, created_at=NOON))
    await store.put_outcome(StoredOutcome("r5", "alice", ok=True, note=None, created_at=NOON))
    assert await store.disputed(["r1", "r2", "r3", "r4", "r5", "r6", "r7"]) == {"r1", "r3", "r4"}
    assert await rows.disputes(10) == ["r1", "r3", "r4"]


async def test_what_came_over_the_other_streams_is_kept_once(databases: Databases) -> None:  # noqa: F811
    archive = Archive(databases.records)
    events = [StoredEvent(n, NOON, "agent_spawned", None, "{}") for n in (1, 2)]
    command = StoredCommand(1, NOON, "cancel", "r1", "alice", "{}")
    letter = DeadLetter(
        1, NOON, "REQUESTS", "evolvent.requests.high.x", "message.invalid", "bad", {"a": "b"}, b"\0\xff"
    )
    for _ in range(2):
        await archive.keep_events(events)
        await archive.keep_commands([command])
        await archive.keep_dead([letter])
    assert [event.seq for event in await archive.events(type_="agent_spawned")] == [2, 1]
    assert await archive.commands_for("r1") == [command]
    assert await archive.dead_count() == 1
    await archive.forget_before(NOON + timedelta(seconds=1))
    assert await archive.dead_count() == 0
