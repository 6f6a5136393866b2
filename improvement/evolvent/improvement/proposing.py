"""From signatures that changed to automations: looked for, put, and live where nobody has to be asked.

    due ─nominate▶ pattern_discovered ─propose (only where something new may come of it)▶ verified ─gate▶ live
     └─ no longer to be learnt ▶ what stands on it is taken out of service

Every step may be done twice: versions are known by their content and events by their ids, and a signature stays due
until all is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evolvent.events.clock import Clock
from evolvent.events.language.learning.induced import NotLearnt
from evolvent.events.language.learning.learner import Memory, Proposal, nominate, propose_all
from evolvent.events.language.learning.signature_records import Support
from evolvent.events.language.tools import ToolSpec
from evolvent.events.messages.platform import PlatformEvent
from evolvent.improvement.hinting import Hints
from evolvent.improvement.learning_events import created, discovered, promoted, proposed, rolled_back
from evolvent.improvement.promotion import (
    EVER,
    FEEDBACK,
    IN_USE,
    agreement_in_service,
    is_worth_trying,
    rules_of,
    standing,
    standing_of,
    why_not_alone,
)
from evolvent.improvement.settings import ImprovementSettings
from evolvent.improvement.signature_memory import SignatureMemory
from evolvent.storage.automations import UNLEARNT, AutomationStore, StoredAutomation
from evolvent.storage.database import Database
from evolvent.storage.journals import JournalStore
from evolvent.storage.signatures import KnownSignature, SignatureRows
from evolvent.storage.unlearnt_runs import UnlearntRuns

LEARNER = "learner"
_NOBODY = frozenset({LEARNER, FEEDBACK, UNLEARNT})
"""Who takes out of service without having looked at what comes after: that is judged as any other."""
_FEW_RUNS = 6
_MOST_STUDIES = 500
Tools = Mapping[str, ToolSpec]
Emit = Callable[[PlatformEvent], Awaitable[None]]


@dataclass(slots=True)
class Looked:
    """What came of looking at signatures. `refused` says why nothing was learnt, by signature."""

    nominated: int = 0
    proposed: int = 0
    live: int = 0
    withdrawn: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    scopes: set[tuple[str, str]] = field(default_factory=set)
    """Where something was put."""


class Proposer:
    """Looks at the signatures that are due."""

    def __init__(
        self,
        records: Database,
        automations: AutomationStore,
        memory: SignatureMemory,
        settings: ImprovementSettings,
        *,
        clock: Clock,
        emit: Emit,
    ) -> None:
        self._rows = SignatureRows(records)
        self._unlearnt = UnlearntRuns(records)
        self._journals = JournalStore(records)
        self._automations = automations
        self._memory = memory
        self._settings = settings
        self._rules = rules_of(settings)
        self._rules_once_nominated = replace(self._rules, window=EVER)
        self._rules_in_service = replace(self._rules, window=EVER, min_agreement=0.0)
        self._studies: Memory = {}
        self._hints = Hints(automations, settings, clock=clock, emit=emit)
        self._clock = clock
        self._emit = emit

    async def look(self, tools: Tools | None) -> Looked:
        """Look at every signature that is due, together with those that do the same work in other words."""
        looked, after = Looked(), ""
        looked_with = standing(self._settings, tools)
        while due := await self._rows.due(min_support=self._rules.min_phrasing, looked_with=looked_with, after=after):
            for work in sorted({each.work for each in due}):
                own = [each for each in due if each.work == work]
                seen = await self._look_at(work, own, tools, looked)
                names = {each.signature for each in own}
                await self._rows.looked_at(
                    [_marked(each, looked_with) if each.signature in names else each for each in seen]
                )
            after = due[-1].signature
        return looked

    async def _look_at(
        self, work: str, due: Sequence[KnownSignature], tools: Tools | None, looked: Looked
    ) -> list[KnownSignature]:
        """Look at signatures of one work; return what is known now, also of others that they taught on the way."""
        family = await self._rows.get(await self._rows.same_work([work]))
        await self._memory.load([*family, *await self._rows.same_words(sorted({k.words for k in family.values()}))])
        seen: dict[str, KnownSignature] = {}
        trying: dict[str, KnownSignature] = {}
        for known in due:
            seen[known.signature], is_fit = await self._nominate(known, looked)
            tried_with = standing_of(known, self._settings, tools)
            if is_fit and is_worth_trying(known, tried_with):
                self._forget_studies(work, family, anew=known.tried_with not in ("", tried_with))
                trying[known.signature] = _tried(seen[known.signature], tried_with)
        for name, found in (await self._propose(trying, family, tools)).items():
            if name in trying:
                seen[name] = await self._conclude(trying[name], found, looked)
            elif name not in seen and isinstance(found, Proposal):
                known, is_fit = await self._nominate(family[name], looked)
                if is_fit:
                    tried = _tried(known, standing_of(known, self._settings, tools))
                    seen[name] = await self._conclude(tried, found, looked)
        return [seen[name] for name in sorted(seen)]

    def _forget_studies(self, work: str, family: Mapping[str, KnownSignature], *, anew: bool) -> None:
        """Study a work from the beginning where tools or rules changed, and while few runs show it."""
        few = sum(each.support for each in family.values()) <= _FEW_RUNS
        if anew or few:
            self._studies.pop(work, None)
        if len(self._studies) > _MOST_STUDIES:
            self._studies.clear()

    async def _current(self, known: KnownSignature) -> StoredAutomation | None:
        """Return what was learnt from it and is not out of service."""
        automation_id, _, _ = known.automation.partition("@")
        versions = await self._automations.versions(automation_id) if automation_id else ()
        used = [each for each in versions if each.status in IN_USE]
        return next((each for each in used if each.status == "live"), used[-1] if used else None)

    async def _nominate(self, known: KnownSignature, looked: Looked) -> tuple[KnownSignature, bool]:
        """Say whether enough speaks for a signature; tell of it the first time, or note why not."""
        current = await self._current(known)
        support = await self._support(known, current)
        if isinstance(support, NotLearnt):
            await self._hints.withdraw(known, support.reason)
            return await self._refuse(known, support.reason, current, looked), False
        if not known.is_nominated:
            looked.nominated += 1
            runs = tuple(sorted(self._memory.store[known.signature].backings))
            await self._emit(discovered(known.signature, support.runs, runs, now=self._clock.now()))
        return replace(known, is_nominated=True), True

    async def _support(self, known: KnownSignature, current: StoredAutomation | None) -> Support | NotLearnt:
        store, now = self._memory.store, self._clock.now()
        if current is None:
            # What was nominated once came often enough in its time; now it only has to have enough runs.
            rules = self._rules_once_nominated if known.is_nominated else self._rules
            return nominate(store, known.signature, rules, now=now)
        # What serves gets no new support by that: it is judged by all its runs, and its own count for it.
        support = nominate(store, known.signature, self._rules_in_service, now=now)
        if isinstance(support, NotLearnt):
            return support
        totals = await self._rows.totals([current.automation.automation_id])
        served = sum(each.served - each.wrong for each in totals.values())
        agreement = agreement_in_service(store.agreement(known.signature), support, max(0, served))
        if agreement < self._settings.min_agreement:
            return NotLearnt(f"The same words came to other work in {1 - agreement:.0%} of the runs.")
        return support

    async def _propose(
        self, trying: Mapping[str, KnownSignature], family: Mapping[str, KnownSignature], tools: Tools | None
    ) -> dict[str, Proposal | NotLearnt]:
        store = self._memory.store
        beside = {name for each in family for clause in store.clauses(each) for name in clause.companions}
        store = await self._memory.load(beside)
        now = self._clock.now()
        in_service = {name for name, each in trying.items() if await self._current(each) is not None}
        found: dict[str, Proposal | NotLearnt] = {}
        others = trying.keys() - in_service
        for names, rules in ((in_service, self._rules_in_service), (others, self._rules_once_nominated)):
            if names:
                more = await asyncio.to_thread(
                    propose_all, store, names, rules, now=now, tools=tools, memory=self._studies
                )
                found |= {name: each for name, each in more.items() if name in names or name not in found}
        return found

    async def _conclude(self, tried: KnownSignature, found: Proposal | NotLearnt, looked: Looked) -> KnownSignature:
        if isinstance(found, NotLearnt):
            await self._hints.offer(self._memory.store, tried)
            return await self._refuse(tried, found.reason, await self._current(tried), looked)
        await self._hints.withdraw(tried, "A program was learnt.")
        return await self._put(tried, found, looked)

    async def _refuse(
        self, known: KnownSignature, reason: str, current: StoredAutomation | None, looked: Looked
    ) -> KnownSignature:
        looked.refused[known.signature] = reason
        if current is not None:
            automation = current.automation
            await self._automations.set_status(
                automation.automation_id, automation.version, "rolled_back", by=LEARNER, reason=reason
            )
            await self._emit(rolled_back(automation, reason, now=self._clock.now()))
            looked.withdrawn += 1
            looked.scopes.add(automation.scope)
        return replace(known, verdict=reason)

    async def _put(self, known: KnownSignature, proposal: Proposal, looked: Looked) -> KnownSignature:
        automation = proposal.automation.model_copy(
            update={"expected_tokens_saved": await self._journals.mean_tokens(proposal.automation.run_ids)}
        )
        if unlearnt := await self._unlearnt.among(automation.run_ids):
            return await self._refuse(known, f"{len(unlearnt)} of its runs were unlearnt meanwhile.", None, looked)
        before = await self._automations.versions(automation.automation_id)
        stored = await self._automations.put(automation, status="verified", receipts=[_receipt(proposal)], by=LEARNER)
        automation = stored.automation
        label = f"{automation.automation_id}@{automation.version}"
        if known.automation != label:
            looked.proposed += 1
            for event in (proposed, created):
                await self._emit(event(automation, now=self._clock.now()))
        stored = await self._decide(stored, before[-1] if before else None, looked, is_told=known.automation == label)
        looked.scopes.add(automation.scope)
        return replace(known, automation=label, verdict="" if stored.status == "live" else stored.reason)

    async def _decide(
        self, stored: StoredAutomation, before: StoredAutomation | None, looked: Looked, *, is_told: bool
    ) -> StoredAutomation:
        """Let a verified version go live where nobody has to be asked, and tell of it."""
        automation = stored.automation
        key = automation.automation_id, automation.version
        if stored.status == "rolled_back" and stored.decided_by == LEARNER:
            stored = await self._automations.set_status(*key, "verified", by=LEARNER, reason="It can be learnt again.")
        was_live = stored.status == "live"
        if stored.status == "verified":
            why = _held_back(before) or why_not_alone(automation, self._settings)
            if why is None:
                stored = await self._automations.set_status(*key, "live", by=LEARNER, reason=self._promotion)
            elif stored.reason != why:
                stored = await self._automations.set_status(*key, "verified", by=LEARNER, reason=why)
        if stored.status == "live" and not (was_live and is_told):
            looked.live += 1
            await self._emit(promoted(stored, now=self._clock.now()))
        return stored

    @property
    def _promotion(self) -> str:
        return f"Checked on past runs; learning.auto_promote is `{self._settings.auto_promote}`."


def _marked(known: KnownSignature, looked_with: str) -> KnownSignature:
    return replace(known, looked=known.changes, looked_with=looked_with)


def _tried(known: KnownSignature, tried_with: str) -> KnownSignature:
    return replace(known, tried_support=known.support, tried_disputed=known.disputed, tried_with=tried_with, verdict="")


def _held_back(before: StoredAutomation | None) -> str | None:
    """Return why a new version waits for a person: a person took the one before it out of service."""
    if before is None or before.status not in ("disabled", "rolled_back") or before.decided_by in _NOBODY:
        return None
    version = before.automation.version
    return f"{before.decided_by} took version {version} out of service; approve this one if it may serve."


def _receipt(proposal: Proposal) -> dict[str, object]:
    retro, support = proposal.retro, proposal.support
    return {
        "check": "past runs, each left out in turn",
        "runs": retro.runs,
        "agreed": len(retro.agreed),
        "misses": list(retro.misses),
        "abstained": len(retro.abstained),
        "support": support.runs,
        "principals": support.principals,
        "sessions": support.sessions,
    }
