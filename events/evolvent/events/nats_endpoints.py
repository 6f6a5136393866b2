"""Endpoints as NATS micro services, each call in a task of its own.

nats.micro runs one handler at a time for each endpoint and sends `repr(exception)` to the caller; here calls
run side by side, say that they are still working, and answer errors in their wire form only.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from nats.micro import add_service

from evolvent.events.bus import Call, CallHandler
from evolvent.events.errors import Category, ErrorInfo, EvolventError
from evolvent.events.nats_calls import ERROR, WORKING, WORKING_EVERY_SECONDS

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.micro.request import Request
    from nats.micro.service import Service as MicroService

_log = structlog.get_logger(__name__)


class EndpointHost:
    """One micro service and its endpoints."""

    def __init__(self, client: Client, service: MicroService) -> None:
        self._client = client
        self._service = service
        self._running: set[asyncio.Task[None]] = set()
        self._open = True

    @classmethod
    async def start(cls, client: Client, *, name: str, version: str, description: str) -> EndpointHost:
        """Announce the service."""
        service = await add_service(client, name=name, version=version, description=description)
        return cls(client, service)

    async def add(self, name: str, subject: str, handler: CallHandler, *, queue: str) -> None:
        """Answer calls on a subject; those of one queue share them."""

        async def take(request: Request) -> None:
            task = asyncio.get_running_loop().create_task(self._answer(request, handler))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        await self._service.add_endpoint(name=name, handler=take, subject=subject, queue_group=queue)

    @property
    def busy(self) -> bool:
        """Say whether a call is under way."""
        return bool(self._running)

    async def close_doors(self) -> None:
        """Take no more calls; those under way go on."""
        if not self._open:
            return
        self._open = False
        try:
            await self._service.stop()
        except Exception as error:  # noqa: BLE001  # the connection may be gone, and with it the subscriptions
            _log.debug("service stop failed", error=str(error))

    async def stop(self) -> None:
        """Take no more calls; those under way are ended."""
        await self.close_doors()
        for task in list(self._running):
            task.cancel()

    async def _answer(self, request: Request, handler: CallHandler) -> None:
        reply = request._msg.reply
        beat = _Beat(self._client, reply)
        try:
            data = await handler(Call(request.subject, request.data, request.headers or {}))
            await self._client.publish(reply, data)
        except EvolventError as error:
            await self._fail(reply, error.info())
        except Exception as error:  # noqa: BLE001  # the last line of defence: a call must be answered
            _log.exception("endpoint failed", subject=request.subject)
            message = f"{type(error).__name__} in {request.subject}; see the service's log."
            await self._fail(reply, ErrorInfo(code="internal", category=Category.SYSTEM, message=message))
        finally:
            beat.stop()

    async def _fail(self, reply: str, info: ErrorInfo) -> None:
        headers = {ERROR: info.code, "Nats-Service-Error": info.code, "Nats-Service-Error-Code": "500"}
        try:
            await self._client.publish(reply, info.model_dump_json().encode(), headers=headers)
        except Exception as error:  # noqa: BLE001  # the connection is gone; the caller takes silence for that
            _log.warning("could not answer", code=info.code, error=str(error))


class _Beat:
    """Says every second that the call is still worked on."""

    def __init__(self, client: Client, reply: str) -> None:
        self._client = client
        self._reply = reply
        self._sending: set[asyncio.Task[None]] = set()
        self._timer = asyncio.get_running_loop().call_later(WORKING_EVERY_SECONDS, self._beat)

    def stop(self) -> None:
        self._timer.cancel()

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._say())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        self._timer = loop.call_later(WORKING_EVERY_SECONDS, self._beat)

    async def _say(self) -> None:
        try:
            await self._client.publish(self._reply, b"", headers={WORKING: "1"})
        except Exception as error:  # noqa: BLE001  # the caller will take silence for death, which is right
            _log.debug("could not beat", error=str(error))
