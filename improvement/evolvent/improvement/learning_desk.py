"""Answers what people ask of what is learnt, and does what they decide about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from evolvent.events.bus import Call
from evolvent.events.clock import Clock
from evolvent.events.errors import Category, EvolventError, InvalidMessage, NotFound
from evolvent.events.messages.learning_calls import (
    AutomationList,
    AutomationQuery,
    AutomationRow,
    AutomationsQuery,
    AutomationView,
    DecideAutomation,
    PatternList,
    PatternQuery,
    PatternRow,
    PatternsQuery,
    PatternView,
)
from evolvent.events.service import Endpoint
from evolvent.improvement.learning import Learner
from evolvent.improvement.learning_events import PATTERN_ID, SHOWN_RUNS, promoted, rolled_back
from evolvent.improvement.proposing import Emit
from evolvent.improvement.signature_memory import SignatureMemory
from evolvent.storage.automations import STATUSES, AutomationStore, StoredAutomation
from evolvent.storage.database import Database
from evolvent.storage.signatures import AutomationTotals, KnownSignature, SignatureRows

_OPERATOR = "operator"


class NothingToTakeBack(EvolventError):
    """No version of this automation is in service, so there is nothing to take out of it. Nothing was changed."""

    code, category = "automation.not_in_service", Category.VALIDATION


class LearningDesk:
    """The endpoints of learning, at any instance."""

    def __init__(
        self, records: Database, automations: AutomationStore, learner: Learner, *, clock: Clock, emit: Emit
    ) -> None:
        self._rows = SignatureRows(records)
        self._automations = automations
        self._learner = learner
        self._clock = clock
        self._emit = emit

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return what is answered, by name."""
        return {
            "learn": self._learn,
            "patterns": self._patterns,
            "pattern": self._pattern,
            "automations": self._list,
            "automation": self._show,
            "decide": self._decide,
        }

    async def _learn(self, _call: Call) -> bytes:
        return (await self._learner.learn()).encode()

    async def _patterns(self, call: Call) -> bytes:
        query = PatternsQuery.decode(call.data or b"{}")
        found = await self._rows.listed(min_support=query.min_support, most=query.limit)
        statuses = await self._statuses(found)
        return PatternList(patterns=tuple(_pattern(each, statuses) for each in found)).encode()

    async def _pattern(self, call: Call) -> bytes:
        known = await self._known(PatternQuery.decode(call.data).pattern_id)
        # One look of its own: the learner's memory is being learnt in.
        memory = SignatureMemory(self._rows, most_examples=0)
        store = await memory.load([known.signature, *await self._rows.same_words([known.words])])
        backings = sorted(store[known.signature].backings.values(), key=lambda each: (each.at, each.run_id))
        view = PatternView(
            pattern=_pattern(known, await self._statuses([known])),
            goal=known.goal,
            agent_id=known.agent_id,
            agreement=store.agreement(known.signature),
            runs=tuple(each.run_id for each in reversed(backings) if not each.is_disputed)[:SHOWN_RUNS],
            disputed_runs=tuple(each.run_id for each in reversed(backings) if each.is_disputed)[:SHOWN_RUNS],
            rivals=tuple(name[:PATTERN_ID] for name in store.rivals(known.signature)),
        )
        return view.encode()

    async def _known(self, pattern_id: str) -> KnownSignature:
        found = await self._rows.beginning(pattern_id)
        if len(found) == 2 and found[0].signature != pattern_id:
            raise NotFound(f"Several patterns begin with {pattern_id!r}; give more of its id.")
        if not found:
            raise NotFound(f"There is no pattern {pattern_id!r}; `evolvent patterns list` shows them.")
        return found[0]

    async def _statuses(self, found: Sequence[KnownSignature]) -> dict[str, str]:
        wanted = sorted({each.automation.partition("@")[0] for each in found if each.automation})
        lines = [await self._automations.versions(automation_id) for automation_id in wanted]
        return {_label(each): each.status for versions in lines for each in versions}

    async def _list(self, call: Call) -> bytes:
        query = AutomationsQuery.decode(call.data or b"{}")
        status = next((each for each in STATUSES if each == query.status), None)
        if query.status is not None and status is None:
            raise InvalidMessage(f"{query.status[:40]!r} is no status; use one of {', '.join(STATUSES)}.")
        found = await self._automations.list(status, limit=query.limit)  # type: ignore[arg-type]
        return AutomationList(automations=await self._row_of(found)).encode()

    async def _show(self, call: Call) -> bytes:
        query = AutomationQuery.decode(call.data)
        return (await self._view(await self._named(query.automation_id, query.version))).encode()

    async def _decide(self, call: Call) -> bytes:
        asked = DecideAutomation.decode(call.data)
        does: Mapping[str, Callable[[DecideAutomation], Awaitable[StoredAutomation]]] = {
            "approve": self._approve,
            "disable": self._disable,
            "rollback": self._roll_back,
        }
        return (await self._view(await does[asked.decision](asked))).encode()

    async def _approve(self, asked: DecideAutomation) -> StoredAutomation:
        chosen = await self._named(asked.automation_id, asked.version)
        if chosen.status == "live":
            return chosen
        return await self._promote(chosen, asked.reason or "A person approved it.")

    async def _disable(self, asked: DecideAutomation) -> StoredAutomation:
        chosen = await self._in_service(asked)
        stored = await self._set(chosen, "disabled", asked.reason or "A person took it out of service.")
        await self._emit(rolled_back(stored.automation, stored.reason, now=stored.decided_at))
        return stored

    async def _roll_back(self, asked: DecideAutomation) -> StoredAutomation:
        """Take the live version back; the one that served before it serves again, if there was one."""
        chosen = await self._in_service(asked)
        versions = await self._automations.versions(chosen.automation.automation_id)
        before = [v for v in versions if v.status == "retired" and v.automation.version < chosen.automation.version]
        stored = await self._set(chosen, "rolled_back", asked.reason or "A person rolled it back.")
        await self._emit(rolled_back(stored.automation, stored.reason, now=stored.decided_at))
        if not before:
            return stored
        return await self._promote(before[-1], f"Version {chosen.automation.version} was rolled back.")

    async def _promote(self, chosen: StoredAutomation, reason: str) -> StoredAutomation:
        stored = await self._set(chosen, "live", reason)
        await self._emit(promoted(stored, now=stored.decided_at))
        return stored

    async def _set(self, chosen: StoredAutomation, status: str, reason: str) -> StoredAutomation:
        automation = chosen.automation
        known = next(each for each in STATUSES if each == status)
        return await self._automations.set_status(
            automation.automation_id,
            automation.version,
            known,  # type: ignore[arg-type]
            by=_OPERATOR,
            reason=reason,
        )

    async def _in_service(self, asked: DecideAutomation) -> StoredAutomation:
        """Return the version that is named, else the live one, else the one that waits to be.

        Raises:
            NotFound: there is no such automation.
            NothingToTakeBack: none of its versions serves or may come to serve.
        """
        named = await self._named(asked.automation_id, asked.version)
        versions = [named]
        if asked.version is None:
            versions = list(await self._automations.versions(named.automation.automation_id))
        for wanted in (("live",), ("canary", "shadow"), ("verified", "proposed")):
            found = [each for each in versions if each.status in wanted]
            if found:
                return found[-1]
        raise NothingToTakeBack

    async def _named(self, automation_id: str, version: int | None) -> StoredAutomation:
        return await self._automations.get(automation_id, version)

    async def _view(self, stored: StoredAutomation) -> AutomationView:
        versions = await self._automations.versions(stored.automation.automation_id)
        (row, *_), rows = await self._row_of([stored]), await self._row_of(versions)
        return AutomationView(
            row=row,
            document=stored.automation.model_dump(mode="json"),
            receipts=stored.receipts,
            versions=rows,
        )

    async def _row_of(self, found: Sequence[StoredAutomation]) -> tuple[AutomationRow, ...]:
        totals = await self._rows.totals(sorted({each.automation.automation_id for each in found}))
        return tuple(_row(each, totals) for each in found)


