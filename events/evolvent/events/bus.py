"""The words of the bus: a delivery, an append, a call. `NatsBus` in `nats_bus.py` speaks them to a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

Headers = Mapping[str, str]
_EPOCH = datetime.fromtimestamp(0, UTC)
CoreHandler = Callable[["CoreMessage"], None]
CallHandler = Callable[["Call"], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class CoreMessage:
    """A message of core NATS: seen now or never."""

    subject: str
    data: bytes
    headers: Headers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A request to an endpoint. The handler's bytes are the reply."""

    subject: str
    data: bytes
    headers: Headers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it stands in a stream."""

    subject: str
    data: bytes
    sequence: int
    headers: Headers = field(default_factory=dict)
    time: datetime = _EPOCH


class Acker(Protocol):
    """How a delivery answers its server."""

    def __call__(self, reply: str, word: bytes) -> Awaitable[None]:
        """Send one ack word."""
        ...


@dataclass(slots=True)
class Delivery:
    """A message of a durable consumer, in hand until it is acked, given back, or `ack_wait` passes in silence.

    JetStream's words: `ack` it is done; `nak` give it again, after a delay; `term` never give it again;
    `in_progress` still at it. A lost ack means another delivery, so every handler is idempotent.
    """

    subject: str
    data: bytes
    headers: Headers
    sequence: int
    delivered: int
    stored_at: datetime
    reply: str
    acker: Acker
    settled: bool = False

    async def ack(self) -> None:
        """Say that the message is done."""
        await self._settle(b"+ACK")

    async def nak(self, delay_seconds: float = 0.0) -> None:
        """Give the message back, to be delivered again after a delay."""
        word = b"-NAK" if delay_seconds <= 0 else b'-NAK {"delay": %d}' % int(delay_seconds * 1e9)
        await self._settle(word)

    async def term(self, reason: str) -> None:
        """Say that nobody will ever handle this message."""
        await self._settle(b"+TERM " + reason.replace("\n", " ").encode()[:200])

    async def in_progress(self) -> None:
        """Keep the message for another `ack_wait`."""
        if not self.settled:
            await self.acker(self.reply, b"+WPI")

    async def _settle(self, word: bytes) -> None:
        if not self.settled:
            self.settled = True
            await self.acker(self.reply, word)
