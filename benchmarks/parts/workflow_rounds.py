"""Whole runs of workflows through the bus, beside a floor: the same events by hand, one fenced append a task."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import nats
import psutil
from benchmarks.parts.cases import CASES, Running, running
from benchmarks.parts.shapes import SHAPES, TOOL
from nats.js import JetStreamContext

from evolvent.events.language.workflow import Workflow
from evolvent.platform.client import Client

_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_EXPECTED_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
_RECORDED_SECONDS: Final = 60.0
_EVENT_FILLING: Final = "x" * 300
"""A tool_completed event is about as long, so the floor writes no less."""
FLOOR: Final = "floor"


@dataclass(frozen=True, slots=True)
class WorkflowResult:
    """One shape in one size, in one round: a task's share of the run, and of the CPU of all platform processes."""

    shape: str
    tasks: int
    round: int
    seconds: float
    task_ms: float
    task_cpu_ms: float
    recorded_after_s: float


@dataclass(frozen=True, slots=True)
class Series:
    """What is measured: which sizes, how often, how durable."""

    sizes: Sequence[int]
    rounds: int
    durability: str


def run_series(series: Series, tell: Callable[[WorkflowResult], None]) -> list[WorkflowResult]:
    """Run every shape and the floor in every size, round after round."""
    found: list[WorkflowResult] = []

    def told(result: WorkflowResult) -> None:
        found.append(result)
        tell(result)

    for number in range(1, series.rounds + 1):
        with _up("floor_j", series) as (platform, _):
            asyncio.run(_floor(platform, series.sizes, number, told))
        with _up("evolvent", series) as (platform, folder):
            asyncio.run(_shapes(platform, folder, series.sizes, number, told))
    return found


@contextmanager
def _up(case: str, series: Series) -> Iterator[tuple[Running, Path]]:
    with TemporaryDirectory(prefix="evolvent-bench-") as name:
        folder = Path(name)
        with running(CASES[case], folder, series.durability) as platform:
            yield platform, folder


def as_json(result: WorkflowResult) -> str:
    """Return a line for machines."""
    found = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(result).items()}
    return json.dumps({"kind": "workflow", **found})


async def _shapes(
    platform: Running, folder: Path, sizes: Iterable[int], number: int, tell: Callable[[WorkflowResult], None]
) -> None:
    async with Client.connect(folder, operator=True) as client:
        await _run(client, SHAPES["wide"](10))
        for shape, made in SHAPES.items():
            for size in sizes:
                workflow = made(size)
                name = await client.stored_name(workflow)
                watch = _Watch(platform)
                answer = await client.ask("go", workflow=name, timeout_seconds=600)
                if not answer.ok or answer.tool_calls != size:
                    raise RuntimeError(f"{name}: {answer.status}, {answer.tool_calls} calls: {answer.error}")
                tell(await watch.result(shape, size, number))


async def _run(client: Client, workflow: Workflow) -> None:
    await client.ask("go", workflow=await client.stored_name(workflow))


async def _floor(platform: Running, sizes: Iterable[int], number: int, tell: Callable[[WorkflowResult], None]) -> None:
    connection = await nats.connect(json.loads(platform.connection_file.read_text())["nats_url"])
    try:
        stream = connection.jetstream()
        await _by_hand(stream, 10)
        for size in sizes:
            watch = _Watch(platform)
            await _by_hand(stream, size)
            tell(await watch.result(FLOOR, size, number))
    finally:
        await connection.close()


async def _by_hand(stream: JetStreamContext, size: int) -> None:
    run_id = str(uuid.uuid4())
    sequence = await _append(stream, run_id, "workflow_started", 0, {"run_id": run_id, "tasks": size})
    for task in range(size):
        event = {"run_id": run_id, "task": task, "tool": TOOL, "result": task, "filling": _EVENT_FILLING}
        sequence = await _append(stream, run_id, "tool_completed", sequence, event)
    await _append(stream, run_id, "workflow_completed", sequence, {"run_id": run_id})


async def _append(stream: JetStreamContext, run_id: str, kind: str, expected: int, event: dict[str, object]) -> int:
    headers = {_EXPECTED: str(expected), _EXPECTED_SUBJECT: f"evolvent.runs.{run_id}.>"}
    ack = await stream.publish(f"evolvent.runs.{run_id}.{kind}", json.dumps(event).encode(), headers=headers)
    return ack.seq


class _Watch:
    """Time and CPU from now on; all processes of the platform, and this one, which asks."""

    def __init__(self, platform: Running) -> None:
        self._platform = platform
        self._recorded = platform.recorded()
        self._cpu = self._cpu_seconds()
        self._began = time.perf_counter()

    async def result(self, shape: str, size: int, number: int) -> WorkflowResult:
        seconds = time.perf_counter() - self._began
        end = time.perf_counter() + _RECORDED_SECONDS
        while self._platform.recorded() <= self._recorded and time.perf_counter() < end:
            await asyncio.sleep(0.02)
        if self._platform.recorded() <= self._recorded:
            raise RuntimeError(f"LOST: a {shape} run of {size} tasks was not recorded.")
        lag = time.perf_counter() - self._began - seconds
        cpu = self._cpu_seconds() - self._cpu
        return WorkflowResult(shape, size, number, seconds, seconds / size * 1e3, cpu / size * 1e3, lag)

    def _cpu_seconds(self) -> float:
        total = 0.0
        for pid in self._platform.pids:
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                times = each.cpu_times()
                total += times.user + times.system
        own = psutil.Process().cpu_times()
        return total + own.user + own.system
