"""Model text on its way to whoever listens now: the first piece at once, then pieces of 20 ms, never stored.

`{"run_id", "task_id", "turn", "text", "seq"}` on `evolvent.stream.<run_id>`. A missing `seq` says that text was left
out because the bus did not keep up; the whole text is in the run's journal.
"""

from __future__ import annotations

import asyncio
import json

from evolvent.events import subjects
from evolvent.events.errors import EvolventError
from evolvent.events.messages.calls import InvokeTurn
from evolvent.events.nats_bus import NatsBus

_GATHER_SECONDS = 0.02
_MOST_WAITING_CHARS = 256 * 1024
_MOST_PER_MESSAGE_CHARS = 32 * 1024


class TokenStream:
    """The stream of one model turn. `async with` it; what was written is sent when it ends."""

    def __init__(self, bus: NatsBus, call: InvokeTurn) -> None:
        self._bus = bus
        self._subject = subjects.stream(call.run_id)
        self._about = {"run_id": call.run_id, "task_id": call.task_id, "turn": call.turn}
        self._pieces: list[str] = []
        self._size = 0
        self._seq = 0
        self._has_text = asyncio.Event()
        self._ending = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    def write(self, text: str) -> None:
        """Take a piece of text; never waits."""
        if self._size + len(text) > _MOST_WAITING_CHARS:
            self._seq += 1
            return
        self._pieces.append(text)
        self._size += len(text)
        self._has_text.set()

    async def __aenter__(self) -> TokenStream:
        self._sender = asyncio.get_running_loop().create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        self._has_text.set()
        if self._sender is not None:
            try:
                await self._sender
            finally:
                self._sender.cancel()

    async def _send(self) -> None:
        while not (self._ending.is_set() and not self._pieces):
            await self._has_text.wait()
            self._has_text.clear()
            text, self._size = "".join(self._pieces), 0
            self._pieces.clear()
            for start in range(0, len(text), _MOST_PER_MESSAGE_CHARS):
                await self._publish(text[start : start + _MOST_PER_MESSAGE_CHARS])
            if not self._ending.is_set():
                await self._gather()

    async def _gather(self) -> None:
        try:
            async with asyncio.timeout(_GATHER_SECONDS):
                await self._ending.wait()
        except TimeoutError:
            return

    async def _publish(self, text: str) -> None:
        body = json.dumps({**self._about, "text": text, "seq": self._seq}, ensure_ascii=False)
        self._seq += 1
        try:
            await self._bus.publish(self._subject, body.encode("utf-8", "replace"))
        except EvolventError:
            return
