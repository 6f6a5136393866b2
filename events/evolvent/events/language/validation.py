"""Can this workflow run? Every problem at once, each with its place and its remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches

from evolvent.events.language import graph
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.jmespath_search import check_expression
from evolvent.events.language.json_bounds import BadJson, measure
from evolvent.events.language.json_paths import parse_path
from evolvent.events.language.json_schemas import misfits, schema_problem
from evolvent.events.language.plan import cycle_problem, plan
from evolvent.events.language.reference_checks import reference_problems
from evolvent.events.language.tools import ToolSpec
from evolvent.events.language.transformations import Aggregate, Filter, JMESPath, Map, Transformation
from evolvent.events.language.workflow import TASK_TIMEOUT_SECONDS, Task, TaskKind, Workflow
from evolvent.events.language.workflow_problems import Problem, WorkflowInvalid

MAX_TASKS = 5_000
MAX_DOCUMENT_NODES = 200_000
MAX_NESTING = 8
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def problems(
    workflow: Workflow,
    tools: Mapping[str, ToolSpec] | None = None,
    *,
    agents: Mapping[str, AgentSpec] | None = None,
    workflows: Mapping[str, Workflow] | None = None,
) -> list[Problem]:
    """Return everything that keeps a workflow from running. What is None is not checked against."""
    found = list(_document_problems(workflow))
    edges = graph.dependencies(workflow)
    cycles = graph.find_cycles(edges)
    found += [cycle_problem(cycle) for cycle in cycles]
    found += reference_problems(workflow, edges)
    for task in workflow.tasks:
        found += _shape_problems(task)
        found += _dependency_problems(task, workflow)
        found += _tool_problems(task, tools)
        found += _agent_problems(task, agents)
        found += _transformation_problems(task)
        found += _timeout_problems(task, workflow)
    found += _takeover_problems(workflow, tools, agents)
    if not cycles:
        found += _time_problems(workflow)
    if workflows is not None:
        found += _nesting_problems(workflow, workflows)
    return found


def ensure_valid(
    workflow: Workflow,
    tools: Mapping[str, ToolSpec] | None = None,
    *,
    agents: Mapping[str, AgentSpec] | None = None,
    workflows: Mapping[str, Workflow] | None = None,
) -> Workflow:
    """Return the workflow.

    Raises:
        WorkflowInvalid: listing all that keeps it from running.
    """
    found = problems(workflow, tools, agents=agents, workflows=workflows)
    if found:
        raise WorkflowInvalid(found, name=workflow.name)
    return workflow


def _document_problems(workflow: Workflow) -> Iterator[Problem]:
    if not workflow.name.strip():
        yield Problem("name", "The workflow has no name.", "Give it one.", "name.missing")
    if not workflow.tasks:
        yield Problem("tasks", "There is no task.", "Add one.", "empty")
    if len(workflow.tasks) > MAX_TASKS:
        yield Problem("tasks", f"There are more than {MAX_TASKS} tasks.", "Split the workflow.", "too_large")
    counts: dict[str, int] = {}
    for task in workflow.tasks:
        counts[task.task_id] = counts.get(task.task_id, 0) + 1
    for task_id, count in counts.items():
        if count > 1:
            what = f"The id stands at {count} tasks."
            yield Problem(f"task {task_id!r}", what, "Give each its own task_id.", "duplicate")
    try:
        measure(workflow.model_dump(mode="json"), max_nodes=MAX_DOCUMENT_NODES)
    except (BadJson, ValueError) as problem:
        yield Problem("workflow", f"The document {problem}.", "Use plain JSON values, and fewer.", "not_json")
    wrong = schema_problem(workflow.parameters)
    if wrong is not None:
        yield Problem("parameters", f"This is no JSON Schema: {wrong}.", "Correct it.", "parameters.schema")


def _shape_problems(task: Task) -> Iterator[Problem]:
    if not _TASK_ID.fullmatch(task.task_id):
        remedy = "Use 1 to 64 letters, digits, - and _."
        yield Problem(_at(task), f"{task.task_id!r:.80} is no task_id.", remedy, "task_id")
    wanted = {TaskKind.TOOL: "tool", TaskKind.WORKFLOW: "workflow"}.get(task.kind)
    if wanted is not None and not getattr(task, wanted):
        yield Problem(_at(task), f"A {task.kind} task names no {wanted}.", f"Set `{wanted}`.", "kind")
    for field, kind in (("tool", TaskKind.TOOL), ("workflow", TaskKind.WORKFLOW), ("approval", TaskKind.APPROVAL)):
        if getattr(task, field) and task.kind is not kind:
            what = f"It is a task of kind {task.kind}, and sets `{field}`."
            yield Problem(_at(task), what, f"Say `kind: {kind}`, or make two tasks of it.", "kind")
    if task.kind is not TaskKind.AGENT and (task.agent_id or task.agent_type):
        what = f"A {task.kind} task is done by no agent."
        yield Problem(_at(task), what, "Take the agent out, or say `kind: agent`.", "kind")


def _dependency_problems(task: Task, workflow: Workflow) -> Iterator[Problem]:
    for name in task.dependencies:
        if name not in workflow.by_id:
            what = f"It waits for {name!r}, which is no task."
            yield Problem(_at(task), what, _instead(name, workflow.by_id), "dependency.unknown")


def _tool_problems(task: Task, tools: Mapping[str, ToolSpec] | None) -> Iterator[Problem]:
    if tools is None:
        return
    for name in dict.fromkeys([*([task.tool] if task.tool else []), *(task.required_tools or ())]):
        if name not in tools:
            yield Problem(_at(task), f"There is no tool {name!r}.", _instead(name, tools), "tool.unknown")
    spec = tools.get(task.tool or "")
    if spec is not None:
        bound = dict.fromkeys(task.bindings, "${request.message}")
        for wrong in misfits(spec.parameters, {**bound, **task.arguments}, constants_only=True):
            what = f"The arguments do not fit {spec.name!r}: {wrong}."
            yield Problem(_at(task), what, "Correct them; `evolvent tools show` has the schema.", "arguments")


def _agent_problems(task: Task, agents: Mapping[str, AgentSpec] | None) -> Iterator[Problem]:
    if agents is None or task.kind is not TaskKind.AGENT:
        return
    if task.agent_id is not None and task.agent_id not in agents:
        remedy = _instead(task.agent_id, agents)
        yield Problem(_at(task), f"There is no agent {task.agent_id!r}.", remedy, "agent.unknown")
    if task.agent_id is not None or (task.agent_type is None and task.capability is None):
        return
    has_type = any(task.agent_type in (spec.agent_id, spec.specialty) for spec in agents.values())
    has_capability = any(task.capability in spec.capabilities for spec in agents.values())
    if has_type or has_capability:
        return
    if task.agent_type is not None:
        names = [*agents, *(spec.specialty for spec in agents.values())]
        remedy = _instead(task.agent_type, dict.fromkeys(names))
        yield Problem(_at(task), f"There is no agent of type {task.agent_type!r}.", remedy, "agent_type.unknown")
    if task.capability is not None:
        what = f"No agent has the capability {str(task.capability)!r}."
        yield Problem(_at(task), what, "Register one that has, or choose another.", "capability.unknown")


def _transformation_problems(task: Task) -> Iterator[Problem]:
    for number, step in enumerate(task.transformations):
        for what in _step_problems(step):
            where = f"{_at(task)}, transformation {number + 1}"
            yield Problem(where, f"{what}.", "Correct it.", "transformation")


def _step_problems(step: Transformation) -> Iterator[str]:
    paths = [step.path]
    match step:
        case Filter():
            paths += step.criteria
        case Map():
            paths += step.mapping
        case Aggregate():
            paths += [step.field or "", step.group_by or ""]
        case JMESPath():
            wrong = check_expression(step.expression)
            if wrong is not None:
                yield f"{step.expression!r:.100} is no JMESPath: {wrong}"
    for path in paths:
        try:
            parse_path(path)
        except ValueError as problem:
            yield str(problem)


def _timeout_problems(task: Task, workflow: Workflow) -> Iterator[Problem]:
    """A timeout that nobody chose is no problem: the run's own deadline comes first."""
    if task.timeout_seconds > workflow.timeout_seconds and task.timeout_seconds != TASK_TIMEOUT_SECONDS:
        what = f"Its timeout of {task.timeout_seconds:g} s is longer than the workflow's"
        remedy = "Shorten it, or give the workflow more."
        yield Problem(_at(task), f"{what} {workflow.timeout_seconds:g} s.", remedy, "timeout.unreachable")


