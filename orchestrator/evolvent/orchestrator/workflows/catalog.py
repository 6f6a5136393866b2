"""The catalog of workflows on the bus: what there is, whether a document can run here, and its versions.

Answers calls; runs are none of its business. Reading is for everybody, storing for operators: the bus's grants see
to that (`nats_grants.py`). Shown in use by tests/integration/test_workflow_catalog.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from evolvent.events.bus import Call
from evolvent.events.errors import EvolventError, NotFound
from evolvent.events.language.lint import lint
from evolvent.events.language.plan import plan
from evolvent.events.language.tools import ToolSpec
from evolvent.events.language.validation import problems
from evolvent.events.language.workflow import Workflow
from evolvent.events.language.workflow_files import load_workflow, read_workflow
from evolvent.events.language.workflow_problems import Problem
from evolvent.events.messages.workflow_calls import (
    AgentLoad,
    Checked,
    CheckWorkflow,
    EngineMetrics,
    ListWorkflows,
    ObservedTask,
    ProblemRow,
    PutReply,
    PutWorkflow,
    RecentRun,
    ResourceUsage,
    RollBackWorkflow,
    VersionRow,
    WorkflowList,
    WorkflowQuery,
    WorkflowReply,
    WorkflowRow,
    WorkflowVersionList,
)
from evolvent.events.service import Endpoint
from evolvent.orchestrator.logs.absence import told_once
from evolvent.orchestrator.tools import ToolRegistry
from evolvent.orchestrator.workflows.builtin_documents import builtin_documents
from evolvent.orchestrator.workflows.planner import Planner
from evolvent.storage.agents import AgentStore
from evolvent.storage.runs import RunStore
from evolvent.storage.workflow_records import WorkflowRecords
from evolvent.storage.workflows import StoredWorkflow, WorkflowStore

OPERATOR = "operator"
PLATFORM = "evolvent"
_NAME = re.compile(r"[^\W_][\w .:+-]{0,127}")
_RECENT = 10


@dataclass(frozen=True, slots=True)
class CatalogStores:
    """Where the catalog looks things up."""

    workflows: WorkflowStore
    agents: AgentStore
    runs: RunStore
    records: WorkflowRecords


class WorkflowCatalog:
    """Answers `evolvent.orchestrator.*` calls about workflow documents."""

    def __init__(self, stores: CatalogStores, tools: ToolRegistry, planner: Planner) -> None:
        self._stores = stores
        self._tools = tools
        self._planner = planner

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return what any orchestrator answers about workflows."""
        return {
            "workflows.list": self._list,
            "workflows.show": self._show,
            "workflows.versions": self._versions,
            "workflows.check": self._check,
            "put_workflow": self._put,
            "roll_back_workflow": self._roll_back,
            "workflows.engine": self._engine,
            **self._planner.endpoints(),
        }

    async def store_builtin(self) -> None:
        """Store the workflows that come with the platform, unless an operator has put one in their place."""
        for name, document in builtin_documents().items():
            try:
                if (await self._stores.workflows.get(name)).source != "system":
                    continue
            except NotFound:
                pass
            await self._stores.workflows.put(load_workflow(document), by=PLATFORM, source="system")

    async def found_problems(self, workflow: Workflow) -> list[Problem]:
        """Return everything that keeps a workflow from running on this platform."""
        found = list(_name_problems(workflow))
        tools = self.tools()
        found += told_once(problems(workflow, tools, workflows=await self._nested(workflow)), tools)
        for agent_id in sorted({task.agent_id for task in workflow.tasks if task.agent_id}):
            try:
                await self._stores.agents.get_active(agent_id)
            except NotFound as error:
                found.append(Problem(f"agent {agent_id!r:.80}", str(error), "", "agent.unknown"))
        return found

    def tools(self) -> dict[str, ToolSpec]:
        """Return the tools that there are, by name."""
        return {spec.name: spec for spec in self._tools.specs()}

    async def _list(self, call: Call) -> bytes:
        ask = ListWorkflows.decode(call.data or b"{}")
        stored = await self._stores.workflows.current(limit=ask.limit, offset=ask.offset)
        tools = self.tools()
        return WorkflowList(workflows=tuple(_row(each, tools) for each in stored)).encode()

    async def _show(self, call: Call) -> bytes:
        ask = WorkflowQuery.decode(call.data)
        stored = await self._stores.workflows.get(ask.name, version=ask.version)
        seen = await self._stores.records.durations(stored.workflow.name)
        return WorkflowReply(
            workflow=stored.workflow,
            stored=_version(stored),
            advice=tuple(map(ProblemRow.of, lint(stored.workflow, self.tools()))),
            observed={name: ObservedTask(seconds=each.seconds, runs=each.runs) for name, each in seen.items()},
        ).encode()

    async def _versions(self, call: Call) -> bytes:
        ask = WorkflowQuery.decode(call.data)
        stored = await self._stores.workflows.versions(ask.name)
        if not stored:
            await self._stores.workflows.get(ask.name)
        return WorkflowVersionList(versions=tuple(map(_version, stored))).encode()

    async def _check(self, call: Call) -> bytes:
        return (await self._checked(CheckWorkflow.decode(call.data).document)).encode()

    async def _put(self, call: Call) -> bytes:
        ask = PutWorkflow.decode(call.data)
        checked = await self._checked(ask.document)
        if checked.workflow is None or checked.problems:
            return PutReply(problems=checked.problems, advice=checked.advice).encode()
        store = self._stores.workflows
        before = await _current_version(store, checked.workflow.name)
        stored = await store.put(checked.workflow, by=OPERATOR, source=ask.source, note=ask.note)
        return PutReply(stored=_version(stored), is_new=stored.version != before, advice=checked.advice).encode()

    async def _roll_back(self, call: Call) -> bytes:
        ask = RollBackWorkflow.decode(call.data)
        store = self._stores.workflows
        to = ask.to
        if to is None:
            current = await store.get(ask.name)
            older = [each for each in await store.versions(ask.name) if each.workflow_hash != current.workflow_hash]
            if not older:
                raise NotFound(f"Workflow {ask.name!r} has no other version to go back to; nothing was changed.")
            to = older[-1].version
        stored = await store.roll_back(ask.name, to=to, by=OPERATOR)
        return PutReply(stored=_version(stored), is_new=True).encode()

    async def _engine(self, call: Call) -> bytes:
        counts = await self._stores.runs.summary()
        load = await self._stores.records.agent_load()
        recent = await self._stores.runs.latest(limit=_RECENT)
        return EngineMetrics(
            active_workflows=counts.get("running", 0),
            suspended_workflows=counts.get("suspended", 0),
            completed_workflows=counts.get("completed", 0),
            failed_workflows=counts.get("failed", 0),
            cancelled_workflows=counts.get("cancelled", 0),
            agent_load=tuple(AgentLoad(agent_id=name, tasks=n) for name, n in sorted(load.items())),
            resource_usage=_used(),
            performance_metrics=tuple(
                RecentRun(
                    run_id=run.run_id,
                    workflow=run.workflow,
                    status=run.status,
                    duration_seconds=run.duration_seconds,
                    cost_usd=run.cost_microusd / 1e6,
                    started_at=run.started_at,
                )
                for run in recent
            ),
        ).encode()

    async def _checked(self, document: dict[str, Any]) -> Checked:
        workflow, found = read_workflow(document)
        advice: list[Problem] = []
        if workflow is not None:
            found = [*found, *await self.found_problems(workflow)]
            advice = lint(workflow, self.tools())
        rows, advised = tuple(map(ProblemRow.of, found)), tuple(map(ProblemRow.of, advice))
        return Checked(workflow=workflow, problems=rows, advice=advised)

    async def _nested(self, workflow: Workflow) -> dict[str, Workflow]:
        """Return the stored workflows that this one reaches, by name; those that are not there are left out."""
        found: dict[str, Workflow] = {}
        waiting = [workflow]
        while waiting:
            for name in _targets(waiting.pop()):
                if name in found or name == workflow.name:
                    continue
                try:
                    found[name] = (await self._stores.workflows.get(name)).workflow
                except EvolventError:
                    continue
                waiting.append(found[name])
        return found


