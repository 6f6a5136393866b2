"""Runs foreign code within a time limit, and tells its failures from a cancellation of our own task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


class Raised(Exception):
    """Foreign code ended with an error; `error` is what it raised, `is_late` whether its time had run out."""

    def __init__(self, error: BaseException, *, is_late: bool) -> None:
        super().__init__(type(error).__name__)
        self.error = error
        self.is_late = is_late


async def bounded(work: Awaitable[object], seconds: float) -> object:
    """Await foreign code, and return what it returned.

    Raises:
        Raised: Whatever it raised, or its time ran out.
        CancelledError: Our own task was cancelled, even where the foreign code hid that.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            result = await work
    except (KeyboardInterrupt, GeneratorExit):
        raise
    # Tools are foreign code, and whatever they raise is their outcome.
    except BaseException as error:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise Raised(error, is_late=limit.expired()) from error
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return result
