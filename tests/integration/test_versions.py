"""One tree of versions: written with the thing itself, never changed, and gone back to by name."""

from __future__ import annotations

import asyncio

import pytest
from support.databases import FixedClock, database_url, databases, postgres_server  # noqa: F401

from evolvent.events.errors import NotFound
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.workflow import Task, Workflow
from evolvent.storage.agent_versions import AgentVersions
from evolvent.storage.agents import AgentStore
from evolvent.storage.automations import UNLEARNT, AutomationStore
from evolvent.storage.database import Databases
from evolvent.storage.version_changes import MOST_CHARACTERS, changes
from evolvent.storage.versions import VersionStore
from evolvent.storage.workflows import WorkflowStore

SPEC = AgentSpec(agent_id="clerk", specialty="orders", system_prompt="Help.", model="m")


def automation(name: str = "cancel", **fields: object) -> Automation:
    return Automation.model_validate(
        {"automation_id": "auto-1", "name": name, "kind": "full", "signature": "s", **fields}
    )


def prompted(prompt: str) -> AgentSpec:
    return AgentSpec.model_validate({**SPEC.model_dump(), "system_prompt": prompt})


@pytest.fixture
def tree(databases: Databases) -> VersionStore:  # noqa: F811
    return VersionStore(databases.definitions)


async def test_every_kind_of_thing_stands_in_one_tree_with_what_it_changed(
    databases: Databases,  # noqa: F811
    tree: VersionStore,
) -> None:
    workflows = WorkflowStore(databases.definitions, FixedClock())
    agents = AgentStore(databases.definitions, FixedClock())
    automations = AutomationStore(databases.definitions, FixedClock())
    for text in ("look", "look twice"):
        await workflows.put(Workflow(name="triage", tasks=(Task(task_id="a", instructions=text),)), by="ann")
        await agents.put(prompted(text), created_by="ann", source="user")
        await automations.put(automation(text), status="verified", receipts=[{"agreed": 3}])
    found = {(each.kind, each.version): each for each in await tree.list()}
    assert sorted(found) == [(kind, version) for kind in ("agent", "automation", "workflow") for version in (1, 2)]
    for kind, source, by in (
        ("workflow", "user", "ann"),
        ("agent", "user", "ann"),
        ("automation", "automated", "learner"),
    ):
        first, second = found[kind, 1], found[kind, 2]
        assert (first.parent, first.changes) == (None, "")
        assert (second.parent, second.source, second.by) == (1, source, by)
        lines = second.changes.splitlines()
        assert any(line.startswith("-") and line.endswith(": look") for line in lines)
        assert any(line.startswith("+") and line.endswith(": look twice") for line in lines)
    assert found["automation", 1].receipts[0].evidence == {"checks": [{"agreed": 3}]}
    assert [each.version for each in await tree.list("agent", "clerk")] == [2, 1]


async def test_what_is_decided_of_an_automation_is_kept_in_order(databases: Databases, tree: VersionStore) -> None:  # noqa: F811
    store = AutomationStore(databases.definitions, FixedClock())
    await store.put(automation(), status="verified")
    await store.set_status("auto-1", 1, "live", by="anna", reason="fine")
    await store.put(automation("other"), status="live")
    first = await tree.get("automation", "auto-1", 1)
    assert [(each.status, each.by) for each in first.receipts] == [
        ("verified", "learner"),
        ("live", "anna"),
        ("retired", "learner"),
    ]
    assert (await tree.get("automation", "auto-1")).status == "live"


async def test_a_decision_that_fails_leaves_no_receipt(databases: Databases, tree: VersionStore) -> None:  # noqa: F811
    store = AutomationStore(databases.definitions, FixedClock())
    await store.put(automation(), status="verified")
    with pytest.raises(NotFound):
        await store.set_status("auto-1", 9, "live", by="anna")
    assert len((await tree.get("automation", "auto-1")).receipts) == 1


async def test_what_was_unlearnt_comes_again_as_another_version(databases: Databases) -> None:  # noqa: F811
    store = AutomationStore(databases.definitions, FixedClock())
    await store.put(automation(run_ids=("bad",)), status="live")
    await store.set_status("auto-1", 1, "rolled_back", by=UNLEARNT)
    again = await store.put(automation(run_ids=("good",)), status="verified")
    assert (again.automation.version, again.automation.run_ids, again.status) == (2, ("good",), "verified")


async def test_a_proposed_agent_is_used_by_nobody_until_it_is_applied(
    databases: Databases,  # noqa: F811
    tree: VersionStore,
) -> None:
    agents = AgentStore(databases.definitions, FixedClock())
    proposals = AgentVersions(databases.definitions, FixedClock())
    await agents.put(SPEC, created_by="ann")
    number = await proposals.propose(prompted("Help better."), parent=1, by="improver", evidence={"feedback": "f1"})
    assert (number, await agents.get("clerk"), await proposals.current("clerk")) == (2, SPEC, (1, SPEC))
    assert "+system_prompt: Help better." in (await tree.get("agent", "clerk", 2)).changes
    await proposals.apply("clerk", 2, by="ann")
    assert (await agents.get("clerk")).system_prompt == "Help better."
    assert await agents.get("clerk", SPEC.spec_hash) == SPEC  # runs that began with it keep it
    assert [each.status for each in (await tree.get("agent", "clerk", 2)).receipts] == ["proposed", "applied"]
    assert [each.version for each in await tree.list("agent", status="applied")] == [2]
    assert await tree.list("agent", status="proposed") == []
    await agents.put(prompted("A third."), created_by="ann")
    assert (await tree.get("agent", "clerk")).version == 3


async def test_an_agent_goes_back_to_any_version_as_a_new_one(databases: Databases, tree: VersionStore) -> None:  # noqa: F811
    agents = AgentStore(databases.definitions, FixedClock())
    versions = AgentVersions(databases.definitions, FixedClock())
    for text in ("one", "two"):
        await agents.put(prompted(text), created_by="ann")
    assert await versions.roll_back("clerk", to=1, by="bob") == 3
    assert (await agents.get("clerk")).system_prompt == "one"
    back = await tree.get("agent", "clerk")
    assert (back.parent, back.by, back.note) == (2, "bob", "rolled back to version 1")
    with pytest.raises(NotFound, match="version 9"):
        await versions.roll_back("clerk", to=9, by="bob")
    with pytest.raises(NotFound, match="nobody"):
        await versions.roll_back("nobody", to=1, by="bob")


async def test_versions_made_side_by_side_get_numbers_of_their_own(databases: Databases, tree: VersionStore) -> None:  # noqa: F811
    agents = AgentStore(databases.definitions, FixedClock())
    proposals = AgentVersions(databases.definitions, FixedClock())
    await agents.put(SPEC, created_by="ann")
    made = await asyncio.gather(
        *(proposals.propose(prompted(f"P{n}"), parent=1, by="improver", evidence={}) for n in range(5)),
        *(agents.put(prompted(f"Q{n}"), created_by="ann") for n in range(5)),
    )
    assert len(set(made[:5])) == 5
    assert sorted(each.version for each in await tree.list("agent", "clerk")) == list(range(1, 12))


def test_a_long_diff_is_cut_and_a_huge_one_is_not_made() -> None:
    long = changes({"a": []}, {"a": [f"line {n}" for n in range(9000)]}, names=("x@1", "x@2"))
    assert len(long) < MOST_CHARACTERS + 100
    assert long.rstrip().endswith("more characters of changes.")
    assert "Too large to be compared" in changes({"a": ""}, {"a": "x" * 400_000}, names=("x@1", "x@2"))
