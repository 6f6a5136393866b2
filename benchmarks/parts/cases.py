"""What is measured: how each case is started, who asks it, and how its recorded runs are counted."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from nats.js.api import RetentionPolicy, StreamConfig

from evolvent.events import subjects
from evolvent.events.language.agents import AgentSpec
from evolvent.events.messages.calls import AgentReply
from evolvent.platform.client import Client
from evolvent.platform.nats_process import find_binary

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0
RAISED: Mapping[str, Any] = {
    "orchestrator": {"max_concurrent_runs": 256},
    "budget": {"max_concurrent": 1000, "max_daily_cost": 1_000_000.0},
    "loader": {"max_concurrent_turns": 1000},
}
"""Caps that would be measured instead of the platform. Nothing is switched off."""
AGENT_TASKS = 1000


@dataclass(frozen=True, slots=True)
class Case:
    """A platform and who asks it."""

    name: str
    what: str
    kind: str
    asker: str = "plain"


CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("floor_j", "hand-written minimum, model in the process", "floor"),
        Case("evolvent", "every service in one process, model in the process", "own"),
        Case("evolvent_sdk", "the same, asked through the SDK", "own", asker="sdk"),
        Case("evolvent_http", "the same, with the openai client and a model server of its own", "up"),
        Case("evolvent_processes", "one process for each service, openai client, model server", "processes"),
    )
}


@dataclass(frozen=True, slots=True)
class Running:
    """A platform that is up."""

    connection_file: Path
    pids: tuple[int, ...]
    database: Path
    count: str

    def recorded(self) -> int:
        """Return how many runs stand in SQL as completed."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5) as connection:
            return int(connection.execute(self.count).fetchone()[0])


@contextmanager
def running(case: Case, folder: Path, durability: str) -> Iterator[Running]:
    """Have the platform of a case up, on an empty data folder."""
    with ExitStack() as stack:
        if case.kind == "floor":
            yield _floor(stack, folder, durability)
        else:
            yield _evolvent(stack, case, folder, durability)


def _floor(stack: ExitStack, folder: Path, durability: str) -> Running:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sync = "sync_interval: always" if durability == "power" else ""
    config = folder / "nats.conf"
    config.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{\n store_dir: "{folder}/js"\n {sync}\n}}\n')
    log = folder / "floor.log"
    server = _spawn(stack, [str(find_binary()), "-c", str(config)], folder / "nats.log")
    url = f"nats://127.0.0.1:{port}"
    asyncio.run(_make_streams(url))
    database = folder / "floor.db"
    synchronous = "FULL" if durability == "power" else "NORMAL"
    command = [sys.executable, "-m", "benchmarks.floor_j", "serve", url, str(database), synchronous]
    platform = _spawn(stack, command, log)
    _ready(platform, log)
    connection_file = folder / "client.json"
    connection_file.write_text(json.dumps({"nats_url": url}))
    query = "SELECT COUNT(*) FROM events WHERE type = 'workflow_completed'"
    return Running(connection_file, (server.pid, platform.pid), database, query)


def _evolvent(stack: ExitStack, case: Case, folder: Path, durability: str) -> Running:
    overrides: dict[str, Any] = {**RAISED, "durability": durability}
    log = folder / "evolvent.log"
    if case.kind == "own":
        overrides["tools"] = {"modules": ["benchmarks.parts.nothing_tool"]}
        command = [sys.executable, "-m", "benchmarks.parts.platform_process", str(folder), json.dumps(overrides)]
        started = [_spawn(stack, command, log)]
    else:
        model = _spawn(
            stack, [sys.executable, "-m", "evolvent.platform.scripted_model", "--latency-ms=0", "--ms-per-token=0"], log
        )
        overrides["model"] = {"base_url": _ready(model, log), "api_key": "none"}
        command = [sys.executable, "-m", "evolvent.platform.cli", "up", "--data-dir", str(folder)]
        command += ["--processes"] if case.kind == "processes" else []
        started = [_spawn(stack, command, log, environment=_environment(overrides)), model]
    _ready(started[0], log)
    asyncio.run(_put_agent(folder))
    query = "SELECT COUNT(*) FROM runs WHERE status = 'completed'"
    pids = tuple(process.pid for process in started)
    return Running(folder / "client.json", pids, folder / "db" / "records.db", query)


def _environment(overrides: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in overrides.items():
        parts = value.items() if isinstance(value, Mapping) else (("", value),)
        for part, inner in parts:
            key = f"EVOLVENT_{name}__{part}" if part else f"EVOLVENT_{name}"
            flat[key.upper()] = str(inner)
    return flat


async def _make_streams(url: str) -> None:
    end = time.monotonic() + READY_SECONDS

    async def not_yet(_: Exception) -> None:
        """It is tried again."""

    while True:
        try:
            connection = await nats.connect(url, allow_reconnect=False, connect_timeout=1, error_cb=not_yet)
            break
        except (OSError, nats.errors.Error):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)
    stream = connection.jetstream()
    requests = StreamConfig(name="REQUESTS", subjects=["evolvent.requests.>"], retention=RetentionPolicy.WORK_QUEUE)
    await stream.add_stream(requests)
    await stream.add_stream(StreamConfig(name="RUNS", subjects=["evolvent.runs.>"]))
    await connection.close()


async def _put_agent(folder: Path) -> None:
    """Store the one agent that serves, with room for every request at once."""
    spec = AgentSpec(
        agent_id="assistant_00000000",
        specialty="assistant",
        system_prompt="You are a helpful assistant. Answer in one short sentence.",
        model="gpt-4o",
        max_concurrent_tasks=AGENT_TASKS,
    )
    async with Client.connect(folder, operator=True) as operator:
        await operator.bus.call(subjects.endpoint("loader", "put"), AgentReply(spec=spec).encode())


def _spawn(
    stack: ExitStack, command: list[str], log: Path, *, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a process for as long as the stack lives, its log in a file."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=stack.enter_context(log.open("a")),
        text=True,
    )
    stack.callback(_end, process)
    return process


def _ready(process: subprocess.Popen[str], log: Path) -> str:
    """Wait for the line that says that a process is ready, and return it."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"A platform ended with {process.wait()} before it was ready: {log.read_text()[-2000:]}")
    return line


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
