"""Services in this process until somebody stops them: with the nats-server beside them, or without.

     start ──▶ ready ──SIGTERM, SIGINT──▶ stopping ──▶ 0
                 └── a connection closed for good ──▶ stopping ──▶ 1

A second signal does not wait.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from evolvent.platform.bootstrap import Assembly, ensure_streams
from evolvent.platform.connection import NotRunning, forget_connection, write_external
from evolvent.platform.nats_folder import NatsFolder
from evolvent.platform.nats_grants import BOOTSTRAP_USER
from evolvent.platform.nats_server import EmbeddedNats
from evolvent.platform.settings import Settings

_KILLED = 137
_SWITCH_SECONDS = 0.0005
"""How long a database thread may keep the event loop waiting for the interpreter; 5 ms would be Python's own choice."""
Addresses = dict[str, object]
"""Where else than on the bus a platform listens, by the keys of client.json."""


def run_until_stopped(work: Coroutine[Any, Any, int]) -> int:
    """Run on the fastest event loop there is; return the exit code."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        import uvloop  # optional: not there on every system
    except ImportError:
        return asyncio.run(work)
    return int(uvloop.run(work))


def stop_signal() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets; the second one ends the process at once."""
    stopping = asyncio.Event()

    def asked() -> None:
        if stopping.is_set():
            os._exit(_KILLED)
        stopping.set()

    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, asked)
    return stopping


async def run_together(settings: Settings, names: Sequence[str], on_ready: Callable[[str], None]) -> int:
    """Run services beside the nats-server, all in this process (`evolvent up`)."""
    stopping = stop_signal()
    async with nats(settings) as server:

        def told(addresses: Addresses) -> None:
            on_ready(server.announce(addresses))

        return await _until(stopping, settings, names, server.url_for, told)


async def run_alone(settings: Settings, name: str, on_ready: Callable[[Addresses], None]) -> int:
    """Run one service of a platform whose nats-server runs elsewhere (`evolvent serve`)."""
    return await _until(stop_signal(), settings, [name], url_source(settings), on_ready)


async def _until(
    stopping: asyncio.Event,
    settings: Settings,
    names: Sequence[str],
    url_for: Callable[[str], str],
    on_ready: Callable[[Addresses], None],
) -> int:
    assembly = Assembly(settings, names, url_for)
    await assembly.start()
    try:
        on_ready(assembly.addresses)
        waits = [asyncio.ensure_future(event.wait()) for event in (stopping, assembly.broken)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    finally:
        await assembly.stop()
    return 1 if assembly.broken.is_set() and not stopping.is_set() else 0


class Server:
    """The NATS server that a platform stands on: our own, or somebody else's."""

    def __init__(self, settings: Settings, embedded: EmbeddedNats | None) -> None:
        self._settings = settings
        self._embedded = embedded

    def url_for(self, user: str) -> str:
        """Return the URL under which a service connects."""
        if self._embedded is not None:
            return self._embedded.url_for(user)
        assert self._settings.nats is not None
        return self._settings.nats.get_secret_value()

    def announce(self, extra: Addresses) -> str:
        """Write how commands find this platform; return a sentence about where it listens."""
        folder = self._settings.data_dir
        extra = {**extra, "database": self._settings.database_url}
        if self._embedded is None:
            write_external(folder, self.url_for(""), extra)
            return f"evolvent is ready on an external NATS server; data folder {folder}"
        self._embedded.write_connection_files(extra)
        address = self._embedded.url_for("client").rsplit("@", 1)[1]
        return f"evolvent is ready on nats://{address}; how to connect stands in {folder / 'client.json'}"


@asynccontextmanager
async def nats(settings: Settings) -> AsyncIterator[Server]:
    """Have a NATS server with all streams for as long as the context lasts; commands find it only meanwhile."""
    if settings.nats is not None:
        await ensure_streams(settings, settings.nats.get_secret_value())
        try:
            yield Server(settings, None)
        finally:
            forget_connection(settings.data_dir)
        return
    async with EmbeddedNats(settings.data_dir, durability=settings.durability) as embedded:
        forget_connection(settings.data_dir)
        await ensure_streams(settings, embedded.url_for(BOOTSTRAP_USER))
        try:
            yield Server(settings, embedded)
        finally:
            forget_connection(settings.data_dir)


def url_source(settings: Settings) -> Callable[[str], str]:
    """Return how a service that runs alone connects: to the given server, or to the data folder's.

    Raises:
        NotRunning: no nats-server ever ran on this data folder.
    """
    if settings.nats is not None:
        url = settings.nats.get_secret_value()
        return lambda _user: url
    state = NatsFolder(settings.data_dir).kept()
    if state is None:
        raise NotRunning(
            f"No nats-server has run on {settings.data_dir}; start `evolvent up` there, or name one with --nats."
        )
    return state.url_for
