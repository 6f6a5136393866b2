"""What diagnosis asks of logs, whoever keeps them: the seam, what it answers, and the typed context of a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator

from evolvent.orchestrator.logs.time_range import time_range
from evolvent.orchestrator.tools.refusals import QueryInvalid

RESOURCE = "logs"
"""Under which name the tool registry holds the log source."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event: a line, for files."""

    time: datetime
    index: str
    sourcetype: str
    source: str
    host: str
    text: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found: the latest events first, or the rows of its `stats`.

    `total` counts every match, shown or not. Where it is not `is_complete`, there may be more: an index that is
    still being built, or a bound that was reached.
    """

    events: tuple[LogEvent, ...] = ()
    rows: tuple[Mapping[str, str | int], ...] = ()
    total: int = 0
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """An index: how much is in it, and of which time."""

    name: str
    event_count: int
    earliest: datetime | None
    latest: datetime | None
    size_bytes: int
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class SourcetypeInfo:
    """A kind of events within an index."""

    name: str
    event_count: int
    earliest: datetime | None
    latest: datetime | None


@dataclass(frozen=True, slots=True)
class LogUser:
    """As whom the source is asked, and what that allows."""

    name: str
    roles: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    readable_indexes: tuple[str, ...] | None = None
    """None where the source does not say."""


@dataclass(frozen=True, slots=True)
class LicenseInfo:
    """The licence under which a source works. `is_required` is False where there is nothing to license."""

    is_required: bool
    state: str
    edition: str
    is_trial: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    is_ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LogHealth:
    """How a source is, as far as it says."""

    source: Literal["files", "splunk"]
    is_ok: bool
    version: str
    license: LicenseInfo
    checks: tuple[Check, ...] = ()


@runtime_checkable
class LogSource(Protocol):
    """Whoever keeps logs. Errors come as EvolventError, with QueryInvalid for what cannot be searched for."""

    async def search(self, query: str, *, earliest: datetime, latest: datetime, limit: int) -> SearchResult:
        """Search from `earliest`, inclusive, to `latest`, exclusive; return `limit` events at most."""
        ...

    async def indexes(self) -> list[IndexInfo]:
        """Return the indexes, by name."""
        ...

    async def sourcetypes(self, index: str) -> list[SourcetypeInfo]:
        """Return what kinds of events an index holds, by name."""
        ...

    async def current_user(self) -> LogUser:
        """Return as whom the source is asked."""
        ...

    async def health(self) -> LogHealth:
        """Return how the source is."""
        ...

    async def close(self) -> None:
        """Let go of everything; nothing may be asked afterwards."""
        ...


class DiagnosticContext(BaseModel):
    """Where a diagnosis looks: a time range in the syntax of `time_range`, and which indexes and sourcetypes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    earliest_time: str = "-24h"
    latest_time: str = "now"
    indexes: tuple[str, ...] = ()
    sourcetypes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _readable(self) -> DiagnosticContext:
        try:
            time_range(self.earliest_time, self.latest_time, now=datetime.now(UTC))
        except QueryInvalid as error:
            raise ValueError(str(error)) from None
        return self


class DiagnosticResult(BaseModel):
    """What a diagnosis came to. Every finding should be borne out by evidence: what was asked, and what came back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Literal["healthy", "warning", "critical", "unknown"]
    findings: tuple[str, ...] = ()
    evidence: tuple[JsonValue, ...] = ()
    recommendations: tuple[str, ...] = ()
