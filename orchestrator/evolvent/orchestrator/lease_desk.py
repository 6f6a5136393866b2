"""Where leases are asked for: granted at once, refused at once for money, or in line for a slot.

A line moves when this process hears of a settlement, and every 50 ms for those that other processes heard of. Only
the first in a line asks the ledger then; when it gets through, more follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any

import structlog

from evolvent.events.clock import Clock
from evolvent.events.errors import EvolventError
from evolvent.events.subjects import Priority
from evolvent.orchestrator.budgets import RANKS, WAITABLE, Waiter, WaitingLines
from evolvent.storage.leases import Granted, LeaseAsk, Limit, Refused
from evolvent.storage.ledger import Ledger

_log = structlog.get_logger(__name__)
POLL_SECONDS = 0.05
_AT_ONCE = 32
_PAUSE_SECONDS = 0.5


@dataclass(eq=False, slots=True)
class _Asked:
    """What somebody in line asked for, and who hears the answer."""

    ask: LeaseAsk
    answer: asyncio.Future[Granted | Refused]
    refused: Refused | None = None


class LeaseDesk:
    """Grants leases in the order of priority and arrival."""

    def __init__(self, ledger: Ledger, clock: Clock, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._spawn = spawn
        self._lines: WaitingLines[_Asked] = WaitingLines()
        self._opens_at: dict[Hashable, float] = {}
        self._woken = asyncio.Event()
        self._serving = False

    @property
    def waiting(self) -> int:
        """How many stand in line here."""
        return len(self._lines)

    def wake(self) -> None:
        """Say that a slot may be free."""
        self._woken.set()

    async def ask(self, ask: LeaseAsk, *, priority: Priority, wait_seconds: float) -> Granted | Refused:
        """Return a lease, or the limit that forbids it, after waiting for a slot as long as that may take."""
        rank = RANKS[priority]
        line = await self._line_before(ask, rank)
        refused: Refused | None = None
        if line is None:
            answer = await self._ledger.lease(ask)
            if isinstance(answer, Granted) or answer.limit not in WAITABLE:
                return answer
            refused, line = answer, self._line_of(answer, ask)
        if wait_seconds <= 0:
            return refused or await self._full(ask)
        return await self._wait(
            _Asked(ask, asyncio.get_running_loop().create_future(), refused), line, rank, wait_seconds
        )

    async def _wait(self, asked: _Asked, line: Hashable, rank: int, wait_seconds: float) -> Granted | Refused:
        waiter = self._lines.join(line, asked, rank=rank, name=asked.ask.lease_id)
        if not self._serving:
            self._serving = True
            self._spawn(self._serve())
        try:
            async with asyncio.timeout(wait_seconds):
                answer = await asked.answer
            self._lines.forget(asked.ask.lease_id)
            return answer
        except TimeoutError:
            return asked.refused or await self._full(asked.ask)
        finally:
            self._lines.leave(waiter)

    async def _line_before(self, ask: LeaseAsk, rank: int) -> Hashable | None:
        """Return the line in which somebody goes before this ask, so that it may not try at once."""
        if self._lines.is_empty:
            return None
        budget = (await self._ledger.limits(ask.goal)).goal
        for line in ((Limit.CONCURRENT, budget), (Limit.RATE, ask.model)):
            if self._lines.has_before(line, rank):
                return line
        return None

    def _line_of(self, refused: Refused, ask: LeaseAsk) -> Hashable:
        if refused.limit is not Limit.RATE:
            return (Limit.CONCURRENT, refused.goal)
        line = (Limit.RATE, ask.model)
        self._opens_at[line] = self._clock.monotonic() + (refused.retry_after_seconds or 0.0)
        return line

    async def _full(self, ask: LeaseAsk) -> Refused:
        limits = await self._ledger.limits(ask.goal)
        return Refused(ask.lease_id, limits.goal, Limit.CONCURRENT, limits.max_concurrent, limits.max_concurrent)

    async def _serve(self) -> None:
        """Move the lines for as long as somebody stands in one."""
        most = 1
        try:
            while len(self._lines):
                self._woken.clear()
                if await self._serve_heads(most):
                    most = _AT_ONCE
                    continue
                most = 1
                await self._next_occasion()
        finally:
            self._serving = False
            self._opens_at.clear()

    async def _next_occasion(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _serve_heads(self, most: int) -> bool:
        """Ask the ledger for those who stand first; say whether anything moved."""
        now = self._clock.monotonic()
        closed = frozenset(line for line, opens_at in self._opens_at.items() if opens_at > now)
        heads = self._lines.heads(most, closed=closed)
        answers = await asyncio.gather(*(self._ledger.lease(w.item.ask) for w in heads), return_exceptions=True)
        moved = [self._hear(waiter, answer) for waiter, answer in zip(heads, answers, strict=True)]
        if any(isinstance(answer, BaseException) for answer in answers):
            await asyncio.sleep(_PAUSE_SECONDS)
        return any(moved)

    def _hear(self, waiter: Waiter[_Asked], answer: Granted | Refused | BaseException) -> bool:
        asked = waiter.item
        if isinstance(answer, BaseException):
            if isinstance(answer, EvolventError) and answer.retryable:
                _log.warning("the ledger does not answer", error=str(answer))
                return False
            if not asked.answer.done():
                asked.answer.set_exception(answer)
        elif isinstance(answer, Refused) and answer.limit in WAITABLE:
            asked.refused = answer
            line = self._line_of(answer, asked.ask)
            if line == waiter.line or asked.answer.done():
                return False
            self._lines.move(waiter, line)
            return True
        elif not asked.answer.done():
            asked.answer.set_result(answer)
        self._lines.leave(waiter)
        return True
