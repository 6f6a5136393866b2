"""Requests through a whole platform, over the bus: published in order, learnt from on demand, judged by what changed.

    baseline: learning off ┐
    pilot, default         ┴▶ `evolvent up` with the bed's tools ─▶ scripted model server in this process

Each pass has a platform of its own on an empty folder, whose only agent is the bed's. What a run cost is what the
model server billed for it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.parts.learning.profiles import Profile
from benchmarks.parts.learning.replay import of_first, of_learnt_kinds, split
from benchmarks.parts.learning.rows import Row, Value, Values
from benchmarks.parts.learning.sections import PUBLIC, Plan, Tell, made
from support.learning_bed.bed import Bed
from support.learning_bed.requests import BedRequest
from support.processes import PRICES, environment

from evolvent.events import subjects
from evolvent.events.messages.learning_calls import LearnReply
from evolvent.orchestrator.routing.automations import POLL_SECONDS
from evolvent.platform.asking import Answer
from evolvent.platform.client import Client, Step
from evolvent.platform.scripted_model.server import ScriptedModelServer

LEARN_EVERY = 10
_USERS = ("client", "operator")
_CAPS = {"EVOLVENT_BUDGET__MAX_DAILY_COST": "1000000", "EVOLVENT_BUDGET__MAX_CONCURRENT": "1000"}
"""What would be measured instead."""
_START_SECONDS = 60.0
_LEARN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Done:
    """A request that came to its end."""

    request: BedRequest
    answer: Answer
    tokens: int
    is_right: bool
    reason: str
    was_handed_over: bool

    @property
    def is_served(self) -> bool:
        """Say whether an automation did it to its end."""
        return self.answer.served_by == "automation" and not self.was_handed_over


@dataclass
class Pass:
    """All requests of a bed through one platform."""

    bed: Bed
    profile: Profile | None
    done: list[Done] = field(default_factory=list)
    learnt: list[LearnReply] = field(default_factory=list)
    learner_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """What all runs cost."""
        return sum(each.tokens for each in self.done)

    async def run(self, requests: Sequence[BedRequest], *, asked: Sequence[BedRequest] = ()) -> None:
        """Go through requests, learning on the way; or, with `asked`, learn once at the end, and then ask those."""
        server = ScriptedModelServer(responder=self.bed.responder())
        url = await server.start()
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="evolvent-bench-") as folder:
                await self._through(Path(folder), url, requests, asked)
        finally:
            await server.stop()
        self.seconds = time.monotonic() - began

    async def _through(
        self, folder: Path, url: str, requests: Sequence[BedRequest], asked: Sequence[BedRequest]
    ) -> None:
        state = folder / "state"
        state.mkdir()
        async with (
            _platform(self.bed, folder, url, self.profile) as data_dir,
            Client.connect(data_dir) as client,
            Client.connect(data_dir, operator=True) as operator,
        ):
            await _register(operator, self.bed)
            for start in range(0, len(requests), LEARN_EVERY):
                await self._batch(client, state, requests[start : start + LEARN_EVERY])
                if self.profile is not None and not asked:
                    await self._learn(operator)
            if asked:
                await self._learn(operator)
            for start in range(0, len(asked), LEARN_EVERY):
                await self._batch(client, state, asked[start : start + LEARN_EVERY])

    async def _batch(self, client: Client, state: Path, requests: Sequence[BedRequest]) -> None:
        numbers = range(len(self.done), len(self.done) + len(requests))
        asks = (self._ask(client, state, *each) for each in zip(numbers, requests, strict=True))
        self.done += await asyncio.gather(*asks)

    async def _ask(self, client: Client, state: Path, number: int, request: BedRequest) -> Done:
        kinds: list[str] = []

        def on_step(step: Step) -> None:
            kinds.append(step.type)

        user = request.user_id or f"user-{number % 20}"
        answer = await client.ask(request.text, user_id=user, session_id=f"session-{number}", on_step=on_step)
        changes = self.bed.changes(state, answer.run_id, number=number)
        # The scripted agent cannot word what others did: of an automation's run that a model worded, records count.
        is_worded = answer.served_by == "automation" and answer.model_calls > 0
        judged = self.bed.judge(request, changes, None if is_worded else answer.answer or "")
        is_right = judged.is_right and answer.ok
        reason = judged.reason or (answer.error.message if answer.error else "")
        tokens = answer.prompt_tokens + answer.completion_tokens
        return Done(request, answer, tokens, is_right, reason, "deoptimized" in kinds)

    async def _learn(self, operator: Client) -> None:
        """Learn until everything that was asked so far was read, and let the router see what went live."""
        began = time.monotonic()
        read = sum(each.runs for each in self.learnt)
        while time.monotonic() - began < _LEARN_SECONDS:
            body = await operator.bus.call(
                subjects.endpoint("improvement", "learn"), b"{}", timeout_seconds=_LEARN_SECONDS
            )
            reply = LearnReply.decode(body)
            self.learnt.append(reply)
            read += reply.runs
            if not reply.more and read >= len(self.done):
                break
            if not reply.more:
                await asyncio.sleep(0.1)
        self.learner_seconds += time.monotonic() - began
        await asyncio.sleep(1.5 * POLL_SECONDS)


async def measured(bed: Bed, profile: Profile, baseline: Pass, seed: int) -> Row:
    """The bed's requests from nothing under a profile, beside the same requests with learning off."""
    found = Pass(bed, profile)
    await found.run(bed.requests)
    half = len(found.done) // 2
    values = _values(found.done, baseline.done) | {
        "tokens_saved_second_half": _saved(found.done[half:], baseline.done[half:]),
        "served_share_second_half": _share(found.done[half:]),
        "baseline_wrong": sum(not each.is_right for each in baseline.done),
        "proposed": sum(each.proposed for each in found.learnt),
        "live": sum(each.live for each in found.learnt),
        "learner_ms_per_run": round(found.learner_seconds / max(1, len(found.done)) * 1e3, 1),
        "seconds": round(found.seconds, 1),
    }
    return Row("cold", "live", values, profile.name, bed.name, seed, _details(found))


