"""What the demo plays on: a whole platform in this process, a second orchestrator in its own, and a model.

The model is a server of ours that answers from a script over real HTTP, unless the environment names a real one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evolvent.events import subjects
from evolvent.events.errors import ConfigInvalid, EvolventError
from evolvent.platform.bootstrap import Assembly, all_services
from evolvent.platform.client import Client
from evolvent.platform.connection import Connection, read_connection
from evolvent.platform.private_files import make_private_folder, write_private
from evolvent.platform.running import nats
from evolvent.platform.scripted_model.script import Latency, Script
from evolvent.platform.scripted_model.server import ScriptedModelServer
from evolvent.platform.settings import Settings, load_settings
from evolvent.platform.supervisor import PARENT_VARIABLE, READY

TOOL_MODULE = "evolvent.platform.demo.parcels"
SETTINGS_FILE = "demo.yaml"
LOG_FILE = "demo.log"
_SECOND_LOG = "second-orchestrator.log"
AGENTS_IN_MEMORY = 3
ACK_WAIT_SECONDS = 2.0
SCRIPTED_PRICES = {"scripted": {"input": 1.0, "output": 2.0}}
"""Made up, in USD per million tokens: a script costs nothing, and budgets need something to count."""
_MODEL_NAMES = ("OPENAI_", "EVOLVENT_MODEL", "EVOLVENT_PRICES", "DEFAULT_MODEL", "EVOLVENT_LOADER__DEFAULT_MODEL")
_MARKS_OF_A_PROJECT = (".git", "pyproject.toml", "package.json", "Cargo.toml", "go.mod", "Makefile")
_LOGS = Path("/var/log")
_READY_SECONDS = 30.0
_PING_SECONDS = 0.3


class DemoFailed(EvolventError):
    """The demo could not be played to its end; its log says more. Whatever it started has been stopped."""

    code = "demo.failed"


@dataclass
class Second:
    """The second orchestrator: a process that can be killed."""

    process: asyncio.subprocess.Process
    instance: str = ""

    def kill(self) -> None:
        """Send SIGKILL: it gets no chance to say or save anything."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)


@dataclass
class Stage:
    """A running platform and how to reach it."""

    settings: Settings
    folders: tuple[Path, ...]
    connection: Connection
    client: Client
    operator: Client
    environment: Mapping[str, str]
    scripted: ScriptedModelServer | None
    seconds: list[Second] = field(default_factory=list)

    @property
    def model(self) -> str:
        """Which model answers, in words."""
        if self.scripted is not None:
            return f"scripted answers from {self.scripted.base_url} (no model is configured)"
        return f"{self.settings.loader.default_model} at {self.settings.model.base_url or 'the vendor'}"

    def slow_down(self, seconds: float) -> None:
        """Let the scripted model take as long as a real one; a real one needs no help."""
        if self.scripted is not None:
            self.scripted.latency = Latency(fixed_ms=seconds * 1000)

    async def call(self, service: str, endpoint: str, body: bytes, instance: str | None = None) -> bytes:
        """Call a service as the operator does."""
        return await self.operator.bus.call(subjects.endpoint(service, endpoint, instance), body, timeout_seconds=10.0)

    async def services(self) -> list[dict[str, Any]]:
        """Return what answers over $SRV, as NATS itself lists services."""
        replies = await self.client.bus.request_many("$SRV.INFO", b"", window_seconds=_PING_SECONDS)
        found = []
        for info in (json.loads(reply.data) for reply in replies):
            endpoints = info.get("endpoints", [])
            own = [each["subject"].split(".")[2] for each in endpoints if each["subject"].endswith(".health")]
            found.append(
                {
                    "service": info["name"].removeprefix("evolvent-"),
                    "instance": own[0] if own else "",
                    "endpoints": len(endpoints),
                    "what": info["description"],
                }
            )
        return sorted(found, key=lambda row: (row["service"], row["instance"]))

    async def start_second(self) -> Second:
        """Start another orchestrator as `evolvent serve orchestrator` does; return once it takes work."""
        before = {row["instance"] for row in await self.services()}
        folder = self.settings.data_dir
        with (folder / _SECOND_LOG).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "evolvent.platform.cli", "serve", "orchestrator"),
                *("--config", str(folder / SETTINGS_FILE), "--data-dir", str(folder)),
                env={**self.environment, PARENT_VARIABLE: str(os.getpid())},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        second = Second(process)
        self.seconds.append(second)
        assert process.stdout is not None
        async with asyncio.timeout(_READY_SECONDS):
            line = await process.stdout.readline()
        if not line.startswith(READY.encode()):
            said = (folder / _SECOND_LOG).read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise DemoFailed(f"A second orchestrator did not start: {said[-1]}")
        new = [row for row in await self.services() if row["service"] == "orchestrator"]
        second.instance = next(row["instance"] for row in new if row["instance"] not in before)
        return second


