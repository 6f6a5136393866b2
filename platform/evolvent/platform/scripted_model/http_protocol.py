"""The little of HTTP/1.1 that the server needs: one request at a time per connection, kept alive, by hand.

A hand-written protocol because benchmarks measure Evolvent through this server: it must cost far less than what
it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

_LONGEST_HEAD = 64 * 1024
_LONGEST_BODY = 64 * 1024 * 1024
_REASONS = {200: "OK", 204: "No Content", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}


@dataclass(frozen=True)
class HttpRequest:
    """A request that was read to its end; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Disconnected(Exception):
    """The client has gone; nobody reads the rest."""


class Exchange:
    """The way back to one client."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chunked = False

    def send(self, status: int, body: bytes, *, content_type: str = "application/json", headers: str = "") -> None:
        """Send an answer in one piece; `headers` are whole lines."""
        self._write(_head(status, content_type, headers + f"content-length: {len(body)}\r\n") + body)

    def start(self, content_type: str, *, headers: str = "", length: int | None = None) -> None:
        """Begin a 200 whose body comes in pieces: chunked, or of a stated length."""
        self._chunked = length is None
        how = "transfer-encoding: chunked\r\n" if length is None else f"content-length: {length}\r\n"
        self._write(_head(200, content_type, headers + how))

    async def piece(self, data: bytes) -> None:
        """Send a piece of the body, waiting for a slow reader."""
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await self._connection.drained()

    def end(self) -> None:
        """End a chunked body."""
        if self._chunked:
            self._write(b"0\r\n\r\n")

    def abort(self) -> None:
        """Break the connection off."""
        self._connection.transport.abort()

    def _write(self, data: bytes) -> None:
        if self._connection.transport.is_closing():
            raise Disconnected
        self._connection.transport.write(data)


Handler = Callable[[HttpRequest, Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way back."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what is being answered: nobody reads it."""
        self._connections.discard(self)
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect bytes until a request is whole."""
        self._buffer += data
        if self._task is None:
            self._serve_next()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._writable = self._writable or asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    async def drained(self) -> None:
        """Wait until the client has read enough."""
        if self._writable is not None:
            await self._writable

    async def close(self) -> None:
        """Break off, and wait until the answer being written has ended."""
        self.transport.abort()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _serve_next(self) -> None:
        try:
            request = self._take()
        except ValueError:
            self.transport.write(_head(400, "text/plain", "content-length: 0\r\nconnection: close\r\n"))
            self.transport.close()
            return
        if request is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: HttpRequest) -> None:
        try:
            await self._handler(request, Exchange(self))
        except Disconnected:
            return
        finally:
            self._task = None
        if not self.transport.is_closing():
            self._serve_next()

    def _take(self) -> HttpRequest | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise ValueError("head too long")
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if "transfer-encoding" in headers or not 0 <= length <= _LONGEST_BODY:
            raise ValueError("only bodies of a stated length are read")
        whole = end + 4 + length
        if len(self._buffer) < whole:
            return None
        body = bytes(self._buffer[end + 4 : whole])
        del self._buffer[:whole]
        return HttpRequest(method, path, headers, body)


def _head(status: int, content_type: str, headers: str) -> bytes:
    reason = _REASONS.get(status, "Scripted")
    return f"HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n{headers}\r\n".encode("latin-1")