def _takeover_problems(
    workflow: Workflow, tools: Mapping[str, ToolSpec] | None, agents: Mapping[str, AgentSpec] | None
) -> Iterator[Problem]:
    """An agent takes over alone, from a workflow that is left: it waits for nothing, and is none of its tasks."""
    task = workflow.takeover
    if task is None:
        return
    found = [*_shape_problems(task), *_tool_problems(task, tools), *_agent_problems(task, agents)]
    if task.kind is not TaskKind.AGENT:
        found.append(Problem("", f"It is a task of kind {task.kind}.", "Say `kind: agent`.", "kind"))
    if task.task_id in workflow.by_id:
        found.append(Problem("", "Its id is that of a task.", "Give it its own task_id.", "duplicate"))
    if task.dependencies or task.bindings or task.guards or task.mode is not None:
        remedy = "Take its dependencies, bindings, guards and mode out."
        found.append(Problem("", "It begins when the others are left, by itself.", remedy, "takeover"))
    for problem in found:
        yield replace(problem, where=f"takeover {task.task_id!r:.80}")


def _time_problems(workflow: Workflow) -> Iterator[Problem]:
    estimates = {t.task_id: t.estimated_duration_seconds or 0.0 for t in workflow.tasks}
    found = plan(workflow, estimates)
    if found.critical_path_seconds > workflow.timeout_seconds:
        trail = " → ".join(found.critical_path[:10]) + (" → …" if len(found.critical_path) > 10 else "")
        what = (
            f"{trail} takes {found.critical_path_seconds:g} s as estimated, of {workflow.timeout_seconds:g} s allowed."
        )
        yield Problem("timeout_seconds", what, "Allow more, or shorten the path.", "timeout.unreachable")