@asynccontextmanager
async def stage(data_dir: Path, environment: Mapping[str, str]) -> AsyncIterator[Stage]:
    """Have a platform in a data folder for as long as the context lasts."""
    kept = _cleaned(environment)
    scripted = await _scripted(kept)
    try:
        folders = real_folders(Path.cwd())
        _write_settings(data_dir, folders, scripted)
        settings = load_settings(config=data_dir / SETTINGS_FILE, overrides={"data_dir": data_dir}, environment=kept)
        async with nats(settings) as server:
            assembly = Assembly(settings, all_services(settings), server.url_for)
            await assembly.start()
            try:
                server.announce(assembly.addresses)
                async with Client.connect(data_dir) as client, Client.connect(data_dir, operator=True) as operator:
                    found = Stage(settings, folders, read_connection(data_dir), client, operator, kept, scripted)
                    try:
                        yield found
                    finally:
                        await _end(found.seconds)
            finally:
                await assembly.stop()
    finally:
        if scripted is not None:
            await scripted.stop()


def real_folders(here: Path) -> tuple[Path, ...]:
    """Return what the agents may look into: the project in which the demo runs, else ourselves; and the logs."""
    is_project = any((here / mark).exists() for mark in _MARKS_OF_A_PROJECT)
    own = here if is_project else Path(__file__).parent.parent
    return (own, _LOGS) if os.access(_LOGS, os.R_OK | os.X_OK) else (own,)


def _cleaned(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with nothing of Evolvent's in it but what says which model: the rest is the demo's."""
    return {
        name: value
        for name, value in environment.items()
        if not name.upper().startswith("EVOLVENT_") or name.upper().startswith(_MODEL_NAMES)
    }


async def _scripted(environment: Mapping[str, str]) -> ScriptedModelServer | None:
    """Start the scripted model server, unless the environment names a real model.

    Raises:
        ConfigInvalid: it names a model and does not say where it is.
    """
    if any(environment.get(name) for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "EVOLVENT_MODEL__BASE_URL")):
        return None
    if model := environment.get("EVOLVENT_MODEL"):
        raise ConfigInvalid(
            f"EVOLVENT_MODEL is {model!r}, and neither OPENAI_API_KEY nor OPENAI_BASE_URL says where it is; "
            "set one of them, or take EVOLVENT_MODEL out for scripted answers."
        )
    server = ScriptedModelServer(Script.demo())
    await server.start()
    return server


def _write_settings(data_dir: Path, folders: tuple[Path, ...], scripted: ScriptedModelServer | None) -> None:
    """Write the demo's settings; secrets stay in the environment."""
    document: dict[str, Any] = {
        "loader": {"max_active_agents": AGENTS_IN_MEMORY},
        "orchestrator": {"ack_wait_seconds": ACK_WAIT_SECONDS},
        "tools": {"allowed_folders": [str(folder) for folder in folders], "modules": [TOOL_MODULE]},
    }
    if scripted is not None:
        document["model"] = {"base_url": scripted.base_url, "api_key": "scripted"}
        document["loader"]["default_model"] = "scripted"
        document["prices"] = SCRIPTED_PRICES
    make_private_folder(data_dir)
    write_private(data_dir / SETTINGS_FILE, yaml.safe_dump(document, sort_keys=False))


async def _end(seconds: list[Second]) -> None:
    for second in seconds:
        if second.process.returncode is None:
            second.process.terminate()
    for second in seconds:
        try:
            await asyncio.wait_for(second.process.wait(), 10.0)
        except TimeoutError:
            second.kill()
            await second.process.wait()
