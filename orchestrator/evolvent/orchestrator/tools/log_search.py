"""The built-in tool that searches log files.

Regular expressions run on pydantic-core's Rust engine, which takes linear time for every pattern: a model's pattern
cannot hang the process, as it could with `re`, which also holds the interpreter's lock while it backtracks.
"""

from __future__ import annotations

import gzip
import io
import re
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import SchemaError, SchemaValidator, core_schema

from evolvent.orchestrator.tools.context import ToolContext
from evolvent.orchestrator.tools.decorator import tool
from evolvent.orchestrator.tools.file_tools import found_files
from evolvent.orchestrator.tools.folders import Found, address, opened_file
from evolvent.orchestrator.tools.refusals import FileMissing, FileRefused, QueryInvalid

MOST_SECONDS = 8.0
MOST_FILE_BYTES = 256 * 1024 * 1024
_MOST_LINE_BYTES = 16 * 1024
_MOST_SHOWN_CHARACTERS = 500
_MOST_SKIPPED_SHOWN = 20
_SNIFFED_BYTES = 8_192
_AGO = re.compile(r"-(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?")
_WEB_TIME = re.compile(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}")


@dataclass(slots=True)
class _Search:
    """One search under way."""

    matches: Callable[[str], bool]
    since: datetime | None
    limit: int
    give_up_at: float
    hits: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    searched: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    is_whole: bool = True

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.give_up_at


@tool(category="files", effect="read", timeout_seconds=15)
def search_logs(
    query: Annotated[str, Field(min_length=1, max_length=200)],
    folder: Annotated[str | None, Field(max_length=4096)] = None,
    limit: Annotated[int, Field(ge=1, le=200)] = 20,
    since: Annotated[str | None, Field(max_length=40)] = None,
    *,
    regex: bool = False,
    ctx: ToolContext,
) -> dict[str, Any]:
    """Search the log files in the allowed folders, .gz included, those changed last first.

    Args:
        query: Text to find, upper and lower case alike.
        folder: Look only beneath this folder.
        limit: How many lines to return; `total` counts them all.
        since: Only lines from then on: `-90s`, `-30m`, `-1h`, `-2d`, or an ISO time (UTC unless it says otherwise).
            Lines without a time belong to the line before.
        regex: Take the query as a regular expression (no look-around, no back-references).
        ctx: Set by the platform.
    """
    search = _Search(
        matches=_matcher(query, is_regex=regex),
        since=_parsed_since(since, ctx.started_at or datetime.now(UTC)),
        limit=limit,
        give_up_at=time.monotonic() + MOST_SECONDS,
    )
    found, search.is_whole = found_files(ctx.folders, folder)
    for file in sorted(found, key=lambda one: -one.modified_at):
        if search.since is not None and file.modified_at < search.since.timestamp():
            break
        _search_file(search, file, ctx.folders)
    return {
        "matches": search.hits,
        "total": search.total,
        "files_searched": search.searched,
        "skipped": search.skipped,
        "complete": search.is_whole,
    }


def _matcher(query: str, *, is_regex: bool) -> Callable[[str], bool]:
    if not is_regex:
        needle = query.lower()
        return lambda line: needle in line.lower()
    try:
        schema = core_schema.str_schema(pattern=query, regex_engine="rust-regex")
        return SchemaValidator(schema).isinstance_python
    except SchemaError as error:
        reason = str(error).splitlines()[-1].strip()[:200]
        raise QueryInvalid(
            f"The query is no usable regular expression ({reason}); correct it, or search plain text."
        ) from None


def _parsed_since(since: str | None, now: datetime) -> datetime | None:
    if since is None:
        return None
    try:
        if match := _AGO.fullmatch(since.strip()):
            return now - timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
        moment = datetime.fromisoformat(since.strip())
    except (ValueError, OverflowError):
        raise QueryInvalid(f"`since` is {since!r}; write `-1h`, `-30m`, `-2d` or an ISO time.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _search_file(search: _Search, file: Found, folders: tuple[Path, ...]) -> None:
    name = address(folders, file)
    if search.is_over:
        search.is_whole = False
        return
    try:
        with opened_file(file.root, file.parts) as (descriptor, info):
            if info.st_size > MOST_FILE_BYTES:
                _skip(search, name, "too large")
                return
            with open(descriptor, "rb", closefd=False) as raw:
                packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                stream: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if packed else raw
                _search_stream(search, stream, name)
    except (FileMissing, FileRefused):
        _skip(search, name, "not readable")
    except (OSError, EOFError, zlib.error):
        _skip(search, name, "damaged")


def _search_stream(search: _Search, stream: io.BufferedIOBase, name: str) -> None:
    if b"\0" in stream.read(_SNIFFED_BYTES):
        _skip(search, name, "not text")
        return
    stream.seek(0)
    search.searched += 1
    is_recent = True
    for number, line in _lines(search, stream, name):
        if search.since is not None and (moment := _moment_of(line)) is not None:
            is_recent = moment >= search.since
        if not is_recent or not search.matches(line):
            continue
        search.total += 1
        if len(search.hits) < search.limit:
            search.hits.append({"file": name, "line": number, "text": line[:_MOST_SHOWN_CHARACTERS]})


def _lines(search: _Search, stream: io.BufferedIOBase, name: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines until time or size runs out. A very long line comes in pieces that share its number."""
    number, read = 1, 0
    while data := stream.readline(_MOST_LINE_BYTES):
        read += len(data)
        if search.is_over or read > MOST_FILE_BYTES:
            search.is_whole = False
            return
        yield number, data.rstrip(b"\r\n").decode("utf-8", "replace")
        number += data.endswith(b"\n")


def _moment_of(line: str) -> datetime | None:
    """Read the time near the beginning of a line: ISO 8601, or that of web servers. Without a zone it is UTC."""
    head = line[:200]
    try:
        if match := _ISO_TIME.search(head):
            moment = datetime.fromisoformat(match[0])
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if match := _WEB_TIME.search(head):
            return datetime.strptime(match[0], "%d/%b/%Y:%H:%M:%S %z")
    except ValueError:
        return None
    return None


def _skip(search: _Search, name: str, reason: str) -> None:
    if len(search.skipped) < _MOST_SKIPPED_SHOWN:
        search.skipped.append({"file": name, "reason": reason})
