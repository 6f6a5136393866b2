"""Answers what is asked of the findings: patterns of failures, numbers, forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from evolvent.events.bus import Call
from evolvent.events.clock import Clock
from evolvent.events.errors import NotFound
from evolvent.events.messages.insight_calls import (
    Analytics,
    FailureList,
    FailureQuery,
    FailureRow,
    FailuresQuery,
    FailureView,
    Forecasts,
    Insights,
)
from evolvent.events.service import Endpoint
from evolvent.improvement.failure_mining import failures_since, trend_of
from evolvent.improvement.insight_settings import InsightSettings
from evolvent.improvement.insights import ANALYTICS, FORECASTS
from evolvent.improvement.remedies import ADVICE, remedy_for
from evolvent.storage.database import Database
from evolvent.storage.insight_rows import FailurePattern
from evolvent.storage.insights import InsightStore

_DAY = timedelta(days=1)


class InsightDesk:
    """The endpoints of the findings, at any instance."""

    def __init__(self, records: Database, settings: InsightSettings, *, clock: Clock) -> None:
        self._store = InsightStore(records)
        self._settings = settings
        self._clock = clock

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return what is answered, by name."""
        return {"failures": self._list, "failure": self._show, "insights": self._insights}

    async def _list(self, call: Call) -> bytes:
        query = FailuresQuery.decode(call.data or b"{}")
        now = self._clock.now()
        found = await self._store.patterns(
            since=now - timedelta(days=query.days), min_failures=query.min_failures, limit=query.limit
        )
        return FailureList(patterns=tuple(self._row(pattern, now) for pattern in found)).encode()

    async def _show(self, call: Call) -> bytes:
        asked = FailureQuery.decode(call.data).pattern_id
        found = await self._store.patterns_beginning(asked)
        if len(found) != 1:
            many = "More than one pattern of failures begins" if found else "No pattern of failures begins"
            raise NotFound(f"{many} with {asked!r}; `evolvent failures list` shows them all.")
        row = self._row(found[0], self._clock.now())
        remedy = remedy_for(row.category, row.code, self._settings.remedies)
        return FailureView(pattern=row, advice=ADVICE[remedy], runs=found[0].runs).encode()

    async def _insights(self, _call: Call) -> bytes:
        found = await self._store.get(ANALYTICS, FORECASTS)
        return Insights(
            analytics=Analytics.model_validate(found.get(ANALYTICS, {})),
            forecasts=Forecasts.model_validate(found.get(FORECASTS, {})),
        ).encode()

    def _row(self, pattern: FailurePattern, now: datetime) -> FailureRow:
        copied = ("pattern_id", "category", "code", "kind", "subject", "message", "failures", "failed_runs", "goals")
        return FailureRow(
            **{name: getattr(pattern, name) for name in copied},
            failures_24h=failures_since(pattern, now - _DAY),
            trend=trend_of(pattern, now),
            remedy=remedy_for(pattern.category, pattern.code, self._settings.remedies),
            first_seen=pattern.first_seen.isoformat(),
            last_seen=pattern.last_seen.isoformat(),
        )
