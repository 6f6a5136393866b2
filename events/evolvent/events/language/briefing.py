"""What an agent task is told: its instructions, the context it declared, the outputs of its dependencies; no more.

And, to measure what that saves, what one prompt for the whole workflow would have said in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evolvent.events.language.json_paths import NoSuchPart, follow, parse_path
from evolvent.events.language.references import Scope, as_text, resolve
from evolvent.events.language.workflow import Task, TaskKind, Workflow
from evolvent.events.language.workflow_problems import ReferenceUnresolved


@dataclass(frozen=True, slots=True)
class Briefing:
    """What goes into the prompt of one task."""

    instructions: str
    context: Mapping[str, Any]
    inputs: Mapping[str, Any]

    def as_prompt(self) -> str:
        """Return the briefing as an agent reads it."""
        parts = [self.instructions]
        if self.context:
            parts.append("Context: " + as_text(dict(self.context)))
        parts += [f"Output of {name}: {as_text(value)}" for name, value in self.inputs.items()]
        return "\n\n".join(part for part in parts if part)


def brief(task: Task, scope: Scope) -> Briefing:
    """Return what a task is told.

    Raises:
        ReferenceInvalid: its instructions hold something that is no reference.
        ReferenceUnresolved: they refer to something that is not there, or declared context is missing.
    """
    told = as_text(resolve(task.instructions or task.description, scope, task_id=task.task_id))
    inputs = {name: scope.outputs[name] for name in task.dependencies if name in scope.outputs}
    return Briefing(told, _context(task, scope.context), inputs)


def monolith(workflow: Workflow, scope: Scope) -> str:
    """Return the one prompt that would tell an agent everything: all jobs, all context, all outputs so far."""
    jobs = [f"{t.name or t.task_id}: {t.instructions or t.description}" for t in workflow.tasks if _is_agent(t)]
    return Briefing("\n\n".join(jobs), scope.context, scope.outputs).as_prompt()


def _is_agent(task: Task) -> bool:
    return task.kind is TaskKind.AGENT


def _context(task: Task, context: Mapping[str, Any]) -> dict[str, Any]:
    if task.context_requirements is None:
        return dict(context)
    found: dict[str, Any] = {}
    for name in task.context_requirements:
        try:
            found[name] = context[name] if name in context else follow(context, parse_path(name))
        except (NoSuchPart, ValueError) as gap:
            message = f"Task {task.task_id!r} needs {name!r} in the context, and it is not there; send it along."
            raise ReferenceUnresolved(message) from gap
    return found