def _label(stored: StoredAutomation) -> str:
    return f"{stored.automation.automation_id}@{stored.automation.version}"


def _pattern(known: KnownSignature, statuses: Mapping[str, str]) -> PatternRow:
    return PatternRow(
        pattern_id=known.signature[:PATTERN_ID],
        words=known.skeleton,
        work=known.shape,
        support=known.support,
        principals=known.principals,
        sessions=known.sessions,
        disputed=known.disputed,
        last_at=known.last_at.isoformat(),
        automation=known.automation,
        status=statuses.get(known.automation, ""),
        why=known.verdict or ("" if known.automation else "Too few runs did the same; nothing was looked for yet."),
    )


def _row(stored: StoredAutomation, totals: Mapping[tuple[str, int], AutomationTotals]) -> AutomationRow:
    automation = stored.automation
    did = totals.get((automation.automation_id, automation.version), AutomationTotals())
    return AutomationRow(
        automation_id=automation.automation_id,
        name=automation.name,
        version=automation.version,
        kind=automation.kind,
        status=stored.status,
        effect=automation.effect.value,
        goal=automation.goal,
        served=did.served,
        wrong=did.wrong,
        deoptimized=did.deoptimized,
        tokens_saved=did.tokens_saved,
        source_runs=len(automation.run_ids),
        reason=stored.reason,
        decided_by=stored.decided_by,
        decided_at=stored.decided_at.isoformat(),
        created_at=stored.created_at.isoformat(),
    )
