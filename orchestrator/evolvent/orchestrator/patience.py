"""Waiting for a neighbour that is away: services restart, and runs outlive that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from evolvent.events.clock import Clock
from evolvent.events.errors import EvolventError

T = TypeVar("T")
_SHORTEST_SECONDS = 0.05
_LONGEST_SECONDS = 1.0


async def patiently(attempt: Callable[[], Awaitable[T]], *, clock: Clock, limit_seconds: float) -> T:
    """Try again while the error is retryable, at growing distances; the call must be safe to repeat.

    Raises:
        EvolventError: the last error, once it is not retryable or the limit is over.
    """
    end = clock.monotonic() + limit_seconds
    wait = _SHORTEST_SECONDS
    while True:
        try:
            return await attempt()
        except EvolventError as error:
            if not error.info().retryable or clock.monotonic() + wait > end:
                raise
        await asyncio.sleep(wait)
        wait = min(_LONGEST_SECONDS, wait * 2)
