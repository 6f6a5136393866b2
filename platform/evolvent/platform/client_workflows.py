"""The part of the SDK about workflows: list, create, run, watch, plan.

    async with Client.connect(operator=True) as client:
        report = workflow("report").tool("fetch", "search_logs", arguments={"query": "error"}).build()
        async for step in client.execute_custom_workflow(report, {}, "What went wrong today?"):
            print(step.type, step.data)

Reading is for every client; storing a workflow, and so running one that is not stored yet, is for operators.
Shown in use by tests/e2e/test_workflow_commands.py.
"""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Literal, Unpack

from pydantic_core import from_json

from evolvent.events import subjects
from evolvent.events.bus import CoreMessage
from evolvent.events.envelope import Message
from evolvent.events.errors import CallTimeout, NoResponders, NotFound, PermissionDenied
from evolvent.events.expansion import expand
from evolvent.events.language.builders import create_custom_workflow_from_tasks
from evolvent.events.language.workflow import Task, Workflow
from evolvent.events.language.workflow_files import load_workflow
from evolvent.events.language.workflow_problems import WorkflowInvalid
from evolvent.events.messages.calls import Empty
from evolvent.events.messages.workflow_calls import (
    Checked,
    CheckWorkflow,
    EngineMetrics,
    ListWorkflows,
    PutReply,
    PutWorkflow,
    RollBackWorkflow,
    VersionRow,
    WorkflowList,
    WorkflowQuery,
    WorkflowReply,
    WorkflowRow,
    WorkflowVersionList,
)
from evolvent.events.nats_bus import NatsBus
from evolvent.orchestrator.logs.source import DiagnosticContext
from evolvent.platform.asking import Answer, Ask, Step
from evolvent.platform.run_follower import RunFollower, read_journal
from evolvent.platform.workflow_forms import document_of, plain, slug
from evolvent.platform.workflow_plans import PlannedWorkflow, Planning
from evolvent.platform.workflow_status import WorkflowStatus, status_of

MISSING_DATA = "missing_data_troubleshooting"
_CALL_SECONDS = 15.0
_MAX_REPLY_BYTES = 4 * 1024 * 1024


