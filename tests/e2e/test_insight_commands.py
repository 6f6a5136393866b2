"""`evolvent failures`, `jobs run`, and what `status` and `budget show` foretell, against a real `evolvent up`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.journals import run_id_of, stream, workflow_run
from support.processes import Platform, platform_up, scripted_model

from evolvent.events.clock import SystemClock
from evolvent.storage.database import Databases
from evolvent.storage.insight_rows import HourTotals
from evolvent.storage.insights import InsightStore
from evolvent.storage.runs import RunStore

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]
QUIET = {
    "EVOLVENT_LEARNING__INSIGHTS__COUNT_EVERY_SECONDS": "86400",
    "EVOLVENT_LEARNING__INSIGHTS__ANALYTICS_EVERY_SECONDS": "86400",
    "EVOLVENT_LEARNING__INSIGHTS__FORECAST_EVERY_SECONDS": "86400",
    "EVOLVENT_LEARNING__INSIGHTS__REMEDIES": '{"model.unavailable": "ask_person"}',
}


def this_hour() -> datetime:
    return SystemClock().now().replace(minute=0, second=0, microsecond=0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    folder: Path = tmp_path_factory.mktemp("insights")
    script = folder / "script.json"
    script.write_text(json.dumps({"default": {"text": "plain"}}))
    async with scripted_model(folder, script) as url, platform_up(folder, url, **QUIET) as running:
        databases = await Databases.open(running.data_dir / "db", durability="process")
        now = SystemClock().now()
        recent = [
            [event.model_copy(update={"occurred_at": now - timedelta(minutes=5)}) for event in workflow_run(number)]
            for number in range(3)
        ]
        await RunStore(databases.records).record(stream(*recent))
        store = InsightStore(databases.records)
        hours = [
            HourTotals(this_hour() - timedelta(hours=back), "default", "agent", 5, 5, cost_microusd=5_000_000_000)
            for back in range(1, 7)
        ]
        at = await store.position()
        await store.count(before=at, after=at, hours=hours, agents=(), failing=(), merged=lambda _: ())
        await databases.close()
        yield running


async def rows(platform: Platform, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await platform.evolvent(*arguments)).splitlines()]


async def test_what_fails_again_is_listed_with_what_may_help(platform: Platform) -> None:
    said = await platform.evolvent("jobs", "run", "failure_patterns")
    assert said.startswith("failure_patterns: ok: ")
    assert said.count("\n") == 1
    (row,) = await rows(platform, "failures", "list", "--json")
    assert (row["code"], row["failures"], row["trend"], row["remedy"]) == ("model.unavailable", 3, "new", "ask_person")
    shown = await platform.evolvent("failures", "show", row["pattern_id"][:8])
    assert "fails with model.unavailable (network)" in shown
    assert "ask_person: A person must look at it" in shown
    assert run_id_of(0) in shown
    assert "model.unavailable" in await platform.evolvent("failures", "list")
    with pytest.raises(AssertionError, match=r"ended with 1: .*evolvent failures list"):
        await platform.evolvent("failures", "show", "0123456789")


async def test_the_status_tells_the_numbers_and_what_is_to_come(platform: Platform) -> None:
    for job in ("analytics", "forecasts"):
        (ran,) = await rows(platform, "jobs", "run", job, "--json")
        assert ran["last_ok"], ran
    (status,) = await rows(platform, "status", "--json")
    mission = {number["name"]: number for number in status["mission"]}
    assert len(mission) == 8
    assert mission["user_satisfaction"]["value"] is None
    assert mission["avg_response_time"]["value"] is not None
    assert {share["category"]: share["patterns"] for share in status["failures"]} == {"network": 1}
    outlook = {row["goal"]: row for row in status["outlooks"]}["default"]
    assert outlook["says"].startswith("At this pace the daily budget of default is used up at ")
    screen = await platform.evolvent("status")
    assert outlook["says"].split(" used up at ")[0] in screen
    assert "user satisfaction" in screen
    assert "no data yet" in screen
    assert "patterns of failures: 1 new" in screen


async def test_a_budget_says_when_it_will_be_used_up(platform: Platform) -> None:
    await platform.evolvent("jobs", "run", "forecasts")
    assert "is used up at" in await platform.evolvent("budget", "show", "default")
    (row,) = await rows(platform, "budget", "show", "default", "--json")
    assert row["outlook"]["used_up_at"] is not None


async def test_a_job_that_does_not_exist_fails_and_names_those_that_do(platform: Platform) -> None:
    with pytest.raises(AssertionError, match=r"ended with 1: .*prewarm_agents"):
        await platform.evolvent("jobs", "run", "nope")
