"""Learns which reads the runs of a scope begin with, whenever half as many more were seen.

Stateless but for a count: each time from the newest runs alone, so that what is unlearnt, disputed or no longer done
is gone by itself. Runs for which the reads were made beforehand prove nothing, or they would prove themselves.
Shown in use by tests/integration/test_prefetching.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import structlog

from evolvent.events.language.learning.prefetching import Chains, chains_as_json, learn_chains
from evolvent.events.language.learning.traces import Trace
from evolvent.improvement.run_lessons import RunLesson, lesson_of
from evolvent.improvement.settings import ImprovementSettings
from evolvent.storage.chains import ChainStore
from evolvent.storage.database import Database
from evolvent.storage.improvements import ImprovementStore
from evolvent.storage.journals import JournalStore, read_events
from evolvent.storage.unlearnt_runs import UnlearntRuns

GROWTH = 0.5
MOST_RUNS = 100
_LOOKED_AT = 200
_PART = 50
_log = structlog.get_logger(__name__)
Scope = tuple[str, str]


def proves_reads(lesson: RunLesson) -> bool:
    """Say whether a run tells how its agent begins: nothing was done for it beforehand, and nobody disputes it."""
    return not lesson.automations and not lesson.prefetched and lesson.trace.is_live and lesson.trace.succeeded


class ChainLearner:
    """Keeps the chains of each scope."""

    def __init__(self, records: Database, store: ChainStore, settings: ImprovementSettings) -> None:
        self._journals = JournalStore(records)
        self._opinions = ImprovementStore(records)
        self._unlearnt = UnlearntRuns(records)
        self._store = store
        self._settings = settings
        self._fresh: Counter[Scope] = Counter()
        self._known: dict[Scope, int] = {}

    async def take_in(self, fresh: Mapping[Scope, int], anyway: Iterable[Scope] = ()) -> None:
        """Count new runs, and learn where there are enough of them; `anyway` where something was forgotten."""
        if not self._settings.prefetch:
            return
        self._fresh.update(fresh)
        due = {scope for scope, count in self._fresh.items() if count >= max(1, GROWTH * self._known.get(scope, 0))}
        for scope in sorted({*due, *anyway}):
            await self._learn(scope)
            del self._fresh[scope]

    async def _learn(self, scope: Scope) -> None:
        traces = await self._traces(scope)
        self._known[scope] = len(traces)
        wanted = self._settings.min_support, self._settings.min_principals.reads
        chains = await asyncio.to_thread(_learnt, traces, scope, wanted)
        await self._store.put(scope, chains_as_json(chains) if chains.links else None)
        _log.debug("chains", goal=scope[0], agent=scope[1], runs=len(traces), reads=len(chains.links))

    async def _traces(self, scope: Scope) -> list[Trace]:
        names = await self._journals.newest(scope, _LOOKED_AT)
        left_out = await self._unlearnt.among(names) | await self._opinions.disputed(names)
        names = [name for name in names if name not in left_out]
        traces: list[Trace] = []
        for start in range(0, len(names), _PART):
            bodies = await self._journals.bodies(names[start : start + _PART])
            traces += await asyncio.to_thread(_told, bodies)
            if len(traces) >= MOST_RUNS:
                break
        return traces[:MOST_RUNS]


def _learnt(traces: Sequence[Trace], scope: Scope, wanted: tuple[int, int]) -> Chains:
    return learn_chains(traces, scope, min_runs=wanted[0], min_principals=wanted[1])


def _told(bodies: Mapping[str, Sequence[tuple[int, str]]]) -> list[Trace]:
    found: list[Trace] = []
    for run_id, each in bodies.items():
        events = read_events(each)
        lesson = None if events is None else lesson_of(run_id, events, is_disputed=False)
        if lesson is not None and proves_reads(lesson):
            found.append(lesson.trace)
    return found
