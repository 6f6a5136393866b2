"""A stored workflow or a plan on the terminal, and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from evolvent.events.language.plan import Plan, plan
from evolvent.events.language.prompt_diet import Diet, expected_diet, tokens
from evolvent.events.language.workflow import Workflow
from evolvent.events.messages.workflow_calls import WorkflowReply
from evolvent.orchestrator.workflows.builtin_documents import builtin_documents, monolithic_instructions
from evolvent.platform.cli.workflow_documents import document_of, listed
from evolvent.platform.cli.workflow_drawing import Sight, draw
from evolvent.platform.visible import visible

PIPED_WIDTH = 110


def console() -> Console:
    """Return a console as wide as the terminal, without colours where it is none."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def print_lines(lines: Iterable[Text | str], on: Console | None = None) -> None:
    """Print lines, never wrapped anew: they were made for this width."""
    on = on or console()
    for line in lines:
        on.print(line if isinstance(line, Text) else Text(visible(line)), soft_wrap=True)


def print_workflow(found: WorkflowReply) -> None:
    """Draw a stored workflow with all that is known about it."""
    workflow, stored = found.workflow, found.stored
    on = console()
    title = f"  {workflow.title}" if workflow.title else ""
    print_lines([f"{workflow.name}@{stored.version}  {stored.workflow_hash[:12]}  by {stored.source}{title}"], on)
    if workflow.description:
        print_lines([f"{workflow.description}"], on)
    print_lines([""], on)
    seen = {name: each.seconds for name, each in found.observed.items()}
    print_lines(drawing(workflow, on.width, seen), on)
    if seen:
        runs = max(each.runs for each in found.observed.values())
        print_lines([_seen_line(workflow, seen, runs)], on)
    diet = expected_diet(workflow)
    print_lines([*_parameters(workflow), diet_line(diet), *_agent_for_everything(diet, stored.source)], on)
    if found.advice:
        print_lines(["It could be better:", *listed([row.problem() for row in found.advice])], on)


def drawing(workflow: Workflow, width: int, seen: Mapping[str, float] | None = None) -> list[Text]:
    """Return the drawing of a workflow by its own estimates."""
    return draw(workflow, plan(workflow), Sight(width=width, seen=seen or {}))


def description(found: WorkflowReply) -> dict[str, Any]:
    """Return a stored workflow as JSON: document, plan, observed durations, prompt diet, advice."""
    workflow = found.workflow
    seen = {name: each.seconds for name, each in found.observed.items()}
    observed = plan_document(plan(workflow, seen)) if seen else None
    return {
        **found.stored.model_dump(mode="json"),
        "workflow": document_of(workflow),
        "plan": plan_document(plan(workflow)),
        "observed": {name: each.model_dump() for name, each in found.observed.items()},
        "observed_plan": observed,
        "prompt_diet": diet_document(expected_diet(workflow)),
        "advice": [row.model_dump() for row in found.advice],
    }


def plan_document(found: Plan) -> dict[str, Any]:
    """Return a plan as JSON."""
    return {
        "phases": [list(phase) for phase in found.phases],
        "critical_path": list(found.critical_path),
        "critical_path_seconds": found.critical_path_seconds,
        "total_seconds": found.total_seconds,
        "expected_seconds": found.expected_seconds,
        "parallelism": found.parallelism,
        "time_saved": found.time_saved,
        "theoretical_speedup": found.theoretical_speedup,
        "seconds": dict(found.seconds),
    }


def diet_document(diet: Diet) -> dict[str, Any]:
    """Return a prompt diet as JSON; tokens are bytes by four."""
    return {
        "tasks": {name: {"bytes": size, "tokens": tokens(size)} for name, size in diet.tasks.items()},
        "monolith": {"bytes": diet.monolith, "tokens": tokens(diet.monolith)},
        "saved": round(diet.saved, 4),
    }


def diet_line(diet: Diet) -> str:
    """Return what the prompts of a workflow are spared, as a sentence."""
    if not diet.tasks:
        return "prompt diet: no task asks a model"
    mean = tokens(sum(diet.tasks.values()) // len(diet.tasks))
    whole = tokens(diet.monolith)
    alone = f"one prompt for this whole workflow: {whole}"
    return f"prompt diet: about {mean} tokens a task; {alone}, so {diet.saved:.0%} less"


def _agent_for_everything(diet: Diet, source: str) -> list[str]:
    """Return how a task compares with the instructions of one agent that knows all that comes with the platform."""
    if source != "system" or not diet.tasks:
        return []
    whole = len(monolithic_instructions(builtin_documents()).encode())
    saved = 1 - sum(diet.tasks.values()) / (len(diet.tasks) * whole)
    return [
        f"  one agent told every task that comes with the platform, on each call: {tokens(whole)}, so {saved:.0%} less"
    ]


def _parameters(workflow: Workflow) -> list[str]:
    properties = workflow.parameters.get("properties")
    if not isinstance(properties, dict) or not properties:
        return []
    required = set(workflow.parameters.get("required", ()))
    return ["parameters: " + ", ".join(f"{name}{'' if name in required else '?'}" for name in properties)]


def _seen_line(workflow: Workflow, seen: Mapping[str, float], runs: int) -> str:
    found = plan(workflow, seen)
    trail = " → ".join(found.critical_path[:12])
    return (
        f"seen in {runs} run{'s' if runs != 1 else ''}: {found.expected_seconds:.1f} s, critical path {trail}, "
        f"{found.time_saved:.0%} time saved"
    )
