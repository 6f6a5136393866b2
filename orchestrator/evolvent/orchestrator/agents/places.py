"""How many turns an agent makes at once: never more than its spec allows, whichever versions of it are at work."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from evolvent.events.language.agents import AgentSpec


class Places:
    """The places of all agents of one loader. All methods belong to one event loop."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def in_hand(self) -> dict[str, int]:
        """Return how many turns each agent makes now; those that make none are missing."""
        return dict(self._taken)

    @asynccontextmanager
    async def hold(self, spec: AgentSpec) -> AsyncIterator[None]:
        """Hold one place of an agent for as long as the block lasts; those who wait are served in order."""
        name = spec.agent_id
        if self._taken[name] >= spec.max_concurrent_tasks or self._waiting.get(name):
            await self._turn(name, spec.max_concurrent_tasks)
        self._taken[name] += 1
        try:
            yield
        finally:
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]
            self._wake(name)

    async def _turn(self, name: str, most: int) -> None:
        line = self._waiting.setdefault(name, deque())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            while True:
                await turn
                if self._taken[name] < most:
                    return
                turn = asyncio.get_running_loop().create_future()
                line[0] = turn
        finally:
            line.remove(turn)
            if not line and self._waiting.get(name) is line:
                del self._waiting[name]
            self._wake(name)  # there may be more than one place, and who was woken may have gone away

    def _wake(self, name: str) -> None:
        """Let the first in line look whether there is a place; it stays first until there is."""
        line = self._waiting.get(name)
        if line and not line[0].done():
            line[0].set_result(None)
