"""Calls over core NATS that tell a slow service from a dead one.

A plain request cannot: it waits for its whole timeout. Here a service that is still working says so every second
(header `Evolvent-Working`), and a caller that hears nothing for `silence_seconds` gives up on it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from evolvent.events.errors import CallTimeout, Category, ErrorInfo, NoResponders, RemoteError

WORKING = "Evolvent-Working"
ERROR = "Evolvent-Error"
WORKING_EVERY_SECONDS = 1.0
_DOUBT_SECONDS = 0.25


_AT_ONCE = "_evolvent_at_once"


class DirectClient(Client):
    """nats-py's client with a shorter way in: no queue and no task switch for handlers that never wait.

    The two methods that it overrides are nats-py's own; where a newer one does without them, messages come by its
    usual way, and only slower.
    """

    async def hear(self, subject: str, handler: Callable[[Msg], None], *, queue: str = "") -> Subscription:
        """Subscribe a handler that is called as soon as a message is read."""

        async def by_the_queue(message: Msg) -> None:
            handler(message)

        subscription = await self.subscribe(
            subject,
            queue=queue,
            cb=by_the_queue,
            pending_msgs_limit=500_000,
            pending_bytes_limit=512 * 1024 * 1024,
        )
        setattr(subscription, _AT_ONCE, handler)
        return subscription

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        handler = getattr(self._subs.get(sid), _AT_ONCE, None)
        if handler is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        found = await self._process_headers(headers) if headers else None
        try:
            handler(self._build_message(sid, subject, reply, data, found))
        except Exception as error:  # noqa: BLE001  # one handler's failure must not end the reading of all others
            await self._error_cb(error)

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """Return the headers; what NATS servers and nats-py write needs no repair."""
        found: dict[str, str] = {}
        for line in raw.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon:
                found[name.decode("ascii", "replace")] = value.strip().decode("utf-8", "replace")
        return found


class _Waiting:
    """One call in flight."""

    __slots__ = ("future", "is_doubted", "last_heard")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[bytes] = loop.create_future()
        self.last_heard = loop.time()
        self.is_doubted = False


class Caller:
    """Sends calls and sorts their replies, over one subscription for the whole connection."""

    def __init__(self, client: DirectClient, inbox_prefix: str) -> None:
        self._client = client
        self._prefix = f"{inbox_prefix}.{client.new_inbox().rsplit('.', 1)[1]}"
        self._numbers = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}
        self._subscribed = False

    async def call(
        self,
        subject: str,
        data: bytes,
        *,
        timeout_seconds: float,
        silence_seconds: float = 3.5,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Send a request and return its reply.

        Raises:
            NoResponders: nobody listens; nothing was done.
            CallTimeout: no reply in time, or silence; the work may or may not have happened.
            RemoteError: the service answered with an error.
        """
        if not self._subscribed:
            self._subscribed = True
            await self._client.hear(f"{self._prefix}.*", self._on_reply)
        number = str(next(self._numbers))
        loop = asyncio.get_running_loop()
        waiting = self._waiting[number] = _Waiting(loop)
        deadline = loop.time() + timeout_seconds
        timer = loop.call_later(min(timeout_seconds, silence_seconds), self._check, number, deadline, silence_seconds)
        try:
            await self._client.publish(
                subject, data, reply=f"{self._prefix}.{number}", headers=dict(headers) if headers else None
            )
            return await waiting.future
        except CallTimeout as error:
            raise CallTimeout(f"{subject}: {error}") from None
        finally:
            timer.cancel()
            self._waiting.pop(number, None)

    def _check(self, number: str, deadline: float, silence: float) -> None:
        waiting = self._waiting.get(number)
        if waiting is None or waiting.future.done():
            return
        loop = waiting.future.get_loop()
        quiet_until = waiting.last_heard + silence
        if loop.time() >= deadline - 0.001:
            waiting.future.set_exception(CallTimeout("no answer before the deadline"))
        elif loop.time() < quiet_until - 0.001:
            waiting.is_doubted = False
            loop.call_later(min(deadline, quiet_until) - loop.time(), self._check, number, deadline, silence)
        elif not waiting.is_doubted:
            # Perhaps it was we who were busy, and what was said waits to be read: read first, then judge.
            waiting.is_doubted = True
            loop.call_later(_DOUBT_SECONDS, self._check, number, deadline, silence)
        else:
            waiting.future.set_exception(CallTimeout(f"silent for {silence:g} s"))

    def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rsplit(".", 1)[1])
        if waiting is None or waiting.future.done():
            return
        headers = message.headers
        if headers:
            if headers.get("Status") == "503":
                waiting.future.set_exception(NoResponders())
                return
            if WORKING in headers:
                waiting.last_heard = waiting.future.get_loop().time()
                return
            if ERROR in headers:
                waiting.future.set_exception(RemoteError(ErrorInfo.model_validate_json(message.data)))
                return
            if "Nats-Service-Error-Code" in headers:
                waiting.future.set_exception(RemoteError(_service_error(headers)))
                return
        waiting.future.set_result(message.data)


def _service_error(headers: Mapping[str, str]) -> ErrorInfo:
    return ErrorInfo(
        code="remote", category=Category.SYSTEM, message=headers.get("Nats-Service-Error", "the service failed")
    )
