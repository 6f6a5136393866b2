"""A pull consumer that keeps a window of messages coming, without a round trip for each.

nats-py's own `fetch` asks twice for a quiet stream and holds its caller; here deliveries arrive by callback, and
requests are renewed as they are used up, expire, or get lost with a server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from evolvent.events.bus import Delivery
from evolvent.events.nats_calls import DirectClient
from evolvent.events.streams import DurableSpec

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

_log = structlog.get_logger(__name__)
_EXPIRES_SECONDS = 10.0


class Pull:
    """Deliveries of one durable consumer, at most `window()` of them asked for at any time."""

    def __init__(
        self,
        client: DirectClient,
        durable: DurableSpec,
        on_delivery: Callable[[Delivery], None],
        window: Callable[[], int],
    ) -> None:
        self._client = client
        self._durable = durable
        self._on_delivery = on_delivery
        self._window = window
        self._asked = 0
        self._stopped = False
        self._subscription: Subscription | None = None
        self._inbox = client.new_inbox()
        self._renewal: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(
        cls,
        client: DirectClient,
        durable: DurableSpec,
        on_delivery: Callable[[Delivery], None],
        window: Callable[[], int],
    ) -> Pull:
        """Subscribe and ask for the first messages."""
        pull = cls(client, durable, on_delivery, window)
        pull._subscription = await client.hear(pull._inbox, pull._on_message)
        pull._watch()
        pull.top_up()
        return pull

    def top_up(self) -> None:
        """Ask for as many messages as the window has room for, unless most of them are asked for already."""
        room = self._window()
        if self._stopped or room <= 0 or self._asked * 2 > room:
            return
        want = room - self._asked
        self._asked += want
        body = json.dumps({"batch": want, "expires": int(_EXPIRES_SECONDS * 1e9)}).encode()
        task = asyncio.get_running_loop().create_task(self._ask(body, want))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def reset(self) -> None:
        """Forget what was asked for: the server that was to answer is another one now."""
        self._asked = 0
        self.top_up()

    async def stop(self) -> None:
        """Ask for no more. Stopping twice does nothing."""
        if self._stopped:
            return
        self._stopped = True
        if self._renewal is not None:
            self._renewal.cancel()
        if self._subscription is not None and self._client.is_connected:
            try:
                await self._subscription.unsubscribe()
            except Exception as error:  # noqa: BLE001  # a connection that closes meanwhile has no subscription to end
                _log.debug("unsubscribe failed", error=str(error))

    async def _ask(self, body: bytes, want: int) -> None:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._durable.stream}.{self._durable.name}"
        try:
            await self._client.publish(subject, body, reply=self._inbox)
        except Exception as error:  # noqa: BLE001  # asked again by the watch, whatever it was
            self._asked = max(0, self._asked - want)
            _log.debug("pull failed", durable=self._durable.name, error=str(error))

    def _watch(self) -> None:
        """Renew everything now and then: a request that was lost would otherwise never be missed."""
        if self._stopped:
            return
        self._asked = 0
        self.top_up()
        self._renewal = asyncio.get_running_loop().call_later(_EXPIRES_SECONDS + 0.5, self._watch)

    def _on_message(self, message: Msg) -> None:
        if message.headers and "Status" in message.headers:
            self._on_status(message.headers)
        elif not self._stopped:
            self._asked = max(0, self._asked - 1)
            self._on_delivery(self._delivery(message))
            self.top_up()

    def _on_status(self, headers: dict[str, str]) -> None:
        unanswered = int(headers.get("Nats-Pending-Messages", "0") or 0)
        self._asked = max(0, self._asked - unanswered)
        if headers["Status"] == "409" and "Consumer Deleted" in headers.get("Description", ""):
            _log.warning("consumer deleted", durable=self._durable.name)
            return
        asyncio.get_running_loop().call_later(0.05, self.top_up)

    def _delivery(self, message: Msg) -> Delivery:
        # $JS.ACK[.<domain>.<account>].<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
        parts = message.reply.split(".")
        at = 2 if len(parts) < 11 else 4
        return Delivery(
            subject=message.subject,
            data=message.data,
            headers=message.headers or {},
            sequence=int(parts[at + 3]),
            delivered=int(parts[at + 2]),
            stored_at=datetime.fromtimestamp(int(parts[at + 5]) / 1e9, UTC),
            reply=message.reply,
            acker=self._acknowledge,
        )

    async def _acknowledge(self, reply: str, word: bytes) -> None:
        try:
            await self._client.publish(reply, word)
        except Exception as error:  # noqa: BLE001  # a lost ack is another delivery, which every handler survives
            _log.debug("ack lost", durable=self._durable.name, error=str(error))
