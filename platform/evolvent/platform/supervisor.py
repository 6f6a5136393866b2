"""One process for each service, started anew when it dies, with the nats-server beside them (`up --processes`).

      start          it died               a pause that doubles, 0.1 s to 5 s
    --------> running -------> waiting ------------------------------------> running
                 | stop: SIGTERM, the intake first; SIGKILL after STOP_SECONDS
                 v
              stopped

Children die with this process: each asks the kernel for that, and looks whether its parent is still the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from evolvent.events.errors import ConfigInvalid
from evolvent.platform.bootstrap import BUILDERS, check_services
from evolvent.platform.running import Addresses, nats, stop_signal
from evolvent.platform.settings import Settings

READY = "ready "
PARENT_VARIABLE = "EVOLVENT_SUPERVISED_BY"
_FIRST_PAUSE, _LONGEST_PAUSE, _STEADY_SECONDS = 0.1, 5.0, 30.0
_DEATHS_TO_TELL = 5
_STOP_SECONDS = 14.0
_log = structlog.get_logger(__name__)


def parse_scale(text: str | None) -> dict[str, int]:
    """Return how many of each service there shall be: `loader=2,orchestrator=3`.

    Raises:
        ConfigInvalid: it is not written so.
    """
    counts: dict[str, int] = {}
    for part in (text or "").split(","):
        name, _, count = part.strip().partition("=")
        if not name:
            continue
        if not count.isdigit() or int(count) < 1:
            raise ConfigInvalid(f"--scale {part!r} cannot be read; write it like loader=2,orchestrator=3.")
        check_services([name])
        if name == "metrics" and int(count) > 1:
            raise ConfigInvalid("--scale cannot multiply metrics: two would each count everything.")
        counts[name] = int(count)
    return counts


def next_pause(previous_seconds: float, lived_seconds: float) -> float:
    """Return how long to wait before a restart: doubled each time, from the start again after a steady life."""
    if previous_seconds == 0 or lived_seconds >= _STEADY_SECONDS:
        return _FIRST_PAUSE
    return min(previous_seconds * 2, _LONGEST_PAUSE)


@dataclass(slots=True)
class Child:
    """One service process and its restarts."""

    service: str
    number: int
    environment: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    stopping: bool = False
    deaths: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    addresses: Addresses = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How this child is called in logs."""
        return f"{self.service}#{self.number}"

    async def supervise(self) -> None:
        """Keep the service running until it is stopped."""
        pause = 0.0
        while not self.stopping:
            began = time.monotonic()
            code = await self._live()
            if self.stopping:
                return
            lived = time.monotonic() - began
            pause = next_pause(pause, lived)
            self.deaths = 1 if lived >= _STEADY_SECONDS else self.deaths + 1
            _log.error("a service died", service=self.label, exit_code=code, pause_seconds=pause)
            if self.deaths == _DEATHS_TO_TELL:
                _log.error(
                    "a service keeps dying; its own lines above say why, and `evolvent doctor` may know the remedy",
                    service=self.label,
                    deaths=self.deaths,
                )
            await asyncio.sleep(pause)

    async def stop(self, within_seconds: float) -> None:
        """Ask the process to end, and end it if it does not in time."""
        self.stopping = True
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), within_seconds)
        except TimeoutError:
            _log.warning("killed, since it did not stop", service=self.label)
            process.kill()
            await process.wait()

    async def _live(self) -> int:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "evolvent.platform.cli",
            "serve",
            self.service,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
            start_new_session=True,
        )
        if self.stopping:
            self.process.terminate()
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if line.startswith(READY.encode()):
                self.addresses = json.loads(line.removeprefix(READY.encode()))
                self.ready.set()
        return await self.process.wait()


async def run_processes(
    settings: Settings,
    names: Sequence[str],
    scale: Mapping[str, int],
    environment: Mapping[str, str],
    on_ready: Callable[[str], None],
) -> int:
    """Run every service as processes of its own beside the nats-server.

    Args:
        settings: what the nats-server needs; the children read theirs themselves.
        names: which services.
        scale: how many of each; one where it says nothing.
        environment: what tells the children which settings to read.
        on_ready: called with where it listens once every child is ready.
    """
    stopping = stop_signal()
    async with nats(settings) as server:
        known = {**environment, PARENT_VARIABLE: str(os.getpid())}
        ordered = [name for name in BUILDERS if name in names]
        children = [Child(name, i + 1, known) for name in ordered for i in range(scale.get(name, 1))]
        keeping = [asyncio.create_task(child.supervise(), name=child.label) for child in children]
        try:
            telling = asyncio.create_task(_tell(children, lambda found: on_ready(server.announce(found))))
            await stopping.wait()
            telling.cancel()
        finally:
            await _stop(children)
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
    return 0


async def _tell(children: Sequence[Child], on_ready: Callable[[Addresses], None]) -> None:
    addresses: Addresses = {}
    for child in children:
        await child.ready.wait()
        addresses |= child.addresses
    on_ready(addresses)


async def _stop(children: Sequence[Child]) -> None:
    """Stop the intake first, so that what is under way can still be finished by the others."""
    began = time.monotonic()
    for child in children:
        child.stopping = True
    intake = [child for child in children if child.service == "orchestrator"]
    rest = [child for child in children if child.service != "orchestrator"]
    for some in (intake, rest):
        left = max(1.0, _STOP_SECONDS - (time.monotonic() - began))
        await asyncio.gather(*(child.stop(left) for child in some))


def die_with_parent() -> None:
    """In a child: end when the supervisor does, however it ends. Does nothing for a service started by hand."""
    parent = os.environ.get(PARENT_VARIABLE)
    if not parent:
        return
    if sys.platform == "linux":
        import ctypes  # only here, and only on Linux

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != int(parent):
        raise SystemExit("the supervisor has gone")
