"""Service calls about workflow documents and plans: what `evolvent.orchestrator.*` takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from evolvent.events.envelope import Message
from evolvent.events.language.workflow import Workflow
from evolvent.events.language.workflow_problems import Problem

MAX_PROBLEM_TEXT = 20_000
MAX_PLAN_TEXT = 60_000


class ProblemRow(Message):
    """One thing that is wrong with a workflow, or advice about it."""

    where: str
    what: str
    remedy: str
    code: str = "invalid"

    @classmethod
    def of(cls, problem: Problem) -> ProblemRow:
        """Return a problem in the form in which it travels."""
        return cls(where=problem.where, what=problem.what, remedy=problem.remedy, code=problem.code)

    def problem(self) -> Problem:
        """Return it in the form in which it is shown."""
        return Problem(self.where, self.what, self.remedy, self.code)


class ListWorkflows(Message):
    """orchestrator.workflows.list: which part of the list, by name."""

    limit: int = Field(default=200, gt=0, le=500)
    offset: int = Field(default=0, ge=0)


class WorkflowRow(Message):
    """One line of orchestrator.workflows.list: the current version of a workflow, and what its plan allows."""

    name: str
    title: str = ""
    description: str = ""
    version: int
    workflow_hash: str
    source: str
    tasks: int
    phases: int
    parallelism: float
    time_saved: float
    expected_seconds: float
    created_at: datetime
    missing_tools: tuple[str, ...] = ()
    """Tools that its tasks need and this platform has not; with any, it cannot run here."""


class WorkflowList(Message):
    """What orchestrator.workflows.list gives."""

    workflows: tuple[WorkflowRow, ...] = ()


class WorkflowQuery(Message):
    """orchestrator.workflows.show, .versions: which workflow; without a version the current one."""

    name: str = Field(min_length=1, max_length=200)
    version: int | None = Field(default=None, ge=1)


class ObservedTask(Message):
    """How long a task was seen to take, on the mean of so many runs."""

    seconds: float
    runs: int


class VersionRow(Message):
    """One version of a workflow."""

    name: str
    version: int
    workflow_hash: str
    source: str
    parent_version: int | None = None
    note: str = ""
    created_by: str = ""
    created_at: datetime


class WorkflowVersionList(Message):
    """What orchestrator.workflows.versions gives, oldest first."""

    versions: tuple[VersionRow, ...] = ()


class WorkflowReply(Message):
    """A stored workflow: its document, its place in the line of its versions, advice, and what runs showed of it."""

    workflow: Workflow
    stored: VersionRow
    advice: tuple[ProblemRow, ...] = ()
    observed: dict[str, ObservedTask] = {}


class CheckWorkflow(Message):
    """orchestrator.workflows.check: can this document run here? Nothing is stored."""

    document: dict[str, Any]


class Checked(Message):
    """What a check found. `workflow` is there where the document can be read; it runs where there is no problem."""

    workflow: Workflow | None = None
    problems: tuple[ProblemRow, ...] = ()
    advice: tuple[ProblemRow, ...] = ()


class PutWorkflow(Message):
    """orchestrator.put_workflow: store a document as the next version of its name. For operators."""

    document: dict[str, Any]
    source: Literal["user", "automated"] = "user"
    note: str = Field(default="", max_length=2000)


class PutReply(Message):
    """The version that is current now; or, where nothing was stored, every problem."""

    stored: VersionRow | None = None
    is_new: bool = False
    problems: tuple[ProblemRow, ...] = ()
    advice: tuple[ProblemRow, ...] = ()


class RollBackWorkflow(Message):
    """orchestrator.roll_back_workflow: make an older version current; by default the one before. For operators."""

    name: str = Field(min_length=1, max_length=200)
    to: int | None = Field(default=None, ge=1)


class PlanPrompt(Message):
    """orchestrator.workflows.plan_prompt: what a planner is asked for a problem; with `answer`, to repair that one."""

    problem: str = Field(min_length=1, max_length=MAX_PROBLEM_TEXT)
    goal: str = "default"
    answer: str | None = Field(default=None, max_length=MAX_PLAN_TEXT)


class PlannerTask(Message):
    """Which agent plans, and the message to send to it as a request."""

    agent_id: str
    message: str


class ReadPlan(Message):
    """orchestrator.workflows.read_plan: what a planner answered, to be read with suspicion."""

    answer: str
    goal: str = "default"


class AgentLoad(Message):
    """How many tasks of running runs an agent has in hand."""

    agent_id: str
    tasks: int


class RecentRun(Message):
    """One of the last runs."""

    run_id: str
    workflow: str | None = None
    status: str
    duration_seconds: float = 0.0
    cost_usd: float = 0.0
    started_at: datetime | None = None


class ResourceUsage(Message):
    """What the process that answers uses."""

    memory_megabytes: float = 0.0
    cpu_seconds: float = 0.0


class EngineMetrics(Message):
    """What orchestrator.workflows.engine gives, from the records, which may lag by milliseconds."""

    active_workflows: int = 0
    suspended_workflows: int = 0
    completed_workflows: int = 0
    failed_workflows: int = 0
    cancelled_workflows: int = 0
    agent_load: tuple[AgentLoad, ...] = ()
    resource_usage: ResourceUsage = ResourceUsage()
    performance_metrics: tuple[RecentRun, ...] = ()
