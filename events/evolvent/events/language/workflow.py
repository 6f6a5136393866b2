"""Workflow documents: a versioned DAG of tasks, pinned by its content hash."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from evolvent.events.language.hashing import content_hash

TASK_TIMEOUT_SECONDS = 30.0
WORKFLOW_TIMEOUT_SECONDS = 3600.0


class TaskKind(StrEnum):
    """Who does a task: an agent, or one tool."""

    AGENT = "agent"
    TOOL = "tool"


class Task(BaseModel):
    """One node of a workflow.

    An agent task has `instructions` and an `agent_id`; a tool task has `tool` and `arguments`. A task is ready
    when all its `dependencies` are done.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    task_id: str
    kind: TaskKind = TaskKind.AGENT
    name: str = ""
    instructions: str = ""
    agent_id: str | None = None
    tool: str | None = None
    arguments: dict[str, Any] = {}
    dependencies: tuple[str, ...] = ()
    required_tools: tuple[str, ...] | None = None
    timeout_seconds: float | None = None
    max_turns: int = Field(default=12, gt=0)


class Workflow(BaseModel):
    """A named set of tasks."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    name: str
    tasks: tuple[Task, ...]
    timeout_seconds: float = WORKFLOW_TIMEOUT_SECONDS

    @cached_property
    def workflow_hash(self) -> str:
        """The content hash that a run is pinned to."""
        return content_hash(self)


@lru_cache(maxsize=1024)
def single_agent(agent_id: str) -> Workflow:
    """Return the workflow of a plain request: one agent task that answers the message."""
    return Workflow(name="ask", tasks=(Task(task_id="answer", agent_id=agent_id),))
