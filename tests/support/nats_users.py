"""Connections to a real nats-server as any of its users, with what the server refused them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import nats
from nats.aio.client import Client

from evolvent.platform.nats_server import EmbeddedNats


@dataclass
class User:
    """One user's connection; `refusals` are the permission violations that the server told it of."""

    name: str
    client: Client
    refusals: list[str] = field(default_factory=list)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    reconnected: asyncio.Event = field(default_factory=asyncio.Event)

    async def settled(self) -> None:
        """Return when the server has read all that was sent and its refusals are in `refusals`."""
        # nats-py writes the PING of a flush ahead of what is still pending; the second one comes after it.
        await self.client.flush()
        await self.client.flush()

    async def may_publish(self, subject: str) -> bool:
        """Publish nothing to a subject and say whether the server took it."""
        self.refusals.clear()
        await self.client.publish(subject, b"")
        await self.settled()
        return not self.refusals

    async def may_subscribe(self, subject: str) -> bool:
        """Subscribe for a moment and say whether the server allowed it."""
        self.refusals.clear()
        subscription = await self.client.subscribe(subject)
        await self.settled()
        await subscription.unsubscribe()
        return not self.refusals


@asynccontextmanager
async def connected(server: EmbeddedNats, name: str) -> AsyncIterator[User]:
    """Connect as this user, reconnecting without end."""
    user = User(name, Client())

    async def on_error(error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            user.refusals.append(str(error))

    async def on_disconnect() -> None:
        user.disconnected.set()

    async def on_reconnect() -> None:
        user.reconnected.set()

    user.client = await nats.connect(
        server.url_for(name),
        inbox_prefix=f"_INBOX_{name}".encode(),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.05,
        error_cb=on_error,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
    )
    try:
        yield user
    finally:
        await user.client.close()
