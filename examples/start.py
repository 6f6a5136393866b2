"""Gives the examples a platform: the one that runs on EVOLVENT_DATA_DIR, else one of their own for as long as they run.

Its own is a real `evolvent up` in a temporary folder. OPENAI_API_KEY, OPENAI_BASE_URL, EVOLVENT_MODEL and
EVOLVENT_PRICES choose the model; without them a server on this machine answers from answers.yaml, over real HTTP.
`settings` below is what a platform that runs already needs for them.
"""

import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from evolvent.platform.client import Client

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Place:
    """A client of a platform, as its operator, and the folder whose log files the platform looks into."""

    client: Client
    logs: Path


def run(main: Callable[[Place], Awaitable[None]]) -> None:
    """Run an example."""

    async def whole() -> None:
        async with platform() as place:
            await main(place)

    asyncio.run(whole())


@asynccontextmanager
async def platform() -> AsyncIterator[Place]:
    """Have a platform for as long as the context lasts."""
    if running := os.environ.get("EVOLVENT_DATA_DIR"):
        async with Client.connect(running, operator=True) as client:
            yield Place(client, Path(os.environ.get("EXAMPLES_LOGS", "logs")))
        return
    with tempfile.TemporaryDirectory(prefix="evolvent-example-") as folder:
        async with own_platform(Path(folder)) as place:
            yield place


@asynccontextmanager
async def own_platform(folder: Path) -> AsyncIterator[Place]:
    """Start `evolvent up` in a folder, and a model beside it where the environment names none."""
    logs = folder / "logs"
    logs.mkdir()
    environment = {**os.environ, **settings(logs)}
    started: list[Process] = []
    try:
        if not any(os.environ.get(name) for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL")):
            script = ("evolvent.platform.scripted_model", "--script", str(HERE / "answers.yaml"))
            started.append(await python(*script, out=PIPE))
            assert started[0].stdout is not None
            environment["OPENAI_BASE_URL"] = (await started[0].stdout.readline()).decode().strip()
            environment["OPENAI_API_KEY"] = environment["EVOLVENT_MODEL"] = "scripted"
            environment["EVOLVENT_PRICES"] = '{"scripted": {"input": 1.0, "output": 2.0}}'
            print("(No model is configured: answers.yaml answers. OPENAI_API_KEY or OPENAI_BASE_URL names a real one.)")
        data_dir = folder / "data"
        with (folder / "up.log").open("wb") as log:
            up = await python("evolvent.platform.cli", "up", "--data-dir", str(data_dir), out=log, env=environment)
        started.append(up)
        while not (data_dir / "client.json").exists():
            if up.returncode is not None:
                raise SystemExit((folder / "up.log").read_text())
            await asyncio.sleep(0.05)
        async with Client.connect(data_dir, operator=True) as client:
            yield Place(client, logs)
    finally:
        for process in reversed(started):
            if process.returncode is None:
                process.terminate()
                await process.wait()


def settings(logs: Path) -> dict[str, str]:
    """Return what the examples need of a platform: tools and a rule of their own, and two folders."""
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH")))),
        "EVOLVENT_TOOLS__MODULES": '["fetch_tools"]',
        "EVOLVENT_TOOLS__ALLOWED_FOLDERS": json.dumps([str(HERE / "workflows" / "data")]),
        "EVOLVENT_TOOLS__LOGS__FOLDERS": json.dumps([str(logs)]),
        "EVOLVENT_ORCHESTRATOR__ADAPTATION_RULES": '["my_rules:critical_path_first"]',
    }


async def python(module: str, *arguments: str, out: int | IO[bytes], env: dict[str, str] | None = None) -> Process:
    """Start a module of Python as a process."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, env=env, stdout=out, stderr=None if out == PIPE else out
    )
