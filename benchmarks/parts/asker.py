"""The client process of a benchmark: asks one at a time, or many at once, as it is told line by line on stdin.

`plain` speaks the bus contract with bare nats-py, the same for the floor and for Evolvent, so that only platforms
differ. `sdk` is `evolvent.platform.client.Client`, with all that it checks.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
import uvloop
from nats.aio.msg import Msg

from evolvent.platform.client import Client

TIMEOUT_SECONDS = 30.0
SUBJECT = "evolvent.requests.medium.default"
MESSAGE = "hello there"
Ask = Callable[[], Awaitable[None]]


async def plain(url: str) -> Ask:
    user = url.split("//")[1].split(":")[0] if "@" in url else ""
    inbox = f"_INBOX_{user}" if user else "_INBOX"
    connection = await nats.connect(url, pending_size=64 * 1024 * 1024, inbox_prefix=inbox.encode())
    stream = connection.jetstream()
    waiting: dict[str, asyncio.Future[None]] = {}

    async def ended(message: Msg) -> None:
        _, _, run_id, kind = message.subject.split(".")
        future = waiting.pop(run_id, None)
        if future is None or future.done():
            return
        if kind == "workflow_completed":
            future.set_result(None)
        else:
            future.set_exception(RuntimeError(message.data.decode()))

    for kind in ("workflow_completed", "workflow_failed"):
        await connection.subscribe(f"evolvent.runs.*.{kind}", cb=ended)
    await connection.flush()

    async def ask() -> None:
        run_id = str(uuid.uuid4())
        future = waiting[run_id] = asyncio.get_running_loop().create_future()
        await stream.publish(SUBJECT, json.dumps({"message": MESSAGE, "run_id": run_id}).encode())
        await asyncio.wait_for(future, TIMEOUT_SECONDS)

    return ask


async def sdk(url: str) -> Ask:
    client = await Client(url).__aenter__()

    async def ask() -> None:
        answer = await asyncio.wait_for(client.ask(MESSAGE), TIMEOUT_SECONDS)
        if not answer.ok:
            raise RuntimeError(str(answer.error))

    return ask


async def load(ask: Ask, *, in_flight: int, seconds: float, most: int) -> dict[str, float]:
    """Keep requests in flight until the time is over; return how long each took and how many came."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    begun = 0

    async def worker() -> None:
        nonlocal begun
        while time.perf_counter() < end and begun < most:
            begun += 1
            started = time.perf_counter()
            await ask()
            took.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    elapsed = time.perf_counter() - started
    ordered = sorted(took)
    return {
        "requests": len(took),
        "p50_ms": statistics.median(ordered) * 1e3,
        "p99_ms": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3,
        "per_second": len(took) / elapsed,
    }


async def main(kind: str, connection_file: str) -> None:
    url = json.loads(Path(connection_file).read_text())["nats_url"]
    ask = await {"plain": plain, "sdk": sdk}[kind](url)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        told = json.loads(line)
        print(json.dumps(await load(ask, **told)), flush=True)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
