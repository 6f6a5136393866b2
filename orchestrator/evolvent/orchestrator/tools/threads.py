"""Threads for tools that are no coroutines.

A thread cannot be stopped: one that outlives its time limit runs on. So these are daemons (they never hold up the
process's end, as a pool's threads would), their number is limited, and a slot is freed only when its thread ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Mapping
from typing import Any

from evolvent.orchestrator.tools.refusals import ToolBusy


class Threads:
    """Runs functions in at most `most` threads at a time. Belongs to one event loop."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._slots = asyncio.Semaphore(most)

    async def run(
        self, function: Callable[..., object], arguments: Mapping[str, Any], *, wait_seconds: float
    ) -> object:
        """Run a function and return its result.

        Raises:
            ToolBusy: If no thread came free within `wait_seconds`; then the function was not called.
        """
        try:
            async with asyncio.timeout(wait_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise ToolBusy(
                f"All {self._most} threads for tools are taken; try again shortly. Nothing was done."
            ) from None
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            result: object = None
            failure: BaseException | None = None
            try:
                result = context.run(function, **arguments)
            except BaseException as error:  # noqa: BLE001 - it is handed to the caller, not lost
                failure = error
            # The loop may be closed by now; then nobody waits for this result.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._settle, future, result, failure)

        try:
            threading.Thread(target=work, name="tool", daemon=True).start()
        except RuntimeError:
            self._slots.release()
            raise ToolBusy("The machine gives no more threads; try again shortly. Nothing was done.") from None
        return await future

    def _settle(self, future: asyncio.Future[object], result: object, failure: BaseException | None) -> None:
        self._slots.release()
        if future.done():
            return
        if failure is None:
            future.set_result(result)
        elif isinstance(failure, StopIteration):
            future.set_exception(RuntimeError("the tool raised StopIteration"))
        else:
            future.set_exception(failure)