def _nesting_problems(workflow: Workflow, workflows: Mapping[str, Workflow]) -> Iterator[Problem]:
    for task in workflow.tasks:
        if task.workflow is None:
            continue
        yield from _target_problems(_at(task), task.workflow, workflow, workflows)
        nested = workflow if task.workflow == workflow.name else workflows.get(task.workflow)
        for wrong in misfits(nested.parameters, task.arguments, constants_only=True) if nested else ():
            what = f"The arguments do not fit workflow {task.workflow!r}: {wrong}."
            yield Problem(_at(task), what, "Correct them.", "arguments")
    if workflow.fallback_workflow is not None:
        yield from _target_problems("fallback_workflow", workflow.fallback_workflow, workflow, workflows)


def _target_problems(
    where: str, target: str, workflow: Workflow, workflows: Mapping[str, Workflow]
) -> Iterator[Problem]:
    if target != workflow.name and target not in workflows:
        yield Problem(where, f"There is no workflow {target!r}.", _instead(target, workflows), "workflow.unknown")
        return
    trail = _way_back(target, workflow, workflows)
    if trail is not None:
        what = f"The workflow contains itself: {' → '.join(trail)}."
        yield Problem(where, what, "Take one of these out.", "workflow.nested")
    elif _depth(target, workflows, {}) >= MAX_NESTING:
        yield Problem(where, f"Workflows nest deeper than {MAX_NESTING}.", "Flatten them.", "workflow.depth")


def _targets(workflow: Workflow) -> list[str]:
    names = [task.workflow for task in workflow.tasks if task.workflow]
    return names + ([workflow.fallback_workflow] if workflow.fallback_workflow else [])


def _way_back(start: str, workflow: Workflow, workflows: Mapping[str, Workflow]) -> tuple[str, ...] | None:
    """Return the way by which a nested workflow leads back to this one."""
    trails: list[tuple[str, ...]] = [(workflow.name, start)]
    seen: set[str] = set()
    while trails:
        trail = trails.pop()
        if trail[-1] == workflow.name:
            return trail
        if trail[-1] not in seen and trail[-1] in workflows:
            seen.add(trail[-1])
            trails += [(*trail, name) for name in _targets(workflows[trail[-1]])]
    return None


def _depth(start: str, workflows: Mapping[str, Workflow], known: dict[str, int]) -> int:
    """Return how deep the workflows below one go, itself included; what repeats itself counts once."""
    if start not in known and start in workflows:
        known[start] = 0  # ends a circle among others
        known[start] = 1 + max((_depth(n, workflows, known) for n in _targets(workflows[start])), default=0)
    return known.get(start, 0)


def _instead(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, list(known)[:2000], n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    some = ", ".join(map(repr, sorted(known)[:8]))
    return f"There are: {some}{', …' if len(known) > 8 else ''}." if known else "There are none yet."


def _at(task: Task) -> str:
    return f"task {task.task_id!r:.80}"
