"""`evolvent failures`: what fails again and again, and what may help."""

from __future__ import annotations

from typing import Annotated

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, examples, group, print_json, print_rows
from evolvent.platform.cli.learning_calls import ask
from evolvent.platform.visible import visible

commands = group("failures", "What fails again and again, and what may help.")
_COLUMNS = (
    "pattern_id",
    "trend",
    "failures",
    "failed_runs",
    "code",
    "kind",
    "subject",
    "message",
    "remedy",
    "last_seen",
)


@commands.command("list", epilog=examples("evolvent failures list", "evolvent failures list --days 30 --json"))
def list_failures(
    min_failures: Annotated[int, typer.Option("--min", min=1, help="At least so many failures.")] = 1,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Seen in so many days.")] = 7,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the patterns of failures, the latest first."""
    from evolvent.events.messages.insight_calls import FailureList, FailuresQuery

    query = FailuresQuery(min_failures=min_failures, days=days, limit=limit)
    found = FailureList.decode(ask("failures", query, data_dir, operator=True))
    rows = (row.model_dump(mode="json") for row in found.patterns)
    empty = "Nothing failed; `evolvent jobs run failure_patterns` looks now."
    print_rows(rows, _COLUMNS, as_json=as_json, empty=empty)


@commands.command(epilog=examples("evolvent failures show 3f0c1b1e8a564a8e", "evolvent failures show 3f0c --json"))
def show(
    pattern: Annotated[str, typer.Argument(help="Which, by the start of its id.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show one pattern of failures: what failed, where, how it goes on, its latest runs, and what may help."""
    from evolvent.events.messages.insight_calls import FailureQuery, FailureView

    found = FailureView.decode(ask("failure", FailureQuery(pattern_id=pattern), data_dir, operator=True))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    row = found.pattern
    goals = ", ".join(f"{goal} {count}" for goal, count in row.goals.items())
    lines = [
        f"Pattern {row.pattern_id}: {row.kind} {row.subject} fails with {row.code} ({row.category})",
        f"  says       {row.message or 'nothing: the runs went on'}",
        f"  seen       {row.failures} times, {row.failures_24h} in the last 24 hours: {row.trend}",
        f"  between    {row.first_seen} and {row.last_seen}",
        f"  goals      {goals}; {row.failed_runs} runs ended by it",
        f"  proposed   {row.remedy}: {found.advice}",
        *(f"  run        {run}" for run in found.runs),
    ]
    typer.echo(visible("\n".join(lines)))
