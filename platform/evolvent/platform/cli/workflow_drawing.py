"""Draws the graph of a workflow for a terminal: phases, critical path, times, and how far a run is.

    1 ┬ * fetch       tool search       8 s   ███████▏
      └   audit       agent validation  2 s   ██
    2 ─ * sum_up      agent             3 s          ███  ← fetch, audit

Pure: a workflow and its plan in, lines out; the console decides about colours. What does not fit is left out from the
right: first the bars, then who does it. Shown in use by tests/unit/platform/test_workflow_drawing.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from evolvent.events.language.plan import Plan
from evolvent.events.language.workflow import Task, TaskKind, Workflow
from evolvent.platform.task_views import TaskView
from evolvent.platform.visible import visible

MOST_PER_PHASE = 20
MOST_PHASES = 40
_WIDE, _MEDIUM = 90, 60
_BAR = 20
_MARKS = {"done": "✓", "completed": "✓", "failed": "✗", "running": "…", "waiting": "·", "skipped": "-"}
_STYLES = {"✓": "green", "✗": "red", "…": "yellow"}


@dataclass(frozen=True, slots=True)
class Sight:
    """What is drawn beside the plan: what was seen of earlier runs, or the tasks of one run."""

    width: int = 100
    seen: Mapping[str, float] = field(default_factory=dict)
    run: Mapping[str, TaskView] | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    task_id: str
    mark: str
    who: str
    time: str
    bar: str
    after: str
    critical: bool


def draw(workflow: Workflow, plan: Plan, sight: Sight | None = None) -> list[Text]:
    """Return the lines of the drawing."""
    sight = sight or Sight()
    starts = _starts(workflow, plan)
    lines: list[Text] = []
    rows = [[_row(workflow.by_id[name], plan, starts, sight) for name in p[:MOST_PER_PHASE]] for p in plan.phases]
    columns = _Columns.fitting([row for phase in rows[:MOST_PHASES] for row in phase], sight, len(plan.phases))
    for number, phase in enumerate(rows[:MOST_PHASES], 1):
        hidden = len(plan.phases[number - 1]) - len(phase)
        for at, row in enumerate(phase):
            last = at == len(phase) - 1 and not hidden
            lines += columns.lines(row, _connector(number, at, last=last, width=columns.number))
        if hidden:
            lines.append(Text(f"{' ' * columns.number} └   … and {hidden} more", style="dim"))
    if len(plan.phases) > MOST_PHASES:
        lines.append(Text(f"… and {len(plan.phases) - MOST_PHASES} more phases", style="dim"))
    return [*lines, Text(), *(Text(line) for line in _summary(workflow, plan, sight))]


def seconds(value: float) -> str:
    """Return a duration as people say it."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{value:.1f}".removesuffix(".0") + " s"
    if value < 7200:
        return f"{value / 60:.1f}".removesuffix(".0") + " min"
    return f"{value / 3600:.1f}".removesuffix(".0") + " h"


@dataclass(frozen=True, slots=True)
class _Columns:
    """How wide each column is; a width of 0 leaves it out."""

    number: int
    task_id: int
    who: int
    time: int
    bar: int
    width: int

    @classmethod
    def fitting(cls, rows: Sequence[_Row], sight: Sight, phases: int) -> _Columns:
        number = len(str(phases))
        time = max((len(row.time) for row in rows), default=0)
        who = max((len(row.who) for row in rows), default=0) if sight.width >= _MEDIUM else 0
        bar = _BAR if sight.width >= _WIDE else 0
        fixed = number + 5 + time + 2 + (min(who, 28) + 2 if who else 0) + (bar + 2 if bar else 0)
        longest = max((len(row.task_id) for row in rows), default=0)
        return cls(number, min(longest, max(8, sight.width - fixed)), min(who, 28), time, bar, sight.width)

    def lines(self, row: _Row, connector: str) -> Iterator[Text]:
        style = "bold" if row.critical else ""
        line = Text(connector)
        line.append(row.mark, style=_STYLES.get(row.mark, ""))
        line.append("*" if row.critical else " ", style="magenta")
        line.append(" " + _cut(row.task_id, self.task_id), style=style)
        if self.who:
            line.append("  " + _cut(row.who, self.who), style="cyan")
        line.append("  " + row.time.rjust(self.time))
        if self.bar:
            line.append("  " + row.bar, style="magenta" if row.critical else "blue")
        line.rstrip()
        after = f"  ← {row.after}" if row.after else ""
        if len(line.plain) + len(after) <= self.width:
            line.append(after, style="dim")
            yield line
            return
        yield line
        indent = " " * (self.number + 5)
        yield Text(_short(indent + after.lstrip(), self.width), style="dim")


