"""Every named point between two steps of the run loop: the process dies exactly there, another goes on.

For each point the service that holds it runs as a process of its own and is killed by itself at its first (or, where a
point is met by more than one run, second) visit; then a healthy one takes its place.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.processes import PRICES, TESTS, environment, wait_for
from support.verdict import judge, read_journals

from evolvent.events import subjects
from evolvent.events.fault_points import POINTS
from evolvent.events.nats_bus import NatsBus
from evolvent.events.streams import REQUESTS
from evolvent.platform.bootstrap import Assembly, ensure_streams
from evolvent.platform.nats_server import EmbeddedNats
from evolvent.platform.scripted_model.script import Latency, Script
from evolvent.platform.scripted_model.server import ScriptedModelServer
from evolvent.platform.settings import Settings, load_settings

pytestmark = pytest.mark.long

HOLDER = {
    "request": "orchestrator",
    "run": "orchestrator",
    "turn": "orchestrator",
    "tool": "orchestrator",
    "loader": "loader",
    "lease": "resources",
    "settle": "resources",
    "recorder": "recorder",
}
RESUME_POINTS = {"run.before_resume", "run.resumed"}
AHEAD = 3


@dataclass(frozen=True)
class Stage:
    """What every point is played on."""

    settings: Settings
    nats: EmbeddedNats
    operator: NatsBus
    model: ScriptedModelServer


class Crasher:
    """A process that will die at one point."""

    def __init__(self, point: str, process: asyncio.subprocess.Process) -> None:
        self.point = point
        self.process = process

    @classmethod
    async def warm_up(cls, point: str, data_dir: Path, env: dict[str, str]) -> Crasher:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "support.crashing_service",
            HOLDER[point.split(".")[0]],
            str(data_dir),
            env={**env, "EVOLVENT_CRASH_AT": f"{point}:1"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return cls(point, process)

    async def go(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"go\n")
        await self.process.stdin.drain()
        line = b"."
        while line and b"ready" not in line:  # services say other things on their way
            line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        assert b"ready" in line


@asynccontextmanager
async def warm_crashers(data_dir: Path, env: dict[str, str]) -> AsyncIterator[AsyncIterator[Crasher]]:
    """Yield the crashers of all points in order, a few started ahead."""
    started: deque[Crasher] = deque()

    async def in_order() -> AsyncIterator[Crasher]:
        points = deque(POINTS)
        while points or started:
            while points and len(started) < AHEAD:
                started.append(await Crasher.warm_up(points.popleft(), data_dir, env))
            yield started.popleft()

    try:
        yield in_order()
    finally:
        for crasher in started:
            crasher.process.kill()


@asynccontextmanager
async def services(settings: Settings, nats: EmbeddedNats, *names: str) -> AsyncIterator[None]:
    """Run services in this process."""
    assembly = Assembly(settings, names, nats.url_for)
    await assembly.start()
    try:
        yield
    finally:
        for service in assembly.services:
            await service.stop(drain_seconds=0.1)
        await assembly.stop()


async def publish(bus: NatsBus, message: str) -> str:
    created = (await bus.admin.stream_state(REQUESTS)).created_at
    receipt = await bus.append("evolvent.requests.medium.default", json.dumps({"message": message}).encode())
    return subjects.run_id_of(created, receipt.sequence)


async def acked(bus: NatsBus) -> bool:
    return (await bus.admin.stream_state(REQUESTS)).messages == 0


async def die(crasher: Crasher) -> None:
    assert await asyncio.wait_for(crasher.process.wait(), 20) == -9, f"{crasher.point} was never reached"


@pytest.mark.chaos
@pytest.mark.timeout(200)
async def test_dying_at_any_named_point_loses_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects, data_dir = tmp_path / "effects", tmp_path / "data"
    effects.touch()
    model = ScriptedModelServer(Script.load(TESTS / "support" / "chaos_script.yaml"))
    given = {
        "OPENAI_BASE_URL": await model.start(),
        "OPENAI_API_KEY": "sk-test",
        "EVOLVENT_MODEL": "scripted",
        "EVOLVENT_PRICES": PRICES,
        "EVOLVENT_TOOL_MODULES": "support.effects",
        "EVOLVENT_ORCHESTRATOR__ACK_WAIT_SECONDS": "0.6",
        "EVOLVENT_ORCHESTRATOR__SILENCE_SECONDS": "1.5",
        "EVOLVENT_METRICS__ENABLED": "false",
        "EVOLVENT_DURABILITY": "process",
        "EFFECTS_FILE": str(effects),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(overrides={"data_dir": data_dir})
    accepted: set[str] = set()
    async with (
        EmbeddedNats(data_dir, durability="process") as nats,
        warm_crashers(data_dir, environment(**given)) as line,
    ):
        await ensure_streams(settings, nats.url_for("bootstrap"))
        operator = await NatsBus.connect(nats.url_for("operator"), name="test")
        recorder = await NatsBus.connect(nats.url_for("recorder"), name="test")
        async for crasher in line:
            await one_point(crasher, Stage(settings, nats, operator, model), accepted)
        verdict = judge(await read_journals(recorder), accepted, effects)
        assert not verdict.wrong
        print(f"\n{len(POINTS)} points, {len(accepted)} runs, {dict(verdict.statuses)}")
        await operator.close()
        await recorder.close()
    await model.stop()
    assert os.environ["EFFECTS_FILE"] == str(effects)


async def one_point(crasher: Crasher, stage: Stage, accepted: set[str]) -> None:
    """Die at one point, then see that every run of it comes to its end."""
    target = HOLDER[crasher.point.split(".")[0]]
    others = [name for name in ("recorder", "resources", "loader", "orchestrator") if name != target]
    async with services(stage.settings, stage.nats, *[name for name in others if name != "orchestrator"]):
        if crasher.point in RESUME_POINTS:
            await leave_one_behind(stage, accepted)
        await crasher.go()
        if target != "orchestrator":
            async with services(stage.settings, stage.nats, "orchestrator"):
                await serve_through(crasher, stage, accepted, target)
        else:
            await serve_through(crasher, stage, accepted, target)


async def serve_through(crasher: Crasher, stage: Stage, accepted: set[str], target: str) -> None:
    for message in ("pay the bill", "post a note"):
        accepted.add(await publish(stage.operator, message))
    await die(crasher)
    async with services(stage.settings, stage.nats, target):
        await wait_for(f"the runs of {crasher.point} to end", lambda: acked(stage.operator), seconds=20)


async def leave_one_behind(stage: Stage, accepted: set[str]) -> None:
    """Begin a run and drop its owner, so that the next owner must take it over; the model dawdles meanwhile."""
    usual, stage.model.latency = stage.model.latency, Latency(fixed_ms=3000)
    async with services(stage.settings, stage.nats, "orchestrator"):
        run_id = await publish(stage.operator, "read two things")
        accepted.add(run_id)
        started = await NatsBus.connect(stage.nats.url_for("recorder"), name="test")

        async def begun() -> bool:
            return await started.last_of("RUNS", subjects.run_events(run_id)) is not None

        await wait_for("the run to begin", begun, every=0.005)
        await started.close()
    stage.model.latency = usual
