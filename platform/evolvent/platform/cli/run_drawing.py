"""Draws a run for a person: header, routing, and the tree of its tasks with turns, tool calls, times and costs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from textwrap import indent

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from evolvent.events.language.plan import plan
from evolvent.events.language.prompt_diet import tokens
from evolvent.events.language.state import CallState, TaskState
from evolvent.events.messages.runs import TurnRecord, WorkflowStarted
from evolvent.platform.cli.ask import next_step
from evolvent.platform.cli.outputs import readable
from evolvent.platform.cli.run_story import Story
from evolvent.platform.cli.steps import sentence, short_json
from evolvent.platform.cli.workflow_drawing import Sight
from evolvent.platform.cli.workflow_drawing import draw as draw_workflow
from evolvent.platform.task_views import observed_diet, task_views
from evolvent.platform.visible import visible

_NOT_ROUTED = "could not be routed"
_MOST_OUTPUT = 4_000
_MARKS = {"done": "✓", "failed": "✗", "running": "…", "waiting": "·", "skipped": "-"}


def draw(story: Story) -> None:
    """Print a run."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    started = story.state.started
    has_begun = (
        story.end is None or story.end.error is None or any(t.turns or t.calls for t in story.state.tasks.values())
    )
    for line in _header(story):
        console.print(_shown(line))
    if started is not None:
        for line in _routing(started):
            console.print(_shown(line))
    if has_begun or story.state.status.value == "suspended":
        for graph_line in _graph(story, console.width):
            console.print(graph_line, soft_wrap=True)
        console.print(_tree(story))
    _tell_waits(story, console)
    end = story.end
    if end is not None and end.answer is not None:
        console.print(_shown(f"answer: {end.answer}"))
    elif end is not None and end.ok and end.output is not None:
        console.print(_shown(f"output:\n{indent(readable(end.output)[:_MOST_OUTPUT], '  ')}"))
    elif end is not None and not end.ok:
        reason = end.error.message if end.error else "no reason was given."
        console.print(_shown(f"{end.status}: {reason} {next_step(end) if end.status == 'suspended' else ''}".rstrip()))


def _tell_waits(story: Story, console: Console) -> None:
    """Print where it waited and went on; what it waits for now is said at the end."""
    told = [
        step
        for step in story.steps()
        if step.type in ("workflow_resumed", "workflow_suspended", "cancel_requested", "approval_given")
    ]
    if told and told[-1].type == "workflow_suspended" and story.state.status.value == "suspended":
        told.pop()
    for step in told:
        console.print(_shown(sentence(step).strip()))


def _shown(text: str) -> Text:
    return Text(visible(text))


def _header(story: Story) -> list[str]:
    state, started, end = story.state, story.state.started, story.end
    totals = state.totals
    first, last = story.entries[0][1].occurred_at, story.entries[-1][1].occurred_at
    seconds = end.duration_seconds if end is not None else (last - first).total_seconds()
    scripted = "  answered from a script, not by a model" if end is not None and end.scripted else ""
    lines = [f"run {story.run_id}  {state.status.value}  (from the {story.source}){scripted}"]
    if started is not None:
        lines.append(f"asked by {started.principal}, goal {started.goal}, priority {started.priority.value}:")
        lines.append(f"  {started.request.message[:400]}")
    lines.append(
        f"{seconds:.3f} s, ${totals.cost_microusd / 1e6:.6f}, {totals.model_calls} model calls "
        f"({totals.prompt_tokens} + {totals.completion_tokens} tokens), {totals.tool_calls} tool calls, "
        f"{state.attempt} attempt{'s' if state.attempt > 1 else ''}"
    )
    return lines


def _routing(started: WorkflowStarted) -> list[str]:
    routing = started.routing
    lines = [f"{routing.served_by.value}: {routing.chosen} ({routing.reason})"]
    if routing.reason != _NOT_ROUTED:
        lines[0] = f"served by {lines[0]}"
    if routing.scores:
        lines.append("  scores: " + ", ".join(f"{name} {score:.2f}" for name, score in routing.scores.items()))
    if routing.runner_up:
        scores = ", ".join(f"{name} {score:.2f}" for name, score in routing.runner_up_scores.items())
        lines.append(f"  runner-up: {routing.runner_up}" + (f" ({scores})" if scores else ""))
    return lines


def _graph(story: Story, width: int) -> Iterator[Text]:
    """Return the drawing of a workflow of several tasks, and what its prompts were spared."""
    state = story.state
    if state.started is None or len(state.workflow.tasks) < 2:
        return
    views = task_views(state)
    seen = {name: view.seconds for name, view in views.items() if view.seconds is not None}
    yield from draw_workflow(state.workflow, plan(state.workflow, seen), Sight(width=width, run=views))
    if (diet := observed_diet(state)) is not None:
        mean = tokens(diet.prompt_bytes // diet.prompts)
        how = f"{abs(diet.spared):.0%} {'less' if diet.spared >= 0 else 'more'}"
        yield _shown(f"prompt diet: about {mean} tokens a task, {how} than one prompt for this whole workflow")


def _tree(story: Story) -> Tree:
    started = story.state.started
    tree = Tree(_shown(f"workflow {started.workflow.name} {started.workflow_hash[:12]}" if started else "no task yet"))
    for task in story.state.tasks.values():
        _task(tree, task)
    return tree


def _task(tree: Tree, task: TaskState) -> None:
    spec = task.task
    cost = sum(turn.cost_microusd for turn in task.turns) / 1e6
    after = f" after {', '.join(spec.dependencies)}" if spec.dependencies else ""
    who = spec.agent_id or spec.tool or ""
    branch = tree.add(_shown(f"{_MARKS[task.status.value]} {spec.task_id}  {who}{after}  ${cost:.6f}"))
    calls = {call.call.call_id: call for call in task.calls}
    for turn in task.turns:
        leaf = branch.add(_shown(_turn(turn)))
        for asked in turn.reply.tool_calls if turn.reply else ():
            if asked.call_id in calls:
                leaf.add(_shown(_call(calls.pop(asked.call_id))))
    for call in calls.values():
        branch.add(_shown(_call(call)))


def _turn(turn: TurnRecord) -> str:
    spent = f"{turn.duration_seconds:.3f} s, ${turn.cost_microusd / 1e6:.6f}"
    if turn.reply is None:
        return f"turn {turn.turn} failed: {turn.error.message if turn.error else 'no reason'}  {spent}"
    usage = turn.reply.usage
    return f"turn {turn.turn}  {turn.reply.model}  {usage.prompt_tokens} + {usage.completion_tokens} tokens, {spent}"


def _call(call: CallState) -> str:
    asked = f"{call.call.name}({short_json(call.call.arguments, 100)})"
    if call.record is None:
        return f"{asked}  {'claimed' if call.claim else 'not called yet'}"
    record = call.record
    said = record.error.message if record.error else short_json(record.result, 100)
    return f"{asked}  {record.outcome.value} in {record.duration_seconds:.3f} s: {said}"
