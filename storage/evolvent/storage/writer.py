"""One writer with group commit: everything that waits while a commit runs goes into the next one.

No timer and no linger: under load the batches form by themselves, and an idle caller pays one commit.

    run(fn) ─┐                      ┌─ fn(conn) ─┐
    each(fn) ┴▶ queue ▶ thread ▶ BEGIN           COMMIT ▶ futures resolve
                                    └─ fn(conn) ─┘
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from evolvent.events.errors import EvolventError
from evolvent.storage.errors import StorageClosed
from evolvent.storage.failures import Failure, diagnose, is_foreign, is_transient, pause_seconds, translated

T = TypeVar("T")
A = TypeVar("A")
_ALONE = object()


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[..., Any]
    item: object
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


@dataclass(slots=True)
class _Outcome:
    job: _Job
    value: Any = None
    error: BaseException | None = None


class GroupWriter:
    """A thread that owns one connection and commits in groups.

    What it is given may be executed more than once (a neighbour failed, the database was busy, the connection was lost
    while committing), so it does nothing but SQL and is idempotent.
    """

    def __init__(self, engine: Engine, *, name: str, cap: int = 200, deadline_seconds: float = 30.0) -> None:
        self._engine = engine
        self._cap = cap
        self._deadline_seconds = deadline_seconds
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._name = name
        self._thread: threading.Thread | None = None
        self._conn: Connection | None = None
        self.commits = 0
        self.operations = 0

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Execute `work` inside a write transaction and return its result once that is committed.

        Raises:
            StorageUnavailable: the database stayed busy or gone until the deadline; or what `work` raised.
        """
        result: T = await self._submit(work, _ALONE)
        return result

    async def each(self, work: Callable[[Connection, Sequence[A]], Sequence[T]], item: A) -> T:
        """Execute `work` with this item and all others that wait for the same `work`; return this item's result."""
        result: T = await self._submit(work, item)
        return result

    async def close(self) -> None:
        """Commit what is queued, then give the connection back. Later calls raise StorageClosed."""
        with self._lock:
            first = not self._closing.is_set()
            self._closing.set()
            thread = self._thread
            if first:
                self._queue.put(None)
        if thread is not None:
            await asyncio.to_thread(thread.join)

    def _submit(self, work: Callable[..., Any], item: object) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._lock:
            if self._closing.is_set():
                raise StorageClosed()
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=f"writer-{self._name}", daemon=True)
                self._thread.start()
            self._queue.put(_Job(work, item, future, loop))
        return future

    def _serve(self) -> None:
        closing = False
        while not closing:
            jobs, closing = self._take()
            if jobs:
                _resolve(self._commit(jobs))
        self._drop_connection()

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for the first job and take along all that are already there."""
        taken: list[_Job] = []
        job = self._queue.get()
        while job is not None:
            taken.append(job)
            if len(taken) >= self._cap:
                return taken, False
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return taken, False
        return taken, True

    def _commit(self, jobs: list[_Job]) -> list[_Outcome]:
        """Commit the jobs together; where one fails, again with each in its own savepoint."""
        ends_at = time.monotonic() + self._deadline_seconds
        attempt, apart = 0, False
        while True:
            try:
                outcomes = self._transaction(jobs, apart=apart)
            except Exception as error:  # noqa: BLE001 - a waiting caller must hear of every failure
                if is_foreign(error) and diagnose(error) is not Failure.REFUSED:
                    self._drop_connection()
                transient = is_transient(error)
                if transient and time.monotonic() < ends_at:
                    time.sleep(pause_seconds(attempt))
                    attempt += 1
                elif not transient and not apart:
                    apart = True
                else:
                    return [_Outcome(job, error=_ours(error)) for job in jobs]
            else:
                self.commits += 1
                self.operations += len(jobs)
                return outcomes

    def _transaction(self, jobs: list[_Job], *, apart: bool) -> list[_Outcome]:
        if self._conn is None:
            self._conn = self._engine.connect()
        with self._conn.begin():
            if apart:
                return [self._attempt(self._conn, job) for job in jobs]
            return _together(self._conn, jobs)

    @staticmethod
    def _attempt(conn: Connection, job: _Job) -> _Outcome:
        try:
            with conn.begin_nested():
                return _together(conn, [job])[0]
        except Exception as error:
            if is_foreign(error) and diagnose(error) is not Failure.REFUSED:
                raise
            return _Outcome(job, error=_ours(error))

    def _drop_connection(self) -> None:
        conn, self._conn = self._conn, None
        if conn is None:
            return
        try:
            conn.invalidate()
            conn.close()
        except Exception as error:  # noqa: BLE001 - it is broken already, and a new one is made
            del error


def _together(conn: Connection, jobs: list[_Job]) -> list[_Outcome]:
    """Execute the jobs on one connection, those of the same batch function in one call."""
    outcomes: list[_Outcome] = []
    batches: dict[Callable[..., Any], list[_Job]] = {}
    for job in jobs:
        if job.item is _ALONE:
            outcomes.append(_Outcome(job, job.work(conn)))
        else:
            batches.setdefault(job.work, []).append(job)
    for work, members in batches.items():
        results = work(conn, [job.item for job in members])
        outcomes.extend(_Outcome(job, value) for job, value in zip(members, results, strict=True))
    return outcomes


def _ours(error: Exception) -> Exception:
    if isinstance(error, EvolventError) or not is_foreign(error):
        return error
    ours = translated(error)
    ours.__cause__ = error
    return ours


def _resolve(outcomes: list[_Outcome]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome.job.loop, []).append(outcome)
    for loop, members in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, members)


def _settle(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        future = outcome.job.future
        if future.done():
            continue
        if outcome.error is not None:
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome.value)
