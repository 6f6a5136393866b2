"""All that is known of one run, for showing: its journal, from SQL or, where that has not got it yet, from the bus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evolvent.events.errors import BusUnavailable, CallTimeout, NoResponders, NotFound
from evolvent.events.expansion import expand
from evolvent.events.language.reducer import fold
from evolvent.events.language.state import RunState
from evolvent.events.messages.runs import AnyRunEvent, Final, WorkflowSuspended
from evolvent.platform.asking import Answer, Step, answer_of
from evolvent.platform.cli.frame import connect, databases
from evolvent.platform.connection import NotRunning
from evolvent.platform.run_follower import read_journal
from evolvent.platform.task_views import observed_diet
from evolvent.storage.runs import RunStore


@dataclass(frozen=True, slots=True)
class Story:
    """A run as its journal tells it."""

    run_id: str
    entries: Sequence[tuple[int, AnyRunEvent]]
    source: str

    @property
    def state(self) -> RunState:
        """What the journal adds up to."""
        return fold(self.run_id, self.entries)

    @property
    def end(self) -> Answer | None:
        """How it ended or why it waits, if it does."""
        last = self.entries[-1][1]
        return answer_of(last) if isinstance(last, Final | WorkflowSuspended) else None

    def steps(self) -> list[Step]:
        """Return everything that happened, in order."""
        return [Step(kind, data) for _, event in self.entries for kind, data in expand(event)]

    def document(self) -> dict[str, Any]:
        """Return the whole as JSON."""
        started, diet = self.state.started, observed_diet(self.state)
        return {
            "run_id": self.run_id,
            "status": self.state.status.value,
            "attempts": self.state.attempt,
            "source": self.source,
            "request": started.request.model_dump(mode="json", exclude_none=True) if started else None,
            "goal": started.goal if started else None,
            "priority": started.priority.value if started else None,
            "principal": started.principal if started else None,
            "routing": started.routing.model_dump(mode="json") if started else None,
            "totals": self.state.totals.model_dump(),
            "prompt_diet": {**asdict(diet), "spared": diet.spared} if diet is not None else None,
            "end": self.end.model_dump(mode="json", exclude_none=True) if self.end else None,
            "steps": [{"type": step.type, **step.data} for step in self.steps()],
        }


async def read_story(run_id: str, data_dir: Path | None) -> Story:
    """Return a run's story.

    Raises:
        NotFound: neither SQL nor the bus knows it.
    """
    recorded = await _recorded(run_id, data_dir)
    if recorded is not None and recorded.state.status.is_final:
        return recorded
    live = await _live(run_id, data_dir)
    if live is not None and (recorded is None or len(live.entries) >= len(recorded.entries)):
        return live
    if recorded is None:
        raise NotFound(f"There is no run {run_id!r}; `evolvent runs list` shows the last ones.")
    return recorded


async def _recorded(run_id: str, data_dir: Path | None) -> Story | None:
    opened = await databases(data_dir)
    try:
        entries = await RunStore(opened.records).events(run_id)
    finally:
        await opened.close()
    return Story(run_id, [(entry.seq, entry.event) for entry in entries], "records") if entries else None


async def _live(run_id: str, data_dir: Path | None) -> Story | None:
    try:
        async with connect(data_dir, operator=True) as client:
            entries = await read_journal(client.bus, run_id)
    except (NotRunning, BusUnavailable, NoResponders, CallTimeout):
        return None
    return Story(run_id, entries, "journal") if entries else None
