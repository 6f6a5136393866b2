r"""Brings log files into the index, from where it stopped before. Blocks; `files.py` calls it in a thread.

A file is known by its content, not by its name: by its first bytes, and those before the place up to which it was
read. So a file that was renamed or packed by rotation is read on, one that was cut or replaced is read anew, and
what was deleted leaves the index.

    listed --> same inode and content --> read on
          \--> content of a file that is gone (moved, packed, copied before it was cut) --> taken over, read on
          \--> else --> begun;   files that are gone and were not taken over --> removed
"""

from __future__ import annotations

import gzip
import hashlib
import io
import platform
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from evolvent.orchestrator.logs.file_names import SYSLOG_LIKE, index_of, sourcetype_of
from evolvent.orchestrator.logs.timestamps import LineTimes, host_of
from evolvent.orchestrator.tools.folders import Found, files_beneath, opened_file
from evolvent.orchestrator.tools.refusals import FileMissing, FileRefused
from evolvent.storage.log_index import FileState, IndexedFile, Line, LogIndex

MOST_FILES = 10_000
MOST_DEPTH = 16
MOST_LINE_BYTES = 16 * 1024
_BATCH_LINES = 2_000
_BATCH_BYTES = 1024 * 1024
_MARK_BYTES = 256
_SNIFFED_BYTES = 8_192
_QUIET_SECONDS = 5.0
_DAMAGED = (OSError, EOFError, zlib.error, FileMissing, FileRefused)


@dataclass(slots=True)
class Ingested:
    """How far the index has come."""

    files: int = 0
    unreadable: list[str] = field(default_factory=list)
    is_whole: bool = True
    """False where files are left, or a bound was reached."""


@dataclass(slots=True)
class _Seen:
    """A file that is there and was looked at."""

    found: Found
    state: FileState
    row: IndexedFile | None


class LogIngest:
    """Reads the files beneath some folders into an index, until `stop` is set."""

    def __init__(self, index: LogIndex, roots: tuple[Path, ...], *, most_bytes: int, stop: threading.Event) -> None:
        self._index = index
        self._roots = roots
        self._most_bytes = most_bytes
        self._stop = stop
        self._host = platform.node() or "localhost"
        self._done: dict[str, tuple[int, float]] = {}
        """Size and time of change of every file of which nothing is left to read."""

    def refresh(self, now: datetime) -> Ingested:
        """Bring in whatever was written, moved, cut or deleted since the last time."""
        report = Ingested()
        rows = self._index.files()
        listed, uncertain = self._listed(report)
        unchanged, changed = set(), []
        for found in sorted(listed, key=lambda one: -one.modified_at):
            path = _path(found)
            if self._done.get(path) == (found.size_bytes, found.modified_at):
                unchanged.add(path)
            else:
                changed.append(found)
        seen = self._looked_at(changed, rows, report)
        held = {one.row.file_id for one in seen if one.row}
        there = unchanged.union(report.unreadable)
        gone = [row for row in rows if row.file_id not in held and row.state.path not in there]
        self._take_over(seen, gone)
        self._remove([row for row in gone if row.state.root not in uncertain])
        self._read_all(seen, sum(row.text_bytes for row in rows), now, report)
        report.files = len(listed)
        report.is_whole = report.is_whole and not self._stop.is_set()
        return report

    def _listed(self, report: Ingested) -> tuple[list[Found], set[str]]:
        """Return the files that are there, and the folders of which that is not certain."""
        listed: list[Found] = []
        uncertain = set()
        for root in self._roots:
            try:
                found, is_whole = files_beneath(root, (), most=MOST_FILES, most_depth=MOST_DEPTH)
            except (FileMissing, FileRefused):
                found, is_whole = [], False
                report.unreadable.append(str(root))
            listed += found
            if not is_whole:
                uncertain.add(str(root))
                report.is_whole = False
        return listed, uncertain

    def _looked_at(self, changed: list[Found], rows: list[IndexedFile], report: Ingested) -> list[_Seen]:
        by_inode = {(row.state.device, row.state.inode): row for row in rows}
        # A file may be listed under several names; the first counts.
        seen: dict[tuple[int, int], _Seen] = {}
        for found in changed:
            if self._stop.is_set():
                break
            try:
                one = self._looked_into(found, by_inode)
            except _DAMAGED:
                report.unreadable.append(_path(found))
                continue
            if one.state.head_length:
                seen.setdefault((one.state.device, one.state.inode), one)
            else:
                self._done[_path(found)] = (found.size_bytes, found.modified_at)
        return list(seen.values())

    def _looked_into(self, found: Found, by_inode: dict[tuple[int, int], IndexedFile]) -> _Seen:
        with _content(found) as (stream, state):
            row = by_inode.get((state.device, state.inode))
            return _Seen(found, state, row if row and _continues(stream, row) else None)

    def _take_over(self, seen: list[_Seen], gone: list[IndexedFile]) -> None:
        """Give new files the rows of those that are gone, where the content is the same."""
        for one in seen:
            if one.row is not None or self._stop.is_set():
                continue
            for row in gone:
                if row.state.head_length and self._is_same(one.found, row):
                    one.row = row
                    gone.remove(row)
                    break

    def _is_same(self, found: Found, row: IndexedFile) -> bool:
        try:
            with _content(found) as (stream, _):
                return _continues(stream, row)
        except _DAMAGED:
            return False

    def _remove(self, gone: list[IndexedFile]) -> None:
        for row in gone:
            self._index.remove(row.file_id, should_stop=self._stop.is_set)
            self._done.pop(row.state.path, None)

    def _read_all(self, seen: list[_Seen], held_bytes: int, now: datetime, report: Ingested) -> None:
        for one in seen:
            if self._stop.is_set():
                return
            if held_bytes >= self._most_bytes:
                report.is_whole = False
                return
            row = one.row or self._index.add(one.state)
            if one.row is not None:
                state = replace(one.state, head_length=row.state.head_length, head_hash=row.state.head_hash)
                self._index.update(row.file_id, state)
            is_quiet = (now - datetime.fromtimestamp(one.found.modified_at, UTC)).total_seconds() > _QUIET_SECONDS
            try:
                read, is_read = self._read(one.found, row, self._most_bytes - held_bytes, is_quiet=is_quiet)
            except _DAMAGED:
                report.unreadable.append(_path(one.found))
                continue
            held_bytes += read
            if held_bytes >= self._most_bytes:
                report.is_whole = False
            elif is_read:
                self._done[_path(one.found)] = (one.found.size_bytes, one.found.modified_at)

    def _read(self, found: Found, row: IndexedFile, most_bytes: int, *, is_quiet: bool) -> tuple[int, bool]:
        """Read a file on, and return how many bytes that were and whether nothing is left of it."""
        times = LineTimes(datetime.fromtimestamp(found.modified_at, UTC), last_us=row.last_us)
        names_host = row.state.sourcetype in SYSLOG_LIKE
        with _content(found) as (stream, state):
            start = row.offset
            is_packed = isinstance(stream, gzip.GzipFile)
            for batch in _batches(stream, _before(stream, start), takes_rest=is_quiet or is_packed):
                if self._stop.is_set() or start - row.offset > most_bytes:
                    return start - row.offset, False
                lines = self._events_in(batch, times, names_host=names_host)
                end = start + batch.size_bytes
                if not self._index.append(row.file_id, lines, start=start, end=end, tail_hash=_hash(batch.tail)):
                    return start - row.offset, False
                start = end
            return start - row.offset, is_packed or start >= state.size_bytes

    def _events_in(self, batch: _Batch, times: LineTimes, *, names_host: bool) -> list[Line]:
        lines = []
        for data in batch.lines:
            text = data.decode("utf-8", "replace").replace("\0", "").rstrip("\r\n")
            if text and not text.isspace():
                host = (host_of(text) if names_host else None) or self._host
                lines.append(Line(times.read(text), host, text))
        return lines


