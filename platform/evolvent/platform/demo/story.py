"""The story from its first line to its last, and what it comes to."""

from __future__ import annotations

import asyncio
import shlex
import statistics
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from evolvent.events import subjects
from evolvent.events.bus import CoreMessage
from evolvent.events.errors import EvolventError
from evolvent.events.messages.platform import AgentEvicted
from evolvent.platform.demo import scenes_learning, scenes_limits, scenes_work
from evolvent.platform.demo.scenes_work import Book
from evolvent.platform.demo.stage import AGENTS_IN_MEMORY, SETTINGS_FILE, DemoFailed, Stage, stage
from evolvent.platform.demo.telling import Teller
from evolvent.storage.database import Databases
from evolvent.storage.run_records import RunRecord
from evolvent.storage.runs import RunStore

_SCENE_SECONDS = 60.0
_RECORDED_SECONDS = 10.0
_LOOK_EVERY_SECONDS = 0.05
_SHOWN_METRICS = ("evolvent_requests_total", "evolvent_workflow", "evolvent_run")


class Scene(Protocol):
    """A part of the story: it shows what it does and returns its numbers."""

    def __call__(self, stage: Stage, tell: Teller, book: Book) -> Awaitable[dict[str, Any]]:
        """Play it."""
        ...


_SCENES: Mapping[str, tuple[Scene, str, str]] = {
    "plainest_client": (
        scenes_work.plainest_client,
        "The plainest client",
        "Any NATS client can ask: publish a message, subscribe to the run. This program is run as it stands:",
    ),
    "specialists": (
        scenes_work.specialists,
        "Specialists for four goals",
        "An agent is a stored spec; it is spawned once, routed to by goal, and its tools run on this machine.",
    ),
    "money": (
        scenes_limits.money,
        "Money",
        "No model turn without a lease. A run that meets its goal's cap waits; it does not fail.",
    ),
    "kill": (
        scenes_limits.a_kill,
        "kill -9 in the middle of a run",
        "Every step of a run is in its journal on the bus, so any orchestrator can go on with it.",
    ),
    "evictions": (
        scenes_limits.evictions,
        "More agents than memory",
        f"The loader is set to hold {AGENTS_IN_MEMORY} agents here (50 is the default); the least recently used goes.",
    ),
    "learning": (
        scenes_learning.learning,
        "Work that comes again",
        "What agents did alike is learnt as a workflow with guards; it serves where every word is known.",
    ),
}


async def play(data_dir: Path, environment: Mapping[str, str], tell: Teller, *, keep: bool) -> dict[str, Any]:
    """Play the whole story in a data folder; return its numbers.

    Raises:
        DemoFailed: a scene could not be played; the message says which and why.
        EvolventError: the platform could not be started.
    """
    began = time.monotonic()
    numbers: dict[str, Any] = {}
    last = len(_SCENES) + 2
    tell.heading(f"1/{last}  A whole platform", "Started in this process, with nothing configured; stopped at the end.")
    async with stage(data_dir, environment) as on:
        book = Book()
        unsubscribe = await _hear_evictions(on, book)
        numbers["start"] = await scenes_work.start(on, tell, book, seconds=time.monotonic() - began)
        for number, (name, (scene, title, why)) in enumerate(_SCENES.items(), 2):
            tell.heading(f"{number}/{last}  {title}", why)
            numbers[name] = await _played(title, scene(on, tell, book))
        tell.heading(f"{last}/{last}  What it came to", "From SQL, where every run is recorded.")
        numbers["summary"] = await _played("the summary", _sum_up(on, tell, book))
        await unsubscribe()
        scripted = on.scripted is not None
        port = on.scripted.base_url.rsplit(":", 1)[1].removesuffix("/v1") if on.scripted else ""
    numbers["summary"]["seconds"] = round(time.monotonic() - began, 2)
    tell.line(f"The platform has stopped. The demo took {numbers['summary']['seconds']:.1f} s.")
    _tell_what_next(tell, data_dir, keep=keep, port=port)
    return {"ok": True, "scripted": scripted, **numbers, "data_dir": str(data_dir) if keep else None}


