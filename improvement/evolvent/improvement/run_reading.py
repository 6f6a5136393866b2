"""Reads finished runs into signatures, from where reading last stopped; every run once, whoever reads.

Only from SQL: a journal in the stream may be trimmed. The position, what was learnt and what was counted move in one
commit that builds on the one before it: a reader that dies, or that another overtook, leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evolvent.events.errors import NotFound
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.improvement.chain_learning import proves_reads
from evolvent.improvement.run_lessons import RunLesson, lesson_of, servings_of
from evolvent.improvement.signature_memory import SignatureMemory
from evolvent.storage.automations import AutomationStore
from evolvent.storage.database import Database
from evolvent.storage.improvements import ImprovementStore
from evolvent.storage.journals import JournalStore, read_events
from evolvent.storage.run_records import RunRecord
from evolvent.storage.runs import RunStore
from evolvent.storage.signatures import Lesson, Serving, SignatureRecord, SignatureRows
from evolvent.storage.unlearnt_runs import UnlearntRuns


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit took in: finished runs, runs disputed later, and the signatures that changed."""

    runs: int = 0
    disputed: int = 0
    changed: tuple[str, ...] = ()
    fresh: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """New runs of each scope that tell how its agent begins."""


@dataclass(slots=True)
class Digest:
    """What journals say: fresh signatures of what teaches, and the lesson of each run."""

    fresh: SignatureStore = field(default_factory=SignatureStore)
    lessons: dict[str, RunLesson] = field(default_factory=dict)


class RunReader:
    """Moves over the finished runs and takes up disputes."""

    def __init__(self, records: Database, automations: AutomationStore, memory: SignatureMemory, *, batch: int) -> None:
        self._runs = RunStore(records)
        self._journals = JournalStore(records)
        self._opinions = ImprovementStore(records)
        self._rows = SignatureRows(records)
        self._unlearnt = UnlearntRuns(records)
        self._automations = automations
        self._memory = memory
        self._batch = batch
        self._usual_tokens: dict[tuple[str, int], int] = {}

    async def read(self) -> Batch | None:
        """Take in the next batch; None where nothing is left to be read."""
        while True:
            commits, position = await self._rows.stand()
            self._memory.stand_at(commits)
            finished = await self._runs.finished_since(position, self._batch)
            disputes = await self._rows.disputes(self._batch)
            if not finished and not disputes:
                return None
            batch = await self._take_in(commits, finished, disputes, finished[-1][0] if finished else position)
            if batch is not None:
                return batch

    async def _take_in(
        self, commits: int, finished: Sequence[tuple[int, RunRecord]], disputes: Sequence[str], position: int
    ) -> Batch | None:
        """Return what was taken in, or None where another reader was faster."""
        new = {run.run_id for _, run in finished if _is_telling(run)}
        unlearnt = await self._unlearnt.among(new | set(disputes))
        new -= unlearnt
        wanted = sorted((new | set(disputes)) - unlearnt)
        disputed = await self._opinions.disputed(wanted)
        found = await asyncio.to_thread(digest, await self._journals.bodies(wanted), disputed)
        try:
            records = await self._learn(found.fresh)
            servings = await self._servings([found.lessons[name] for name in sorted(new & found.lessons.keys())])
            late = [found.lessons[name] for name in sorted(set(disputes) & found.lessons.keys() - new)]
            wrong = [each for each in await self._servings(late) if each.is_wrong]
            kept = await self._rows.keep(Lesson(commits, position, records, disputes, servings, wrong))
        except BaseException:
            self._memory.forget()
            raise
        if not kept:
            self._memory.forget()
            return None
        self._memory.commits = commits + 1
        telling = (found.lessons[name] for name in new & found.lessons.keys())
        fresh = Counter(each.trace.scope for each in telling if proves_reads(each))
        return Batch(len(finished), len(late), tuple(record.signature for record in records), fresh)

    async def _learn(self, fresh: SignatureStore) -> list[SignatureRecord]:
        await self._memory.load(fresh.take_dirty())
        return await asyncio.to_thread(self._memory.take_in, fresh)

    async def _servings(self, lessons: Sequence[RunLesson]) -> list[Serving]:
        servings: list[Serving] = []
        for lesson in lessons:
            if lesson.automations:
                servings += servings_of(lesson, await self._usual(lesson.automations))
        return servings

    async def _usual(self, automations: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        for automation_id, version in automations:
            if (automation_id, version) not in self._usual_tokens:
                try:
                    stored = await self._automations.get(automation_id, version)
                except NotFound:
                    continue
                self._usual_tokens[automation_id, version] = stored.automation.expected_tokens_saved
        return self._usual_tokens


def _is_telling(run: RunRecord) -> bool:
    """Say whether a run can teach or be counted: it is live, and either a tool was called or it was served."""
    return run.mode == "live" and (run.tool_calls > 0 or bool(run.routing and run.routing.automations))


def digest(journals: Mapping[str, Sequence[tuple[int, str]]], disputed: frozenset[str]) -> Digest:
    """Read journals into signatures, the disputed ones as counter-examples."""
    found = Digest()
    for run_id, bodies in journals.items():
        events = read_events(bodies)
        lesson = None if events is None else lesson_of(run_id, events, is_disputed=run_id in disputed)
        if lesson is None:
            continue
        found.lessons[run_id] = lesson
        if lesson.teaches:
            found.fresh.add(lesson.trace)
    return found
