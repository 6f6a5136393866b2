"""From automations and the slots of a request to one workflow: reads, the barrier, writes one by one, the answer.

Reads run side by side as far as their data allow, and one that two clauses share runs once. The barrier is a compute
task: it works out every argument of every write and checks every guard on what was just read. Only then comes the first
write. Whatever fails hands over to the agent with what is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.automation import Automation, AutomationStep
from evolvent.events.language.learning.guards import Guard
from evolvent.events.language.learning.nodes import Const, Program, Slot, Text, as_json, renamed, steps_of
from evolvent.events.language.learning.placement import NotServed, Place, introduce, placed, placed_guard
from evolvent.events.language.learning.programs import evaluate
from evolvent.events.language.references import Scope
from evolvent.events.language.workflow import (
    NO_TASK_TIMEOUT_SECONDS,
    WORKFLOW_TIMEOUT_SECONDS,
    Task,
    TaskKind,
    Workflow,
)
from evolvent.events.language.workflow_problems import ReferenceUnresolved

CHECKED, ANSWER, TAKEOVER = "checked", "answer", "takeover"
Slots = Mapping[str, str | Sequence[str]]

REPLY = "Everything that was asked for is done; what was read and done is below. Tell the user so, briefly."
REST = "Part of the work is done: what was read and done is below. Do what is left of the request, and answer."


@dataclass(slots=True)
class _Plan:
    places: list[Place]
    params: dict[str, Any]
    tasks: list[Task] = field(default_factory=list)
    reads: dict[str, str] = field(default_factory=dict)
    """What a read asks, as a hash, with the task that asks it."""
    prepared: dict[str, Any] = field(default_factory=dict)
    writes: set[str] = field(default_factory=set)


def instantiate(
    parts: Sequence[tuple[Automation, Slots]], *, agent_id: str, name: str = "automation"
) -> Workflow | NotServed:
    """Return the workflow that serves a request; or why the agent should, from the start.

    Args:
        parts: The clauses in the order of the request, each with the values of its slots.
        agent_id: Who takes over when a guard fails, and who words an answer that no template gives.
        name: The workflow's name.
    """
    try:
        return _workflow(parts, agent_id, name)
    except ReferenceUnresolved as gap:
        return NotServed(str(gap))
    except _Refused as refusal:
        return NotServed(str(refusal))


def request_params(parts: Sequence[tuple[Automation, Slots]]) -> dict[str, Any]:
    """Return the parameters that the run of an instantiated workflow is started with."""
    return {
        f"c{number}_{slot}": text if isinstance(text, str) else list(text)
        for number, (_, slots) in enumerate(parts)
        for slot, text in slots.items()
    }


class _Refused(Exception):
    """The parts cannot be served together."""


def _workflow(parts: Sequence[tuple[Automation, Slots]], agent_id: str, name: str) -> Workflow:
    _refuse_misfits(parts)
    plan = _Plan([Place(number, automation, slots) for number, (automation, slots) in enumerate(parts)], {})
    plan.params = request_params(parts)
    introduce(plan.places)
    for place in sorted(plan.places, key=lambda each: each.context is not None):
        for step in place.automation.steps:
            if not step.is_write and not step.is_late:
                _add_reads(step, place, plan)
    reads = [task.task_id for task in plan.tasks]
    writes: list[Task] = []
    for place in plan.places:
        for step in place.automation.steps:
            if step.is_write:
                writes += _writes(step, place, plan, [*reads, CHECKED, *(task.task_id for task in writes)])
    barrier = _barrier(plan, reads)
    tail = [*plan.tasks, barrier, *writes]
    for place in plan.places:
        for step in place.automation.steps:
            if step.is_late:
                tail += _late(step, place, [task.task_id for task in tail][-1:])
    answer = _answer(plan, tail, agent_id)
    return Workflow(
        name=name,
        tasks=(*tail, answer),
        parameters=_parameters(parts),
        output=f"${{tasks.{ANSWER}.output}}",
        takeover=Task(task_id=TAKEOVER, agent_id=agent_id, timeout_seconds=NO_TASK_TIMEOUT_SECONDS, is_primed=True),
    )


def _refuse_misfits(parts: Sequence[tuple[Automation, Slots]]) -> None:
    if not parts:
        raise _Refused("Nothing was asked for.")
    present = {automation.signature for automation, _ in parts}
    for automation, slots in parts:
        if automation.kind == "hint":
            raise _Refused(f"{automation.name} is a hint for the agent.")
        if missing := {slot.name for slot in automation.slots} - slots.keys():
            raise _Refused(f"{automation.name} wants {', '.join(sorted(missing))}, which the request does not say.")
        required = automation.links.requires
        if required and not present & set(required):
            raise _Refused(f"{automation.name} was never asked for without a clause that is missing here.")


def _add_reads(step: AutomationStep, place: Place, plan: _Plan) -> None:
    for index in place.indexes(step.repeats):
        bindings = {name: placed(program, place, index) for name, program in step.bindings.items()}
        asked = _asked(step.tool, bindings, plan.params)
        if asked not in plan.reads:
            task_id = place.task_id(step.step, index)
            needs = sorted({each for program in bindings.values() for each in steps_of(program)})
            plan.reads[asked] = task_id
            plan.tasks.append(_tool(task_id, step.tool, bindings, needs))
        place.tasks[step.step, index] = plan.reads[asked]


def _asked(tool: str, bindings: Mapping[str, Program], params: Mapping[str, Any]) -> str:
    """Return a hash of what a read asks. What stands in the request counts by its value, not by its slot."""
    scope = Scope(params=params)

    def told(program: Program) -> Program | None:
        return Const(value=evaluate(program, scope)) if isinstance(program, Slot) else None

    return content_hash([tool, {name: as_json(renamed(program, told)) for name, program in bindings.items()}])


def _tool(task_id: str, tool: str, bindings: Mapping[str, Program], needs: Sequence[str]) -> Task:
    programs = {name: as_json(program) for name, program in bindings.items()}
    return Task(task_id=task_id, kind=TaskKind.TOOL, tool=tool, bindings=programs, dependencies=tuple(needs))


def _writes(step: AutomationStep, place: Place, plan: _Plan, before: Sequence[str]) -> list[Task]:
    """Return the tasks of a write. Each waits for the one before it; the first for the barrier."""
    found: list[Task] = []
    for index in place.indexes(step.repeats):
        bindings = {name: placed(program, place, index) for name, program in step.bindings.items()}
        task_id = place.task_id(step.step, index)
        place.tasks[step.step, index] = task_id
        early = {name: each for name, each in bindings.items() if not steps_of(each) & plan.writes}
        for name, program in early.items():
            plan.prepared[f"{task_id}.{name}"] = as_json(program)
        waits = found[-1].task_id if found else before[-1]
        programs = {name: as_json(each) for name, each in bindings.items() if name not in early}
        arguments = {name: f'${{tasks.{CHECKED}.output["{task_id}.{name}"]}}' for name in early}
        found.append(
            Task(
                task_id=task_id,
                kind=TaskKind.TOOL,
                tool=step.tool,
                arguments=arguments,
                bindings=programs,
                dependencies=tuple(dict.fromkeys((CHECKED, waits))),
            )
        )
        plan.writes.add(task_id)
    return found


def _barrier(plan: _Plan, reads: Sequence[str]) -> Task:
    guards: dict[str, Guard] = {}
    by_signature = {place.automation.signature: place for place in plan.places}
    for place in plan.places:
        own = list(place.automation.guards)
        found = [placed_guard(guard, place, None) for guard in own]
        for link in place.automation.links.links:
            other = by_signature.get(link.other)
            found += [placed_guard(guard, place, other) for guard in link.guards if other is not None]
        guards.update({guard.model_dump_json(): guard for guard in found})
    return Task(
        task_id=CHECKED,
        kind=TaskKind.COMPUTE,
        bindings=plan.prepared,
        guards=tuple(guard.model_dump(mode="json") for guard in guards.values()),
        dependencies=tuple(reads),
    )


def _late(step: AutomationStep, place: Place, after: Sequence[str]) -> list[Task]:
    found: list[Task] = []
    for index in place.indexes(step.repeats):
        task_id = place.task_id(step.step, index)
        bindings = {name: placed(program, place, index) for name, program in step.bindings.items()}
        needs = {each for program in bindings.values() for each in steps_of(program)}
        place.tasks[step.step, index] = task_id
        found.append(_tool(task_id, step.tool, bindings, sorted({*needs, *after})))
    return found


def _answer(plan: _Plan, tasks: Sequence[Task], agent_id: str) -> Task:
    """Return the task that answers: rendered where every clause has a template, else worded by the agent."""
    every = tuple(task.task_id for task in tasks)
    responses = [place.automation.response for place in plan.places]
    is_full = all(place.automation.kind == "full" for place in plan.places)
    if is_full and any(response is not None and response.parts for response in responses):
        # What two clauses would say in the same words was said once, of both.
        told = {
            content_hash(as_json(program)): program
            for place, response in zip(plan.places, responses, strict=True)
            if response is not None and response.parts
            for program in (placed(response, place, None),)
        }
        parts: list[str | Program] = []
        for program in told.values():
            parts += [*([" "] if parts else []), program]
        rendered = {"output": as_json(Text(parts=tuple(parts)))}
        return Task(task_id=ANSWER, kind=TaskKind.COMPUTE, bindings=rendered, dependencies=every)
    done = tuple(name for name in every if name in plan.writes)
    left = sorted({tool for place in plan.places for tool in place.automation.open_tools})
    return Task(
        task_id=ANSWER,
        agent_id=agent_id,
        instructions=REST if left else REPLY,
        required_tools=tuple(left),
        context_requirements=(),
        # What was done tells all that a reply needs, and implies the barrier; what was read would only cost tokens.
        dependencies=done if done and not left else every,
        timeout_seconds=WORKFLOW_TIMEOUT_SECONDS,
    )


def _parameters(parts: Sequence[tuple[Automation, Slots]]) -> dict[str, Any]:
    text = {"type": "string"}
    properties = {
        name: text if isinstance(value, str) else {"type": "array", "items": text}
        for name, value in request_params(parts).items()
    }
    return {"type": "object", "properties": properties, "required": sorted(properties)}
