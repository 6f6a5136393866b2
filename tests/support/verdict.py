"""The independent checker: what the streams, the ledger, the model server and the tools' marks say, held together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from evolvent.events.language.reducer import fold
from evolvent.events.language.state import RunState, RunStatus
from evolvent.events.messages.runs import FINAL_TYPES, AnyRunEvent, read_run_event
from evolvent.events.nats_bus import NatsBus
from evolvent.events.streams import RUNS
from evolvent.events.subjects import parse_run_event


@dataclass
class Verdict:
    """What is wrong, run by run. Empty is right."""

    runs: dict[str, RunState] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[str]:
        """How many runs ended how."""
        return Counter(str(state.status) for state in self.runs.values())


async def read_journals(bus: NatsBus) -> dict[str, list[tuple[int, AnyRunEvent]]]:
    """Read the whole RUNS stream."""
    journals: dict[str, list[tuple[int, AnyRunEvent]]] = {}
    async for stored in bus.read(RUNS, "evolvent.runs.>"):
        run_id, _ = parse_run_event(stored.subject)
        journals.setdefault(run_id, []).append((stored.sequence, read_run_event(stored.data)))
    return journals


def judge(journals: dict[str, list[tuple[int, AnyRunEvent]]], accepted: set[str], effects: Path) -> Verdict:
    """Hold every run that was accepted against its journal and the marks its tools left."""
    verdict = Verdict()
    for run_id in accepted:
        entries = journals.get(run_id, [])
        state = fold(run_id, entries)
        verdict.runs[run_id] = state
        finals = [event.type for _, event in entries if event.type in FINAL_TYPES]
        if len(finals) > 1 or (not finals and state.status is not RunStatus.SUSPENDED):
            verdict.wrong.append(f"{run_id} has {len(finals)} final events and is {state.status}")
        _no_stored_work_twice(run_id, entries, verdict)
        _chain_is_whole(run_id, entries, verdict)
    _effects_once(effects, verdict)
    return verdict


def _no_stored_work_twice(run_id: str, entries: list[tuple[int, AnyRunEvent]], verdict: Verdict) -> None:
    turns = Counter((t.task_id, t.turn) for _, e in entries for t in e.turns if t.reply is not None)
    calls = Counter((t.task_id, t.call_id) for _, e in entries for t in e.tools if t.outcome != "unknown")
    verdict.wrong.extend(f"{run_id} repeated stored turn {turn}" for turn, n in turns.items() if n > 1)
    verdict.wrong.extend(f"{run_id} repeated stored call {call}" for call, n in calls.items() if n > 1)


def _chain_is_whole(run_id: str, entries: list[tuple[int, AnyRunEvent]], verdict: Verdict) -> None:
    before = 0
    for sequence, event in entries:
        if event.prev_seq != before:
            verdict.wrong.append(f"{run_id}: event {sequence} follows {event.prev_seq}, but {before} was before it")
        before = sequence


def _effects_once(effects: Path, verdict: Verdict) -> None:
    marks = Counter(line for line in effects.read_text().splitlines() if line.startswith("paid "))
    verdict.wrong.extend(f"an irreversible effect happened {n} times: {mark}" for mark, n in marks.items() if n > 1)
