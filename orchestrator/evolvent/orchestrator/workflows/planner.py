"""The planner on the bus: a stored agent that proposes workflows, and the reading of what it proposes.

A plan is made by an ordinary request to that agent, so leases, budgets and journals hold for it as for any other.
Shown in use by tests/integration/test_workflow_catalog.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from evolvent.events import subjects
from evolvent.events.bus import Call
from evolvent.events.language.agents import AgentSpec, Capability
from evolvent.events.language.planning import (
    PLANNER_PROMPT,
    Known,
    PlanReading,
    plan_request,
    read_plan,
    repair_request,
)
from evolvent.events.messages.calls import AgentReply, SpawnAgent
from evolvent.events.messages.workflow_calls import Checked, PlannerTask, PlanPrompt, ProblemRow, ReadPlan
from evolvent.events.nats_bus import NatsBus
from evolvent.events.service import Endpoint
from evolvent.orchestrator.agents.specialist import SAFETY
from evolvent.orchestrator.tools import ToolRegistry
from evolvent.storage.agents import AgentStore
from evolvent.storage.workflows import WorkflowStore

PLANNER = "planner"
DEFAULT_GOAL = "default"
_GOAL = "planner"
"""Whose agent the planner is, so that no other goal's request is ever routed to it and no task staffed with it.

A plan's budget is that of its request's goal.
"""
_KEY = "workflow planner"
_MAX_TOKENS = 4096
_TEMPERATURE = 0.2
_SPAWN_SECONDS = 15.0
_LISTED = 60


class Planner:
    """Answers `evolvent.orchestrator.workflows.plan_prompt` and `.read_plan`."""

    def __init__(self, bus: NatsBus, agents: AgentStore, workflows: WorkflowStore, tools: ToolRegistry) -> None:
        self._bus = bus
        self._agents = agents
        self._workflows = workflows
        self._tools = tools

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return what any orchestrator answers about planning."""
        return {"workflows.plan_prompt": self._prompt, "workflows.read_plan": self._read}

    async def _prompt(self, call: Call) -> bytes:
        ask = PlanPrompt.decode(call.data)
        agent = await self._agent()
        known = await self._known(agent, subjects.token(ask.goal))
        if ask.answer is None:
            return PlannerTask(agent_id=agent.agent_id, message=plan_request(ask.problem, known)).encode()
        found = read_plan(ask.answer, known).problems
        message = repair_request(ask.problem, ask.answer, found, known)
        return PlannerTask(agent_id=agent.agent_id, message=message).encode()

    async def _read(self, call: Call) -> bytes:
        ask = ReadPlan.decode(call.data)
        known = await self._known(await self._agent(), subjects.token(ask.goal))
        return _checked(read_plan(ask.answer, known)).encode()

    async def _agent(self) -> AgentSpec:
        """Return the planner; it is spawned once, and given its words and its limits."""
        ask = SpawnAgent(specialty=PLANNER, goal=_GOAL, tools=(), key=_KEY)
        subject = subjects.endpoint("loader", "spawn")
        data = await self._bus.call(subject, ask.encode(), timeout_seconds=_SPAWN_SECONDS)
        spec = AgentReply.decode(data).spec
        wanted = spec.model_copy(
            update={
                "description": "Turns a problem into a workflow of tasks",
                "system_prompt": f"{PLANNER_PROMPT}\n\n{SAFETY}",
                "max_tokens": max(spec.max_tokens, _MAX_TOKENS),
                "temperature": _TEMPERATURE,
                "capabilities": (Capability.COORDINATION,),
            }
        )
        wanted = AgentSpec.model_validate(wanted.model_dump())
        if wanted.spec_hash == spec.spec_hash:
            return spec
        subject = subjects.endpoint("loader", "put")
        return AgentReply.decode(await self._bus.call(subject, AgentReply(spec=wanted).encode())).spec

    async def _known(self, planner: AgentSpec, goal: str) -> Known:
        """Return what a plan for this goal may name."""
        offered = self._tools.offered_to(planner.model_copy(update={"tools": None}), goal)
        stored = await self._workflows.current(limit=_LISTED)
        agents = [row.specialty for whose in {goal, DEFAULT_GOAL} for row in await self._agents.list(whose, "active")]
        return Known(
            tools={spec.name: spec for spec in offered[:_LISTED]},
            workflows={each.workflow.name: each.workflow for each in stored},
            specialties=sorted({name for name in agents if name != PLANNER})[:_LISTED],
        )


def _checked(reading: PlanReading) -> Checked:
    problems, advice = (tuple(map(ProblemRow.of, each)) for each in (reading.problems, reading.advice))
    return Checked(workflow=reading.workflow, problems=problems, advice=advice)
