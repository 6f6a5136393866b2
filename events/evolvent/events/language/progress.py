"""What the end of a turn, a call or a task sets off in the tasks of a run, until all that is left takes time.

    WAITING ─dependencies done▶ RUNNING ─output, transformed and guarded▶ DONE
                                   └─out of tries, or a guard▶ FAILED ─▶ its dependents SKIPPED
    a failure in a workflow with a takeover: all that is not over is SKIPPED, and the agent takes over. A task with a
    claimed call goes on until that call is told: the agent must know of its effect, so it begins after it

Steps cost O(degree of the task), not O(size of the workflow). Items of a pipeline stage go one at a time; a stage that
is ITEMS_AHEAD of the slowest that lives on it waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from evolvent.events.errors import Category, ErrorInfo, EvolventError
from evolvent.events.language.conversation import ToolCall
from evolvent.events.language.learning.guards import violated
from evolvent.events.language.learning.programs import bind
from evolvent.events.language.pipelines import PipelineSteps
from evolvent.events.language.references import as_text
from evolvent.events.language.scopes import as_data, scope_of
from evolvent.events.language.state import CallState, RunState, TaskState, TaskStatus, has_open_claim
from evolvent.events.language.task_errors import (
    bad_calls,
    size_problem,
    too_large,
    too_many_turns,
    unresolved,
    unsaid,
)
from evolvent.events.language.transforms import transform
from evolvent.events.language.workflow import Task, TaskKind, Workflow
from evolvent.events.messages.runs import ToolOutcome, ToolRecord, TurnRecord

MAX_REPAIRS = 3
_REPAIRABLE = frozenset({"tool.bad_arguments", "tool.unknown"})


class Progress(PipelineSteps):
    """A state in the making. It copies the maps that it changes once, and leaves the old state as it was."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._todo: deque[Callable[[], None]] = deque()
        self.tasks = dict(state.tasks)
        self._active = dict(state.active)
        self._begun = dict(state.begun)
        self._missing = dict(state.missing)
        self._left = state.left
        self._failed = list(state.failed)
        self._reason = state.deoptimized
        self._bytes = state.output_bytes

    def state(self) -> RunState:
        """Return the new state, after all that was set off."""
        self._do()
        if self._reason is not None:  # else nothing is left, and no step may look at every task that is active
            for name in [n for n in self._active if self._is_left(n) and not has_open_claim(self.tasks[n])]:
                self.over(name, TaskStatus.SKIPPED)
            self._do()
        return replace(
            self._state,
            tasks=self.tasks,
            active=self._active,
            begun=self._begun,
            missing=self._missing,
            left=self._left,
            failed=tuple(self._failed),
            deoptimized=self._reason,
            output_bytes=self._bytes,
        )

    def _do(self) -> None:
        while self._todo:
            self._todo.popleft()()

    def begin(self, workflow: Workflow) -> None:
        """Take up the tasks of a workflow."""
        for task in workflow.tasks:
            self.tasks[task.task_id] = TaskState(task)
            self._missing[task.task_id] = len(set(task.dependencies))
        self._left += len(workflow.tasks)
        for task in workflow.tasks:
            if self._missing.get(task.task_id) == 0:
                self.make_ready(task.task_id)

    def turn(self, record: TurnRecord) -> None:
        """Take in a model turn that ended."""
        task = self.tasks[record.task_id]
        task = self.tasks[record.task_id] = replace(task, turns=(*task.turns, record))
        if task.status is not TaskStatus.RUNNING:
            return
        self._begun[record.task_id] = None
        reply = record.reply
        if reply is None:
            self._after_failure(task, record.error or unsaid())
            return
        calls = tuple(CallState(call) for call in reply.tool_calls)
        task = self.tasks[record.task_id] = replace(task, tries=0, calls=(*task.calls, *calls))
        if not calls:
            self._finish(task, self._said(task, reply.text or ""))
        elif sum(1 for turn in task.turns if turn.reply is not None) >= task.task.max_turns:
            self._fail(record.task_id, too_many_turns(task.task))

    def tool(self, record: ToolRecord) -> None:
        """Take in a tool call that ended."""
        task = self.tasks[record.task_id]
        calls = tuple(_with_record(c, record) if c.call.call_id == record.call_id else c for c in task.calls)
        task = self.tasks[record.task_id] = replace(task, calls=calls)
        if record.outcome is ToolOutcome.UNKNOWN or task.status is not TaskStatus.RUNNING:
            return
        self._begun[record.task_id] = None
        if self._is_left(record.task_id):
            if task.task.kind is TaskKind.TOOL and record.outcome is ToolOutcome.OK:
                self.over(record.task_id, TaskStatus.DONE, output=record.result)
        elif task.task.kind is TaskKind.AGENT:
            self._after_repairs(task)
        elif record.outcome is ToolOutcome.ERROR:
            self._after_failure(task, record.error or unsaid())
        else:
            self._finish(task, record.result)

    def answer(self, task_id: str, *, approved: bool, by: str, note: str | None = None) -> None:
        """Take in what a person said to an approval task."""
        if approved:
            self._finish(self.tasks[task_id], {"approved": True, "by": by, "note": note})
            return
        said = f": {note}" if note else "."
        message = f"Task {task_id!r} was denied by {by}{said}"
        self._fail(task_id, ErrorInfo(code="approval.denied", category=Category.PERMISSION, message=message))

    def make_ready(self, task_id: str) -> None:
        """Let a task run whose dependencies are all done."""
        self._missing.pop(task_id, None)
        task = self.tasks[task_id]
        if self.is_streamed(task):
            self.expand(task_id)
            return
        self.let_run(task_id)

    def let_run(self, task_id: str) -> None:
        """Set a task running: its arguments are bound now, and never again."""
        task = self.tasks[task_id] = replace(self.tasks[task_id], status=TaskStatus.RUNNING)
        self._active[task_id] = None
        match task.task.kind:
            case TaskKind.TOOL:
                self._bound(task, lambda arguments: self._call(task_id, arguments))
            case TaskKind.COMPUTE:
                self._bound(task, lambda output: self._finish(self.tasks[task_id], _value(task.task, output)))
            case TaskKind.WORKFLOW:
                self._fail(task_id, unresolved(task.task))
            case _:
                pass

    def over(self, task_id: str, status: TaskStatus, *, output: Any = None, error: ErrorInfo | None = None) -> None:
        """Note that a task is over, and set off what that means for others."""
        task = self.tasks[task_id]
        self.tasks[task_id] = replace(task, status=status, output=output, error=error)
        self._active.pop(task_id, None)
        self._begun.pop(task_id, None)
        self._missing.pop(task_id, None)
        if status is TaskStatus.DONE and (task.stage is None or task.task.transformations):
            self._bytes += len(as_text(output)) if len(self._state.workflow.tasks) > 1 else 0
        if task.item_of is not None:
            self._todo.append(lambda: self.item_over(task_id))
            return
        self._left -= 1
        if status is TaskStatus.DONE:
            self._todo.append(lambda: self._release(task_id))
            return
        if status is TaskStatus.FAILED:
            self._failed.append(task_id)
            # An agent that began with all that is known and failed: another would begin with no more.
            if not task.task.is_primed and self._hand_over(error.message if error else ""):
                return
        self._todo.append(lambda: self._skip_dependents(task_id))

    def finish_stage(self, name: str, outputs: list[Any]) -> None:
        """End a stage whose items are all done: its transformations and guards see the whole list."""
        self._finish(self.tasks[name], outputs)

    def _call(self, task_id: str, arguments: dict[str, Any]) -> None:
        task = self.tasks[task_id]
        call = ToolCall(call_id=task.task.task_id, name=task.task.tool or "", arguments=arguments)
        self.tasks[task_id] = replace(task, calls=(CallState(call),))

    def _bound(self, task: TaskState, then: Callable[[dict[str, Any]], None]) -> None:
        try:
            arguments = bind(task.task, scope_of(self._state, self.tasks, task=task))
        except EvolventError as error:
            self._fail(task.task.task_id, error.info())
            return
        large = size_problem(arguments, self._bytes)
        if large is not None:
            self._fail(task.task.task_id, too_large(task.task.task_id, large))
            return
        then(arguments)

    def _finish(self, task: TaskState, raw: Any) -> None:
        """End a task with its output, transformed, if its guards hold."""
        name = task.task.task_id
        try:
            output = raw if not task.task.transformations else transform(task.task.transformations, raw, task_id=name)
        except EvolventError as error:
            self._fail(name, error.info())
            return
        if task.task.guards:
            ended = replace(task, status=TaskStatus.DONE, output=output)
            reason = violated(task.task, scope_of(self._state, {**self.tasks, name: ended}, task=task))
            if reason is not None:
                self._fail(name, ErrorInfo(code="task.guard", category=Category.VALIDATION, message=reason))
                return
        self.over(name, TaskStatus.DONE, output=output)

    def _said(self, task: TaskState, text: str) -> Any:
        """In a workflow, an answer that is a JSON document is data; whoever asked an agent gets its words."""
        return text if len(self._state.workflow.tasks) == 1 and task.item_of is None else as_data(text)

    def _after_failure(self, task: TaskState, error: ErrorInfo) -> None:
        tries = task.tries + 1
        task = self.tasks[task.task.task_id] = replace(task, tries=tries)
        if tries > task.task.retry_count or not error.retryable:
            self._fail(task.task.task_id, error)
        elif task.task.kind is TaskKind.TOOL:
            first = task.calls[0].call
            again = first.model_copy(update={"call_id": f"{first.call_id}~{len(task.calls) + 1}"})
            self.tasks[task.task.task_id] = replace(task, calls=(*task.calls, CallState(again)))

    def _after_repairs(self, task: TaskState) -> None:
        repairs = sum(1 for c in task.calls if c.record and c.record.error and c.record.error.code in _REPAIRABLE)
        if repairs >= MAX_REPAIRS:
            self._fail(task.task.task_id, bad_calls(repairs))

    def _fail(self, task_id: str, error: ErrorInfo) -> None:
        self.over(task_id, TaskStatus.FAILED, error=error)

    def _release(self, task_id: str) -> None:
        for name in self._state.workflow.dependents.get(task_id, ()):
            if name in self._missing:
                self._missing[name] -= 1
                if not self._missing[name]:
                    self.make_ready(name)

    def _skip_dependents(self, task_id: str) -> None:
        for name in self._state.workflow.dependents.get(task_id, ()):
            if self.tasks[name].status is TaskStatus.WAITING:
                self.over(name, TaskStatus.SKIPPED)

    def _hand_over(self, reason: str) -> bool:
        """Leave the workflow to its agent, once; False where there is none."""
        takeover = self._state.workflow.takeover
        if takeover is None or self._reason is not None:
            return False
        self._reason = reason
        self._todo.clear()
        self._failed.clear()
        for name, task in self.tasks.items():
            if not task.status.is_over and not has_open_claim(task):
                self.tasks[name] = replace(task, status=TaskStatus.SKIPPED)
                self._active.pop(name, None)
                self._begun.pop(name, None)
        self._missing.clear()
        self._left = 1 + sum(1 for name in self._active if self.tasks[name].item_of is None)
        self.tasks[takeover.task_id] = TaskState(takeover)
        self.let_run(takeover.task_id)
        return True

    def _is_left(self, task_id: str) -> bool:
        """Say whether a task is one of those that its workflow was left with."""
        takeover = self._state.workflow.takeover
        return self._reason is not None and takeover is not None and task_id != takeover.task_id


def _with_record(call: CallState, record: ToolRecord) -> CallState:
    if call.record is not None:
        return call
    if record.outcome is ToolOutcome.UNKNOWN:
        return replace(call, unknown_count=call.unknown_count + 1)
    return replace(call, record=record)


def _value(task: Task, computed: dict[str, Any]) -> Any:
    """A compute task of the one argument `output` has that as its output."""
    return computed["output"] if set(task.arguments) | set(task.bindings) == {"output"} else computed
