"""The learner: reads what finished, and looks at what that changed. Off, or crashed, it is only not there.

    finished runs, disputes ──RunReader──▶ signatures (SQL) ──Proposer──▶ automations (SQL), events
                                                └──▶ small talk of each scope, and the reads that its runs begin with

One reads at a time in a process; of several processes the slower one starts anew where the faster one stands.
Shown in use by tests/integration/test_learner.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import structlog

from evolvent.events.clock import Clock
from evolvent.events.language.learning.templates import MIN_RUNS, as_json, compile_small_talk
from evolvent.events.language.tools import ToolSpec
from evolvent.events.messages.learning_calls import LearnReply
from evolvent.improvement.chain_learning import ChainLearner
from evolvent.improvement.proposing import Emit, Looked, Proposer
from evolvent.improvement.run_reading import Batch, RunReader
from evolvent.improvement.settings import ImprovementSettings
from evolvent.improvement.signature_memory import SignatureMemory
from evolvent.storage.automations import AutomationStore
from evolvent.storage.database import Database
from evolvent.storage.signatures import KnownSignature, SignatureRows

_log = structlog.get_logger(__name__)
_TALK_GROWTH = 1.25
_MOST_TALK = 300
Tools = Callable[[], Mapping[str, ToolSpec] | None]


class Learner:
    """Learns from finished runs, in batches."""

    def __init__(
        self,
        records: Database,
        automations: AutomationStore,
        settings: ImprovementSettings,
        *,
        clock: Clock,
        emit: Emit,
        tools: Tools = lambda: None,
    ) -> None:
        self._settings = settings
        self._rows = SignatureRows(records)
        self._automations = automations
        self._tools = tools
        self._memory = SignatureMemory(self._rows, most_examples=settings.cache_examples)
        self._reader = RunReader(records, automations, self._memory, batch=settings.learn_batch)
        self._proposer = Proposer(records, automations, self._memory, settings, clock=clock, emit=emit)
        self._chains = ChainLearner(records, automations.chains, settings)
        self._clock = clock
        self._turn = asyncio.Lock()

    async def learn_all(self, _planned_at: datetime) -> str:
        """Learn from every run that finished since the last time; say what came of it."""
        total = LearnReply()
        while True:
            step = await self.learn()
            if step.is_off:
                return "off"
            total = added_up(total, step)
            if not step.more:
                return in_words(total)
            _log.info("learning goes on", runs=total.runs, proposed=total.proposed, live=total.live)

    async def learn_again(self, scopes: Iterable[tuple[str, str]]) -> None:
        """Learn what is left where something was forgotten."""
        if (await self.learn(scopes)).more:
            await self.learn_all(self._clock.now())

    async def learn(self, scopes: Iterable[tuple[str, str]] = ()) -> LearnReply:
        """Learn from the next batch, and look at what changed; `more` says that there may be another.

        The small talk and first reads of `scopes` are looked at in any case.
        """
        if not self._settings.enabled:
            return LearnReply(is_off=True)
        async with self._turn:
            batch = await self._reader.read()
            # Without a batch the memory still stands at the last commit: what another process left is looked at.
            looked = await self._proposer.look(self._tools())
            await self._learn_small_talk({*looked.scopes, *scopes})
            await self._chains.take_in(batch.fresh if batch is not None else {}, scopes)
        return _reply(batch, looked)

    async def _learn_small_talk(self, scopes: Iterable[tuple[str, str]]) -> None:
        """Compile what is said beside requests, where that grew or where requests became automations."""
        changed = await self._rows.changed_small_talk(min_support=MIN_RUNS)
        grown = [each for each in changed if each.support >= _TALK_GROWTH * each.tried_support]
        for scope in sorted({*scopes, *((each.goal, each.agent_id) for each in grown)}):
            await self._compile_small_talk(scope)
        await self._rows.looked_at([_seen(each, is_compiled=each in grown) for each in changed])

    async def _compile_small_talk(self, scope: tuple[str, str]) -> None:
        talk = await self._rows.of_scope(scope, is_filler=True, min_support=MIN_RUNS, most=_MOST_TALK)
        known = await self._rows.get(talk)
        requests = await self._rows.of_scope(scope, is_filler=False, min_support=self._settings.min_support)
        same = await self._rows.same_words(sorted({each.words for each in known.values()}))
        store = await self._memory.load([*talk, *requests, *same])
        templates = await asyncio.to_thread(compile_small_talk, store, scope)
        await self._automations.put_small_talk(scope, [as_json(template) for template in templates])


def in_words(reply: LearnReply) -> str:
    """Return what came of learning as one sentence."""
    return (
        f"{reply.runs} runs read, {reply.disputed} disputed later, {reply.signatures} signatures changed; "
        f"{reply.nominated} nominated, {reply.proposed} proposed, {reply.live} live, {reply.withdrawn} withdrawn, "
        f"{len(reply.refused)} refused"
    )


def added_up(total: LearnReply, step: LearnReply) -> LearnReply:
    """Return what came of both together."""
    names = ("runs", "signatures", "disputed", "nominated", "proposed", "live", "withdrawn")
    sums = {name: getattr(total, name) + getattr(step, name) for name in names}
    return LearnReply(**sums, refused={**total.refused, **step.refused}, is_off=total.is_off or step.is_off)


def _seen(known: KnownSignature, *, is_compiled: bool) -> KnownSignature:
    return replace(known, looked=known.changes, tried_support=known.support if is_compiled else known.tried_support)


def _reply(batch: Batch | None, looked: Looked) -> LearnReply:
    read = batch or Batch()
    return LearnReply(
        runs=read.runs,
        signatures=len(read.changed),
        disputed=read.disputed,
        nominated=looked.nominated,
        proposed=looked.proposed,
        live=looked.live,
        withdrawn=looked.withdrawn,
        refused=dict(sorted(looked.refused.items())[:200]),
        more=batch is not None,
    )
