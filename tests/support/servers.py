"""Real servers for tests, each on a free loopback port in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from evolvent.events.nats_bus import NatsBus


def nats_binary() -> str:
    """Where nats-server is: beside this python, or on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "nats-server is not installed; `uv sync` brings it"
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def nats_server(folder: Path, *, port: int | None = None) -> AsyncIterator[str]:
    """Run a nats-server with JetStream and no users; yield its URL."""
    port = port or free_port()
    arguments = ["-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "jetstream")]
    process = await asyncio.create_subprocess_exec(
        nats_binary(),
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(os.environ),
    )
    try:
        yield f"nats://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def bus_on(url: str, *, name: str = "test") -> AsyncIterator[NatsBus]:
    """Connect, make every stream stand, and close afterwards."""
    bus = await NatsBus.connect(url, name=name)
    await bus.admin.ensure_all(ack_wait_seconds=2.0)
    try:
        yield bus
    finally:
        await bus.close()
