"""What comes of feedback: automations leave service at once, and an agent's prompt gets a proposal.

    received ─dispute, an automation served─▶ suspended
             ─otherwise, an agent served────▶ proposing ─▶ proposed ─person─▶ applied | declined
             ─nothing to be done────────────▶ noted      └▶ failed

Every step may be repeated: who dies in the middle is followed by the job, which finds what was left.
Shown in use by tests/integration/test_feedback_effects.py.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timedelta

from evolvent.events import subjects
from evolvent.events.clock import Clock
from evolvent.events.errors import NotFound
from evolvent.events.messages.platform import ImprovementAvailable
from evolvent.events.messages.requests import Request
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import signed, speaks_for
from evolvent.events.subjects import Priority
from evolvent.improvement.learning_events import rolled_back
from evolvent.improvement.promotion import FEEDBACK, IN_USE
from evolvent.improvement.prompt_proposals import (
    GOAL,
    NoProposal,
    Scrub,
    improver_for,
    is_about,
    message_for,
    read_proposal,
    why_not,
)
from evolvent.improvement.proposing import Emit
from evolvent.improvement.run_lessons import parse_versions
from evolvent.storage.agent_versions import AgentVersions
from evolvent.storage.agents import AgentStore
from evolvent.storage.automations import AutomationStore
from evolvent.storage.database import Database
from evolvent.storage.improvements import OPEN, FeedbackStatus, ImprovementStore, StoredFeedback
from evolvent.storage.run_records import RunRecord
from evolvent.storage.runs import RunStore
from evolvent.storage.versions import VersionStore

IMPROVER = "improvement"
_NAMESPACE = uuid.UUID("0d7a4b86-5e0f-5a1c-9c39-7a52f1f0c8d4")
_FINAL = frozenset({"completed", "failed", "cancelled"})
_PRAISE = 4
_PATIENCE = timedelta(days=1)
_AGAIN = timedelta(minutes=5)


class FeedbackEffects:
    """Does what feedback asks for.

    Args:
        bus: where the improver is asked.
        databases: the records and the definitions.
        clock: time and identity.
        emit: tells the platform.
        scrub: takes secrets out of text; without it no agent is asked to improve another.
        most_a_day: how many proposals one day may ask for.
    """

    def __init__(
        self,
        bus: NatsBus,
        databases: tuple[Database, Database],
        *,
        clock: Clock,
        emit: Emit,
        scrub: Scrub | None,
        most_a_day: int,
    ) -> None:
        records, definitions = databases
        self._bus = bus
        self._said = ImprovementStore(records)
        self._runs = RunStore(records)
        self._automations = AutomationStore(definitions, clock)
        self._agents = AgentStore(definitions, clock)
        self._versions = AgentVersions(definitions, clock)
        self._tree = VersionStore(definitions)
        self._clock = clock
        self._emit = emit
        self._scrub = scrub
        self._most_a_day = most_a_day
        self._published: dict[str, datetime] = {}

    async def turn(self, _planned_at: datetime) -> str:
        """Go on with everything that is not done, and say what came of it."""
        received = await self._said.feedback(status="received", limit=500)
        for each in reversed(received):
            await self.act(each)
        waiting = await self._said.feedback(status="proposing", limit=500)
        for each in reversed(waiting):
            await self._settle(each)
        return f"{len(received)} received, {len(waiting)} proposals under way"

    async def act(self, said: StoredFeedback) -> StoredFeedback:
        """Do what feedback asks for at once, if nobody has yet."""
        if said.status != "received":
            return said
        try:
            run = await self._runs.get(said.run_id)
        except NotFound:
            return await self._keep(said, "noted", "It is about no run that is known.")
        if not speaks_for(said.principal, run.principal):
            return await self._keep(said, "noted", "It is about a run of somebody else, so it moves nothing.")
        served_by = parse_versions(run.routing.automations) if run.routing else []
        if said.is_dispute and served_by and run.served_by in ("automation", None):
            return await self._suspend(said, served_by)
        if said.rating is not None and said.rating >= _PRAISE:
            return await self._keep(said, "noted", "Thank you.")
        if run.status not in _FINAL:
            return said
        return await self._ask_for_proposal(said, run)

    async def _suspend(self, said: StoredFeedback, served_by: list[tuple[str, int]]) -> StoredFeedback:
        """Take the versions that served out of service; the run is a counter-example from now on."""
        rating = f", rated {said.rating}" if said.rating is not None else ""
        reason = f"Feedback on run {said.run_id}{rating}: {said.text[:300]}"
        done: list[str] = []
        for automation_id, version in served_by:
            try:
                stored = await self._automations.get(automation_id, version)
            except NotFound:
                continue
            if stored.status in IN_USE | {"proposed"}:
                stored = await self._automations.set_status(
                    automation_id, version, "rolled_back", by=FEEDBACK, reason=reason
                )
            if stored.status == "rolled_back" and stored.reason == reason:
                await self._emit(rolled_back(stored.automation, reason, now=stored.decided_at))
                done.append(f"{automation_id}@{version}")
        if not done:
            return await self._keep(said, "noted", "What served it was out of service already.")
        words = f"Suspended {', '.join(done)}; the agent serves such requests again. The run is a counter-example now."
        return await self._keep(said, "suspended", words, target=f"automation:{done[0]}")

    async def _ask_for_proposal(self, said: StoredFeedback, run: RunRecord) -> StoredFeedback:
        agent_id = run.agent_id or await self._taught_by(run)
        if agent_id is None:
            return await self._keep(said, "noted", "No agent served it, so there is no prompt to improve.")
        why = await self._why_no_proposal(agent_id, said)
        if why is not None:
            return await self._keep(said, "noted", why)
        improver_run = str(uuid.uuid5(_NAMESPACE, said.feedback_id))
        words = f"Run {improver_run} is asked for a better prompt of {agent_id}."
        asked = await self._keep(said, "proposing", words, target=f"agent:{agent_id}", improver_run=improver_run)
        if asked.improver_run == improver_run:
            await self._publish(asked, run)
        return asked

    async def _taught_by(self, run: RunRecord) -> str | None:
        for automation_id, version in parse_versions(run.routing.automations) if run.routing else ():
            try:
                return (await self._automations.get(automation_id, version)).automation.agent_id or None
            except NotFound:
                continue
        return None

    async def _why_no_proposal(self, agent_id: str, said: StoredFeedback) -> str | None:
        if self._scrub is None:
            return "Learning is switched off, so no better prompt is looked for."
        try:
            _, spec = await self._versions.current(agent_id)
        except NotFound:
            return f"Agent {agent_id} is not there any more."
        why = why_not(spec, self._scrub)
        if why is not None:
            return why
        for status in OPEN:
            for other in await self._said.feedback(status=status, limit=500):
                is_same = other.feedback_id == said.feedback_id
                if not is_same and other.target.partition("@")[0] == f"agent:{agent_id}":
                    return f"Another proposal for {agent_id} is open; `evolvent improvements list` shows it."
        since = self._clock.now() - timedelta(days=1)
        asked = [each for each in await self._said.feedback(since=since, limit=5_000) if each.improver_run]
        if len(asked) >= self._most_a_day:
            return f"{len(asked)} proposals were asked for in 24 hours; that is as many as may be."
        return None

    async def _publish(self, said: StoredFeedback, run: RunRecord) -> None:
        _, spec = await self._versions.current(_agent_of(said))
        improver = improver_for(spec)
        await self._agents.put(improver, created_by=IMPROVER, spawned=False)
        assert self._scrub is not None  # checked before anything was asked for
        request = Request(
            message=message_for(spec, run, said, self._scrub),
            agent_id=improver.agent_id,
            run_id=said.improver_run,
            causation_id=said.run_id,
        )
        # In the improver's own name: nobody's "last run" may be this one.
        subject = signed(subjects.request(Priority.BACKGROUND, GOAL), IMPROVER)
        await self._bus.append(subject, request.model_dump_json(exclude_defaults=True).encode())

    async def _publish_again(self, said: StoredFeedback) -> None:
        """Publish what somebody died before publishing; the same run_id and body are the same run."""
        now = self._clock.now()
        is_fresh = now - max(said.created_at, self._published.get(said.feedback_id, said.created_at)) < _AGAIN
        if is_fresh or await self._runs.exists(said.improver_run or "") is not None:
            return
        if await self._runs.exists(said.run_id) is not None:
            self._published[said.feedback_id] = now
            await self._publish(said, await self._runs.get(said.run_id))

    async def _settle(self, said: StoredFeedback) -> StoredFeedback:
        """Make a proposed version of what the improver answered, once it has."""
        if said.improver_run is None or self._scrub is None:
            return await self._keep(said, "failed", "Learning is switched off.")
        is_late = self._clock.now() - said.created_at > _PATIENCE
        try:
            answered = await self._runs.get(said.improver_run)
            asked_about = await self._runs.get(said.run_id)
            number, spec = await self._versions.current(_agent_of(said))
        except NotFound as error:
            if is_late:
                return await self._keep(said, "failed", str(error))
            await self._publish_again(said)
            return said
        if answered.status not in _FINAL:
            return await self._keep(said, "failed", "The improver did not answer in a day.") if is_late else said
        if answered.status != "completed" or answered.answer is None:
            why = answered.error.message if answered.error else answered.status
            return await self._keep(said, "failed", f"The improver's run failed: {why[:300]}")
        if not is_about(answered.message, spec):
            return await self._keep(said, "failed", f"The prompt of {spec.agent_id} was changed meanwhile.")
        found = read_proposal(answered.answer, spec, self._scrub)
        if isinstance(found, NoProposal):
            return await self._keep(said, "failed", found.reason)
        evidence = {
            "feedback_id": said.feedback_id,
            "run_ids": [asked_about.run_id],
            "improver_run": said.improver_run,
            "cost_microusd": answered.cost_microusd,
        }
        version = await self._version_for(said)
        if version is None:
            version = await self._versions.propose(
                found.spec, parent=number, by=IMPROVER, evidence=evidence, note=found.why
            )
        target = f"agent:{spec.agent_id}@{version}"
        name = f"{spec.agent_id}@{version}"
        words = f"Proposed {name}: {found.why} `evolvent improvements show {name}` shows it."
        proposed = await self._keep(said, "proposed", words, target=target)
        await self._emit(
            ImprovementAvailable(
                event_id=str(uuid.uuid5(_NAMESPACE, f"available {target}")),
                occurred_at=self._clock.now(),
                source=IMPROVER,
                target=target,
                detail=found.why,
            )
        )
        return proposed

    async def _version_for(self, said: StoredFeedback) -> int | None:
        """Return the version that was proposed for this feedback before somebody died."""
        for each in await self._tree.list("agent", _agent_of(said), limit=50):
            if any(receipt.evidence.get("feedback_id") == said.feedback_id for receipt in each.receipts):
                return each.version
        return None

    async def _keep(
        self,
        said: StoredFeedback,
        status: FeedbackStatus,
        detail: str,
        *,
        target: str | None = None,
        improver_run: str | None = None,
    ) -> StoredFeedback:
        """Keep what came of it; where another was faster, what that one kept."""
        after = replace(
            said,
            status=status,
            detail=detail,
            target=said.target if target is None else target,
            improver_run=improver_run or said.improver_run,
        )
        if await self._said.turn(after, before=said.status):
            return after
        kept = await self._said.feedback(feedback_id=said.feedback_id)
        return kept[0] if kept else after


def _agent_of(said: StoredFeedback) -> str:
    return said.target.removeprefix("agent:").partition("@")[0]
