"""Workflow documents: a versioned DAG of tasks, pinned by its content hash.

What makes a document runnable is in `validation.py`, what makes it good in `lint.py`, how long it takes in `plan.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from evolvent.events.language.agents import Capability
from evolvent.events.language.hashing import content_hash
from evolvent.events.language.transformations import Transformation
from evolvent.events.subjects import Priority

TASK_TIMEOUT_SECONDS = 30.0
WORKFLOW_TIMEOUT_SECONDS = 3600.0
NO_TASK_TIMEOUT_SECONDS = 30 * 24 * 3600.0
"""As long as the longest request may take: only the run's own deadline ends the task."""
LONGEST_RETRY_DELAY_SECONDS = 300.0
PLAIN_TURNS = 32
"""A plain request is one task whatever it asks for, so it may take more turns than one task of a workflow."""


class TaskKind(StrEnum):
    """Who does a task: an agent, one tool, another workflow, a person who says yes or no, or nobody but the engine.

    A compute task has no activity: its output are its `arguments` and `bindings`, worked out; its guards are checked.
    """

    AGENT = "agent"
    TOOL = "tool"
    WORKFLOW = "workflow"
    APPROVAL = "approval"
    COMPUTE = "compute"


class ExecutionMode(StrEnum):
    """How ready tasks are let go.

    sequential: one at a time, in order of definition. parallel: all at once, up to the caps. adaptive: as parallel,
    but the most pressing first. pipeline: items stream from task to task. Of a task, sequential means that nothing
    else of its run goes on meanwhile, and pipeline that it takes its dependency's items one by one.
    """

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    ADAPTIVE = "adaptive"
    PIPELINE = "pipeline"


class _Document(BaseModel):
    """A frozen document that is written without the fields that stand at their defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; what was worked out from the old fields does not come along."""
        copy = super().model_copy(update=update, deep=deep)
        for name in copy.__dict__.keys() - type(self).model_fields.keys():
            del copy.__dict__[name]
        return copy

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        whole: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in whole.items()
            if fields[name].is_required() or getattr(self, name) != fields[name].default
        }


class ApprovalPolicy(_Document):
    """What a person is asked, who may answer (nobody named: every operator), and what silence means."""

    prompt: str = ""
    approvers: tuple[str, ...] = ()
    timeout_seconds: float = Field(default=86_400.0, gt=0)
    on_timeout: Literal["deny", "approve"] = "deny"


class Task(_Document):
    """One node of a workflow. It is ready when all its `dependencies` are done.

    An agent task has `instructions` and is done by `agent_id`, or else by the agent that fits `agent_type` (an
    agent's id or specialty) and `capability` best. A tool task has `tool` and `arguments`, a workflow task
    `workflow` and its parameters as `arguments`, an approval task its `approval`. Arguments and instructions may
    hold references (`references.py`). `bindings` are programs (`learning/programs.py`), one an argument, where a
    reference does not say enough, and `guards` the conditions that its output must meet. `transformations` work on
    its output. `context_requirements` names the keys of the request's context that an agent is told; None tells all
    of them.
    """

    task_id: str
    kind: TaskKind = TaskKind.AGENT
    name: str = ""
    description: str = ""
    instructions: str = ""
    agent_id: str | None = None
    agent_type: str | None = None
    capability: Capability | None = None
    tool: str | None = None
    workflow: str | None = None
    arguments: dict[str, Any] = {}
    bindings: dict[str, Any] = {}
    guards: tuple[dict[str, Any], ...] = ()
    dependencies: tuple[str, ...] = ()
    required_tools: tuple[str, ...] | None = None
    context_requirements: tuple[str, ...] | None = None
    mode: ExecutionMode | None = None
    timeout_seconds: float = Field(default=TASK_TIMEOUT_SECONDS, gt=0)
    retry_count: int = Field(default=3, ge=0, le=100)
    retry_delay_seconds: float = Field(default=0.5, ge=0)
    retry_backoff: float = Field(default=2.0, ge=1, le=10)
    estimated_duration_seconds: float | None = Field(default=None, ge=0)
    transformations: tuple[Transformation, ...] = ()
    priority_boost: float = Field(default=0.0, ge=-1000, le=1000)
    max_turns: int = Field(default=12, gt=0)
    is_primed: bool = False
    approval: ApprovalPolicy | None = None

    def delay_before_retry(self, failures: int) -> float:
        """Return how long to wait in seconds after so many failures in a row, jitter not included."""
        delay = self.retry_delay_seconds * self.retry_backoff ** min(max(failures - 1, 0), 100)
        return min(delay, LONGEST_RETRY_DELAY_SECONDS)


class Workflow(_Document):
    """A named set of tasks.

    `parameters` is the JSON Schema of what `${params.…}` refers to; `context` holds values for `${context.…}` that
    a request may override. `output` is a reference, or any JSON with references inside; without it the output is
    that of the last task, or of all the tasks that nothing depends on. `takeover` is the agent task that goes on with
    what is known when a guard of the workflow fails; without it a failed guard fails the run. `intents` are examples
    of the messages that the workflow is meant for; without any, it runs only where it is named.
    """

    name: str
    title: str = ""
    description: str = ""
    version: int = Field(default=1, ge=1)
    tasks: tuple[Task, ...]
    parameters: dict[str, Any] = {}
    context: dict[str, Any] = {}
    mode: ExecutionMode = ExecutionMode.PARALLEL
    priority: Priority = Priority.MEDIUM
    max_parallel_tasks: int = Field(default=5, gt=0)
    timeout_seconds: float = Field(default=WORKFLOW_TIMEOUT_SECONDS, gt=0)
    output: Any = None
    fallback_workflow: str | None = None
    takeover: Task | None = None
    intents: tuple[str, ...] = Field(default=(), max_length=500)

    @cached_property
    def workflow_hash(self) -> str:
        """The content hash that a run is pinned to. The version number is no content."""
        return content_hash(self.model_dump(mode="json", exclude={"version"}))

    @cached_property
    def by_id(self) -> Mapping[str, Task]:
        """The tasks by their ids; of two with the same id, the first."""
        found: dict[str, Task] = {}
        for task in self.tasks:
            found.setdefault(task.task_id, task)
        return found

    @cached_property
    def dependents(self) -> Mapping[str, tuple[str, ...]]:
        """For each task the tasks that wait for it, in order of definition."""
        found: dict[str, list[str]] = {task.task_id: [] for task in self.tasks}
        for task in self.tasks:
            for name in dict.fromkeys(task.dependencies):
                found.setdefault(name, []).append(task.task_id)
        return {name: tuple(waiting) for name, waiting in found.items()}

    @cached_property
    def tools(self) -> frozenset[str]:
        """The names of the tools that its tool tasks call."""
        return frozenset(task.tool for task in self.tasks if task.tool is not None)

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """For each task its place in the order of definition."""
        return {name: place for place, name in enumerate(self.by_id)}

    def mode_of(self, task: Task) -> ExecutionMode:
        """Return a task's own mode, or else the workflow's."""
        return task.mode or self.mode


TaskDefinition = Task


@lru_cache(maxsize=1024)
def single_agent(agent_id: str) -> Workflow:
    """Return the workflow of a plain request: one agent task that answers the message."""
    task = Task(
        task_id="answer",
        agent_id=agent_id,
        timeout_seconds=NO_TASK_TIMEOUT_SECONDS,
        retry_count=2,
        retry_backoff=4,
        max_turns=PLAIN_TURNS,
    )
    return Workflow(name="ask", tasks=(task,))
