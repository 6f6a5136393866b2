"""Keeps a line for the agent of what comes often and cannot be compiled: an automation of kind `hint`.

Off unless `learning.hints` says so. Its words are told to others, so that as many principals must stand behind it as
behind what writes. Shown in use by tests/integration/test_hints.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from evolvent.events.clock import Clock
from evolvent.events.language.learning.hints import compile_hint, hint_id
from evolvent.events.language.learning.induced import NotLearnt
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.messages.platform import PlatformEvent
from evolvent.improvement.learning_events import created, promoted, proposed, rolled_back
from evolvent.improvement.settings import ImprovementSettings
from evolvent.storage.automations import AutomationStore
from evolvent.storage.signatures import KnownSignature

_LEARNER = "learner"
_IN_USE = frozenset({"verified", "live"})
Emit = Callable[[PlatformEvent], Awaitable[None]]


class Hints:
    """Puts hints."""

    def __init__(self, store: AutomationStore, settings: ImprovementSettings, *, clock: Clock, emit: Emit) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._emit = emit

    async def withdraw(self, known: KnownSignature, reason: str) -> None:
        """Take the hint of a signature out of service that no longer has enough behind it, if there is one."""
        if not self._settings.hints:
            return
        for each in await self._store.versions(hint_id((known.goal, known.agent_id), known.signature)):
            if each.status in _IN_USE:
                automation = each.automation
                key = automation.automation_id, automation.version
                stored = await self._store.set_status(*key, "rolled_back", by=_LEARNER, reason=reason)
                await self._emit(rolled_back(automation, reason, now=stored.decided_at))

    async def offer(self, signatures: SignatureStore, known: KnownSignature) -> None:
        """Keep the hint that the runs of a signature give; without one, take back that of before."""
        if not self._settings.hints:
            return
        wanted = self._settings.min_principals
        found = compile_hint(
            signatures.clauses(known.signature),
            min_runs=self._settings.min_support,
            min_principals=max(wanted.reads, wanted.writes),
        )
        if isinstance(found, NotLearnt):
            await self.withdraw(known, found.reason)
            return
        stored = await self._store.put(found, status="verified", by=_LEARNER, reason="No program could be learnt.")
        automation = stored.automation
        key = automation.automation_id, automation.version
        # Where anybody else ever decided about it, so has the next decision to be somebody's.
        versions = await self._store.versions(automation.automation_id)
        if stored.status == "live" or any(each.decided_by != _LEARNER for each in versions):
            return
        for event in (proposed, created):
            await self._emit(event(automation, now=self._clock.now()))
        if self._settings.auto_promote == "none":
            return
        reason = "It changes no rights: a line that the agent may be told."
        stored = await self._store.set_status(*key, "live", by=_LEARNER, reason=reason)
        await self._emit(promoted(stored, now=stored.decided_at))
