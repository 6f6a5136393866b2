"""Pure: journal events become row changes. No clock, no database; the same events give the same rows.

Each event of a run is applied once and in order, because it names the event before it:

    seq <= last recorded      known already, skipped
    prev_seq = last recorded  applied
    prev_seq = 0              applied: its writer met an empty journal, so all before was recorded and purged
    anything else             a gap: nothing more of this run is applied until the journal was read again

    (nothing) ──▶ pending ──▶ running ⇄ suspended ──▶ completed | failed | cancelled
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evolvent.events.messages.runs import AnyRunEvent
from evolvent.storage.run_fold import RunFold, RunProgress
from evolvent.storage.run_parts import Row

NO_PROGRESS = RunProgress()


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An event as it stands in the stream: its sequence, the event, and its bytes."""

    seq: int
    event: AnyRunEvent
    body: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Events after `last_seq` are missing before `found_seq`: read the run's journal again from there to its end.

    To the end, because what followed the gap in the batch was not recorded either.
    """

    run_id: str
    last_seq: int
    found_seq: int


@dataclass(slots=True)
class Changes:
    """Rows to write, by kind, and the gaps that were met."""

    new_runs: list[Row] = field(default_factory=list)
    changed_runs: list[Row] = field(default_factory=list)
    origins: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    tasks: list[Row] = field(default_factory=list)
    turns: list[Row] = field(default_factory=list)
    tool_calls: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    finished: list[Row] = field(default_factory=list)
    agent_totals: list[Row] = field(default_factory=list)
    daily_totals: list[Row] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    applied: int = 0


def project(
    entries: Iterable[JournalEntry], known: Mapping[str, RunProgress], *, forgive: frozenset[str] = frozenset()
) -> Changes:
    """Return what these events change.

    Args:
        entries: events in any order, with any repeated.
        known: what is recorded of their runs; a run that is missing here is new.
        forgive: runs whose gaps cannot be mended, because their journal is gone; they go on after the gap.
    """
    by_run: dict[str, dict[int, JournalEntry]] = {}
    for entry in entries:
        by_run.setdefault(entry.event.run_id, {})[entry.seq] = entry
    changes = Changes()
    agents: dict[str, Row] = {}
    days: dict[tuple[str, str], Row] = {}
    finished: list[tuple[int, str]] = []
    for run_id, of_run in by_run.items():
        recorded = known.get(run_id, NO_PROGRESS)
        fold = RunFold(run_id, recorded)
        usable = _in_order(run_id, of_run, changes, last_seq=recorded.last_seq, forgive=run_id in forgive)
        for entry in usable:
            fold.apply(entry.seq, entry.event)
            changes.events.append(_event_row(entry))
        if usable:
            _collect(changes, fold, is_new=run_id not in known)
            _add_up(agents, fold.agent_totals)
            _add_up(days, fold.daily_totals)
            if fold.finished_seq:
                finished.append((fold.finished_seq, run_id))
    changes.agent_totals = [{"agent_id": agent_id, **row} for agent_id, row in sorted(agents.items())]
    changes.daily_totals = [{"day": day, "goal": goal, **row} for (day, goal), row in sorted(days.items())]
    changes.finished = [{"run_id": run_id} for _, run_id in sorted(finished)]
    changes.applied = len(changes.events)
    return changes


def _in_order(
    run_id: str, of_run: Mapping[int, JournalEntry], changes: Changes, *, last_seq: int, forgive: bool
) -> Sequence[JournalEntry]:
    """Return the events of one run that follow what is recorded, up to the first gap."""
    usable: list[JournalEntry] = []
    for seq in sorted(of_run):
        entry = of_run[seq]
        if seq <= last_seq:
            continue
        if entry.event.prev_seq not in (0, last_seq) and not forgive:
            changes.gaps.append(Gap(run_id, last_seq, seq))
            break
        usable.append(entry)
        last_seq = seq
    return usable


def _collect(changes: Changes, fold: RunFold, *, is_new: bool) -> None:
    if is_new:
        changes.new_runs.append(fold.full_row())
    else:
        changes.changed_runs.append(fold.progress_row())
        if fold.origin is not None:
            changes.origins.append({"run_id": fold.run_id, **fold.origin})
    changes.tasks.extend(fold.task_rows())
    changes.turns.extend(fold.turns)
    changes.tool_calls.extend(fold.tool_calls)
    changes.attempts.extend(fold.attempts)


def _event_row(entry: JournalEntry) -> Row:
    event = entry.event
    return {
        "run_id": event.run_id,
        "seq": entry.seq,
        "prev_seq": event.prev_seq,
        "type": event.type,
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "body": entry.body.decode(),
    }


def _add_up(totals: dict[Any, Row], more: Mapping[Any, Row]) -> None:
    for key, row in more.items():
        into = totals.setdefault(key, dict.fromkeys(row, 0))
        for name, value in row.items():
            into[name] += value
