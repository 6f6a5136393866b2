"""An agent for every agent task of a workflow: the one named, else one of the type, else one with the capability.

None fits: a specialist is spawned, under a key of goal and wish, so that the next run finds it again. It may not be
spawned: the goal's best agent does the task, since a wish is no condition.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from evolvent.events.errors import EvolventError, NotFound
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.workflow import Task, TaskKind, Workflow
from evolvent.orchestrator.agents.specialist import slug
from evolvent.orchestrator.routing.candidates import DEFAULT_GOAL, Candidates
from evolvent.orchestrator.routing.selection import Candidate, rank


@dataclass(slots=True)
class Staff:
    """The agents of one run, and how many of its tasks each has."""

    goal: str
    user_id: str | None = None
    specs: dict[str, AgentSpec] = field(default_factory=dict)
    tasks: Counter[str] = field(default_factory=Counter)


class Staffing:
    """Finds agents for tasks."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates

    async def staffed(self, workflow: Workflow, staff: Staff) -> Workflow:
        """Return a workflow in which every agent task names its agent; `staff` learns their specs.

        Raises:
            NotFound: a task names an agent that is not there, or is retired.
            EvolventError: there is no agent, and none could be spawned.
        """
        tasks = tuple([await self._with_agent(task, staff) for task in workflow.tasks])
        takeover = await self._with_agent(workflow.takeover, staff) if workflow.takeover is not None else None
        return workflow.model_copy(update={"tasks": tasks, "takeover": takeover})

    async def _with_agent(self, task: Task, staff: Staff) -> Task:
        if task.kind is not TaskKind.AGENT:
            return task
        spec = await self._agent_for(task, staff)
        staff.specs[spec.agent_id] = spec
        staff.tasks[spec.agent_id] += 1
        return task.model_copy(update={"agent_id": spec.agent_id})

    async def _agent_for(self, task: Task, staff: Staff) -> AgentSpec:
        if task.agent_id is not None:
            return staff.specs.get(task.agent_id) or await self._candidates.named(task.agent_id)
        if task.agent_type is not None and (named := await self._of_id(task.agent_type, staff)) is not None:
            return named
        for goal in dict.fromkeys((staff.goal, DEFAULT_GOAL)):
            fitting = _fitting(task, await self._candidates.of(goal, staff.user_id))
            if fitting:
                return _best(task, fitting, staff)
        return await self._new(task, staff)

    async def _of_id(self, agent_type: str, staff: Staff) -> AgentSpec | None:
        try:
            return staff.specs.get(agent_type) or await self._candidates.named(agent_type)
        except NotFound:
            return None

    async def _new(self, task: Task, staff: Staff) -> AgentSpec:
        wish = task.agent_type or task.capability
        if wish is None:
            return await self._candidates.generalist()
        try:
            return await self._candidates.specialist(staff.goal, str(wish), task.capability)
        except EvolventError:
            for goal in dict.fromkeys((staff.goal, DEFAULT_GOAL)):
                anybody = await self._candidates.of(goal, staff.user_id)
                if anybody:
                    return _best(task, anybody, staff)
            raise


def _fitting(task: Task, candidates: list[Candidate]) -> list[Candidate]:
    if task.agent_type is not None:
        wanted = slug(task.agent_type)
        of_type = [c for c in candidates if slug(c.spec.specialty) == wanted]
        if of_type or task.capability is None:
            return of_type
    if task.capability is not None:
        return [c for c in candidates if task.capability in c.spec.capabilities]
    return candidates


def _best(task: Task, candidates: list[Candidate], staff: Staff) -> AgentSpec:
    """Return who does it best; the tasks that an agent already has in this run count as its load."""
    loaded = [
        replace(c, standing=replace(c.standing, in_hand=c.standing.in_hand + staff.tasks[c.spec.agent_id]))
        if c.spec.agent_id in staff.tasks
        else c
        for c in candidates
    ]
    return rank(loaded, f"{task.name} {task.description} {task.instructions}")[0].spec
