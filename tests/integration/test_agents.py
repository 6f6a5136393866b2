from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from support.databases import FixedClock, database_url, databases, postgres_server  # noqa: F401

from evolvent.events.errors import NotFound
from evolvent.events.language.agents import AgentSpec
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.errors import AgentLimitReached, CorruptRecord


def spec(name: str = "a", **changes: object) -> AgentSpec:
    return AgentSpec.model_validate(
        {"agent_id": f"search_{name}", "specialty": "search", "system_prompt": "Find.", "model": "m", **changes}
    )


async def test_the_same_spec_is_stored_once_and_another_is_a_new_version(databases: Databases) -> None:  # noqa: F811
    store = AgentStore(databases.definitions, FixedClock())
    first = await store.put(spec(), created_by="alice")
    await store.put(spec(), created_by="alice")
    second = await store.put(spec(system_prompt="Find better."), created_by="alice", source="user")
    assert [(n, h, s) for n, h, s, _ in await store.versions("search_a")] == [
        (1, first.spec_hash, "system"),
        (2, second.spec_hash, "user"),
    ]
    assert (await store.get("search_a")).system_prompt == "Find better."
    assert (await store.get("search_a", first.spec_hash)) == first
    await store.put(spec(), created_by="alice")
    assert (await store.get("search_a")) == first


async def test_one_key_makes_one_agent_however_many_ask(databases: Databases) -> None:  # noqa: F811
    store = AgentStore(databases.definitions, FixedClock())
    puts = (store.put(spec(str(n)), created_by="alice", key="run1/search") for n in range(5))
    stored = await asyncio.gather(*puts)
    assert len({one.agent_id for one in stored}) == 1
    assert await store.find_by_key("run1/search") == stored[0]
    assert await store.find_by_key("other") is None


async def test_parallel_puts_never_make_more_agents_than_a_goal_may_have(databases: Databases) -> None:  # noqa: F811
    store = AgentStore(databases.definitions, FixedClock())
    await store.put(spec("old"), created_by="loader", key="old")
    await store.retire("search_old")
    await store.put(spec("built_in"), created_by="system", spawned=False)
    puts = [store.put(spec(str(n)), created_by="loader", most=3) for n in range(8)]
    answers = await asyncio.gather(*puts, return_exceptions=True)
    assert [type(a) for a in answers if isinstance(a, BaseException)] == [AgentLimitReached] * 5
    assert await store.count_active("default") == 3
    with pytest.raises(AgentLimitReached):
        await store.put(spec("old"), created_by="loader", key="old", most=3)
    known = next(a for a in answers if isinstance(a, AgentSpec))
    assert await store.put(known, created_by="loader", most=3) == known


async def test_a_retired_agent_no_longer_counts_and_can_still_be_read(databases: Databases) -> None:  # noqa: F811
    store = AgentStore(databases.definitions, FixedClock())
    for name in ("a", "b", "c"):
        await store.put(spec(name), created_by="loader")
    await store.put(spec("built_in"), created_by="system", spawned=False)
    assert await store.retire("search_b")
    assert not await store.retire("search_b")
    assert await store.count_active("default") == 2
    assert await store.count_active("default", spawned_only=False) == 3
    assert [one.agent_id for one in await store.find_by_specialty("default", "search", limit=2)] == [
        "search_a",
        "search_built_in",
    ]
    assert [(row.agent_id, row.status) for row in await store.list("default", "retired")] == [("search_b", "retired")]
    assert (await store.get("search_b")).agent_id == "search_b"
    with pytest.raises(NotFound):
        await store.retire("nobody")


async def test_a_spec_that_cannot_be_read_says_so(databases: Databases) -> None:  # noqa: F811
    store = AgentStore(databases.definitions, FixedClock())
    await store.put(spec(), created_by="alice")
    await databases.definitions.writer.run(
        lambda conn: conn.execute(text("UPDATE agent_versions SET spec_json = '{}'")).rowcount
    )
    with pytest.raises(CorruptRecord, match="search_a"):
        await store.get("search_a")
