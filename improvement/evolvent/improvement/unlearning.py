"""Takes back what was learnt from some runs, and learns again without them.

    RUN | user:U | principal:P | session:S | tool:T | label:L ──▶ runs ──▶ forgotten in every signature, for ever
        ──▶ what stands on them leaves service, proposals of their users are declined ──▶ learnt again from the others

Documents of what was taken back stay for people to read; nothing serves by them. May be repeated at any point.
Shown in use by tests/integration/test_unlearning.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from evolvent.events.bus import Call
from evolvent.events.clock import Clock
from evolvent.events.errors import InvalidMessage, NotFound
from evolvent.events.language.learning.automation import Automation
from evolvent.events.messages.version_calls import Unlearn, Unlearnt
from evolvent.improvement.forgetting import Left
from evolvent.improvement.learning import Learner
from evolvent.improvement.learning_events import rolled_back
from evolvent.improvement.proposing import Emit
from evolvent.improvement.run_reading import digest
from evolvent.improvement.signature_memory import record_of
from evolvent.storage.agent_versions import AgentVersions
from evolvent.storage.automations import STATUSES, UNLEARNT, AutomationStore
from evolvent.storage.database import Database
from evolvent.storage.improvements import OPEN, ImprovementStore
from evolvent.storage.journals import JournalStore
from evolvent.storage.runs import RunStore
from evolvent.storage.signatures import SignatureRows
from evolvent.storage.unlearnt_runs import SOURCES, Forgetting, UnlearntRuns

_BATCH = 200
_MOST = 100_000
_OUT_OF_SERVICE = frozenset({"disabled", "rolled_back"})


class Unlearner:
    """Unlearns runs."""

    def __init__(self, databases: tuple[Database, Database], learner: Learner, *, clock: Clock, emit: Emit) -> None:
        records, definitions = databases
        self._runs = RunStore(records)
        self._rows = SignatureRows(records)
        self._forgotten = UnlearntRuns(records)
        self._journals = JournalStore(records)
        self._said = ImprovementStore(records)
        self._automations = AutomationStore(definitions, clock)
        self._agents = AgentVersions(definitions, clock)
        self._learner = learner
        self._clock = clock
        self._emit = emit

    async def answer(self, call: Call) -> bytes:
        """Answer the call."""
        return (await self.unlearn(Unlearn.decode(call.data).what)).encode()

    async def unlearn(self, what: str) -> Unlearnt:
        """Unlearn what is named, and learn again from the rest.

        Raises:
            NotFound: no run is meant by it.
            InvalidMessage: its kind is unknown.
        """
        run_ids = await self._meant(what)
        left = await self._forget(run_ids)
        taken = await self._take_back(frozenset(run_ids), left.touched, what)
        declined = await self._decline(frozenset(run_ids))
        live = {_label(each) for each in await self._automations.live()}
        scopes = {each.scope for each in taken} | {left.store[name].scope for name in left.touched - left.gone}
        await self._learner.learn_again(scopes)
        # A learner elsewhere may have looked at what it had read before: what it put is found now.
        taken += await self._take_back(frozenset(run_ids), set(), what)
        again = {_label(each) for each in await self._automations.live()} - live
        return Unlearnt(
            what=what,
            runs=len(run_ids),
            signatures=len(left.touched),
            rolled_back=tuple(sorted({_label(each) for each in taken})),
            declined=tuple(sorted(declined)),
            learnt_again=tuple(sorted(again)),
        )

    async def _meant(self, what: str) -> list[str]:
        kind, _, name = what.partition(":")
        if not name:
            if await self._runs.exists(what) is not None:
                return [what]
            found = {run_id for kind in ("user", "principal") for run_id in await self._of(kind, what)}
        elif kind == "label" or kind in SOURCES:
            found = set(await self._of(kind, name))
        else:
            raise InvalidMessage(f"{kind[:40]!r} is no kind of source; use label, {', '.join(SOURCES)}, or a run_id.")
        if not found:
            raise NotFound(
                f"No run is meant by {what[:80]!r}; name a run_id, or user:NAME, principal:NAME or tool:NAME."
            )
        return sorted(found)

    async def _of(self, kind: str, name: str) -> Sequence[str]:
        if kind != "label":
            return await self._forgotten.from_source(kind, name)
        every = [each for status in STATUSES for each in await self._automations.list(status, limit=_MOST)]  # type: ignore[arg-type]
        labelled = [each.automation for each in every if name in each.automation.labels.values()]
        return [run_id for automation in labelled for run_id in automation.run_ids]

    async def _forget(self, run_ids: Sequence[str]) -> Left:
        while True:
            commits, _ = await self._rows.stand()
            left, scopes = await self._without(frozenset(run_ids))
            names = sorted(left.touched - left.gone)
            forgetting = Forgetting(
                builds_on=commits,
                run_ids=run_ids,
                at=self._clock.now(),
                left=[record_of(left.store, name) for name in names],
                gone=sorted(left.gone),
                scopes=sorted(scopes),
            )
            if await self._forgotten.forget(forgetting):
                return left

    async def _without(self, run_ids: frozenset[str]) -> tuple[Left, set[tuple[str, str]]]:
        left, after = Left(), ""
        scopes: dict[str, tuple[str, str]] = {}
        while page := await self._forgotten.page(after):
            await asyncio.to_thread(left.take, [document for _, _, document in page], run_ids)
            scopes |= {name: scope for name, scope, _ in page if name in left.touched}
            after = page[-1][0]
        for goal in sorted({scopes[name][0] for name in left.full}):
            await self._add_back(left, goal, run_ids)
        return left, set(scopes.values())

    async def _add_back(self, left: Left, goal: str, run_ids: frozenset[str]) -> None:
        """Read the other runs of a goal again: of a full signature older ones had made room for those that go."""
        every = [run_id for run_id in await self._forgotten.finished_of(goal) if run_id not in run_ids]
        for start in range(0, len(every), _BATCH):
            part = every[start : start + _BATCH]
            known = await self._forgotten.among(part)
            part = [run_id for run_id in part if run_id not in known]
            disputed = await self._said.disputed(part)
            found = await asyncio.to_thread(digest, await self._journals.bodies(part), disputed)
            left.add_back(found.fresh)

    async def _take_back(self, run_ids: frozenset[str], signatures: Iterable[str], what: str) -> list[Automation]:
        """Take every version out of service that stands on these runs, also those that could come back."""
        touched, taken = set(signatures), []
        for status in (each for each in STATUSES if each not in _OUT_OF_SERVICE):
            for stored in await self._automations.list(status, limit=_MOST):  # type: ignore[arg-type]
                automation = stored.automation
                if not run_ids & set(automation.run_ids) and automation.signature not in touched:
                    continue
                reason = f"It stands on what was unlearnt: {what[:200]}"
                put = await self._automations.set_status(
                    automation.automation_id, automation.version, "rolled_back", by=UNLEARNT, reason=reason
                )
                await self._emit(rolled_back(automation, reason, now=put.decided_at))
                taken.append(automation)
        return taken

    async def _decline(self, run_ids: frozenset[str]) -> set[str]:
        """Decline the proposals that feedback on these runs asked for."""
        declined: set[str] = set()
        for status in OPEN:
            for said in await self._said.feedback(status=status, limit=_MOST):
                if said.run_id not in run_ids:
                    continue
                agent_id, _, version = said.target.removeprefix("agent:").partition("@")
                if version:
                    await self._agents.decline(agent_id, int(version), by=UNLEARNT, reason="Its run was unlearnt.")
                    declined.add(said.target)
                await self._said.close(said, "declined", "The run was unlearnt.")
        return declined


def _label(automation: Automation) -> str:
    return f"{automation.automation_id}@{automation.version}"
