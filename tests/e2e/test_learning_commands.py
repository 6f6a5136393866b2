"""`evolvent learn`, `patterns` and `automations` against a real `evolvent up`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.commands import ok, rows, said
from support.learning_journals import School, run_id
from support.learnt_domains import run as a_run
from support.processes import Platform, platform_up, scripted_model

from evolvent.events import subjects
from evolvent.events.clock import SystemClock
from evolvent.events.errors import EvolventError
from evolvent.events.language.learning.traces import Trace
from evolvent.events.language.tools import Effect
from evolvent.platform.client import Client
from evolvent.storage.database import Databases

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]


def looks() -> list[Trace]:
    keys = ["api-7", "billing-12", "auth-3", "cart-9", "mail-2"]
    return [
        a_run(
            f"look-{key}",
            f"What is the value of {key}?",
            ("look_up", {"key": key}, {"key": key, "value": f"value of {key}"}, Effect.READ),
            answer=f"It is value of {key}.",
        )
        for key in keys
    ]


def posts() -> list[Trace]:
    words = ["alpha-1", "beta-2", "gamma-3", "delta-4", "omega-5"]
    return [
        a_run(f"post-{word}", f"Post the note {word} now.", ("post", {"text": word}, {"posted": word}, Effect.KEYED))
        for word in words
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    folder: Path = tmp_path_factory.mktemp("learning")
    script = folder / "script.json"
    script.write_text(json.dumps({"default": {"text": "plain"}}))
    quiet = {"EVOLVENT_LEARNING__LEARN_EVERY_SECONDS": "86400"}
    async with scripted_model(folder, script) as url, platform_up(folder, url, **quiet) as running:
        databases = await Databases.open(running.data_dir / "db", durability="process")
        school = School(databases)
        school.clock.time = SystemClock().now()
        await school.record([*looks(), *posts()])
        await databases.close()
        yield running


async def test_a_person_reads_what_was_learnt_and_decides(platform: Platform) -> None:
    assert "runs read" in await ok(platform, "learn")
    (learnt,) = rows(await ok(platform, "learn", "--json"))
    assert learnt["runs"] == 0
    found = {row["name"]: row for row in rows(await ok(platform, "automations", "list", "--json"))}
    assert {name: row["status"] for name, row in found.items()} == {"look_up": "live", "post": "verified"}
    keys = {"automation_id", "name", "version", "kind", "status", "served", "wrong", "tokens_saved", "source_runs"}
    assert keys <= found["post"].keys()
    which = found["post"]["automation_id"]
    shown = await ok(platform, "automations", "show", which)
    assert "Writes\n  post: writes; a key keeps it from happening twice\n      text = {a}" in shown
    assert all(run_id(each) in shown for each in posts())
    assert "is live: read it" in await ok(platform, "automations", "approve", f"{which}@1", "--reason", "read it")
    assert "is disabled" in await ok(platform, "automations", "disable", which)
    code, _, err = await said(platform, "automations", "rollback", which)
    assert code == 1
    assert "No version of this automation is in service" in err
    (row,) = rows(await ok(platform, "automations", "approve", which, "--json"))
    assert row["status"] == "live"
    assert "live" in await ok(platform, "automations", "list")
    assert (await said(platform, "automations", "show", f"{which}@x"))[0] == 2


async def test_a_pattern_shows_its_runs_and_what_became_of_it(platform: Platform) -> None:
    await ok(platform, "learn")
    found = {row["words"]: row for row in rows(await ok(platform, "patterns", "list", "--json"))}
    pattern = found["what is the value of {a} ?"]
    assert (pattern["support"], pattern["status"]) == (5, "live")
    shown = await ok(platform, "patterns", "show", pattern["pattern_id"])
    assert all(run_id(each) in shown for each in looks())
    assert "agreement  100%" in shown
    (view,) = rows(await ok(platform, "patterns", "show", pattern["pattern_id"][:6], "--json"))
    assert view["pattern"]["automation"] == pattern["automation"]


async def test_a_client_may_look_and_not_decide(platform: Platform) -> None:
    async with Client.connect(platform.data_dir) as client:
        assert await client.bus.call(subjects.endpoint("improvement", "patterns"), b"{}", timeout_seconds=10)
        with pytest.raises(EvolventError):
            await client.bus.call(subjects.endpoint("improvement", "learn"), b"{}", timeout_seconds=2)
