"""Log files as a log source: what is beneath the open folders, in a full-text index that follows the files.

Every question first brings the index up to date, in a thread; what is not in after a few seconds comes in while the
answer, marked as not complete, is given already.
"""

from __future__ import annotations

import asyncio
import getpass
import grp
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from evolvent.events.clock import Clock
from evolvent.orchestrator.logs.ingest import Ingested, LogIngest
from evolvent.orchestrator.logs.query import parsed
from evolvent.orchestrator.logs.source import (
    Check,
    IndexInfo,
    LicenseInfo,
    LogEvent,
    LogHealth,
    LogUser,
    SearchResult,
    SourcetypeInfo,
)
from evolvent.orchestrator.logs.timestamps import microseconds
from evolvent.orchestrator.tools.folders import usable_folders
from evolvent.storage.log_index import SCHEMA_VERSION, LogIndex

SETTING: Final = "tools.logs.folders"
MOST_SECONDS: Final = 10.0
_MOST_SHOWN = 20
_START = datetime(1970, 1, 1, tzinfo=UTC)
_NO_LICENSE = LicenseInfo(
    is_required=False, state="not applicable", edition="local files", detail="Local log files need no licence."
)


class LogFiles:
    """The log files beneath some folders. Belongs to one event loop; `close` ends its thread.

    Raises:
        ConfigInvalid: If a folder is none, or holds the machine itself.
    """

    def __init__(
        self,
        index_path: Path,
        folders: Sequence[Path],
        *,
        clock: Clock,
        most_bytes: int = 4 * 1024**3,
        patience_seconds: float = 5.0,
    ) -> None:
        self._folders = usable_folders(folders, setting=SETTING)
        self._index = LogIndex(index_path)
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._stop = threading.Event()
        self._ingest = LogIngest(self._index, self._folders, most_bytes=most_bytes, stop=self._stop)
        self._opening = asyncio.Lock()
        self._is_open = False
        self._refreshing: asyncio.Task[Ingested] | None = None

    async def search(self, query: str, *, earliest: datetime, latest: datetime, limit: int) -> SearchResult:
        """Search the lines of the files, the latest first.

        Raises:
            QueryInvalid: If the query is not in the language.
            LogSearchTooLong: If it takes too long.
        """
        wanted = parsed(query)
        state = await self._caught_up()
        found = await asyncio.to_thread(
            self._index.search,
            wanted,
            from_us=microseconds(earliest),
            to_us=microseconds(latest),
            limit=limit,
            most_seconds=MOST_SECONDS,
        )
        events = tuple(
            LogEvent(_moment(one.time_us), one.index_name, one.sourcetype, one.path, one.host, one.text)
            for one in found.events
        )
        return SearchResult(events, found.rows, found.total, is_complete=found.is_whole and state.is_whole)

    async def indexes(self) -> list[IndexInfo]:
        """Return how much every index holds, and of which time."""
        await self._caught_up()
        return [
            IndexInfo(one.name, one.events, _maybe(one.first_us), _maybe(one.last_us), one.text_bytes)
            for one in await asyncio.to_thread(self._index.indexes)
        ]

    async def sourcetypes(self, index: str) -> list[SourcetypeInfo]:
        """Return the kinds of files in an index."""
        await self._caught_up()
        return [
            SourcetypeInfo(one.name, one.events, _maybe(one.first_us), _maybe(one.last_us))
            for one in await asyncio.to_thread(self._index.sourcetypes, index)
        ]

    async def current_user(self) -> LogUser:
        """Return the account that this process runs under, and the indexes of which it can read files."""
        await self._caught_up()
        names = tuple(one.name for one in await asyncio.to_thread(self._index.indexes))
        return LogUser(_account(), _groups(), ("search", "list_indexes"), names)

    async def health(self) -> LogHealth:
        """Return whether folders and files can be read and the index is whole."""
        state = await self._caught_up()
        checks = [
            Check(f"folder {folder}", os.access(folder, os.R_OK | os.X_OK), "readable by this process")
            for folder in self._folders
        ]
        shown = ", ".join(state.unreadable[:_MOST_SHOWN])
        checks.append(Check("files readable", not state.unreadable, shown or f"{state.files} files"))
        detail = "every file is indexed" if state.is_whole else "still being built, or at its bound"
        checks.append(Check("index complete", state.is_whole, detail))
        is_ok = all(check.is_ok for check in checks)
        return LogHealth("files", is_ok, f"log index {SCHEMA_VERSION}", _NO_LICENSE, tuple(checks))

    async def close(self) -> None:
        """End the thread and close the index."""
        self._stop.set()
        if self._refreshing is not None:
            await asyncio.wait({self._refreshing})
        await asyncio.to_thread(self._index.close)

    async def _caught_up(self) -> Ingested:
        """Bring the index up to date, as far as that goes while somebody waits."""
        async with self._opening:
            if not self._is_open:
                await asyncio.to_thread(self._index.open)
                self._is_open = True
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(asyncio.to_thread(self._ingest.refresh, self._clock.now()))
        refreshing = self._refreshing
        await asyncio.wait({refreshing}, timeout=self._patience_seconds)
        return refreshing.result() if refreshing.done() else Ingested(is_whole=False)


def _moment(time_us: int) -> datetime:
    return _START + timedelta(microseconds=time_us)


def _maybe(time_us: int | None) -> datetime | None:
    return None if time_us is None else _moment(time_us)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _groups() -> tuple[str, ...]:
    names = []
    for group in sorted({os.getgid(), *os.getgroups()}):
        try:
            names.append(grp.getgrgid(group).gr_name)
        except KeyError:
            names.append(f"gid {group}")
    return tuple(names)
