"""The nats-server that `evolvent up` brings with it: started, watched, restarted, stopped.

      start             child ended, or sick for SICK_CHECKS, or silent for SILENT_CHECKS checks
    ---------> running ------------------------------------------------------> waiting
                  ^                   after a pause that doubles                  |
                  +---------------------------------------------------------------+
                  | stop
                  v
               stopped

Sick means that /healthz answers 503: a disk error on a stream is sticky, only a restart heals it.
Shown in use by tests/integration/test_nats_server.py.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from evolvent.events.errors import Category, EvolventError
from evolvent.platform import nats_process
from evolvent.platform.nats_config import Durability
from evolvent.platform.nats_folder import NatsFolder, NatsState
from evolvent.platform.nats_process import NatsServerFailed
from evolvent.platform.private_files import try_lock

SICK_CHECKS = 3
SILENT_CHECKS = 10
_CHECK_SECONDS = 1.0
_POLL_SECONDS = 0.05
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_JETSTREAM_READY = "/healthz?js-enabled-only=true"
_log = structlog.get_logger(__name__)


class DataFolderInUse(EvolventError):
    """Another `evolvent up` runs on this data folder; stop it or choose another `--data-dir`. Nothing was started."""

    code, category = "data_folder.in_use", Category.RESOURCE


@dataclass(frozen=True, slots=True)
class Checkup:
    """How many health checks in a row went wrong, and in which way."""

    sick: int = 0
    silent: int = 0

    def after(self, status: int | None) -> Checkup:
        """Return the count after a check that answered with this HTTP status, or not at all."""
        if status is None:
            return Checkup(self.sick, self.silent + 1)
        return Checkup(self.sick + 1, 0) if status >= 500 else Checkup()

    @property
    def needs_restart(self) -> bool:
        """Whether waiting longer is of no use."""
        return self.sick >= SICK_CHECKS or self.silent >= SILENT_CHECKS


def next_pause(previous_seconds: float, lived_seconds: float) -> float:
    """Return how long to wait before a restart: doubled each time, from the start again after a steady minute."""
    if lived_seconds >= _STEADY_SECONDS or previous_seconds == 0:
        return _FIRST_PAUSE_SECONDS
    return min(previous_seconds * 2, _LONGEST_PAUSE_SECONDS)


class EmbeddedNats:
    """The nats-server of one data folder, for as long as this object is started.

    Only one at a time may hold a data folder. Everything here must be called from the event loop of the main
    thread: the server dies with the thread that started it.
    """

    def __init__(self, data_dir: Path, *, durability: Durability = "power", ready_within_seconds: float = 30.0) -> None:
        self._folder = NatsFolder(data_dir)
        self._durability: Durability = durability
        self._ready_within_seconds = ready_within_seconds
        self._state: NatsState | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._watching: asyncio.Task[None] | None = None
        self.restarts = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """The process id of the server now."""
        if self._child is None:
            raise NatsServerFailed("The nats-server is not started; call `start()` first.")
        return self._child.pid

    @property
    def monitor_url(self) -> str:
        """Where the server's monitoring pages are."""
        return f"http://127.0.0.1:{self._started().monitor_port}"

    def url_for(self, user: str) -> str:
        """Return the URL, password and all, under which a service or client connects."""
        return self._started().url_for(user)

    async def start(self) -> None:
        """Start the server and return when JetStream is ready.

        Raises:
            DataFolderInUse: another process holds this data folder.
            PortTaken: a stranger listens on a kept port.
            NatsServerFailed: the server ended or did not become ready; the message has its last words.
        """
        self._folder.open()
        self._lock = try_lock(self._folder.lock_file)
        if self._lock is None:
            raise DataFolderInUse(
                f"Another `evolvent up` runs on {self._folder.data_dir}; stop it or choose another `--data-dir`."
            )
        try:
            leftover = await asyncio.to_thread(nats_process.reap_leftover, self._folder)
            if leftover is not None:
                _log.warning("ended a nats-server left behind by a crash", pid=leftover)
            state = self._state = self._folder.settle(self._durability)
            self._folder.require_free_ports(state)
            await self._launch()
        except BaseException:
            await self.stop()
            raise
        self._watching = asyncio.create_task(self._supervise(), name="nats-server supervisor")

    async def stop(self) -> None:
        """Stop the server and let the data folder go; nothing is removed."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None
        if self._child is not None:
            await asyncio.to_thread(nats_process.end, self._child)
            self._child = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def add_client(self, name: str) -> str:
        """Let one more client in, without a restart; return its URL. Its file is `clients/NAME.json`."""
        self._state = await asyncio.to_thread(add_client, self._folder.data_dir, name)
        return self._state.url_for(name)

    async def remove_client(self, name: str) -> None:
        """Shut a client out, its open connections too."""
        self._state = await asyncio.to_thread(remove_client, self._folder.data_dir, name)

    def list_clients(self) -> tuple[str, ...]:
        """Return the names of the clients that were added."""
        return self._folder.clients()

    def write_connection_files(self, extra: Mapping[str, object]) -> None:
        """Write client.json and operator.json, by which commands find this platform.

        Args:
            extra: further entries, such as `metrics_url` and `console_url`; `pid` is this process unless given.
        """
        self._folder.write_connection_files(self._started(), {"pid": os.getpid(), **extra})

    def _started(self) -> NatsState:
        if self._state is None:
            raise NatsServerFailed("The nats-server is not started; call `start()` first.")
        return self._state

    async def _launch(self) -> None:
        state = self._started()
        child = self._child = nats_process.spawn(self._folder)
        deadline = time.monotonic() + self._ready_within_seconds
        while await asyncio.to_thread(nats_process.health, state.monitor_port, _JETSTREAM_READY) != 200:
            if child.poll() is not None:
                raise NatsServerFailed(f"nats-server ended at start: {nats_process.last_words(self._folder)}")
            if time.monotonic() > deadline:
                raise NatsServerFailed(f"nats-server was not ready in time; see {self._folder.log_file}.")
            await asyncio.sleep(_POLL_SECONDS / 5)
        await self._require_durability(state)

    async def _require_durability(self, state: NatsState) -> None:
        """Believe the server and not the file: what was acknowledged must survive a power cut."""
        if state.durability == "power":
            page = await asyncio.to_thread(nats_process.varz, state.monitor_port)
            if not page.get("jetstream", {}).get("config", {}).get("sync_always"):
                raise NatsServerFailed("nats-server does not sync every write; use nats-server 2.12 or newer.")

    async def _supervise(self) -> None:
        pause = 0.0
        while self._child is not None:
            began = time.monotonic()
            reason = await self._until_broken(self._child)
            pause = next_pause(pause, time.monotonic() - began)
            _log.error("restarting the nats-server", reason=reason, pause_seconds=pause)
            await asyncio.to_thread(nats_process.end, self._child)
            await asyncio.sleep(pause)
            try:
                await self._launch()
                self.restarts += 1
            except EvolventError as error:
                _log.error("the nats-server did not come back", error=str(error))

    async def _until_broken(self, child: subprocess.Popen[bytes]) -> str:
        """Return why this child must be replaced, once it must."""
        checkup, next_check = Checkup(), time.monotonic() + _CHECK_SECONDS
        while child.poll() is None:
            await asyncio.sleep(_POLL_SECONDS)
            if time.monotonic() < next_check:
                continue
            status = await asyncio.to_thread(nats_process.health, self._started().monitor_port)
            checkup, next_check = checkup.after(status), time.monotonic() + _CHECK_SECONDS
            if checkup.needs_restart:
                return f"unhealthy: {checkup}"
        return f"ended with status {child.returncode}"


def add_client(data_dir: Path, name: str) -> NatsState:
    """Add a client to a data folder; a server that runs there, in this process or another, lets it in at once."""
    folder = NatsFolder(data_dir)
    state = folder.add_client(name)
    nats_process.reload(folder, state.monitor_port)
    return state


def remove_client(data_dir: Path, name: str) -> NatsState:
    """Remove a client from a data folder; a server that runs there shuts it out at once."""
    folder = NatsFolder(data_dir)
    state = folder.remove_client(name)
    nats_process.reload(folder, state.monitor_port)
    return state
