"""Streaming in a workflow: a stage takes the items of its first dependency one by one, as they come.

Each item is a task of its own, `stage[i]`. A stage works on one item at a time, in order, and stops ITEMS_AHEAD of the
slowest stage that takes its items (back-pressure); all others go on. A stage with transformations ends the stream:
they and its guards work on the whole list, and what follows waits for that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.scopes import item_name, items_of
from evolvent.events.language.state import RunState, Stage, TaskState, TaskStatus
from evolvent.events.language.workflow import ExecutionMode

ITEMS_AHEAD = 8
MAX_ITEMS = 10_000


class PipelineSteps(ABC):
    """The part of `Progress` that knows of stages and items."""

    _state: RunState
    tasks: dict[str, TaskState]
    _missing: dict[str, int]
    _todo: deque[Callable[[], None]]

    @abstractmethod
    def let_run(self, task_id: str) -> None:
        """Set a task running."""

    @abstractmethod
    def over(self, task_id: str, status: TaskStatus, *, output: Any = None, error: ErrorInfo | None = None) -> None:
        """Note that a task is over."""

    @abstractmethod
    def finish_stage(self, name: str, outputs: list[Any]) -> None:
        """End a stage whose items are all done."""

    def is_streamed(self, task: TaskState) -> bool:
        """Say whether a task takes the items of its first dependency one by one."""
        mode = self._state.workflow.mode_of(task.task)
        return mode is ExecutionMode.PIPELINE and bool(task.task.dependencies) and task.item_of is None

    def expand(self, name: str, source: str | None = None) -> None:
        """Make a task a stage with its items, and so all that can take them as they come."""
        task = self.tasks[name]
        if source is None:
            size = len(items_of(self.tasks[task.task.dependencies[0]].output))
        else:
            size = self._stage(source).size
        self._missing.pop(name, None)
        if size > MAX_ITEMS:
            self.over(name, TaskStatus.FAILED, error=_too_many(name, size))
            return
        self.tasks[name] = replace(task, status=TaskStatus.RUNNING, stage=Stage(size, source))
        self._todo.append(lambda: self._expand_followers(name))
        self._pump(name)
        if not size:
            self.over(name, TaskStatus.DONE, output=[])

    def _expand_followers(self, name: str) -> None:
        for follower in self._state.workflow.dependents.get(name, ()):
            if self._may_stream(follower, name):
                self.expand(follower, name)

    def item_over(self, item: str) -> None:
        """Take in that an item is over: the next may come, here, in the stage after it and in the one before."""
        task = self.tasks[item]
        name = task.item_of
        assert name is not None
        stage = self._stage(name)
        stage = replace(stage, over=stage.over + 1)
        self._set(name, stage)
        if self.tasks[name].status is not TaskStatus.RUNNING:
            return
        if stage.over == stage.size:
            self._end(name, stage)
        for neighbour in (name, *self._takers(name), stage.source):
            if neighbour is not None:
                self._pump(neighbour)

    def _end(self, name: str, stage: Stage) -> None:
        items = [self.tasks[item_name(name, index)] for index in range(stage.size)]
        failed = next((item for item in items if item.status is TaskStatus.FAILED), None)
        if failed is not None:
            self.over(name, TaskStatus.FAILED, error=failed.error)
        elif any(item.status is TaskStatus.SKIPPED for item in items):
            self.over(name, TaskStatus.SKIPPED)
        else:
            self.finish_stage(name, [item.output for item in items])

    def _pump(self, name: str) -> None:
        """Let the next item of a stage begin, if it is there, the one before is over, and nobody lags behind."""
        task = self.tasks[name]
        stage = task.stage
        if stage is None or task.status is not TaskStatus.RUNNING:
            return
        if stage.begun >= stage.size or stage.over < stage.begun or self._is_ahead(name, stage):
            return
        before = self.tasks.get(item_name(stage.source, stage.begun)) if stage.source is not None else None
        if stage.source is not None and (before is None or not before.status.is_over):
            return
        item = item_name(name, stage.begun)
        single = task.task.model_copy(
            update={"task_id": item, "dependencies": task.task.dependencies[1:], "transformations": (), "guards": ()}
        )
        self.tasks[item] = TaskState(single, item_of=name, index=stage.begun)
        self._set(name, replace(stage, begun=stage.begun + 1))
        if before is not None and before.status is not TaskStatus.DONE:
            self.over(item, TaskStatus.SKIPPED)
        else:
            self.let_run(item)

    def _is_ahead(self, name: str, stage: Stage) -> bool:
        slowest = min((self._stage(taker).over for taker in self._takers(name)), default=stage.begun)
        return stage.begun - slowest >= ITEMS_AHEAD

    def _may_stream(self, follower: str, name: str) -> bool:
        task = self.tasks[follower]
        if task.status is not TaskStatus.WAITING or not self.is_streamed(task) or task.task.dependencies[0] != name:
            return False
        return self._missing.get(follower) == 1 and not self.tasks[name].task.transformations

    def _takers(self, name: str) -> list[str]:
        followers = self._state.workflow.dependents.get(name, ())
        return [f for f in followers if (stage := self.tasks[f].stage) is not None and stage.source == name]

    def _stage(self, name: str) -> Stage:
        stage = self.tasks[name].stage
        assert stage is not None
        return stage

    def _set(self, name: str, stage: Stage) -> None:
        self.tasks[name] = replace(self.tasks[name], stage=stage)


def _too_many(name: str, size: int) -> ErrorInfo:
    message = f"Task {name!r} would take {size} items one by one, and {MAX_ITEMS} is the most; filter them first."
    return ErrorInfo(code="task.items", category=Category.VALIDATION, message=message)
