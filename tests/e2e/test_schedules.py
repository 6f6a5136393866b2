"""Schedules through the command line and the SDK, against a real `evolvent up`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.processes import Platform, platform_up, scripted_model, wait_for

from evolvent.events.errors import RemoteError
from evolvent.platform.client import Client

pytestmark = pytest.mark.long


@dataclass
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


async def schedule(platform: Platform, *arguments: str, group: str = "schedule") -> Said:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "evolvent.platform.cli",
        group,
        *arguments,
        env={**platform.environment, "EVOLVENT_DATA_DIR": str(platform.data_dir), "TZ": "Asia/Tokyo"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    script = tmp_path / "script.yaml"
    script.write_text("default: {text: plain}\n")
    async with scripted_model(tmp_path, script) as url, platform_up(tmp_path, url) as running:
        yield running


async def test_a_schedule_is_added_runs_by_itself_and_is_removed(platform: Platform) -> None:
    added = await schedule(platform, "add", "tick", "Still there?", "--every", "1s", "--json")
    assert added.code == 0, added.err
    assert (added.rows[0]["principal"], added.rows[0]["every_seconds"]) == ("client", 1)

    async def completed() -> list[dict[str, Any]]:
        rows = (await schedule(platform, "list", "--status", "completed", "--json", group="runs")).rows
        return rows if len(rows) > 1 else []

    rows = await wait_for("two runs of the schedule", completed)
    assert {row["principal"] for row in rows} == {"client"}
    assert (await schedule(platform, "list", "--json")).rows[0]["last_run_id"]
    removed = await schedule(platform, "remove", "tick")
    assert (removed.code, removed.err) == (0, "Schedule tick of client is removed.\n")
    assert (await schedule(platform, "list")).out == "No schedule yet; `evolvent schedule add`.\n"


async def test_times_are_shown_in_local_time_and_utc(platform: Platform) -> None:
    where = ("--timezone", "Europe/Berlin")
    added = await schedule(platform, "add", "digest", "Sum up", "--cron", "30 7 * * mon-fri", *where)
    assert added.code == 0, added.err
    assert "30 7 * * mon-fri Europe/Berlin" in added.err
    assert len(added.out.splitlines()) == 3
    assert all(" 07:30:00 CE" in line and line.endswith("Z") for line in added.out.splitlines())
    midnight = await schedule(platform, "add", "audit", "Who logged in?", "--cron", "@daily")
    assert all("09:00:00 JST = " in line and "T00:00:00Z" in line for line in midnight.out.splitlines())
    listed = (await schedule(platform, "list")).out
    assert "@daily UTC" in listed
    assert "09:00:00 JST" in listed
    paused = await schedule(platform, "pause", "audit")
    assert paused.err == "Schedule audit of client is paused.\n"
    assert "paused" in (await schedule(platform, "show", "audit")).out
    resumed = await schedule(platform, "resume", "audit")
    assert "Its next time is" in resumed.err
    ran = await schedule(platform, "run", "audit")
    followed = await schedule(platform, "follow", ran.out.strip(), "--json", group="runs")
    assert followed.rows[-1]["answer"] == "plain"


async def test_bad_usage_says_what_why_and_what_next(platform: Platform) -> None:
    for arguments, code, said in (
        (("--cron", "61 * * * *"), 1, "'61' is no minute, which is 0 to 59. Write minute, hour"),
        (("--cron", "@daily", "--timezone", "Mars"), 1, "There is no time zone 'Mars'"),
        (("--every", "soon"), 2, "'soon' is no interval; write a number and s, m, h, d or w"),
        ((), 2, "say when: either --cron"),
        (("--every", "1h", "--cron", "@daily"), 2, "say when: either --cron"),
        (("--every", "1h", "--missed", "perhaps"), 1, "missed"),
    ):
        refused = await schedule(platform, "add", "bad", "x", *arguments)
        assert refused.code == code, (arguments, refused)
        assert said in refused.err
        assert "Traceback" not in refused.err
    missing = await schedule(platform, "remove", "nope")
    assert (missing.code, "You have no schedule 'nope'" in missing.err) == (1, True)


async def test_the_sdk_adds_lists_and_removes_and_the_operator_sees_all(platform: Platform) -> None:
    async with Client.connect(platform.data_dir) as client:
        row = await client.add_schedule("hourly", "Look", every=timedelta(hours=1), goal="ops", missed="skip")
        assert (row.goal, row.missed, row.every_seconds, row.principal) == ("ops", "skip", 3600, "client")
        assert await client.list_schedules() == (row,)
        with pytest.raises(RemoteError, match="another schedule 'hourly'"):
            await client.add_schedule("hourly", "Another", cron="@daily")
        everybodys = (await schedule(platform, "list", "--all", "--json")).rows
        assert [(row["name"], row["principal"]) for row in everybodys] == [("hourly", "client")]
        removed = await schedule(platform, "remove", "hourly", "--owner", "client")
        assert removed.code == 0, removed.err
        assert await client.list_schedules() == ()
