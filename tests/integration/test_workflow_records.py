from __future__ import annotations

import pytest
from support.journals import STEPS, run_id_of, stamp, stream
from support.runs import AGENT, done, started, turn

from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import RunEvent, ToolCompleted, WorkflowCompleted
from evolvent.storage.database import Databases
from evolvent.storage.runs import RunStore
from evolvent.storage.workflow_records import WorkflowRecords


def run(number: int, *, look_seconds: float, ends: bool = True) -> list[RunEvent]:
    """A run of STEPS whose tool took so long; without an end, its agent is still at work."""
    look = done("t1", "look").model_copy(update={"task_id": "look", "duration_seconds": look_seconds})
    asked = turn(1, ("look", {})) if not ends else turn(1, text="42")
    events: list[RunEvent] = [
        started(**{**stamp(number, 0), "request": Request(message="?"), "mode": "live", "workflow": STEPS}),
        ToolCompleted(**stamp(number, 1), tools=(look,)),
    ]
    if ends:
        return [*events, WorkflowCompleted(**stamp(number, 2), turns=(asked,), answer="42")]
    return [*events, ToolCompleted(**stamp(number, 2), turns=(asked,))]


async def test_tasks_took_the_mean_of_the_completed_runs(databases: Databases) -> None:
    store, records = RunStore(databases.records), WorkflowRecords(databases.records)
    await store.record(stream(run(0, look_seconds=1.0), run(1, look_seconds=3.0), run(2, look_seconds=99, ends=False)))
    seen = await records.durations("steps")
    assert (seen["look"].seconds, seen["look"].runs) == (pytest.approx(2.0), 2)
    assert seen["answer"].runs == 2
    assert await records.durations("another") == {}
    assert (await records.durations("steps", runs=1))["look"].seconds == pytest.approx(3.0)


async def test_an_agent_has_the_tasks_of_running_runs_in_hand(databases: Databases) -> None:
    store, records = RunStore(databases.records), WorkflowRecords(databases.records)
    await store.record(stream(run(0, look_seconds=1.0, ends=False), run(1, look_seconds=1.0)))
    assert await records.agent_load() == {AGENT.agent_id: 1}
    assert (await store.summary())["running"] == 1
    assert run_id_of(0) in {record.run_id for record in await store.latest(status="running")}
