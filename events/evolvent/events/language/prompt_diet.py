"""The prompt diet: how much less each agent task is told than one prompt for the whole workflow would say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evolvent.events.language.briefing import Briefing, monolith
from evolvent.events.language.references import Scope
from evolvent.events.language.workflow import Task, TaskKind, Workflow

BYTES_PER_TOKEN = 4
"""A rule of thumb for English text; bills count the real tokens."""


@dataclass(frozen=True, slots=True)
class Diet:
    """Bytes of each agent task's prompt, and of the one prompt that would say everything."""

    tasks: Mapping[str, int]
    monolith: int

    @property
    def saved(self) -> float:
        """Return the share of the prompt that a call is spared, on the mean."""
        if not self.tasks or not self.monolith:
            return 0.0
        return max(0.0, 1 - sum(self.tasks.values()) / (len(self.tasks) * self.monolith))


def expected_diet(workflow: Workflow) -> Diet:
    """Return the diet as the document alone shows it: before any output, with the context that it brings itself."""
    agents = [task for task in workflow.tasks if task.kind is TaskKind.AGENT]
    whole = monolith(workflow, Scope(context=workflow.context))
    return Diet({task.task_id: _bytes(_told(task, workflow)) for task in agents}, _bytes(whole))


def tokens(size_bytes: int) -> int:
    """Return about how many tokens a text of this size is."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def _told(task: Task, workflow: Workflow) -> str:
    wanted = task.context_requirements
    context = {name: value for name, value in workflow.context.items() if wanted is None or name in wanted}
    return Briefing(task.instructions or task.description, context, {}).as_prompt()


def _bytes(text: str) -> int:
    return len(text.encode())