def _connector(number: int, at: int, *, last: bool, width: int) -> str:
    if at == 0:
        return f"{number:>{width}} {'─' if last else '┬'} "
    return f"{' ' * width} {'└' if last else '├'} "


def _row(task: Task, plan: Plan, starts: Mapping[str, float], sight: Sight) -> _Row:
    view = sight.run.get(task.task_id) if sight.run is not None else None
    mark = _MARKS.get(view.status if view else "waiting", "?") if sight.run is not None else ""
    return _Row(
        task_id=visible(task.task_id),
        mark=mark,
        who=visible(_who(task)),
        time=_time(task, plan, sight, view),
        bar=_bar(task.task_id, plan, starts, sight),
        after=visible(", ".join(task.dependencies)),
        critical=task.task_id in plan.critical_path,
    )


def _who(task: Task) -> str:
    match task.kind:
        case TaskKind.TOOL:
            return f"tool {task.tool}"
        case TaskKind.WORKFLOW:
            return f"workflow {task.workflow}"
        case TaskKind.AGENT:
            return f"agent {task.agent_id or task.agent_type or task.capability or ''}".strip()
        case _:
            return str(task.kind)


def _time(task: Task, plan: Plan, sight: Sight, view: TaskView | None) -> str:
    planned = task.estimated_duration_seconds
    expected = seconds(planned) if planned is not None else f"~{seconds(plan.seconds[task.task_id])}"
    if sight.run is not None:
        return seconds(view.seconds) if view is not None and view.seconds is not None else "-"
    seen = sight.seen.get(task.task_id)
    return expected if seen is None else f"{expected}, seen {seconds(seen)}"


def _starts(workflow: Workflow, plan: Plan) -> dict[str, float]:
    """Return when each task could begin at the earliest."""
    starts: dict[str, float] = {}
    for phase in plan.phases:
        for name in phase:
            needed = [d for d in workflow.by_id[name].dependencies if d in starts]
            starts[name] = max((starts[d] + plan.seconds[d] for d in needed), default=0.0)
    return starts


def _bar(name: str, plan: Plan, starts: Mapping[str, float], sight: Sight) -> str:
    """Return a bar from when a task begins to when it ends, on the scale of the whole."""
    if sight.run is None:
        begin, end, whole = starts[name], starts[name] + plan.seconds[name], plan.critical_path_seconds
    else:
        view = sight.run.get(name)
        if view is None or view.began is None or view.ended is None:
            return ""
        begin, end = view.began, view.ended
        whole = max((each.ended for each in sight.run.values() if each.ended is not None), default=0.0)
    if whole <= 0:
        return ""
    first = min(_BAR - 1, int(begin / whole * _BAR))
    last = max(first + 1, min(_BAR, round(end / whole * _BAR)))
    return (" " * first + "█" * (last - first)).ljust(_BAR)


def _summary(workflow: Workflow, plan: Plan, sight: Sight) -> Iterator[str]:
    trail = " → ".join(plan.critical_path[:12]) + (" → …" if len(plan.critical_path) > 12 else "")
    yield _short(f"* critical path: {visible(trail)}", max(sight.width, 20))
    tasks = sum(len(phase) for phase in plan.phases)
    yield (
        f"{tasks} task{'s' if tasks != 1 else ''} in {len(plan.phases)} phase{'s' if len(plan.phases) != 1 else ''}, "
        f"{plan.parallelism:.0%} side by side"
    )
    if sight.run is None:
        yield (
            f"{seconds(plan.critical_path_seconds)} of {seconds(plan.total_seconds)}: "
            f"{plan.time_saved:.0%} time saved, {plan.theoretical_speedup:.1f}x at best"
        )
        yield (
            f"{seconds(plan.expected_seconds)} expected: mode {workflow.mode}, "
            f"at most {workflow.max_parallel_tasks} at a time"
        )
        return
    done = sum(1 for view in sight.run.values() if _MARKS.get(view.status) == "✓")
    yield f"{done} of {len(sight.run)} done"


def _cut(text: str, width: int) -> str:
    return _short(text, width).ljust(width)


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
