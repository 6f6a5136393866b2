"""Built-in tools that read files, inside the allowed folders only. Without allowed folders they are not there."""

from __future__ import annotations

import fnmatch
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from evolvent.orchestrator.tools.context import ToolContext
from evolvent.orchestrator.tools.decorator import tool
from evolvent.orchestrator.tools.folders import Found, address, candidates, files_beneath, opened_file
from evolvent.orchestrator.tools.refusals import FileMissing, FileRefused

MOST_ENTRIES = 10_000
MOST_DEPTH = 16
_MOST_LISTED = 500
_MOST_READ_BYTES = 192 * 1024
_SNIFFED_BYTES = 8_192


@tool(category="files", effect="read", timeout_seconds=10)
def read_file(
    path: Annotated[str, Field(max_length=4096)],
    max_bytes: Annotated[int, Field(ge=1, le=_MOST_READ_BYTES)] = 65_536,
    offset: Annotated[int, Field(ge=0)] = 0,
    *,
    ctx: ToolContext,
) -> dict[str, Any]:
    """Read a text file from the allowed folders.

    Args:
        path: The file, as `list_files` or `search_logs` name it.
        max_bytes: How much to read at most.
        offset: Where to begin, in bytes; `next_offset` of the answer before goes on.
        ctx: Set by the platform.
    """
    found, data = _first_that_exists(path, max_bytes, offset, ctx.folders)
    # A character cut in two is left for the next read; one that is broken for good is replaced.
    end = offset + len(data)
    if end < found.size_bytes and (split := _split_tail(data)) < len(data):
        data = data[: len(data) - split]
        end -= split
    return {
        "path": address(ctx.folders, found),
        "size_bytes": found.size_bytes,
        "offset": offset,
        "text": data.decode("utf-8", "replace"),
        "next_offset": end if end < found.size_bytes else None,
    }


@tool(category="files", effect="read", timeout_seconds=10)
def list_files(
    folder: Annotated[str | None, Field(max_length=4096)] = None,
    pattern: Annotated[str, Field(min_length=1, max_length=200)] = "*",
    *,
    ctx: ToolContext,
) -> dict[str, Any]:
    """List the files in the allowed folders, with size and time of change.

    Args:
        folder: Look only beneath this folder.
        pattern: A glob for the file's name, or for its path if it holds a slash: `*.log`, `app/*.gz`.
        ctx: Set by the platform.
    """
    found, is_whole = found_files(ctx.folders, folder)
    matches = re.compile(fnmatch.translate(pattern)).match
    chosen = [one for one in found if matches(one.relative if "/" in pattern else one.parts[-1])]
    files = [
        {
            "path": address(ctx.folders, one),
            "size_bytes": one.size_bytes,
            "modified_at": datetime.fromtimestamp(one.modified_at, UTC).isoformat(timespec="seconds"),
        }
        for one in chosen[:_MOST_LISTED]
    ]
    return {"files": files, "total": len(chosen), "complete": is_whole and len(chosen) <= _MOST_LISTED}


def found_files(folders: tuple[Path, ...], folder: str | None) -> tuple[list[Found], bool]:
    """Return the files beneath the allowed folders, or beneath one folder in them, and whether these are all."""
    listings: list[tuple[list[Found], bool]] = []
    missing = FileMissing()
    for root, parts in candidates(folders, folder):
        try:
            listings.append(files_beneath(root, parts, most=MOST_ENTRIES, most_depth=MOST_DEPTH))
        except FileMissing as error:
            missing = error
    if not listings:
        raise missing
    return [one for found, _ in listings for one in found], all(is_whole for _, is_whole in listings)


def _first_that_exists(path: str, max_bytes: int, offset: int, folders: tuple[Path, ...]) -> tuple[Found, bytes]:
    missing = FileMissing()
    for root, parts in candidates(folders, path):
        try:
            with opened_file(root, parts) as (descriptor, info):
                if b"\0" in os.pread(descriptor, _SNIFFED_BYTES, 0):
                    raise FileRefused(f"{path[:200]!r} is not text; name a text file. Nothing was read.")
                data = os.pread(descriptor, max_bytes, offset)
                return Found(root, parts, info.st_size, info.st_mtime), data
        except FileMissing as error:
            missing = error
    raise missing


def _split_tail(data: bytes) -> int:
    """Return how many bytes at the end begin a UTF-8 character that goes on beyond it."""
    for length in range(1, min(4, len(data) + 1)):
        byte = data[-length]
        if byte & 0xC0 == 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return length if needed > length else 0
        if byte & 0x80 == 0:
            return 0
    return 0
