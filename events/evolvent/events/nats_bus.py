"""The only door to nats-py: connect, publish, append, call, consume, key-value, and what JetStream stores.

What nats-py does not guard is guarded here: size including headers, subjects, endless reconnect, and a closed
connection, which ends the process so that its supervisor starts it anew (nats-py closes for good on most
server errors).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from pydantic_core import from_json

from evolvent.events.bus import CoreHandler, CoreMessage, Delivery, Headers, Stored
from evolvent.events.errors import BusUnavailable, CallTimeout, FenceLost, InvalidSubject, NoResponders, PayloadTooLarge
from evolvent.events.nats_admin import StreamAdmin
from evolvent.events.nats_calls import Caller, DirectClient
from evolvent.events.nats_endpoints import EndpointHost
from evolvent.events.nats_pull import Pull
from evolvent.events.streams import DurableSpec

_log = structlog.get_logger(__name__)
_FENCE_ERRORS = frozenset({10071, 10164})
_NO_SUBJECT = re.compile(r"[ \r\n\t]|\.\.")
_HEADER_SLACK = 512
PUBLISH_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Appended:
    """The server's receipt: stored on disk under this sequence."""

    stream: str
    sequence: int


class NatsBus:
    """One connection to a NATS server, under one user."""

    def __init__(self, client: DirectClient, *, inbox_prefix: str) -> None:
        self._client = client
        self._js = client.jetstream(timeout=PUBLISH_TIMEOUT_SECONDS)
        self._inbox_prefix = inbox_prefix
        self._caller = Caller(client, inbox_prefix)
        self._name = ""
        self._on_closed: Callable[[], None] | None = None
        self._closing = False
        self.admin = StreamAdmin(client)
        self._pulls: list[Pull] = []
        self._hosts: list[EndpointHost] = []
        self.on_reconnect: list[Callable[[], Awaitable[None]]] = []

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        name: str,
        on_closed: Callable[[], None] | None = None,
        timeout_seconds: float = 10.0,
    ) -> NatsBus:
        """Connect and stay connected.

        Args:
            url: `nats://user:password@host:port`; the user's inbox prefix is `_INBOX_<user>`.
            name: how the server shows this connection.
            on_closed: called when the connection is closed for good though nobody asked for it.
            timeout_seconds: how long to try the first time.

        Raises:
            BusUnavailable: no server answered in time.
        """
        client = DirectClient()
        user = urlsplit(url).username
        bus = cls(client, inbox_prefix=f"_INBOX_{user}" if user else "_INBOX")
        bus._name, bus._on_closed = name, on_closed
        try:
            await asyncio.wait_for(bus._open(url), timeout_seconds)
        except TimeoutError:
            raise BusUnavailable(
                f"No NATS server answered at {_hide(url)} within {timeout_seconds:g} s; start it, or check the address."
            ) from None
        return bus

    async def _open(self, url: str) -> None:
        options: dict[str, Any] = {
            "name": self._name,
            "inbox_prefix": self._inbox_prefix.encode(),
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.2,
            "connect_timeout": 2,
            "error_cb": self._failed,
            "closed_cb": self._closed,
            "reconnected_cb": self._reconnected,
            "drain_timeout": 3,
            "pending_size": 64 * 1024 * 1024,
            "ping_interval": 20,
            "skip_subject_validation": True,  # `_check` looks at them already
        }
        while True:
            try:
                await self._client.connect(url, **options)
                return
            except (OSError, nats.errors.Error, TimeoutError):
                await asyncio.sleep(0.1)

    async def _closed(self) -> None:
        if self._on_closed is not None and not self._closing:
            self._on_closed()

    async def _reconnected(self) -> None:
        _log.info("bus reconnected", connection=self._name)
        for pull in self._pulls:
            pull.reset()
        for callback in self.on_reconnect:
            await callback()

    async def _failed(self, error: Exception) -> None:
        _log.warning("bus error", connection=self._name, error=str(error) or type(error).__name__)

    @property
    def is_connected(self) -> bool:
        """Say whether the connection is up right now."""
        return bool(self._client.is_connected)

    async def close(self) -> None:
        """Flush and close; safe to call twice, and while the server is away."""
        if self._closing:
            return
        self._closing = True
        for pull in self._pulls:
            await pull.stop()
        for host in self._hosts:
            await host.stop()
        try:
            await self._client.drain()
        except (nats.errors.Error, TimeoutError):
            await self._client.close()

    async def flush(self) -> None:
        """Wait until the server has seen everything sent so far."""
        try:
            # nats-py sends its PING ahead of what is still pending, so one flush is no barrier and two are.
            await self._client.flush(timeout=int(PUBLISH_TIMEOUT_SECONDS))
            await self._client.flush(timeout=int(PUBLISH_TIMEOUT_SECONDS))
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable from error

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Publish on core NATS: whoever listens now hears it.

        Raises:
            PayloadTooLarge, InvalidSubject: nothing was sent.
            BusUnavailable: the client's buffer is full because the server is away.
        """
        self._check(subject, data, headers)
        try:
            await self._client.publish(subject, data, reply=reply, headers=dict(headers) if headers else None)
        except nats.errors.Error as error:
            raise BusUnavailable(f"{subject}: {error}") from error

    async def append(self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None) -> Appended:
        """Append to the stream that listens on a subject, and wait for the receipt.

        Raises:
            FenceLost: an expected sequence did not match; nothing was stored.
            BusUnavailable: no receipt; it may or may not be stored.
        """
        self._check(subject, data, headers)
        wait = PUBLISH_TIMEOUT_SECONDS
        try:
            receipt = from_json(
                await self._caller.call(subject, data, timeout_seconds=wait, silence_seconds=wait, headers=headers)
            )
        except (nats.errors.Error, CallTimeout, NoResponders) as error:
            raise BusUnavailable(f"{subject}: {error or type(error).__name__}") from error
        if (refused := receipt.get("error")) is None:
            return Appended(receipt["stream"], receipt["seq"])
        if refused.get("err_code") in _FENCE_ERRORS:
            raise FenceLost
        raise BusUnavailable(f"{subject}: {refused.get('description')}")

    async def call(
        self,
        subject: str,
        data: bytes,
        *,
        timeout_seconds: float = 5.0,
        silence_seconds: float = 3.5,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Call an endpoint; see `Caller.call` for what it raises."""
        self._check(subject, data, headers)
        try:
            return await self._caller.call(
                subject, data, timeout_seconds=timeout_seconds, silence_seconds=silence_seconds, headers=headers
            )
        except nats.errors.Error as error:
            raise BusUnavailable(f"{subject}: {error}") from error

    async def request_many(self, subject: str, data: bytes, *, window_seconds: float) -> list[CoreMessage]:
        """Send one request and collect every reply that comes within the window."""
        replies: list[CoreMessage] = []

        async def collect(message: Msg) -> None:
            if not (message.headers and message.headers.get("Status")):
                replies.append(_core(message))

        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=collect)
        await self.publish(subject, data, reply=inbox)
        await asyncio.sleep(window_seconds)
        await subscription.unsubscribe()
        return replies

    async def subscribe(self, subject: str, handler: CoreHandler, *, queue: str = "") -> Callable[[], Awaitable[None]]:
        """Hear every message on a subject from now on; return the function that ends it."""
        subscription = await self._client.hear(subject, lambda message: handler(_core(message)), queue=queue)

        async def stop() -> None:
            if not self._closing and self._client.is_connected:
                await subscription.unsubscribe()

        return stop

    async def host(self, name: str, *, version: str, description: str) -> EndpointHost:
        """Become a NATS micro service that `$SRV.PING|INFO|STATS` and `nats micro` can see."""
        host = await EndpointHost.start(self._client, name=name, version=version, description=description)
        self._hosts.append(host)
        return host

    async def pull(
        self, durable: DurableSpec, on_delivery: Callable[[Delivery], None], window: Callable[[], int]
    ) -> Pull:
        """Keep up to `window()` deliveries of a durable consumer coming."""
        pull = await Pull.start(self._client, durable, on_delivery, window)
        self._pulls.append(pull)
        return pull

    async def last_of(self, stream: str, subject: str) -> Stored | None:
        """Return the last message stored on a subject (wildcards allowed), or None."""
        try:
            raw = await self._js.get_msg(stream, subject=subject)
        except nats.js.errors.NotFoundError:
            return None
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(f"{stream}: {error or type(error).__name__}") from error
        return _stored(raw)

    async def next_of(self, stream: str, subject: str, from_sequence: int) -> Stored | None:
        """Return the first message on a subject (wildcards allowed) at or after a sequence, or None."""
        try:
            raw = await self._js.get_msg(stream, seq=max(1, from_sequence), subject=subject, next=True)
        except nats.js.errors.NotFoundError:
            return None
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(f"{stream}: {error or type(error).__name__}") from error
        return _stored(raw)

    async def read(self, stream: str, subject: str, *, from_sequence: int = 1) -> AsyncIterator[Stored]:
        """Yield the stored messages on a subject in order, as far as they go now."""
        sequence = from_sequence
        while (found := await self.next_of(stream, subject, sequence)) is not None:
            yield found
            sequence = found.sequence + 1

    def _check(self, subject: str, data: bytes, headers: Headers | None) -> None:
        size = len(data) + _HEADER_SLACK + (sum(len(k) + len(v) + 4 for k, v in headers.items()) if headers else 0)
        if size > self._client.max_payload:
            raise PayloadTooLarge(f"{len(data)} bytes for {subject[:100]} are more than the server takes; send less.")
        if len(subject) > 400 or not subject or _NO_SUBJECT.search(subject):
            raise InvalidSubject(f"{subject[:100]!r} is not a subject.")


def _hide(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 4222}"


def _core(message: Msg) -> CoreMessage:
    return CoreMessage(message.subject, message.data, message.headers or {})


def _stored(raw: nats.js.api.RawStreamMsg) -> Stored:
    time = raw.time if isinstance(raw.time, datetime) else datetime.fromtimestamp(0, UTC)
    return Stored(raw.subject or "", raw.data or b"", raw.seq or 0, raw.headers or {}, time)
