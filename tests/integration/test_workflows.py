from __future__ import annotations

import asyncio

import pytest

from evolvent.events.clock import SystemClock
from evolvent.events.errors import NotFound
from evolvent.events.language.workflow import Task, Workflow
from evolvent.storage.database import Databases
from evolvent.storage.workflows import WorkflowStore


def workflow(instructions: str, name: str = "triage") -> Workflow:
    return Workflow(name=name, tasks=(Task(task_id="a", instructions=instructions),))


async def test_the_same_content_is_one_version_and_another_is_the_next(databases: Databases) -> None:
    store = WorkflowStore(databases.definitions, SystemClock())
    first = await store.put(workflow("look"), by="ann")
    assert (await store.put(workflow("look"), by="bob")).version == first.version == 1
    second = await store.put(workflow("look again"), by="bob", source="automated", note="faster")
    assert (second.version, second.parent_version, second.source) == (2, 1, "automated")
    assert (await store.get("triage")).workflow.tasks[0].instructions == "look again"
    assert (await store.get("triage", version=1)).workflow == workflow("look")
    pinned = await store.pinned(first.workflow_hash)
    assert pinned is not None
    assert pinned.version == 1


async def test_rolling_back_appends_the_older_content(databases: Databases) -> None:
    store = WorkflowStore(databases.definitions, SystemClock())
    for text in ("one", "two"):
        await store.put(workflow(text), by="ann")
    back = await store.roll_back("triage", to=1, by="ann")
    assert (back.version, back.workflow.tasks[0].instructions) == (3, "one")
    assert [v.version for v in await store.versions("triage")] == [1, 2, 3]
    with pytest.raises(NotFound, match="version 9"):
        await store.roll_back("triage", to=9, by="ann")


async def test_writers_side_by_side_leave_a_line_without_gaps(databases: Databases) -> None:
    store = WorkflowStore(databases.definitions, SystemClock())
    await asyncio.gather(*(store.put(workflow(f"text {n}"), by="ann") for n in range(8)))
    versions = await store.versions("triage")
    assert [v.version for v in versions] == list(range(1, 9))
    assert [v.parent_version for v in versions] == [None, *range(1, 8)]


async def test_the_list_shows_the_current_version_of_each(databases: Databases) -> None:
    store = WorkflowStore(databases.definitions, SystemClock())
    for text in ("one", "two"):
        await store.put(workflow(text), by="ann")
    await store.put(workflow("x", name="another"), by="ann")
    assert [(w.workflow.name, w.version) for w in await store.current()] == [("another", 1), ("triage", 2)]
    with pytest.raises(NotFound, match="workflows list"):
        await store.get("nothing")