async def frozen(
    bed: Bed, profile: Profile, halves: tuple[Sequence[BedRequest], Sequence[BedRequest]], seed: int
) -> Row:
    """Half of the requests learnt from through a platform, then the others served with learning stopped.

    What the others would have cost is told by `tokens_per_agent_run` of the runs that the agent made.
    """
    learnt, asked = halves
    found = Pass(bed, profile)
    await found.run(learnt, asked=asked)
    served = found.done[len(learnt) :]
    by_agent = [each.tokens for each in found.done if not each.is_served and not each.was_handed_over]
    mean = sum(by_agent) / max(1, len(by_agent))
    known = {each.request_id for each in of_learnt_kinds(tuple(learnt), tuple(asked))}
    values = _values(served, None) | {
        "tokens_saved": round(1 - sum(each.tokens for each in served) / max(1.0, mean * len(served)), 4),
        "served_of_learnt_kinds_share": _share([each for each in served if each.request.request_id in known]),
        "seconds": round(found.seconds, 1),
    }
    return Row("frozen", "live", values, profile.name, bed.name, seed, _details(found))


def _values(done: Sequence[Done], baseline: Sequence[Done] | None) -> Values:
    by_automation = [each for each in done if each.is_served]
    handed = [each for each in done if each.was_handed_over]
    rest = [each for each in done if not each.is_served]
    values: Values = {
        "requests": len(done),
        "served": len(by_automation),
        "wrong": sum(not each.is_right for each in by_automation),
        "abstained": len(rest) - len(handed),
        "deoptimized": len(handed),
        "agent_wrong": sum(not each.is_right for each in rest),
        "tokens_spent": sum(each.tokens for each in done),
        "worded_by_model": sum(each.answer.model_calls > 0 for each in by_automation),
        "tokens_spent_in_served": sum(each.tokens for each in by_automation),
        "served_share": _share(done),
    }
    if baseline is not None:
        values |= {"tokens_baseline": sum(each.tokens for each in baseline), "tokens_saved": _saved(done, baseline)}
    return values


