"""What people ask and decide about what is learnt, over a real bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.learning_journals import School, run_id
from support.learnt_domains import operations
from support.servers import bus_on, nats_server

from evolvent.events import subjects
from evolvent.events.clock import SystemClock
from evolvent.events.envelope import Message
from evolvent.events.errors import RemoteError
from evolvent.events.messages.calls import JobList, JobQuery, JobRow
from evolvent.events.messages.learning_calls import (
    AutomationList,
    AutomationQuery,
    AutomationsQuery,
    AutomationView,
    DecideAutomation,
    Decision,
    LearnReply,
    PatternList,
    PatternQuery,
    PatternView,
)
from evolvent.events.nats_bus import NatsBus
from evolvent.events.streams import EVENTS
from evolvent.improvement.improvement_orchestrator import ImprovementOrchestrator
from evolvent.improvement.settings import ImprovementSettings
from evolvent.storage.database import Databases

QUIET = ImprovementSettings(wake_every_seconds=86_400, learn_every_seconds=86_400)


@dataclass
class Desk:
    bus: NatsBus
    school: School

    async def call(self, endpoint: str, message: Message | None = None) -> bytes:
        data = message.encode() if message else b"{}"
        return await self.bus.call(subjects.endpoint("improvement", endpoint), data, timeout_seconds=20)

    async def decide(self, automation_id: str, decision: Decision, version: int | None = None) -> AutomationView:
        asked = DecideAutomation(automation_id=automation_id, decision=decision, version=version, reason="as asked")
        return AutomationView.decode(await self.call("decide", asked))

    async def first_job_is_done(self) -> None:
        """Wait for what the schedule catches up with at its start; the next time is tomorrow."""
        async with asyncio.timeout(20):
            while not any(row.job == "learn" and row.last_ok for row in await self._jobs()):
                pass

    async def _jobs(self) -> tuple[JobRow, ...]:
        return JobList.decode(await self.call("jobs")).jobs

    async def events(self) -> list[str]:
        told = [stored.subject.rpartition(".")[2] async for stored in self.bus.read(EVENTS, subjects.ALL_EVENTS)]
        return [kind for kind in told if kind.startswith(("automation", "pattern"))]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    databases = await Databases.open(tmp_path / "data", durability="process")
    school = School(databases)
    school.clock.time = SystemClock().now()
    async with nats_server(tmp_path) as url, bus_on(url) as bus:
        improver = ImprovementOrchestrator(bus, databases.records, databases.definitions, QUIET)
        await improver.start()
        made = Desk(bus, school)
        await made.first_job_is_done()
        yield made
        await improver.stop()
    await databases.close()


async def test_what_was_learnt_is_listed_shown_approved_and_taken_back(desk: Desk) -> None:
    await desk.school.record(operations())
    step = LearnReply.decode(await desk.call("learn"))
    assert (step.runs, step.nominated, step.proposed, step.live, step.more) == (5, 1, 1, 0, True)
    assert not LearnReply.decode(await desk.call("learn")).more
    (row,) = AutomationList.decode(await desk.call("automations")).automations
    assert (row.status, row.effect, row.source_runs, row.served) == ("verified", "idempotent", 5, 0)
    view = await desk.decide(row.automation_id, "approve")
    assert (view.row.status, view.row.decided_by, view.row.reason) == ("live", "operator", "as asked")
    view = AutomationView.decode(await desk.call("automation", AutomationQuery(automation_id=row.automation_id)))
    assert view.receipts[0]["agreed"] == 5
    assert sorted(view.document["run_ids"]) == sorted(run_id(each) for each in operations())
    assert (await desk.decide(row.automation_id, "disable")).row.status == "disabled"
    with pytest.raises(RemoteError, match="No version of this automation is in service"):
        await desk.decide(row.automation_id, "rollback")
    assert await desk.events() == [
        "pattern_discovered",
        "automation_proposed",
        "automation_created",
        "automation_promoted",
        "automation_rolled_back",
    ]


async def test_going_back_lets_the_version_before_serve_again(desk: Desk) -> None:
    await desk.school.record(operations())
    await desk.call("learn")
    (row,) = AutomationList.decode(await desk.call("automations")).automations
    await desk.decide(row.automation_id, "approve")
    first = (await desk.school.automations.get(row.automation_id)).automation
    await desk.school.automations.put(first.model_copy(update={"name": "other"}), status="live")
    view = await desk.decide(row.automation_id, "rollback")
    assert (view.row.version, view.row.status) == (1, "live")
    assert [each.status for each in view.versions] == ["live", "rolled_back"]
    live = AutomationList.decode(await desk.call("automations", AutomationsQuery(status="live"))).automations
    assert [each.version for each in live] == [1]
    with pytest.raises(RemoteError, match="is no status"):
        await desk.call("automations", AutomationsQuery(status="nice"))
    with pytest.raises(RemoteError, match="There is no automation"):
        await desk.decide("auto-nope", "approve")


async def test_a_pattern_says_why_it_is_or_is_not_an_automation(desk: Desk) -> None:
    await desk.school.record(operations()[:1])
    await desk.call("learn")
    (row,) = PatternList.decode(await desk.call("patterns")).patterns
    assert (row.words, row.support, row.automation) == ("restart service {a} in {b}", 1, "")
    assert "Too few runs" in row.why
    await desk.school.record(operations()[1:])
    await desk.call("learn")
    (row,) = PatternList.decode(await desk.call("patterns")).patterns
    assert (row.support, row.status) == (5, "verified")
    assert "learning.auto_promote is `reads`" in row.why
    view = PatternView.decode(await desk.call("pattern", PatternQuery(pattern_id=row.pattern_id[:8])))
    assert sorted(view.runs) == sorted(run_id(each) for each in operations())
    assert (view.agreement, view.disputed_runs) == (1.0, ())
    with pytest.raises(RemoteError, match="There is no pattern 'zzz'"):
        await desk.call("pattern", PatternQuery(pattern_id="zzz"))


async def test_the_job_learns_from_everything_that_is_left(desk: Desk) -> None:
    await desk.school.record(operations())
    row = JobRow.decode(await desk.call("run_job", JobQuery(job="learn")))
    assert row.last_ok
    assert row.last_detail.startswith("5 runs read")