def _targets(workflow: Workflow) -> Iterator[str]:
    yield from (task.workflow for task in workflow.tasks if task.workflow)
    if workflow.fallback_workflow:
        yield workflow.fallback_workflow


def _name_problems(workflow: Workflow) -> Iterator[Problem]:
    """A name stands in requests, in NAME@VERSION and in listings."""
    if workflow.name.strip() and not _NAME.fullmatch(workflow.name):
        what = f"{workflow.name!r:.80} is no name of a workflow."
        remedy = "Use up to 128 letters, digits, spaces and _ . : + -, and begin with a letter or digit."
        yield Problem("name", what, remedy, "name.invalid")


async def _current_version(store: WorkflowStore, name: str) -> int | None:
    try:
        return (await store.get(name)).version
    except NotFound:
        return None


def _row(stored: StoredWorkflow, tools: Mapping[str, ToolSpec]) -> WorkflowRow:
    workflow, found = stored.workflow, plan(stored.workflow)
    needed = {*workflow.tools, *(name for task in workflow.tasks for name in task.required_tools or ())}
    return WorkflowRow(
        name=workflow.name,
        title=workflow.title,
        description=workflow.description[:500],
        version=stored.version,
        workflow_hash=stored.workflow_hash,
        source=stored.source,
        tasks=len(workflow.tasks),
        phases=len(found.phases),
        parallelism=round(found.parallelism, 4),
        time_saved=round(found.time_saved, 4),
        expected_seconds=round(found.expected_seconds, 3),
        created_at=stored.created_at,
        missing_tools=tuple(sorted(needed - tools.keys())),
    )


def _version(stored: StoredWorkflow) -> VersionRow:
    return VersionRow(
        name=stored.workflow.name,
        version=stored.version,
        workflow_hash=stored.workflow_hash,
        source=stored.source,
        parent_version=stored.parent_version,
        note=stored.note,
        created_by=stored.created_by,
        created_at=stored.created_at,
    )


def _used() -> ResourceUsage:
    process = psutil.Process()
    times = process.cpu_times()
    return ResourceUsage(
        memory_megabytes=round(process.memory_info().rss / 1e6, 1), cpu_seconds=round(times.user + times.system, 2)
    )