async def _played(title: str, scene: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_SCENE_SECONDS):
            return await scene
    except TimeoutError:
        raise DemoFailed(f"{title!r} was not over after {_SCENE_SECONDS:.0f} s.") from None
    except EvolventError as error:
        raise DemoFailed(f"{title!r} could not be played: {error}") from error


async def _hear_evictions(on: Stage, book: Book) -> Callable[[], Awaitable[None]]:
    def heard(message: CoreMessage) -> None:
        book.evicted.append(AgentEvicted.decode(message.data).agent_id)

    return await on.operator.bus.subscribe(subjects.event(AgentEvicted.TYPE), heard)


async def _sum_up(on: Stage, tell: Teller, book: Book) -> dict[str, Any]:
    databases = await Databases.open(on.settings.database_url, durability=on.settings.durability)
    try:
        runs = await _recorded(RunStore(databases.records), book)
    finally:
        await databases.close()
    found: dict[str, Any] = {
        "runs": len(runs),
        "completed": sum(run.status == "completed" for run in runs),
        "model_calls": sum(run.model_calls for run in runs),
        "tool_calls": sum(run.tool_calls for run in runs),
        "prompt_tokens": sum(run.prompt_tokens for run in runs),
        "completion_tokens": sum(run.completion_tokens for run in runs),
        "cost_usd": sum(run.cost_microusd for run in runs) / 1e6,
        "p50_seconds": round(statistics.median(run.duration_seconds for run in runs), 3),
        "evictions": len(book.evicted),
    }
    tell.table(
        ("all runs of this demo", "#"), [(name.replace("_", " "), _shown(value)) for name, value in found.items()]
    )
    tell.line("And a few of the lines that Prometheus would have read:")
    lines = await asyncio.to_thread(_metric_lines, str(on.connection.metrics_url))
    for line in lines[:4]:
        tell.code(line)
    return {**found, "metric_lines": len(lines)}


async def _recorded(store: RunStore, book: Book) -> list[RunRecord]:
    """Return the runs of the story from SQL, once the recorder has written the end of each."""
    async with asyncio.timeout(_RECORDED_SECONDS):
        while True:
            latest = await store.latest(limit=10 * len(book.run_ids))
            runs = [run for run in latest if run.run_id in set(book.run_ids)]
            if len(runs) == len(book.run_ids) and all(run.finished_at for run in runs):
                return runs
            await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _metric_lines(url: str) -> list[str]:
    with urllib.request.urlopen(url, timeout=5) as page:  # noqa: S310  # our own address, on loopback
        lines = page.read().decode().splitlines()
    samples = [line for line in lines if line.startswith("evolvent_") and not line.endswith(" 0.0")]
    return sorted(
        samples, key=lambda line: (not line.startswith(_SHOWN_METRICS), "_bucket" in line or "_created" in line)
    )


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}".rstrip("0").rstrip(".")


def _tell_what_next(tell: Teller, data_dir: Path, *, keep: bool, port: str) -> None:
    tell.blank()
    tell.line("Where to look next:", style="bold")
    if keep:
        folder = shlex.quote(str(data_dir))
        model = f"python -m evolvent.platform.scripted_model --port {port} &   # the same script again"
        tell.code(f"evolvent runs list --data-dir {folder}        # works now, from SQL")
        tell.code(f"{model}\n" if port else "")
        tell.code(f"evolvent up --data-dir {folder} --config {folder}/{SETTINGS_FILE}")
        tell.code(f"evolvent status --data-dir {folder}           # in another terminal, while it is up")
    else:
        tell.code("evolvent demo --keep                       # the same, and its data stays to be looked at")
        tell.code("OPENAI_API_KEY=... evolvent demo           # the same with a real model")
        tell.code("evolvent up                                # your own platform; then, in another terminal:")
        tell.code("evolvent ask 'How is this machine doing?'")
    tell.note("docs/architecture.md says how it works; `evolvent --help` lists every command.")
