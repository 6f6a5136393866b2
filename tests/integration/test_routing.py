"""Where requests go: named workflows, workflows that are meant, and the agents of their tasks, on a real bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.databases import FixedClock
from support.neighbours import PlayedLoader

from evolvent.events.bus import Call
from evolvent.events.language.agents import AgentSpec, Capability
from evolvent.events.language.workflow import Task, TaskKind, Workflow
from evolvent.events.messages.calls import AgentReply, SpawnAgent
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import ServedBy
from evolvent.events.nats_bus import NatsBus
from evolvent.orchestrator.agents.specialist import specialist
from evolvent.orchestrator.routing.router import Router, Sources
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.errors import AgentLimitReached
from evolvent.storage.workflows import WorkflowStore


class SpawningLoader(PlayedLoader):
    """Writes specialists as the real one does, and stores them, as long as it may."""

    def __init__(self, bus: NatsBus, agents: AgentStore) -> None:
        super().__init__(bus, [])
        self.agents = agents
        self.spawned: list[SpawnAgent] = []
        self.may_spawn = True

    async def _spawn(self, call: Call) -> bytes:
        ask = SpawnAgent.decode(call.data)
        if not self.may_spawn:
            raise AgentLimitReached
        self.spawned.append(ask)
        spec = specialist(ask, default_model="m", max_tokens=100, hex8="00000000")
        key = f"{ask.goal}|{ask.specialty}|{ask.key}"
        return AgentReply(spec=await self.agents.put(spec, created_by="loader", key=key)).encode()


@dataclass
class Desk:
    """A router and all that it decides from."""

    router: Router
    agents: AgentStore
    workflows: WorkflowStore
    loader: SpawningLoader
    clock: FixedClock

    async def agent(self, agent_id: str, **more: Any) -> AgentSpec:
        spec = AgentSpec(**{"agent_id": agent_id, "specialty": "test", "system_prompt": "Help.", "model": "m"} | more)
        return await self.agents.put(spec, created_by="test", source="user", spawned=False)

    async def put(self, *tasks: Task, name: str = "report", **more: Any) -> Workflow:
        stored = await self.workflows.put(Workflow(name=name, tasks=tasks, **more), by="test")
        return stored.workflow

    def later(self) -> None:
        """Let what is known grow old."""
        self.clock.time += timedelta(seconds=2.5)


@pytest.fixture
async def desk(bus: NatsBus, tmp_path: Path) -> AsyncIterator[Desk]:
    databases = await Databases.open(tmp_path / "db")
    clock = FixedClock()
    sources = Sources.of(databases, clock)
    loader = SpawningLoader(bus, sources.agents)
    await loader.start()
    assert sources.workflows is not None
    try:
        router = Router(bus, sources, clock, wait_seconds=1.0)
        yield Desk(router, sources.agents, sources.workflows, loader, clock)
    finally:
        await loader.stop()
        await databases.close()


async def test_a_named_workflow_comes_with_its_version_parameters_and_agents(desk: Desk) -> None:
    await desk.agent("analyst", capabilities=(Capability.ANALYSIS,))
    await desk.put(
        Task(task_id="look", instructions="Look at ${params.what}.", capability=Capability.ANALYSIS),
        parameters={"type": "object", "properties": {"what": {"type": "string"}, "n": {"default": 3}}},
    )
    route = await desk.router.route(Request(workflow="report", parameters={"what": "logs"}), "default")
    assert route.error is None
    assert route.decision.served_by is ServedBy.WORKFLOW
    assert route.decision.chosen == "report@1"
    assert route.workflow is not None
    assert route.workflow.tasks[0].agent_id == "analyst"
    assert set(route.agents) == {"analyst"}
    assert route.params == {"what": "logs", "n": 3}


async def test_parameters_that_do_not_fit_end_the_run_before_it_begins(desk: Desk) -> None:
    await desk.put(Task(task_id="x", agent_id="a"), parameters={"type": "object", "required": ["what"]})
    route = await desk.router.route(Request(workflow="report"), "default")
    assert route.error is not None
    assert route.error.code == "workflow.parameters"


async def test_a_new_version_takes_the_next_runs_and_an_old_one_can_be_named(desk: Desk) -> None:
    await desk.agent("a")
    await desk.put(Task(task_id="old", agent_id="a"))
    before = await desk.router.route(Request(workflow="report"), "default")
    await desk.put(Task(task_id="new", agent_id="a"))
    desk.later()
    after = await desk.router.route(Request(workflow="report"), "default")
    pinned = await desk.router.route(Request(workflow="report@1"), "default")
    assert [r.decision.chosen for r in (before, after, pinned)] == ["report@1", "report@2", "report@1"]
    assert [r.workflow.tasks[0].task_id for r in (before, after, pinned) if r.workflow] == ["old", "new", "old"]


async def test_what_does_not_exist_is_said_in_the_error(desk: Desk) -> None:
    for request in (
        Request(workflow="nowhere"),
        Request(workflow="nowhere@7"),
        Request(message="x", agent_id="nobody"),
    ):
        route = await desk.router.route(request, "default")
        assert route.error is not None
        assert route.error.code == "not_found"


async def test_nested_workflows_and_the_fallback_are_laid_out(desk: Desk) -> None:
    await desk.agent("a")
    await desk.put(Task(task_id="in", agent_id="a"), name="inner")
    await desk.put(Task(task_id="in", kind=TaskKind.WORKFLOW, workflow="inner"), name="plan_b")
    await desk.put(Task(task_id="out", kind=TaskKind.WORKFLOW, workflow="inner"), fallback_workflow="plan_b")
    route = await desk.router.route(Request(workflow="report"), "default")
    assert route.workflow is not None
    assert route.fallback is not None
    assert [t.task_id for t in route.workflow.tasks] == ["out/@params", "out/in", "out"]
    assert [t.task_id for t in route.fallback.tasks] == ["fallback/in/@params", "fallback/in/in", "fallback/in"]


async def test_no_task_of_a_fallback_has_the_id_of_one_before_it(desk: Desk) -> None:
    look = Task(task_id="fallback", kind=TaskKind.TOOL, tool="look", arguments={"n": "${params.n}"})
    then = Task(task_id="then", agent_id="a", instructions="${tasks.fallback.output}", dependencies=("fallback",))
    takes = {"type": "object", "properties": {"n": {"type": "integer", "default": 3}, "m": {"type": "integer"}}}
    await desk.agent("a")
    output = {"told": "${tasks.then.output}", "n": "${params.n}"}
    await desk.put(look, then, name="plan_b", parameters=takes, output=output)
    await desk.put(look, then, fallback_workflow="plan_b", parameters=takes)
    route = await desk.router.route(Request(workflow="report"), "default")
    assert route.workflow is not None
    assert route.fallback is not None
    assert not set(route.workflow.by_id) & set(route.fallback.by_id)
    first, second = route.fallback.tasks
    assert first.arguments == {"n": "${params.n}"}
    assert second.dependencies == (first.task_id,)
    assert route.fallback.output == {"told": f"${{tasks.{second.task_id}.output}}", "n": "${params.n}"}
    assert route.params == {"n": 3}


async def test_a_workflow_that_no_run_could_be_told_is_refused_before_it_is_laid_out(desk: Desk) -> None:
    await desk.agent("a")
    await desk.put(Task(task_id="long", agent_id="a", instructions="x" * 400_000), name="inner")
    tasks = [Task(task_id=f"t{n}", kind=TaskKind.WORKFLOW, workflow="inner") for n in range(2000)]
    await desk.put(*tasks)
    route = await desk.router.route(Request(workflow="report"), "default")
    assert route.error is not None
    assert (route.error.code, "bytes" in route.error.message) == ("workflow.invalid", True)


async def test_workflows_that_contain_each_other_are_refused_with_the_circle(desk: Desk) -> None:
    await desk.put(Task(task_id="t", kind=TaskKind.WORKFLOW, workflow="b"), name="a")
    await desk.put(Task(task_id="t", kind=TaskKind.WORKFLOW, workflow="a"), name="b")
    route = await desk.router.route(Request(workflow="a"), "default")
    assert route.error is not None
    assert "a → b → a" in route.error.message


async def test_a_wish_that_nobody_fits_makes_a_specialist_who_is_found_again(desk: Desk) -> None:
    await desk.agent("other", capabilities=(Capability.MEMORY,))
    await desk.put(Task(task_id="x", capability=Capability.NOTIFICATION))
    first = await desk.router.route(Request(workflow="report"), "sales")
    desk.later()
    second = await desk.router.route(Request(workflow="report"), "sales")
    assert len(desk.loader.spawned) == 1
    assert list(first.agents) == list(second.agents)
    (spec,) = first.agents.values()
    assert spec.goal == "sales"
    assert spec.capabilities == (Capability.NOTIFICATION,)


async def test_where_none_may_be_spawned_the_best_of_those_there_are_does_it(desk: Desk) -> None:
    await desk.agent("other", capabilities=(Capability.MEMORY,))
    await desk.put(Task(task_id="x", capability=Capability.NOTIFICATION))
    desk.loader.may_spawn = False
    route = await desk.router.route(Request(workflow="report"), "default")
    assert list(route.agents) == ["other"]


async def test_an_agent_type_is_an_id_or_a_specialty(desk: Desk) -> None:
    await desk.agent("ann", specialty="log_analysis")
    await desk.agent("bob")
    await desk.put(Task(task_id="x", agent_type="bob"), Task(task_id="y", agent_type="Log analysis"))
    route = await desk.router.route(Request(workflow="report"), "default")
    assert route.workflow is not None
    assert [t.agent_id for t in route.workflow.tasks] == ["bob", "ann"]


async def test_equal_agents_share_the_tasks_of_a_run(desk: Desk) -> None:
    for name in ("one", "two"):
        await desk.agent(name, capabilities=(Capability.ANALYSIS,), max_concurrent_tasks=2)
    await desk.put(*(Task(task_id=f"t{n}", capability=Capability.ANALYSIS) for n in range(4)))
    route = await desk.router.route(Request(workflow="report"), "default")
    assert route.workflow is not None
    assert [t.agent_id for t in route.workflow.tasks] == ["one", "two", "one", "two"]


async def test_a_message_that_means_a_workflow_starts_it_and_others_do_not(desk: Desk) -> None:
    await desk.agent("a")
    await desk.put(Task(task_id="x", agent_id="a"), intents=("why is my data missing",))
    meant = await desk.router.route(Request(message="Why is my data missing?"), "default")
    other = await desk.router.route(Request(message="What is the capital of France?"), "default")
    assert meant.decision.chosen == "report@1"
    assert meant.decision.scores["confidence"] >= 0.7
    assert meant.workflow is not None
    assert other.workflow is None
    assert other.decision.chosen == "a"


async def test_a_decision_among_agents_keeps_six_scores_and_the_runner_up(desk: Desk) -> None:
    await desk.agent("cook", specialty="cooking")
    await desk.agent("smith", specialty="metal")
    route = await desk.router.route(Request(message="Something about cooking"), "default")
    assert route.decision.chosen == "cook"
    assert route.decision.runner_up == "smith"
    names = {"specialty_match", "context_relevance", "past_performance", "resource_availability", "cost_efficiency"}
    assert set(route.decision.scores) == set(route.decision.runner_up_scores) == names | {"user_preference"}


async def test_the_right_one_of_many_agents_is_found(desk: Desk) -> None:
    for number in range(120):
        await desk.agent(f"a{number:03d}", specialty=f"subject{number}")
    route = await desk.router.route(Request(message="tell me about subject117"), "default")
    assert route.decision.chosen == "a117"


async def test_a_goal_without_agents_is_served_by_a_generalist_that_is_the_same_for_all(desk: Desk) -> None:
    routes = await asyncio.gather(*(desk.router.route(Request(message="hi"), "odd") for _ in range(5)))
    assert len({r.decision.chosen for r in routes}) == 1
    assert routes[0].decision.chosen.startswith("assistant_")
