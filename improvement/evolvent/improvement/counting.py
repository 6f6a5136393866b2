"""Counts the variants of finished runs, from where counting last stopped.

Only from SQL: the final event of a run holds the calls of its last tick alone, and the position, moved in the
commit that counts, is what makes every run count once whoever counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from evolvent.events.language.tools import Effect
from evolvent.events.messages.calls import VariantRow
from evolvent.events.messages.runs import ToolOutcome
from evolvent.improvement.settings import ImprovementSettings
from evolvent.improvement.variants import TracedCall, TracedRun, counted, signature_of
from evolvent.storage.improvements import ImprovementStore, Sighting, Variant
from evolvent.storage.run_records import RunRecord, ToolCallRecord
from evolvent.storage.runs import RunStore

POSITION = "variants"


class VariantCounter:
    """Moves a position over the finished runs and counts on the way."""

    def __init__(self, runs: RunStore, improvements: ImprovementStore, settings: ImprovementSettings) -> None:
        self._runs = runs
        self._improvements = improvements
        self._settings = settings

    async def count(self, _planned_at: datetime) -> str:
        """Count every run that finished since the last time; say how many."""
        if not self._settings.enabled:
            return "off"
        seen = supporting = 0
        while True:
            before = await self._improvements.position(POSITION)
            finished = await self._runs.finished_since(before, self._settings.count_batch)
            if not finished:
                return f"{seen} runs, {supporting} of them with a variant"
            sightings = await self._sightings([run for _, run in finished])
            # False: somebody counts at the same time, and did this part.
            if await self._improvements.advance(POSITION, before=before, after=finished[-1][0], sightings=sightings):
                seen += len(finished)
                supporting += len(sightings)

    async def top(self, *, min_support: int, limit: int, now: datetime) -> tuple[VariantRow, ...]:
        """Return the most frequent variants."""
        since = now - timedelta(hours=self._settings.window_hours)
        found = await self._improvements.variants(min_support=min_support, limit=limit)
        return tuple(_listed(variant, self._settings.min_support, since) for variant in found)

    async def _sightings(self, runs: Sequence[RunRecord]) -> list[Sighting]:
        with_tools = [run for run in runs if run.tool_calls and run.mode == "live" and run.status == "completed"]
        traces = await self._runs.tool_calls([run.run_id for run in with_tools])
        sightings = []
        for run in with_tools:
            variant = counted(_traced(run, traces[run.run_id]))
            if variant is not None and run.finished_at is not None:
                sightings.append(Sighting(variant.variant_hash, signature_of(variant), run.run_id, run.finished_at))
        return sightings


def _traced(run: RunRecord, calls: Sequence[ToolCallRecord]) -> TracedRun:
    traced = tuple(TracedCall(call.name, Effect(call.effect), call.outcome == ToolOutcome.OK) for call in calls)
    return TracedRun(run.run_id, run.mode, run.status, traced)


def _listed(variant: Variant, min_support: int, since: datetime) -> VariantRow:
    return VariantRow(
        variant=variant.variant,
        signature=variant.signature,
        support=variant.support,
        is_candidate=variant.support >= min_support and variant.last_at >= since,
        last_at=variant.last_at.isoformat(),
        run_ids=variant.run_ids,
    )
