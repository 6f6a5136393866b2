"""A bed: a world, requests, an agent and a judge, and what changes on the way: what benchmarks and tests run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from support.learning_bed.agent import ScriptedAgent
from support.learning_bed.database import SEED_VARIABLE, STATE_VARIABLE, Changes, Database, Desk
from support.learning_bed.grammar import Grammar, expected_in
from support.learning_bed.offline import Offline, OfflineRun, Outcomes
from support.learning_bed.requests import BedRequest
from support.learning_bed.responder import BedResponder
from support.learning_bed.world import World

from evolvent.events.language.agents import AgentSpec

MODEL = "scripted"


@dataclass(frozen=True, slots=True)
class Shift:
    """From request number `at` on, the world is another: its records drifted or a tool's schema changed."""

    at: int
    world: World


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a run's end is worth."""

    is_right: bool
    wrote: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Bed:
    """Everything that learning is measured on in one domain."""

    name: str
    world: World
    requests: tuple[BedRequest, ...]
    agent: ScriptedAgent
    grammar: Grammar | None = None
    shifts: tuple[Shift, ...] = ()
    seed: int = 0
    """The seed of the world's records."""

    def with_agent(self, agent: ScriptedAgent) -> Bed:
        """The same bed with another agent."""
        return replace(self, agent=agent)

    def with_requests(self, requests: tuple[BedRequest, ...]) -> Bed:
        """The same bed with other requests, in this order."""
        return replace(self, requests=requests)

    def shifted(self, at: int, world: World) -> Bed:
        """The same bed whose world changes at request `at`; what is expected from there on is worked out anew."""
        before, after = self.requests[:at], self.requests[at:]
        changed = tuple(expected_in(world, self.agent, request) for request in after)
        return replace(self, requests=before + changed, shifts=(*self.shifts, Shift(at, world)))

    def world_at(self, number: int) -> World:
        """The world in which request `number` is carried out."""
        return next((shift.world for shift in reversed(self.shifts) if number >= shift.at), self.world)

    def responder(self, *, fresh_slips: bool = False) -> BedResponder:
        """What answers in the model server's place."""
        return BedResponder(self.world, self.requests, self.agent, fresh_slips=fresh_slips)

    def agent_spec(self) -> AgentSpec:
        """The agent to store in a platform: offered this world's tools only."""
        return AgentSpec(
            agent_id=f"bed_{self.world.name}",
            specialty=self.world.name,
            description=f"Carries out requests of the {self.world.name} bed.",
            system_prompt=self.world.system_prompt,
            model=MODEL,
            tools=tuple(sorted(self.world.tools)),
            temperature=0.0,
        )

    def environment(self, folder: Path, *, number: int = 0) -> dict[str, str]:
        """What a platform's process needs in its environment, to have the tools and records of request `number`.

        What its runs change is kept in the folder, for `changes`. Tools of another schema need another process.
        """
        tests = Path(__file__).resolve().parents[2]
        found = {
            "EVOLVENT_TOOL_MODULES": ",".join(self.world_at(number).modules),
            "PYTHONPATH": os.pathsep.join(part for part in (str(tests), os.environ.get("PYTHONPATH", "")) if part),
            STATE_VARIABLE: str(folder),
            SEED_VARIABLE: str(self.seed),
        }
        return found | {name: os.environ[name] for name in ("EVOLVENT_DATA",) if name in os.environ}

    def enter(self, folder: Path, number: int) -> None:
        """Let new runs of a running platform see the records of request `number` from now on."""
        Desk(folder=folder).drift(self.world.name, self.world_at(number).base.drift)

    def changes(self, folder: Path, run_id: str, *, number: int = 0) -> Changes:
        """What a run of another process has changed, for request `number`."""
        file = folder / self.world.name / f"{run_id}.json"
        return Database(self.world_at(number).base, file=file).changes()

    def judge(self, request: BedRequest, changes: Changes, answer: str | None = None) -> Judgement:
        """Judge what a run changed; `answer` is compared where the request asks for one and a text is given."""
        if changes != request.expected:
            tables = sorted(set(changes) | set(request.expected))
            return Judgement(False, bool(changes), f"other records than expected changed, in {', '.join(tables)}")
        if request.answer is not None and answer is not None and answer != request.answer:
            return Judgement(False, bool(changes), f"the answer should be {request.answer!r}")
        return Judgement(True, bool(changes))

    def run_offline(self, *, outcomes: Outcomes = "none") -> Iterator[OfflineRun]:
        """Carry all requests out in order, each in the world of its time."""
        done = Offline(self.world, self.agent, outcomes=outcomes, agent_id=f"bed_{self.world.name}")
        world = self.world
        for number, request in enumerate(self.requests):
            now = self.world_at(number)
            if now is not world:
                world = now
                done = Offline(
                    world, self.agent, outcomes=outcomes, agent_id=done.agent_id, now=done.now, done=done.done
                )
            yield done.run(request)
