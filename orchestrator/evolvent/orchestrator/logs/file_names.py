"""What the place and name of a log file say: its index and its sourcetype. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_ROTATED = re.compile(r"(?:[.-](?:\d{1,4}|\d{8}(?:-?\d{4,6})?|\d{4}-\d\d-\d\d|gz|old))+$")
_ENDING = re.compile(r"\.(?:log|txt|out)$")
_KNOWN: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^(?:syslog|messages|system|daemon|user|kern|cron|mail|debug)$"), "syslog"),
    (re.compile(r"^(?:auth|secure)$"), "linux_secure"),
    (re.compile(r"access"), "access_combined"),
    (re.compile(r"^(?:nginx|apache2?|httpd|www)?[-_.]?error$"), "web_error"),
    (re.compile(r"\.(?:json|jsonl|ndjson)$"), "json"),
    (re.compile(r"\.csv$"), "csv"),
)
SYSLOG_LIKE = frozenset({"syslog", "linux_secure"})
"""The sourcetypes whose lines name the host that wrote them."""


def index_of(root: Path, parts: Sequence[str]) -> str:
    """Return the index of a file: the first folder beneath the one that was opened, else that folder's own name."""
    return parts[0] if len(parts) > 1 else root.name


def sourcetype_of(name: str) -> str:
    """Return what kind of events a file holds, guessed from its name without the marks of rotation."""
    plain = _ROTATED.sub("", name.lower())
    bare = _ENDING.sub("", plain)
    return next((found for pattern, found in _KNOWN if pattern.search(bare)), bare or "unknown")