class WorkflowCalls(ABC):
    """What a client can do with workflows. `Client` is one."""

    @property
    @abstractmethod
    def bus(self) -> NatsBus:
        """The connection."""

    @abstractmethod
    async def publish(self, message: str, *, stream: bool = False, **ask: Unpack[Ask]) -> str:
        """Publish a request and return its run_id once it is stored."""

    @abstractmethod
    async def ask(
        self,
        message: str,
        *,
        stream: bool = False,
        on_step: Callable[[Step], None] | None = None,
        on_token: Callable[[str], None] | None = None,
        **ask: Unpack[Ask],
    ) -> Answer:
        """Publish a request and wait until its run ends or waits for somebody."""

    @abstractmethod
    async def cancel(self, run_id: str, *, reason: str | None = None, user_id: str | None = None) -> None:
        """Ask that a run stop."""

    async def list_available_workflows(self, *, limit: int = 200, offset: int = 0) -> list[WorkflowRow]:
        """Return the current version of every workflow, with what its plan allows."""
        reply = await self.call_orchestrator("workflows.list", ListWorkflows(limit=limit, offset=offset))
        return list(WorkflowList.decode(reply, max_bytes=_MAX_REPLY_BYTES).workflows)

    async def get_workflow(self, name: str, version: int | None = None) -> WorkflowReply:
        """Return a stored workflow, with advice and what its tasks were seen to take.

        Raises:
            RemoteError: there is no such workflow or version.
        """
        reply = await self.call_orchestrator("workflows.show", WorkflowQuery(name=name, version=version))
        return WorkflowReply.decode(reply, max_bytes=_MAX_REPLY_BYTES)

    async def workflow_versions(self, name: str) -> list[VersionRow]:
        """Return every version of a workflow, oldest first."""
        reply = await self.call_orchestrator("workflows.versions", WorkflowQuery(name=name))
        return list(WorkflowVersionList.decode(reply, max_bytes=_MAX_REPLY_BYTES).versions)

    async def check_workflow(self, workflow: Workflow | Mapping[str, Any]) -> Checked:
        """Say what keeps a document from running on this platform, and what could be better; nothing is stored."""
        reply = await self.call_orchestrator("workflows.check", CheckWorkflow(document=document_of(workflow)))
        return Checked.decode(reply, max_bytes=_MAX_REPLY_BYTES)

    async def put_workflow(
        self,
        workflow: Workflow | Mapping[str, Any],
        *,
        note: str = "",
        source: Literal["user", "automated"] = "user",
    ) -> PutReply:
        """Store a document as the next version of its name; the same content again changes nothing. For operators.

        Raises:
            WorkflowInvalid: listing everything that keeps it from running here; nothing was stored.
            PermissionDenied: nobody heard this client say so.
        """
        document = document_of(workflow)
        call = PutWorkflow(document=document, note=note, source=source)
        reply = PutReply.decode(await self._call_as_operator("put_workflow", call), max_bytes=_MAX_REPLY_BYTES)
        if reply.stored is None:
            found = [row.problem() for row in reply.problems]
            raise WorkflowInvalid(found, name=str(document.get("name", ""))[:200])
        return reply

    async def roll_back_workflow(self, name: str, *, to: int | None = None) -> VersionRow:
        """Make an older version of a workflow, by default the one before, current again. For operators."""
        call = RollBackWorkflow(name=name, to=to)
        reply = PutReply.decode(await self._call_as_operator("roll_back_workflow", call))
        assert reply.stored is not None
        return reply.stored

    async def create_workflow(
        self, name: str, steps: Iterable[Task | Mapping[str, Any]], *, note: str = "", **options: Any
    ) -> Workflow:
        """Make a workflow of steps and store it. For operators.

        Args:
            name: what people call it; the stored name is made from it.
            steps: tasks, or mappings in the words of workflow files.
            note: why; stands in the list of versions.
            options: any other word of a workflow file: description, priority, execution_mode, context, parameters.

        Raises:
            WorkflowInvalid: listing everything that keeps it from running.
        """
        tasks = [step.model_dump(mode="json") if isinstance(step, Task) else dict(step) for step in steps]
        workflow = load_workflow({**plain(options), "name": slug(name), "title": name, "tasks": tasks})
        stored = (await self.put_workflow(workflow, note=note)).stored
        return workflow.model_copy(update={"version": stored.version if stored else 1})

    @staticmethod
    def create_custom_workflow_from_tasks(
        workflow_id: str, workflow_name: str, task_definitions: Iterable[Task]
    ) -> Workflow:
        """Return a workflow of tasks, not stored yet; which can run side by side follows from their dependencies.

        Raises:
            WorkflowInvalid: listing everything that keeps it from running.
        """
        return create_custom_workflow_from_tasks(workflow_id, workflow_name, task_definitions)

    async def execute_custom_workflow(
        self,
        workflow: Workflow | str,
        context: Mapping[str, Any] | None = None,
        problem: str = "",
        *,
        ask: Ask | None = None,
    ) -> AsyncIterator[Step]:
        """Run a workflow and yield what happens, with the model's text as `agent_stream`, until the run ends.

        Args:
            workflow: the name of a stored one, or a document, which is stored first, so that the run is pinned to it.
            context: facts for its tasks.
            problem: what is asked.
            ask: what else may be said of the request; see `Ask`.

        Raises:
            WorkflowInvalid: the document cannot run.
        """
        name = await self.stored_name(workflow)
        run_id = (ask or {}).get("run_id") or str(uuid.uuid4())
        wanted: Ask = {**(ask or {}), "run_id": run_id, "workflow": name, "context": dict(context or {})}
        if isinstance(workflow, Workflow):
            wanted.setdefault("priority", str(workflow.priority))
        steps: asyncio.Queue[Step | None] = asyncio.Queue()

        def heard(message: CoreMessage) -> None:
            steps.put_nowait(Step("agent_stream", {"run_id": run_id, **from_json(message.data)}))

        stop = await self.bus.subscribe(subjects.stream(run_id), heard)
        try:
            async with RunFollower(self.bus, run_id) as follower:
                await self.publish(problem, stream=True, **wanted)
                telling = asyncio.create_task(_tell(follower, steps))
                try:
                    while (step := await steps.get()) is not None:
                        yield step
                    await telling
                finally:
                    telling.cancel()
        finally:
            await stop()

    async def execute_missing_data_analysis(
        self,
        context: DiagnosticContext | Mapping[str, Any] | None = None,
        problem: str = "",
        *,
        ask: Ask | None = None,
    ) -> Answer:
        """Find out why events that somebody expects are not found, by the workflow that comes with the platform."""
        checked = (
            context if isinstance(context, DiagnosticContext) else DiagnosticContext.model_validate(dict(context or {}))
        )
        wanted: Ask = {**(ask or {}), "workflow": MISSING_DATA, "context": checked.model_dump(mode="json")}
        return await self.ask(problem, **wanted)

    async def get_workflow_status(self, run_id: str) -> WorkflowStatus:
        """Return how a run is, from its journal.

        Raises:
            NotFound: its journal is not, or no longer, on the bus; `evolvent runs show` also asks the records.
        """
        entries = await read_journal(self.bus, run_id)
        if not entries:
            raise NotFound(
                f"The journal of run {run_id!r} is not on the bus; `evolvent runs show {run_id}` looks further."
            )
        return status_of(run_id, entries)

    async def cancel_workflow(self, run_id: str, *, reason: str | None = None) -> None:
        """Ask that the run of a workflow stop; it ends when its owner hears it."""
        await self.cancel(run_id, reason=reason)

    async def get_engine_metrics(self) -> EngineMetrics:
        """Return how many runs there are in which state, what agents have in hand, and the last ten runs."""
        return EngineMetrics.decode(await self.call_orchestrator("workflows.engine", Empty()))

    async def plan_workflow(
        self, problem: str, *, goal: str = "default", budget_usd: float | None = None, repairs: int = 2
    ) -> PlannedWorkflow:
        """Have the planner propose a workflow for a problem; it is checked, repaired if it must be, and not stored.

        Args:
            problem: what is to be solved.
            goal: whose budget it is, and whose tools may be planned with.
            budget_usd: no further attempt is made that could pass this.
            repairs: how often the planner is told what is wrong with its answer.

        Raises:
            PlanFailed: no plan that could run came of it; the message lists what was wrong with the last.
        """
        planning = Planning(self.call_orchestrator, self.ask, goal=goal)
        return await planning.plan(problem, budget_usd=budget_usd, repairs=repairs)

    async def stored_name(self, workflow: Workflow | str) -> str:
        """Return the name by which a request asks for a workflow; a document is stored first."""
        if isinstance(workflow, str):
            return workflow
        stored = (await self.put_workflow(workflow)).stored
        return f"{workflow.name}@{stored.version}" if stored is not None else workflow.name

    async def call_orchestrator(self, endpoint: str, message: Message) -> bytes:
        """Call an endpoint of any orchestrator."""
        subject = subjects.endpoint("orchestrator", endpoint)
        return await self.bus.call(subject, message.encode(), timeout_seconds=_CALL_SECONDS)

    async def _call_as_operator(self, endpoint: str, message: Message) -> bytes:
        """Call what a client has no right to call: the server drops that, so it looks like silence."""
        try:
            return await self.call_orchestrator(endpoint, message)
        except (NoResponders, CallTimeout) as error:
            raise PermissionDenied(
                "Nobody took it: storing workflows is for operators, so use Client.connect(operator=True); "
                "or no orchestrator runs, then `evolvent status` says so."
            ) from error


async def _tell(follower: RunFollower, steps: asyncio.Queue[Step | None]) -> None:
    try:
        async for event in follower.events(backlog=False):
            for kind, data in expand(event):
                steps.put_nowait(Step(kind, data))
    finally:
        steps.put_nowait(None)
