"""Real processes under `kill -9`: nothing is lost, ended twice, repeated or overspent.

The length is set by EVOLVENT_CHAOS_REQUESTS and EVOLVENT_CHAOS_KILLS; the defaults fit into CI.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import urllib.request
import uuid
from pathlib import Path

import psutil
import pytest
from support.processes import TESTS, Platform, platform_up, scripted_model, wait_for
from support.verdict import judge, read_journals

from evolvent.events import subjects
from evolvent.events.clock import SystemClock
from evolvent.events.errors import EvolventError
from evolvent.events.nats_bus import NatsBus
from evolvent.events.streams import REQUESTS
from evolvent.orchestrator.budgets import default_limits
from evolvent.orchestrator.settings import ResourceSettings
from evolvent.storage.database import Databases
from evolvent.storage.ledger import Ledger
from evolvent.storage.runs import RunStore

REQUESTS_WANTED = int(os.environ.get("EVOLVENT_CHAOS_REQUESTS", "200"))
KILLS_WANTED = int(os.environ.get("EVOLVENT_CHAOS_KILLS", "20"))
SEED = int(os.environ.get("EVOLVENT_CHAOS_SEED", "7"))
KINDS = ("say something plain", "read two things", "post a note", "pay the bill")
SETTINGS = {
    "EVOLVENT_ORCHESTRATOR__ACK_WAIT_SECONDS": "2",
    "EVOLVENT_ORCHESTRATOR__MAX_CONCURRENT_RUNS": "32",
    "EVOLVENT_BUDGET__MAX_CONCURRENT": "200",
    "EVOLVENT_LOGS__LEVEL": "warning",
}


async def publish_all(platform: Platform, accepted: set[str]) -> None:
    """Publish as a client does, until every request has its receipt; half of them bare, half with a run_id."""
    client = await platform.connect()
    operator = await platform.connect("operator")
    created = (await operator.admin.stream_state(REQUESTS)).created_at
    for number in range(REQUESTS_WANTED):
        body = {"message": KINDS[number % len(KINDS)], "user_id": f"user{number % 5}"}
        run_id = str(uuid.uuid4()) if number % 2 else None
        if run_id:
            body["run_id"] = run_id
        accepted.add(await _publish(client, created, json.dumps(body).encode(), run_id))
        await asyncio.sleep(0.05)


async def _publish(client: NatsBus, created: str, body: bytes, run_id: str | None) -> str:
    while True:
        try:
            receipt = await client.append("evolvent.requests.medium.default", body)
        except EvolventError:
            if run_id is None:
                # Without a receipt nobody can say whether a bare request is stored: it was not accepted.
                await asyncio.sleep(0.1)
            continue
        return run_id or subjects.run_id_of(created, receipt.sequence)


async def kill_at_random(platform: Platform, kills: list[str], stop: asyncio.Event) -> None:
    """Kill (or, now and then, freeze and thaw) one process after another."""
    dice = random.Random(SEED)
    while not stop.is_set() or len(kills) < KILLS_WANTED:
        await asyncio.sleep(dice.uniform(0.3, 0.9))
        children = platform.children()
        if not children:
            continue
        pid = dice.choice(sorted(children))
        try:
            if dice.random() < 0.15 and children[pid] != "nats-server":
                psutil.Process(pid).suspend()
                await asyncio.sleep(2.6)
                psutil.Process(pid).resume()
                kills.append(f"froze {children[pid]}")
            else:
                os.kill(pid, signal.SIGKILL)
                kills.append(f"killed {children[pid]}")
        except (ProcessLookupError, psutil.Error):
            continue


async def all_ended(operator: NatsBus) -> bool:
    try:
        return (await operator.admin.stream_state(REQUESTS)).messages == 0
    except EvolventError:
        return False


@pytest.mark.chaos
@pytest.mark.timeout(280)
async def test_nothing_is_lost_repeated_or_overspent_while_processes_are_killed(tmp_path: Path) -> None:
    accepted: set[str] = set()
    kills: list[str] = []
    stop = asyncio.Event()
    async with (
        scripted_model(tmp_path, TESTS / "support" / "chaos_script.yaml") as model_url,
        platform_up(
            tmp_path, model_url, "--processes", "--scale", "orchestrator=2,loader=2,resources=2", **SETTINGS
        ) as platform,
    ):
        killer = asyncio.create_task(kill_at_random(platform, kills, stop))
        await publish_all(platform, accepted)
        stop.set()
        await killer
        operator = await platform.connect("operator")
        await wait_for("every request to be acked", lambda: all_ended(operator), seconds=120, every=0.3)
        journals = await read_journals(await platform.connect("recorder"))
        verdict = judge(journals, accepted, tmp_path / "effects")
        print(f"\n{len(accepted)} requests, {len(kills)} kills, {dict(verdict.statuses)}")
        assert not verdict.wrong
        assert len(verdict.runs) == REQUESTS_WANTED
        assert len(kills) >= KILLS_WANTED
        await everything_is_recorded(platform, accepted)
        await no_cap_is_passed(platform, model_url)


async def everything_is_recorded(platform: Platform, accepted: set[str]) -> None:
    databases = await Databases.open(platform.data_dir / "db")
    try:
        store = RunStore(databases.records)

        async def missing() -> list[str]:
            found = {run_id: await store.exists(run_id) for run_id in accepted}
            ended = {"completed", "failed", "cancelled", "suspended"}
            return [run_id for run_id, row in found.items() if row is None or row[0] not in ended]

        async def none_missing() -> bool:
            return not await missing()

        await wait_for("every run to be recorded", none_missing, seconds=30, every=0.5)
    finally:
        await databases.close()


async def no_cap_is_passed(platform: Platform, model_url: str) -> None:
    """Hold our books against the model server's own: it billed no more than we booked, and we booked within the cap."""
    databases = await Databases.open(platform.data_dir / "db")
    ledger = Ledger(databases.ledger, SystemClock(), defaults=default_limits(ResourceSettings(max_concurrent=200)))

    async def nothing_is_held() -> bool:
        return (await ledger.usage("default")).leased_microusd == 0

    try:
        await wait_for("every lease to be settled or charged", nothing_is_held, seconds=30, every=0.3)
        with urllib.request.urlopen(model_url.removesuffix("/v1") + "/ledger") as reply:
            bill = json.loads(reply.read())["totals"]["billed"]["scripted"]
        mine = await ledger.usage("default")
    finally:
        await databases.close()
    billed = bill["prompt_tokens"] * 1.0 + bill["completion_tokens"] * 2.0
    print(f"billed {billed:.0f}, booked {mine.spent_microusd} of {mine.max_daily_microusd} micro-dollars")
    assert 0 < billed <= mine.spent_microusd <= mine.max_daily_microusd
    assert mine.concurrent == 0
