"""The door for foreign exceptions: what SQL drivers raise becomes ours, or is known to pass by itself."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from evolvent.events.errors import EvolventError
from evolvent.storage.errors import CorruptRecord, StorageFull, StorageRefused, StorageUnavailable

T = TypeVar("T")
_BUSY_STATES = frozenset({"40001", "40P01", "55P03"})
_LOST_STATES = frozenset({"57P01", "57P02", "57P03", "53300", "25006"})
_RACES = 5
_FULL_STATES = frozenset({"53100", "53200"})


class Failure(Enum):
    """What a driver's exception means for us."""

    BUSY = "busy"
    LOST = "lost"
    FULL = "full"
    CORRUPT = "corrupt"
    REFUSED = "refused"


def is_foreign(error: BaseException) -> bool:
    """Say whether the error comes from SQL or its connection, and not from our own code."""
    return isinstance(error, SQLAlchemyError | sqlite3.Error | OSError) or _state(error) is not None


def diagnose(error: BaseException) -> Failure:
    """Say what a driver's exception means."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, sqlite3.Error):
        return _diagnose_sqlite(original)
    state = _state(original) or ""
    if state in _BUSY_STATES:
        return Failure.BUSY
    if state in _FULL_STATES:
        return Failure.FULL
    invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
    if invalidated or state in _LOST_STATES or state.startswith("08") or isinstance(original, OSError):
        return Failure.LOST
    if not state and type(original).__name__ in ("OperationalError", "InterfaceError", "ConnectionDoesNotExistError"):
        return Failure.LOST
    return Failure.REFUSED


def is_transient(error: BaseException) -> bool:
    """Say whether the same work may succeed when it is simply done again."""
    return is_foreign(error) and diagnose(error) in (Failure.BUSY, Failure.LOST)


def was_outrun(error: BaseException) -> bool:
    """Say whether somebody else inserted the same key first, so that doing it again finds what they made."""
    return _state(getattr(error, "orig", None) or error) == "23505"


def translated(error: BaseException) -> EvolventError:
    """Return our error for a driver's exception; the driver's words stay, its parameters do not."""
    words = str(getattr(error, "orig", None) or error).splitlines()[0][:300] if str(error) else type(error).__name__
    match diagnose(error):
        case Failure.BUSY | Failure.LOST:
            return StorageUnavailable(f"The database does not answer ({words}); try again. Nothing was committed.")
        case Failure.FULL:
            return StorageFull(f"No space for the database ({words}); free some and try again. Nothing was committed.")
        case Failure.CORRUPT:
            return CorruptRecord(f"The database file is damaged ({words}); restore it from a backup.")
        case Failure.REFUSED:
            return StorageRefused(f"The database refused a statement ({words}). Nothing was committed.")


@contextmanager
def door() -> Iterator[None]:
    """Translate what drivers raise inside the block."""
    try:
        yield
    except Exception as error:
        if isinstance(error, EvolventError) or not is_foreign(error):
            raise
        raise translated(error) from error


def pause_seconds(attempt: int) -> float:
    """Return how long to wait before the next try: doubling from 5 ms to 0.5 s, with full jitter."""
    return random.uniform(0.001, min(0.5, 0.005 * 2**attempt))  # noqa: S311 - spreads load, guards nothing


async def retried(work: Callable[[], Awaitable[T]], *, deadline_seconds: float) -> T:
    """Do work that commits all or nothing, again and again while its failure passes by itself.

    Raises:
        StorageUnavailable: it still failed at the deadline; or what the failure means.
    """
    ends_at = time.monotonic() + deadline_seconds
    attempt = 0
    while True:
        try:
            return await work()
        except Exception as error:
            if isinstance(error, EvolventError) or not is_foreign(error):
                raise
            may_pass = is_transient(error) or (was_outrun(error) and attempt < _RACES)
            if not may_pass or time.monotonic() >= ends_at:
                raise translated(error) from error
        await asyncio.sleep(pause_seconds(attempt))
        attempt += 1


def _state(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def _diagnose_sqlite(error: sqlite3.Error) -> Failure:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Failure.BUSY
    if name.startswith("SQLITE_FULL"):
        return Failure.FULL
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Failure.CORRUPT
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")):
        return Failure.LOST
    return Failure.REFUSED
