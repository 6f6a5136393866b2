"""The learning bed through a whole platform: the same judge as offline, with faults, and records that drift midway."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.learning_bed import beds
from support.learning_bed.agent import Knobs
from support.learning_bed.bed import Bed
from support.learning_bed.responder import SeededFaults
from support.processes import PRICES, environment, wait_for

from evolvent.platform.client import Client
from evolvent.platform.scripted_model.server import ScriptedModelServer

pytestmark = pytest.mark.long

KNOBS = Knobs(seed=1, rate_limited=0.03, server_errors=0.03, broken_arguments=0.03)
DRIFT_AT = 15


async def test_a_bed_comes_out_right_through_the_bus_with_faults_and_after_a_drift(tmp_path: Path) -> None:
    bed = beds.drifted(beds.bed("ops", seed=5, count=30, knobs=KNOBS), at=DRIFT_AT, kind="teams_moved")
    responder = bed.responder()
    server = ScriptedModelServer(responder=responder)
    server.faults = SeededFaults(KNOBS)
    url = await server.start()
    state = tmp_path / "state"
    state.mkdir()
    async with platform_with(bed, tmp_path, state, url) as data_dir, Client.connect(data_dir) as client:
        await ask_all(client, bed, state, range(DRIFT_AT))
        bed.enter(state, DRIFT_AT)
        await ask_all(client, bed, state, range(DRIFT_AT, 30))
    await server.stop()
    assert not responder.flags
    assert any(call.fault for call in server.ledger.calls)


async def ask_all(client: Client, bed: Bed, state: Path, numbers: range) -> None:
    async def ask(number: int) -> None:
        request = bed.requests[number]
        answer = await client.ask(request.text)
        verdict = bed.judge(request, bed.changes(state, answer.run_id, number=number), answer.answer or "")
        assert verdict.is_right, (number, request.text, verdict.reason, answer)

    await asyncio.gather(*map(ask, numbers))


@asynccontextmanager
async def platform_with(bed: Bed, folder: Path, state: Path, model_url: str) -> AsyncIterator[Path]:
    """Run `evolvent up` with the bed's tools in its own process, and give its data folder."""
    data_dir, log = folder / "data", folder / "up.log"
    model = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "sk-test", "EVOLVENT_MODEL": "scripted"}
    env = environment(**model, EVOLVENT_PRICES=PRICES) | bed.environment(state)
    command = [sys.executable, "-m", "evolvent.platform.cli", "up", "--data-dir", str(data_dir)]
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=output, stderr=output)
    try:
        await wait_for("client.json", lambda: (data_dir / "client.json").exists() or process.returncode is not None)
        assert process.returncode is None, log.read_text()[-3000:]
        yield data_dir
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.wait(), 25)
    assert process.returncode == 0, log.read_text()[-3000:]
