from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from support.databases import NOON, database_url, databases, postgres_server  # noqa: F401

from evolvent.storage.archive import Archive, DeadLetter, StoredCommand, StoredEvent
from evolvent.storage.database import Databases
from evolvent.storage.improvements import ImprovementStore, Sighting, StoredFeedback, StoredOutcome

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


async def test_each_stretch_is_counted_by_exactly_one_job(databases: Databases) -> None:  # noqa: F811
    store = ImprovementStore(databases.records)
    seen = [Sighting("v1", "look > answer", f"r{n}", NOON) for n in range(60)]
    claims = await asyncio.gather(*(store.advance("learn", before=0, after=60, sightings=seen) for _ in range(5)))
    assert sum(claims) == 1
    assert await store.advance("learn", before=60, after=61, sightings=[Sighting("v2", "look", "x", NOON)])
    assert await store.position("learn") == 61
    first, second = await store.variants()
    assert (first.variant, first.support, len(first.run_ids), first.run_ids[-1]) == ("v1", 60, 50, "r59")
    assert (second.variant, second.support) == ("v2", 1)
    assert [one.variant for one in await store.variants(min_support=3)] == ["v1"]


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