def _share(done: Sequence[Done]) -> float:
    return round(sum(each.is_served for each in done) / len(done), 4) if done else 0.0


def _saved(done: Sequence[Done], baseline: Sequence[Done]) -> float:
    total = sum(each.tokens for each in baseline)
    return round(1 - sum(each.tokens for each in done) / total, 4) if total else 0.0


def _details(found: Pass) -> dict[str, Value]:
    wrong = [each for each in found.done if not each.is_right]
    told: dict[str, Value] = {f"wrong_{at}": _told(each) for at, each in enumerate(wrong[:3])}
    refused = [reason for reply in found.learnt[-1:] for reason in reply.refused.values()]
    return told | {f"refused_{at}": reason for at, reason in enumerate(refused[:5])}


def _told(done: Done) -> str:
    who = "automation" if done.is_served else "agent"
    return f"{who}: {done.request.text[:300]} -> {done.reason}; answered {str(done.answer.answer)[:200]!r}"


async def _register(operator: Client, bed: Bed) -> None:
    spec = bed.agent_spec()
    config = {
        "description": spec.description,
        "system_prompt": spec.system_prompt,
        "model": spec.model,
        "tools": list(spec.tools or ()),
        "temperature": spec.temperature,
    }
    await operator.register_agent(spec.agent_id, spec.specialty, config=config, max_concurrent_tasks=LEARN_EVERY)


@asynccontextmanager
async def _platform(bed: Bed, folder: Path, model_url: str, profile: Profile | None) -> AsyncIterator[Path]:
    """Run `evolvent up` with the bed's tools in its own process, and give its data folder."""
    data_dir, log = folder / "data", folder / "up.log"
    env = _environment(bed, folder, model_url, profile)
    command = [sys.executable, "-m", "evolvent.platform.cli", "up", "--data-dir", str(data_dir)]
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=output, stderr=output)
    try:
        async with asyncio.timeout(_START_SECONDS):
            while process.returncode is None and not all((data_dir / f"{user}.json").exists() for user in _USERS):
                await asyncio.sleep(0.05)
        if process.returncode is not None:
            raise RuntimeError(f"The platform did not start: {log.read_text()[-2000:]}")
        yield data_dir
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.wait(), 30)


def _environment(bed: Bed, folder: Path, model_url: str, profile: Profile | None) -> dict[str, str]:
    model = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "sk-test", "EVOLVENT_MODEL": "scripted"}
    learning: Mapping[str, str] = {"EVOLVENT_LEARNING__ENABLED": "false"} if profile is None else profile.environment()
    return environment(**model, **_CAPS, EVOLVENT_PRICES=PRICES) | dict(learning) | bed.environment(folder / "state")


def rows(plan: Plan, tell: Tell) -> Iterator[Row]:
    """Every bed of the plan through platforms: a baseline, and each profile."""
    for name in plan.beds if plan.live else ():
        bed = of_first(made(name, plan), plan.live)
        tell(f"live baseline of {name}: {len(bed.requests)} requests, learning off")
        baseline = Pass(bed, None)
        asyncio.run(baseline.run(bed.requests))
        for profile in plan.profiles:
            tell(f"live cold start of {name}, {profile.name}")
            yield asyncio.run(measured(bed, profile, baseline, plan.seed))
            if name == PUBLIC and profile.auto_promote == "writes":
                tell(f"live frozen split of {name}, {profile.name}")
                yield asyncio.run(frozen(bed, profile, split(bed, plan.seed), plan.seed))
