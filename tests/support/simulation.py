"""A run in memory: the engine's decisions carried out by a script instead of services, in any order, with crashes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from support.runs import AGENT, LEASE, NOW, RUN, envelope, resumed, started

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.conversation import ModelReply, Usage
from evolvent.events.language.decisions import decide
from evolvent.events.language.places import Going
from evolvent.events.language.reducer import fold, reduce
from evolvent.events.language.state import RunState, RunStatus
from evolvent.events.language.steps import Activity, CallTool, TakeTurn
from evolvent.events.language.ticks import Stamp, Tick, compose
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.language.workflow import Workflow
from evolvent.events.messages.runs import RunEvent, ToolOutcome, ToolRecord, TurnRecord

TOOLS = {
    "look": ToolSpec(name="look", effect=Effect.READ),
    "post": ToolSpec(name="post", effect=Effect.KEYED),
}
Answer = Callable[[str, Mapping[str, Any]], Any]


def echo(task_id: str, arguments: Mapping[str, Any]) -> Any:
    """Answer with what was asked, so that outputs show where they come from."""
    return {"of": task_id, "given": dict(arguments)}


@dataclass
class Simulation:
    """Carries out a workflow. `answer` plays every tool and agent; an ErrorInfo that it returns is a failure."""

    workflow: Workflow
    seed: int = 0
    answer: Answer = echo
    started_with: dict[str, Any] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    most_at_once: int = 0
    events: list[RunEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.state = RunState(RUN)
        self.in_flight: list[Activity] = []
        self.add(started(self.workflow, **self.started_with))

    def add(self, event: RunEvent) -> None:
        self.events.append(event)
        self.state = reduce(self.state, event, len(self.events))  # type: ignore[arg-type]

    def crash(self) -> None:
        """Lose the owner with all that it had under way; another one reads the journal and goes on."""
        self.in_flight.clear()
        self.state = fold(RUN, enumerate(self.events, start=1))  # type: ignore[arg-type]
        self.add(resumed(self.state, number=len(self.events)))

    def run(self, *, crashes_at: frozenset[int] = frozenset()) -> RunState:
        """Go on until the run has ended or waits."""
        for step in range(100_000):
            if step in crashes_at:
                self.crash()
            if self.state.status is not RunStatus.RUNNING:
                return self.state
            self.step()
        raise AssertionError("the run comes to no end")

    def step(self) -> None:
        """Let one thing that is under way end, or say what there is to be said."""
        decision = decide(self.state, TOOLS, self.going())
        if decision.finish or decision.suspend or decision.claims or decision.fallback:
            self.say(Tick())
            return
        self.in_flight = [a for a in self.in_flight if a in decision.activities]
        for activity in decision.activities:
            if activity not in self.in_flight:
                self.in_flight.append(activity)
                self.order.append(activity.task_id)
        self.most_at_once = max(self.most_at_once, len({a.task_id for a in self.in_flight}))
        assert self.in_flight, f"nothing is under way, and nothing is decided: {self.state.active}"
        ended = self.in_flight.pop(self.chance.randrange(len(self.in_flight)))
        self.say(self.tick_of(ended))

    def going(self) -> Going:
        return Going(frozenset(a.task_id for a in self.in_flight))

    def tick_of(self, activity: Activity) -> Tick:
        task = self.state.tasks[activity.task_id]
        at = NOW + timedelta(seconds=len(self.events))
        if isinstance(activity, TakeTurn):
            said = self.answer(activity.task_id, {})
            is_error = isinstance(said, ErrorInfo)
            reply = None if is_error else ModelReply(text=str(said), usage=Usage(prompt_tokens=10, completion_tokens=5))
            turn = TurnRecord(
                task_id=activity.task_id,
                turn=activity.turn,
                agent_id=AGENT.agent_id,
                spec_hash="s",
                reply=reply,
                error=said if is_error else None,
                lease=LEASE,
                cost_microusd=7,
                started_at=at,
            )
            return Tick(turns=[turn])
        assert isinstance(activity, CallTool)
        call = next(c.call for c in task.calls if c.call.call_id == activity.call_id)
        result = self.answer(activity.task_id, call.arguments or {})
        is_error = isinstance(result, ErrorInfo)
        record = ToolRecord(
            task_id=activity.task_id,
            call_id=activity.call_id,
            name=call.name,
            effect=activity.effect,
            arguments=call.arguments or {},
            outcome=ToolOutcome.ERROR if is_error else ToolOutcome.OK,
            result=None if is_error else result,
            error=result if is_error else None,
            started_at=at,
        )
        return Tick(tools=[record])

    def say(self, tick: Tick) -> None:
        stamp = Stamp(f"e{len(self.events)}", "test", NOW + timedelta(seconds=len(self.events)))
        event = compose(self.state, tick, TOOLS, stamp, self.going())
        assert event is not None
        self.add(event)


def failure(*, retryable: bool = False) -> ErrorInfo:
    return ErrorInfo(code="tool.failed", category=Category.TOOL, message="it broke", retryable=retryable)


__all__ = ["Simulation", "echo", "envelope", "failure"]
