"""Versions of automations and what is decided about them, on every database."""

from __future__ import annotations

import asyncio

import pytest
from support.databases import FixedClock, database_url, databases, postgres_server  # noqa: F401

from evolvent.events.errors import NotFound
from evolvent.events.language.learning.automation import Automation
from evolvent.storage.automations import AutomationStore
from evolvent.storage.database import Databases


def automation(automation_id: str = "auto-1", name: str = "cancel", **fields: object) -> Automation:
    return Automation.model_validate(
        {"automation_id": automation_id, "name": name, "kind": "full", "signature": f"s-{automation_id}", **fields}
    )


@pytest.fixture
def store(databases: Databases) -> AutomationStore:  # noqa: F811
    return AutomationStore(databases.definitions, FixedClock())


async def test_a_version_is_kept_with_its_receipts(store: AutomationStore) -> None:
    put = await store.put(automation(), status="verified", receipts=[{"agreed": 3}])
    got = await store.get("auto-1")
    assert got == put
    assert (got.status, got.source, got.receipts, got.automation.version) == (
        "verified",
        "learner",
        ({"agreed": 3},),
        1,
    )


async def test_what_does_the_same_is_no_new_version(store: AutomationStore) -> None:
    await store.put(automation(), status="verified")
    again = await store.put(automation(run_ids=("another",), principals=7), status="live")
    assert (again.automation.version, again.status) == (1, "verified")
    other = await store.put(automation(name="cancel all"), status="verified")
    assert other.automation.version == 2
    assert [each.automation.name for each in await store.versions("auto-1")] == ["cancel", "cancel all"]
    assert (await store.get("auto-1", 1)).automation.name == "cancel"


async def test_at_most_one_version_is_live(store: AutomationStore) -> None:
    await store.put(automation(), status="live")
    await store.put(automation(name="b"), status="live")
    assert [each.version for each in await store.live()] == [2]
    await store.set_status("auto-1", 1, "live", by="anna", reason="the newer one was wrong")
    assert [each.version for each in await store.live()] == [1]
    first, second = await store.versions("auto-1")
    assert (first.status, first.decided_by, first.reason) == ("live", "anna", "the newer one was wrong")
    assert (second.status, second.reason) == ("retired", "Version 1 took its place.")


async def test_many_who_decide_at_once_leave_one_live(store: AutomationStore) -> None:
    for number in range(4):
        await store.put(automation(name=f"n{number}"), status="verified")
    await asyncio.gather(*(store.set_status("auto-1", n, "live", by="x") for n in (1, 2, 3, 4)))
    assert len(await store.live()) == 1


async def test_many_who_put_the_same_at_once_make_one_version(store: AutomationStore) -> None:
    await asyncio.gather(*(store.put(automation(), status="verified") for _ in range(4)))
    assert len(await store.versions("auto-1")) == 1


async def test_a_list_shows_the_live_version_else_the_newest(store: AutomationStore) -> None:
    await store.put(automation("a", "one"), status="live")
    await store.put(automation("a", "two"), status="verified")
    await store.put(automation("b", "one"), status="retired")
    await store.put(automation("b", "two"), status="disabled")
    assert [(each.automation.automation_id, each.automation.version) for each in await store.list()] == [
        ("a", 1),
        ("b", 2),
    ]
    assert [each.automation.name for each in await store.list("verified")] == ["two"]
    assert len(await store.list(limit=1)) == 1


async def test_what_is_not_there_says_where_to_look(store: AutomationStore) -> None:
    with pytest.raises(NotFound, match="automations list"):
        await store.get("auto-9")
    with pytest.raises(NotFound, match="version 3"):
        await store.set_status("auto-1", 3, "live", by="x")


async def test_every_change_raises_the_revision(store: AutomationStore) -> None:
    seen = [await store.revision()]
    await store.put(automation(), status="live")
    seen.append(await store.revision())
    await store.set_status("auto-1", 1, "disabled", by="x")
    seen.append(await store.revision())
    await store.put_small_talk(("default", "a"), [{"words": ["hi"]}])
    seen.append(await store.revision())
    assert seen == sorted(set(seen))
    assert await store.small_talk() == [{"words": ["hi"]}]
    await store.put_small_talk(("default", "a"), [{"words": ["hi"]}])
    assert await store.revision() == seen[-1]
    await store.put_small_talk(("default", "a"), [])
    assert await store.small_talk() == []
