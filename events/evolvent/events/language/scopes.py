"""What the references of a run's tasks can reach, without copying the outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from evolvent.events.language.references import Scope
from evolvent.events.language.state import RunState, TaskState, TaskStatus


class Outputs(Mapping[str, Any]):
    """The outputs of the tasks that are done, by task_id."""

    def __init__(self, tasks: Mapping[str, TaskState]) -> None:
        self._tasks = tasks

    def __getitem__(self, name: str) -> Any:
        """Return a task's output."""
        task = self._tasks[name]
        if task.status is not TaskStatus.DONE:
            raise KeyError(name)
        return task.output

    def __iter__(self) -> Iterator[str]:
        """Go through the tasks that are done; the items of a pipeline are in the output of their stage."""
        return (n for n, t in self._tasks.items() if t.status is TaskStatus.DONE and t.item_of is None)

    def __len__(self) -> int:
        """Count them."""
        return sum(1 for _ in self)


def scope_of(state: RunState, tasks: Mapping[str, TaskState] | None = None, *, task: TaskState | None = None) -> Scope:
    """Return what a task's references can reach. `tasks` are those of the moment, where the state lags behind."""
    started = state.started
    assert started is not None
    request = started.request
    tasks = state.tasks if tasks is None else tasks
    return Scope(
        outputs=Outputs(tasks),
        params=started.parameters,
        context={**state.workflow.context, **request.context},
        request={"message": request.message, "user_id": request.user_id, "session_id": request.session_id},
        item=item_value(tasks, task) if task is not None else None,
    )


def item_name(stage: str, index: int) -> str:
    """Return the task_id of an item of a stage."""
    return f"{stage}[{index}]"


def item_value(tasks: Mapping[str, TaskState], task: TaskState) -> Any:
    """Return the item that a task of a pipeline works on, or None where it works on no item."""
    if task.item_of is None:
        return None
    stage = tasks[task.item_of]
    assert stage.stage is not None
    if stage.stage.source is not None:
        return tasks[item_name(stage.stage.source, task.index)].output
    return items_of(tasks[stage.task.dependencies[0]].output)[task.index]


def items_of(output: object) -> list[Any]:
    """Return an output as the items of a pipeline: those of its list, or of the one list in it, else itself alone."""
    output = as_data(output)
    if isinstance(output, dict):
        lists = [value for value in output.values() if isinstance(value, list)]
        output = lists[0] if len(lists) == 1 else [output]
    return output if isinstance(output, list) else [output]


def as_data(text: object) -> Any:
    """Return what an agent wrote as JSON, fenced or not, as data; all else as it is."""
    if not isinstance(text, str):
        return text
    body = text.strip()
    if body.startswith("```"):
        body = body.removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if body[:1] not in ("{", "["):
        return text
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(name: str) -> None:
    raise ValueError(name)
