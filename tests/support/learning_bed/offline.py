"""Runs of a bed without a platform: the same traces as learning reads of journals, thousands a second."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from support.learning_bed.agent import Knobs, ScriptedAgent
from support.learning_bed.database import Changes, Desk
from support.learning_bed.requests import BedRequest, Closing
from support.learning_bed.world import Ask, Seen, World

from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.tools import Effect, ToolSpec

Outcomes = Literal["none", "judge"]
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
_HANG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class OfflineRun:
    """A run: what learning sees of it, and what only the judge knows."""

    trace: Trace
    request: BedRequest
    changes: Changes
    closing: Closing
    is_right: bool


@dataclass
class _Meter:
    """Counts what a run's model calls would read, write and take: characters divided by four, a virtual clock."""

    knobs: Knobs
    draw: random.Random
    prompt_chars: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0

    def turn(self, completion_chars: int) -> None:
        """Count a model call and its answer, after those that failed first."""
        knobs, tokens = self.knobs, -(-completion_chars // 4)
        if knobs.rate_limited and self.draw.random() < knobs.rate_limited:
            self.seconds += 1.0
        if knobs.server_errors and self.draw.random() < knobs.server_errors:
            self.seconds += knobs.fixed_ms / 1000
        if knobs.hangs and self.draw.random() < knobs.hangs:
            self.seconds += _HANG_SECONDS
        self.calls += 1
        self.prompt_tokens += -(-self.prompt_chars // 4)
        self.completion_tokens += tokens
        self.seconds += (knobs.fixed_ms + knobs.ms_per_token * tokens) / 1000
        self.prompt_chars += completion_chars

    def breaks(self) -> bool:
        """Say whether the next call comes as broken JSON first."""
        return bool(self.knobs.broken_arguments) and self.draw.random() < self.knobs.broken_arguments


@dataclass
class Offline:
    """Carries requests out one after the other, on a clock of its own.

    Attributes:
        goal, agent_id: The scope that traces get.
        outcomes: `judge` tells each trace whether it was right; `none` tells nothing.
        users: How many principals take turns where requests name none.
        principal, session_id: All runs are of this one, as where somebody repeats a flow to have it learnt.
        desk: Where changes are looked up; each run's database is let go after it.
    """

    world: World
    agent: ScriptedAgent
    goal: str = "default"
    agent_id: str = "bed"
    outcomes: Outcomes = "none"
    users: int = 20
    principal: str | None = None
    session_id: str | None = None
    prefix: str = "run"
    desk: Desk = field(init=False)
    now: datetime = START
    done: int = 0

    def __post_init__(self) -> None:
        self.desk = self.world.desk()

    def run(self, request: BedRequest, *, attempt: int = 0) -> OfflineRun:
        """Carry out one request."""
        run_id = f"{self.prefix}-{self.done:06d}"
        knobs = self.agent.knobs
        draw = random.Random(f"{knobs.seed}:faults:{run_id}")
        meter = _Meter(knobs, draw, len(self.world.system_prompt) + len(request.text))
        calls: list[TracedCall] = []
        script = self.agent.script(self.world, request, attempt=attempt)
        try:
            ask = next(script)
            while True:
                seen = self._call(run_id, ask, calls, meter)
                ask = script.send(seen)
        except StopIteration as end:
            closing: Closing = end.value
        meter.turn(len(closing.text))
        changes = self.desk.changes(self.world.name, run_id)
        self.desk.forget(self.world.name, run_id)
        is_right = changes == request.expected and request.answer in (None, closing.text)
        trace = self._trace(run_id, request, tuple(calls), meter, closing, is_right=is_right)
        self.done += 1
        return OfflineRun(trace, request, changes, closing, is_right)

    def _call(self, run_id: str, ask: Ask, calls: list[TracedCall], meter: _Meter) -> Seen:
        tool = self.world.tools.get(ask.name)
        spec = tool.spec if tool else None
        arguments = dict(ask.arguments)
        size = len(ask.name) + len(json.dumps(arguments))
        if meter.breaks():
            meter.turn(size // 2)
            broken = Seen(error="tool.bad_arguments", message="The arguments are not a JSON object.")
            calls.append(_traced(ask.name, {}, broken, spec))
            meter.prompt_chars += 80
        meter.turn(size)
        seen = self.world.call(self.desk, run_id, ask, step=len(calls))
        calls.append(_traced(ask.name, arguments, seen, spec))
        meter.prompt_chars += _result_chars(seen)
        return seen

    def _trace(
        self,
        run_id: str,
        request: BedRequest,
        calls: tuple[TracedCall, ...],
        meter: _Meter,
        closing: Closing,
        *,
        is_right: bool,
    ) -> Trace:
        user = self.principal or request.user_id or f"user-{self.done % self.users}"
        started, self.now = self.now, self.now + timedelta(seconds=meter.seconds)
        return Trace(
            run_id=run_id,
            message=request.text,
            calls=calls,
            answer=closing.text,
            outcome=is_right if self.outcomes == "judge" else None,
            goal=self.goal,
            agent_id=self.agent_id,
            principal=user,
            user_id=user,
            session_id=self.session_id or f"session-{run_id}",
            prompt_tokens=meter.prompt_tokens,
            completion_tokens=meter.completion_tokens,
            model_calls=meter.calls,
            started_at=started,
            ended_at=self.now,
        )


def run_offline(
    world: World, requests: Iterable[BedRequest], agent: ScriptedAgent, *, outcomes: Outcomes = "none"
) -> list[Trace]:
    """Carry requests out without a bus and return their traces."""
    offline = Offline(world, agent, outcomes=outcomes)
    return [offline.run(request).trace for request in requests]


def _traced(name: str, arguments: dict[str, object], seen: Seen, spec: ToolSpec | None) -> TracedCall:
    if spec is None:
        return TracedCall(name, arguments, None, Effect.PURE, seen.error)
    return TracedCall(name, arguments, seen.result, spec.effect, seen.error, spec.schema_hash, spec.origin)


def _result_chars(seen: Seen) -> int:
    if seen.error is not None:
        return len(seen.message) + len(seen.error) + 24
    if isinstance(seen.result, str):
        return len(seen.result)
    return len(json.dumps(seen.result, ensure_ascii=False, separators=(",", ":")))
