"""Why a task fails: the errors that the law of a run itself finds."""

from __future__ import annotations

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.json_bounds import BadJson, measure
from evolvent.events.language.references import as_text
from evolvent.events.language.workflow import Task

MAX_OUTPUT_CHARACTERS = 1_000_000
"""Of one task. More could be told in no event."""
MAX_RUN_CHARACTERS = 64_000_000
"""Of the outputs of all tasks of a run, which its owner holds in memory."""


def unsaid() -> ErrorInfo:
    """Return the error of what failed without one."""
    return ErrorInfo(code="task.failed", category=Category.AGENT, message="It failed, and nobody said why.")


def unresolved(task: Task) -> ErrorInfo:
    """Return the error of a workflow task that was not laid out."""
    message = f"Task {task.task_id!r} names workflow {task.workflow!r}, which was not resolved at the start."
    return ErrorInfo(code="workflow.unresolved", category=Category.VALIDATION, message=message)


def too_many_turns(task: Task) -> ErrorInfo:
    """Return the error of an agent that comes to no end."""
    message = f"Task {task.task_id!r} took {task.max_turns} model turns without an answer."
    return ErrorInfo(code="agent.turns", category=Category.AGENT, message=message)


def bad_calls(repairs: int) -> ErrorInfo:
    """Return the error of an agent that cannot call tools."""
    message = f"The model asked {repairs} times for tools that it does not have, or with arguments they do not take."
    return ErrorInfo(code="agent.bad_calls", category=Category.AGENT, message=message)


def too_large(task_id: str, what: str) -> ErrorInfo:
    """Return the error of a task whose value is too large to be kept."""
    message = f"The value of task {task_id!r} {what}; pass on less of what it refers to."
    return ErrorInfo(code="task.too_large", category=Category.VALIDATION, message=message)


def size_problem(value: object, held: int) -> str | None:
    """Return what is too large about a value that refers to others, or None.

    References share what they lead to, so a few tasks that double each other's outputs would outgrow any memory once
    they are written out: parts are counted as often as they appear, and counting stops at the limit.
    """
    try:
        measure(value)
    except BadJson as problem:
        return str(problem)
    size = len(as_text(value))
    if size > MAX_OUTPUT_CHARACTERS:
        return f"is {size} characters long, and {MAX_OUTPUT_CHARACTERS} is the most"
    if held + size > MAX_RUN_CHARACTERS:
        return f"would be more than the {MAX_RUN_CHARACTERS} characters that all outputs of a run may have"
    return None
