"""What recorded runs say about workflows: how long tasks took, and which agents are at work. Reads only.

Shown in use by tests/integration/test_workflow_records.py.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import col, select

from evolvent.storage.database import Database
from evolvent.storage.run_rows import RunRow, TaskRow

_LATEST_RUNS = 5_000
"""So far back a workflow's runs are looked for: a listing must not read a year of records."""
_MOST_TASKS = 20_000


@dataclass(frozen=True, slots=True)
class Observed:
    """How long a task took, on the mean of so many runs."""

    seconds: float
    runs: int


class WorkflowRecords:
    """Answers questions about the runs of workflows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def durations(self, workflow: str, *, runs: int = 30) -> dict[str, Observed]:
        """Return how long each task took in the last completed runs of a workflow; without what people took."""
        latest = (
            select(col(RunRow.run_id), col(RunRow.workflow), col(RunRow.status))
            .order_by(col(RunRow.started_at).desc())
            .limit(_LATEST_RUNS)
            .subquery()
        )
        chosen = (
            select(latest.c.run_id)
            .where(latest.c.workflow == workflow, latest.c.status == "completed")
            .limit(runs)
            .subquery()
        )
        query = (
            select(TaskRow)
            .where(col(TaskRow.run_id).in_(select(chosen.c.run_id)))
            .where(col(TaskRow.kind) != "approval", col(TaskRow.status) == "completed")
            .limit(_MOST_TASKS)
        )
        seconds: defaultdict[str, list[float]] = defaultdict(list)
        async with self._database.reading() as session:
            for row in (await session.exec(query)).all():
                seconds[row.task_id].append(_seconds(row))
        return {name: Observed(round(sum(all_) / len(all_), 6), len(all_)) for name, all_ in seconds.items()}

    async def agent_load(self) -> dict[str, int]:
        """Return how many tasks of running runs each agent has in hand."""
        query = (
            select(TaskRow.agent_id, func.count())
            .join(RunRow, col(RunRow.run_id) == col(TaskRow.run_id))
            .where(col(RunRow.status) == "running", col(TaskRow.status) == "running")
            .group_by(col(TaskRow.agent_id))
        )
        async with self._database.reading() as session:
            return {agent_id: int(n) for agent_id, n in (await session.exec(query)).all() if agent_id}


def _seconds(row: TaskRow) -> float:
    if row.started_at is None or row.finished_at is None:
        return row.busy_seconds
    return max(0.0, (row.finished_at - row.started_at).total_seconds())
