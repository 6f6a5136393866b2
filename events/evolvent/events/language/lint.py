"""Advice on the design of a workflow that can run, and of agents: what costs time or tokens for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evolvent.events.language import graph
from evolvent.events.language.agents import AgentSpec, Capability
from evolvent.events.language.plan import plan
from evolvent.events.language.references import reference_texts
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.language.transformations import Map
from evolvent.events.language.workflow import ExecutionMode, Task, TaskKind, Workflow
from evolvent.events.language.workflow_problems import Problem, ReferenceInvalid

MAX_TOOLS = 8
MAX_CAPABILITIES = 4
MAX_CONCURRENT_TASKS = 9
MAX_RETRIES = 5
SHORT_TIMEOUT_SECONDS = 5.0
LONG_TIMEOUT_SECONDS = 600.0
SHORT_ESTIMATE_SECONDS = 0.2
BIG_OUTPUT_BYTES = 16_384
_LIMITS = frozenset({"limit", "max_results", "max_count", "count", "top", "head", "first", "page_size", "filter"})


def lint(
    workflow: Workflow,
    tools: Mapping[str, ToolSpec] | None = None,
    *,
    agents: Mapping[str, AgentSpec] | None = None,
    output_bytes: Mapping[str, int] | None = None,
) -> list[Problem]:
    """Return advice. `output_bytes` are the sizes of outputs as observed, by task."""
    found: list[Problem] = []
    if not graph.find_cycles(graph.dependencies(workflow)):
        found += _sequential(workflow)
    for task in workflow.tasks:
        found += _broad(task)
        found += _estimate(task)
        found += _timeout(task)
        found += _retries(task)
        found += _context(task, workflow)
        found += _needless(task, workflow, tools or {})
        found += _filter_early(task, workflow, tools or {}, output_bytes or {})
    used = {task.agent_id for task in workflow.tasks}
    return found + [advice for name, spec in (agents or {}).items() if name in used for advice in lint_agent(spec)]


def lint_agent(spec: AgentSpec) -> list[Problem]:
    """Return advice on an agent: one that does everything is chosen for everything, and good at nothing."""
    where, found = f"agent {spec.agent_id!r}", []
    if len(spec.capabilities) > MAX_CAPABILITIES:
        what = f"It has {len(spec.capabilities)} of {len(Capability)} capabilities."
        found.append(Problem(where, what, "Make specialists of it.", "lint.agent_broad"))
    if len(spec.tools or ()) > MAX_TOOLS:
        what = f"It has {len(spec.tools or ())} tools, all of them in every prompt."
        found.append(Problem(where, what, "Grant those that it needs.", "lint.agent_broad"))
    if spec.max_concurrent_tasks > MAX_CONCURRENT_TASKS:
        what = f"It takes {spec.max_concurrent_tasks} tasks at once."
        found.append(Problem(where, what, f"Up to {MAX_CONCURRENT_TASKS} leave others a share.", "lint.agent_load"))
    return found


def _at(task: Task) -> str:
    return f"task {task.task_id!r}"


def _sequential(workflow: Workflow) -> Iterator[Problem]:
    found = plan(workflow)
    if workflow.mode is ExecutionMode.SEQUENTIAL and found.parallelism:
        what = f"It runs one task at a time; {found.parallelism:.0%} of them could run side by side."
        remedy = f"Say `mode: parallel` or `adaptive`; up to {found.time_saved:.0%} less time."
        yield Problem("mode", what, remedy, "lint.sequential")


def _broad(task: Task) -> Iterator[Problem]:
    if task.kind is not TaskKind.AGENT:
        return
    if not task.instructions.strip() and not task.description.strip():
        what = "It has neither instructions nor a description, so the agent must guess its job."
        yield Problem(_at(task), what, "Say in two sentences what it must find out.", "lint.agent_broad")
    if len(task.required_tools or ()) > MAX_TOOLS:
        what = f"It is given {len(task.required_tools or ())} tools."
        yield Problem(_at(task), what, f"Split it; up to {MAX_TOOLS} are few enough.", "lint.agent_broad")


def _estimate(task: Task) -> Iterator[Problem]:
    seconds = task.estimated_duration_seconds
    if seconds is None:
        return
    if seconds == 0 or (task.kind is TaskKind.AGENT and seconds < SHORT_ESTIMATE_SECONDS):
        what = f"An estimate of {seconds:g} s is too optimistic."
        yield Problem(_at(task), what, "Take what runs were seen to need.", "lint.estimate")
    elif seconds > task.timeout_seconds and task.kind is not TaskKind.APPROVAL:
        what = f"It is expected to take {seconds:g} s, and is stopped after {task.timeout_seconds:g} s."
        yield Problem(_at(task), what, "Raise timeout_seconds, or split the task.", "lint.estimate")


def _timeout(task: Task) -> Iterator[Problem]:
    if task.kind is TaskKind.AGENT and task.timeout_seconds < SHORT_TIMEOUT_SECONDS:
        what = f"{task.timeout_seconds:g} s are too short for a model's answer."
        yield Problem(_at(task), what, f"Give it {SHORT_TIMEOUT_SECONDS:g} s or more.", "lint.timeout")
    if task.kind in (TaskKind.AGENT, TaskKind.TOOL) and task.timeout_seconds > LONG_TIMEOUT_SECONDS:
        what = f"A task that hangs is noticed after {task.timeout_seconds:g} s."
        yield Problem(_at(task), what, "Shorten the timeout, or break the task up.", "lint.timeout")


def _retries(task: Task) -> Iterator[Problem]:
    if task.retry_count > MAX_RETRIES:
        what = f"{task.retry_count} retries cost money and hide the cause."
        yield Problem(_at(task), what, f"Up to {MAX_RETRIES} are enough.", "lint.retries")


def _context(task: Task, workflow: Workflow) -> Iterator[Problem]:
    if task.kind is TaskKind.AGENT and task.context_requirements is None and len(workflow.tasks) > 1:
        what = "It does not say which context it needs, so it is told all of it."
        yield Problem(_at(task), what, "Name the keys in context_requirements; [] for none.", "lint.context")


def _needless(task: Task, workflow: Workflow, tools: Mapping[str, ToolSpec]) -> Iterator[Problem]:
    """A tool task that uses nothing of a harmless one need not wait for it."""
    if task.kind is not TaskKind.TOOL:
        return
    try:
        used = " ".join(reference_texts(task.arguments))
    except ReferenceInvalid:
        return
    for name in task.dependencies:
        other = workflow.by_id.get(name)
        spec = tools.get(other.tool or "") if other is not None else None
        if spec is not None and spec.effect in (Effect.PURE, Effect.READ) and f"tasks.{name}." not in used:
            what = f"It waits for {name!r}, which changes nothing, and uses nothing of it."
            yield Problem(_at(task), what, "Take the dependency out; both can run at once.", "lint.sequential")


def _filter_early(
    task: Task, workflow: Workflow, tools: Mapping[str, ToolSpec], output_bytes: Mapping[str, int]
) -> Iterator[Problem]:
    """What an agent reads costs tokens: a big output is to be cut down before it gets there."""
    waiting = [workflow.by_id[name] for name in workflow.dependents[task.task_id]]
    reader = next((other for other in waiting if other.kind is TaskKind.AGENT), None)
    if reader is None or any(not isinstance(step, Map) for step in task.transformations):
        return
    size = output_bytes.get(task.task_id)
    spec = tools.get(task.tool or "")
    unlimited = spec is not None and spec.effect is Effect.READ and not _LIMITS & set(task.arguments)
    if size is not None and size > BIG_OUTPUT_BYTES:
        what = f"Its output of {size} bytes goes whole into the prompt of {reader.task_id!r}."
    elif size is None and unlimited and spec is not None and _LIMITS & set(spec.parameters.get("properties", ())):
        what = f"It fetches without a limit or filter, and {reader.task_id!r} reads all of it."
    else:
        return
    yield Problem(_at(task), what, "Filter early: add a transformation, or a limit.", "lint.filter_early")
