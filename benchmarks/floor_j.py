"""Floor J: the least that the architecture of Evolvent can cost, written by hand, with nothing else in it.

    client ─request▶ stream ─pull▶ platform: lease (call) ▶ workflow_started (fenced append) ▶ turn (call)
                                             ▶ workflow_completed (fenced append) ▶ ack;  recorder ▶ SQLite

Client, platform and nats-server are three processes. No validation, money, retries, takeover, metrics or tools: it is
a denominator and no framework. `evolvent bench floor_j` runs it alone.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Coroutine
from typing import Any

import nats
import nats.errors
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
CONCURRENT = 256


class Floor:
    """The platform process: intake, resources, loader and recorder on one loop."""

    def __init__(self, connection: Client, database: sqlite3.Connection) -> None:
        self.connection = connection
        self.stream: JetStreamContext = connection.jetstream()
        self.database = database
        self.tasks: set[asyncio.Task[None]] = set()
        self.slots = asyncio.Semaphore(CONCURRENT)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def run(self, message: Msg) -> None:
        try:
            request = json.loads(message.data)
            run_id, text = request["run_id"], request["message"]
            await self.connection.request("evolvent.resources.reserve", b'{"goal":"default","max":1000}', timeout=5)
            sequence = await self.append(run_id, "workflow_started", 0, {"run_id": run_id, "message": text})
            ask = {"agent": "x", "messages": [{"role": "user", "content": text}]}
            reply = await self.connection.request("evolvent.loader.invoke", json.dumps(ask).encode(), timeout=5)
            answer = json.loads(reply.data)
            await self.append(run_id, "workflow_completed", sequence, {"run_id": run_id, **answer})
            await message.ack()
        finally:
            self.slots.release()

    async def append(self, run_id: str, kind: str, expected: int, event: dict[str, object]) -> int:
        headers = {EXPECTED: str(expected), EXPECTED_SUBJECT: f"evolvent.runs.{run_id}.>"}
        ack = await self.stream.publish(f"evolvent.runs.{run_id}.{kind}", json.dumps(event).encode(), headers=headers)
        return ack.seq

    async def take_requests(self) -> None:
        config = ConsumerConfig(ack_wait=30, max_ack_pending=1000)
        pull = await self.stream.pull_subscribe("evolvent.requests.>", durable="orch", stream="REQUESTS", config=config)
        while True:
            for message in await _fetch(pull, 64):
                await self.slots.acquire()
                self.spawn(self.run(message))

    async def record(self) -> None:
        config = ConsumerConfig(max_ack_pending=20000)
        pull = await self.stream.pull_subscribe("evolvent.runs.>", durable="rec", stream="RUNS", config=config)
        while True:
            messages = await _fetch(pull, 500)
            rows = [(m.metadata.sequence.stream, *m.subject.split(".")[2:4], m.data) for m in messages]
            if rows:
                await asyncio.to_thread(self.commit, rows)
            for message in messages:
                await message.ack()

    def commit(self, rows: list[tuple[object, ...]]) -> None:
        self.database.execute("BEGIN IMMEDIATE")
        self.database.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", rows)
        self.database.execute("COMMIT")


async def _fetch(pull: JetStreamContext.PullSubscription, most: int) -> list[Msg]:
    try:
        return await pull.fetch(most, timeout=5)
    except nats.errors.TimeoutError:
        return []


async def serve(url: str, database_file: str, synchronous: str) -> None:
    database = sqlite3.connect(database_file, check_same_thread=False, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={synchronous}")
    database.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, run_id TEXT, type TEXT, body TEXT)")
    connection = await nats.connect(url, pending_size=64 * 1024 * 1024)
    floor = Floor(connection, database)
    answers = await nats.connect(url)

    async def invoke(message: Msg) -> None:
        floor.spawn(message.respond(json.dumps({"answer": "hi", "usage": {"prompt": 10, "completion": 3}}).encode()))

    async def reserve(message: Msg) -> None:
        await message.respond(b'{"ok":true}')

    await answers.subscribe("evolvent.loader.invoke", queue="loader", cb=invoke)
    await answers.subscribe("evolvent.resources.reserve", queue="resources", cb=reserve)
    await answers.flush()
    floor.spawn(floor.take_requests())
    floor.spawn(floor.record())
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> int:
    """Measure the floor alone."""
    from benchmarks.requests import measure

    return measure(["floor_j"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve(*sys.argv[2:]))
    sys.exit(main())