@dataclass(frozen=True, slots=True)
class _Batch:
    """Whole lines that follow each other, how many bytes they take in the file, and the last bytes before its end."""

    lines: tuple[bytes, ...]
    size_bytes: int
    tail: bytes


def _batches(stream: io.BufferedIOBase, tail: bytes, *, takes_rest: bool) -> Iterator[_Batch]:
    """Yield the lines from here on. The last is left for later if it has no end yet, unless `takes_rest`."""
    lines: list[bytes] = []
    size = 0
    while found := _line(stream, tail, takes_rest=takes_rest):
        data, length, tail = found
        lines.append(data)
        size += length
        if len(lines) >= _BATCH_LINES or size >= _BATCH_BYTES:
            yield _Batch(tuple(lines), size, tail)
            lines, size = [], 0
    if lines:
        yield _Batch(tuple(lines), size, tail)


def _line(stream: io.BufferedIOBase, tail: bytes, *, takes_rest: bool) -> tuple[bytes, int, bytes] | None:
    """Read one line; of a very long one only the beginning is kept. Return it, its length and the bytes at its end."""
    data = stream.readline(MOST_LINE_BYTES)
    length, last = len(data), data
    tail = (tail + data)[-_MARK_BYTES:]
    while len(last) == MOST_LINE_BYTES and not last.endswith(b"\n"):
        last = stream.readline(MOST_LINE_BYTES)
        length += len(last)
        tail = (tail + last)[-_MARK_BYTES:]
    is_whole = (last or data).endswith(b"\n")
    return (data, length, tail) if data and (is_whole or takes_rest) else None


@contextmanager
def _content(found: Found) -> Iterator[tuple[io.BufferedIOBase, FileState]]:
    """Open a file, unpacked where it is packed. What is not text has a head of no length."""
    with opened_file(found.root, found.parts) as (descriptor, info), open(descriptor, "rb", closefd=False) as raw:
        is_packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = cast(io.BufferedIOBase, gzip.GzipFile(fileobj=raw) if is_packed else raw)
        head = stream.read(_SNIFFED_BYTES)
        mark = b"" if b"\0" in head else head[:_MARK_BYTES]
        stream.seek(0)
        yield (
            stream,
            FileState(
                root=str(found.root),
                path=_path(found),
                device=info.st_dev,
                inode=info.st_ino,
                size_bytes=info.st_size,
                modified_ns=info.st_mtime_ns,
                index_name=index_of(found.root, found.parts),
                sourcetype=sourcetype_of(found.parts[-1]),
                head_length=len(mark),
                head_hash=_hash(mark),
            ),
        )


def _continues(stream: io.BufferedIOBase, row: IndexedFile) -> bool:
    """Say whether a file begins with everything that was read under a row."""
    stream.seek(0)
    if not row.state.head_length or _hash(stream.read(row.state.head_length)) != row.state.head_hash:
        return False
    return row.offset == 0 or _hash(_before(stream, row.offset)) == row.tail_hash


def _before(stream: io.BufferedIOBase, offset: int) -> bytes:
    """Return the last bytes before an offset, and leave the stream there. Fewer come if the file ends before it."""
    stream.seek(max(0, offset - _MARK_BYTES))
    return stream.read(min(offset, _MARK_BYTES))


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _path(found: Found) -> str:
    return f"{found.root}/{found.relative}"
