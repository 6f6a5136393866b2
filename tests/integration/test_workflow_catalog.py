"""The catalog's answers, on real stores and real tools."""

from __future__ import annotations

from typing import Any

import pytest

from evolvent.events.bus import Call
from evolvent.events.clock import SystemClock
from evolvent.events.envelope import Message
from evolvent.events.errors import NotFound
from evolvent.events.messages.workflow_calls import (
    Checked,
    CheckWorkflow,
    EngineMetrics,
    PutReply,
    PutWorkflow,
    RollBackWorkflow,
    WorkflowList,
    WorkflowQuery,
    WorkflowReply,
    WorkflowVersionList,
)
from evolvent.events.nats_bus import NatsBus
from evolvent.orchestrator.tools import ToolRegistry
from evolvent.orchestrator.workflows.builtin_documents import builtin_documents
from evolvent.orchestrator.workflows.catalog import CatalogStores, WorkflowCatalog
from evolvent.orchestrator.workflows.planner import Planner
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.runs import RunStore
from evolvent.storage.workflow_records import WorkflowRecords
from evolvent.storage.workflows import WorkflowStore

TASK = {"task_id": "numbers", "tool": "calculate_metrics", "arguments": {"values": [1, 2]}}


@pytest.fixture
def catalog(bus: NatsBus, databases: Databases) -> WorkflowCatalog:
    clock, tools = SystemClock(), ToolRegistry()
    tools.load_builtin()
    workflows, agents = WorkflowStore(databases.definitions, clock), AgentStore(databases.definitions, clock)
    stores = CatalogStores(workflows, agents, RunStore(databases.records), WorkflowRecords(databases.records))
    return WorkflowCatalog(stores, tools, Planner(bus, agents, workflows, tools))


async def call(catalog: WorkflowCatalog, endpoint: str, message: Message) -> bytes:
    return await catalog.endpoints()[endpoint](Call(f"evolvent.orchestrator.{endpoint}", message.encode(), {}))


def document(name: str = "report", **more: Any) -> dict[str, Any]:
    return {"name": name, "tasks": [TASK], **more}


async def put(catalog: WorkflowCatalog, body: dict[str, Any]) -> PutReply:
    return PutReply.decode(await call(catalog, "put_workflow", PutWorkflow(document=body)))


async def test_a_document_is_stored_once_and_every_change_is_a_version(catalog: WorkflowCatalog) -> None:
    first, same = await put(catalog, document()), await put(catalog, document())
    assert first.stored is not None
    assert same.stored is not None
    assert (first.is_new, same.is_new) == (True, False)
    second = await put(catalog, document(title="Report"))
    assert second.stored is not None
    assert (first.stored.version, same.stored.version, second.stored.version) == (1, 1, 2)
    shown = WorkflowReply.decode(await call(catalog, "workflows.show", WorkflowQuery(name="report", version=1)))
    assert shown.stored.workflow_hash == first.stored.workflow_hash == shown.workflow.workflow_hash


async def test_what_cannot_run_is_refused_with_everything_that_is_wrong(catalog: WorkflowCatalog) -> None:
    wrong = document(
        name="a/b",
        colour="red",
        tasks=[
            {**TASK, "tool": "no_such_tool", "dependencies": ["nobody"]},
            {"task_id": "x", "agent_id": "nobody_00000000", "instructions": "?"},
            {"task_id": "y", "workflow": "nothing"},
        ],
    )
    refused = await put(catalog, wrong)
    assert refused.stored is None
    assert {row.code for row in refused.problems} == {
        "word.unknown",
        "name.invalid",
        "tool.unknown",
        "dependency.unknown",
        "agent.unknown",
        "workflow.unknown",
    }
    assert WorkflowList.decode(await call(catalog, "workflows.list", WorkflowQuery(name="x"))).workflows == ()


async def test_a_check_stores_nothing_and_gives_advice(catalog: WorkflowCatalog) -> None:
    body = document(tasks=[TASK, {**TASK, "task_id": "more"}], mode="sequential")
    found = Checked.decode(await call(catalog, "workflows.check", CheckWorkflow(document=body)))
    assert found.problems == ()
    assert "lint.sequential" in {row.code for row in found.advice}
    with pytest.raises(NotFound):
        await call(catalog, "workflows.show", WorkflowQuery(name="report"))


async def test_nested_workflows_are_looked_up(catalog: WorkflowCatalog) -> None:
    await put(catalog, document("inner"))
    outer = document("outer", tasks=[{"task_id": "in", "workflow": "inner"}])
    assert (await put(catalog, outer)).stored is not None
    circle = document("inner", tasks=[{"task_id": "out", "workflow": "outer"}])
    assert {row.code for row in (await put(catalog, circle)).problems} == {"workflow.nested"}


async def test_going_back_takes_the_version_before_or_the_one_named(catalog: WorkflowCatalog) -> None:
    for title in ("one", "two", "three"):
        await put(catalog, document(title=title))
    back = PutReply.decode(await call(catalog, "roll_back_workflow", RollBackWorkflow(name="report")))
    assert back.stored is not None
    assert (back.stored.version, back.stored.note) == (4, "rolled back to version 2")
    await call(catalog, "roll_back_workflow", RollBackWorkflow(name="report", to=1))
    shown = WorkflowReply.decode(await call(catalog, "workflows.show", WorkflowQuery(name="report")))
    assert shown.workflow.title == "one"
    found = WorkflowVersionList.decode(await call(catalog, "workflows.versions", WorkflowQuery(name="report")))
    assert [row.version for row in found.versions] == [1, 2, 3, 4, 5]
    await put(catalog, document("single"))
    with pytest.raises(NotFound, match="no other version"):
        await call(catalog, "roll_back_workflow", RollBackWorkflow(name="single"))


async def test_what_comes_with_the_platform_is_stored_once_and_gives_way_to_an_operator(
    catalog: WorkflowCatalog,
) -> None:
    names = sorted(builtin_documents())
    await catalog.store_builtin()
    await put(catalog, document(names[0]))
    await catalog.store_builtin()
    listed = WorkflowList.decode(await call(catalog, "workflows.list", WorkflowQuery(name="x"))).workflows
    assert [row.name for row in listed] == names
    assert [(row.version, row.source) for row in listed] == [(2, "user"), (1, "system"), (1, "system")]
    assert listed[1].parallelism > 0


async def test_the_engine_is_counted_from_the_records(catalog: WorkflowCatalog) -> None:
    found = EngineMetrics.decode(await call(catalog, "workflows.engine", WorkflowQuery(name="x")))
    assert found.resource_usage.memory_megabytes > 1
    assert found == EngineMetrics(resource_usage=found.resource_usage)
