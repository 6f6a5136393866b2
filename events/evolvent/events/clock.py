"""Time and identity, injected everywhere so that tests and replay can hold them still."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the platform may know of time and chance."""

    def now(self) -> datetime:
        """Return the aware UTC wall-clock time."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go backwards; only differences mean something."""
        ...

    def new_id(self) -> str:
        """Return a fresh UUID in its canonical 36-character form."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return the aware UTC wall-clock time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the monotonic clock, in seconds."""
        return time.monotonic()

    def new_id(self) -> str:
        """Return a random UUID."""
        return str(uuid.uuid4())
