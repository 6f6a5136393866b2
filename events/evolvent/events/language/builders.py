"""Workflows in Python: `workflow("report").tool("fetch", "search").agent("sum_up", "…", after=["fetch"]).build()`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evolvent.events.language.agents import AgentSpec, Capability
from evolvent.events.language.tools import ToolSpec
from evolvent.events.language.transformations import Transformation
from evolvent.events.language.validation import ensure_valid
from evolvent.events.language.workflow import ApprovalPolicy, Task, TaskDefinition, TaskKind, Workflow

__all__ = ["TaskDefinition", "WorkflowBuilder", "create_custom_workflow_from_tasks", "workflow"]


class WorkflowBuilder:
    """Collects tasks. Every method returns a new builder; `build` checks the whole."""

    def __init__(self, draft: Workflow) -> None:
        self._draft = draft

    def task(self, *tasks: Task) -> WorkflowBuilder:
        """Add whole tasks; for what the other methods cannot say."""
        return WorkflowBuilder(self._draft.model_copy(update={"tasks": (*self._draft.tasks, *tasks)}))

    def agent(
        self,
        task_id: str,
        instructions: str,
        *,
        after: Sequence[str] = (),
        agent_id: str | None = None,
        capability: Capability | None = None,
        tools: Sequence[str] | None = None,
        context: Sequence[str] = (),
    ) -> WorkflowBuilder:
        """Add an agent task; it is told the context named, and no other."""
        return self.task(
            Task(
                task_id=task_id,
                instructions=instructions,
                dependencies=tuple(after),
                agent_id=agent_id,
                capability=capability,
                required_tools=None if tools is None else tuple(tools),
                context_requirements=tuple(context),
            )
        )

    def tool(
        self,
        task_id: str,
        tool: str,
        *,
        arguments: Mapping[str, Any] | None = None,
        after: Sequence[str] = (),
        transformations: Sequence[Transformation] = (),
    ) -> WorkflowBuilder:
        """Add a tool task."""
        return self.task(
            Task(
                task_id=task_id,
                kind=TaskKind.TOOL,
                tool=tool,
                arguments=dict(arguments or {}),
                dependencies=tuple(after),
                transformations=tuple(transformations),
            )
        )

    def nested(
        self, task_id: str, workflow: str, *, parameters: Mapping[str, Any] | None = None, after: Sequence[str] = ()
    ) -> WorkflowBuilder:
        """Add a task that runs another workflow."""
        arguments = dict(parameters or {})
        return self.task(
            Task(
                task_id=task_id,
                kind=TaskKind.WORKFLOW,
                workflow=workflow,
                arguments=arguments,
                dependencies=tuple(after),
            )
        )

    def approval(
        self, task_id: str, prompt: str, *, policy: ApprovalPolicy | None = None, after: Sequence[str] = ()
    ) -> WorkflowBuilder:
        """Add a task at which a person says yes or no."""
        asked = (policy or ApprovalPolicy()).model_copy(update={"prompt": prompt})
        return self.task(Task(task_id=task_id, kind=TaskKind.APPROVAL, approval=asked, dependencies=tuple(after)))

    def options(self, changes: Mapping[str, Any]) -> WorkflowBuilder:
        """Set fields of the workflow, such as mode, priority, parameters or output.

        Raises:
            pydantic.ValidationError: a value does not fit its field.
        """
        known = {**self._draft.model_dump(exclude={"tasks"}), **changes, "tasks": self._draft.tasks}
        return WorkflowBuilder(Workflow.model_validate(known))

    def build(
        self,
        tools: Mapping[str, ToolSpec] | None = None,
        *,
        agents: Mapping[str, AgentSpec] | None = None,
        workflows: Mapping[str, Workflow] | None = None,
    ) -> Workflow:
        """Return the workflow.

        Raises:
            WorkflowInvalid: listing all that keeps it from running.
        """
        return ensure_valid(self._draft, tools, agents=agents, workflows=workflows)


def workflow(name: str, *, description: str = "") -> WorkflowBuilder:
    """Return a builder of a workflow without tasks."""
    return WorkflowBuilder(Workflow(name=name, description=description, tasks=()))


def create_custom_workflow_from_tasks(
    workflow_id: str, workflow_name: str, task_definitions: Iterable[TaskDefinition]
) -> Workflow:
    """Return a workflow of tasks; which of them can run side by side follows from their dependencies.

    Raises:
        WorkflowInvalid: listing all that keeps it from running.
    """
    return ensure_valid(Workflow(name=workflow_id, title=workflow_name, tasks=tuple(task_definitions)))
