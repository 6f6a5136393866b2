"""The platform as a person starts it: real processes, a real model server, real files."""

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

import psutil

from evolvent.events.nats_bus import NatsBus
from evolvent.platform.nats_folder import NatsFolder

TESTS = Path(__file__).parent.parent
PRICES = '{"scripted": {"input": 1.0, "output": 2.0}}'


async def wait_for(what: str, condition: Any, *, seconds: float = 30.0, every: float = 0.05) -> Any:
    """Look again and again until a condition (a function, awaited where it must be) gives something true."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"it did not come to pass within {seconds} s: {what}")
        await asyncio.sleep(every)


@asynccontextmanager
async def scripted_model(folder: Path, script: Path) -> AsyncIterator[str]:
    """Run the scripted model server as its own process; yield its base URL."""
    port_file = folder / "model.port"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "evolvent.platform.scripted_model",
        "--script",
        str(script),
        "--port-file",
        str(port_file),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        text = await wait_for("the model server's port", lambda: port_file.exists() and port_file.read_text().strip())
        yield text if text.startswith("http") else f"http://127.0.0.1:{text}/v1"
    finally:
        process.terminate()
        await process.wait()


@dataclass
class Platform:
    """A running `evolvent up`."""

    data_dir: Path
    process: asyncio.subprocess.Process
    log: Path
    environment: Mapping[str, str]
    connections: list[NatsBus] = field(default_factory=list)

    async def connect(self, user: str = "client") -> NatsBus:
        """Connect as one of the server's users."""
        if user == "client":
            url = json.loads((self.data_dir / "client.json").read_text())["nats_url"]
        else:
            url = NatsFolder(self.data_dir).settle().url_for(user)
        bus = await NatsBus.connect(url, name=f"test-{user}")
        self.connections.append(bus)
        return bus

    def children(self) -> dict[int, str]:
        """Return the pids of the services (and the nats-server) under `up`, with what each is."""
        found: dict[int, str] = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                command = child.cmdline()
            except psutil.Error:
                continue
            if "nats-server" in " ".join(command[:1]):
                found[child.pid] = "nats-server"
            elif "serve" in command:
                found[child.pid] = command[command.index("serve") + 1]
        return found

    async def evolvent(self, *arguments: str, check: bool = True) -> str:
        """Run a command of the command line against this platform; return its stdout."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "evolvent.platform.cli",
            *arguments,
            env={**self.environment, "EVOLVENT_DATA_DIR": str(self.data_dir)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if check and process.returncode:
            raise AssertionError(
                f"evolvent {' '.join(arguments)} ended with {process.returncode}: {err.decode()[-2000:]}"
            )
        return out.decode()


def environment(**more: str) -> dict[str, str]:
    """Return a clean environment for children: no settings of whoever runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVOLVENT_", "OPENAI_"))}
    return {**kept, "PYTHONPATH": str(TESTS), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **more}


@asynccontextmanager
async def platform_up(folder: Path, model_url: str, *arguments: str, **settings: str) -> AsyncIterator[Platform]:
    """Run `evolvent up`, wait until it is ready, and stop it afterwards as Ctrl-C would."""
    data_dir, log = folder / "data", folder / "up.log"
    effects = folder / "effects"
    effects.touch()
    env = environment(
        OPENAI_BASE_URL=model_url,
        OPENAI_API_KEY="sk-test",
        EVOLVENT_MODEL="scripted",
        EVOLVENT_PRICES=PRICES,
        EVOLVENT_TOOL_MODULES="support.effects",
        EFFECTS_FILE=str(effects),
        **settings,
    )
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "evolvent.platform.cli",
            "up",
            "--data-dir",
            str(data_dir),
            *arguments,
            env=env,
            stdout=output,
            stderr=output,
        )
    platform = Platform(data_dir, process, log, env)
    try:
        await wait_for(
            "client.json",
            lambda: (data_dir / "client.json").exists() or process.returncode is not None,
            seconds=90,
        )
        assert process.returncode is None, log.read_text()[-3000:]
        yield platform
    finally:
        for bus in platform.connections:
            await bus.close()
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(process.wait(), 25)
            except TimeoutError:
                process.kill()
                await process.wait()
                raise AssertionError(f"evolvent up did not stop within 25 s: {log.read_text()[-3000:]}") from None
