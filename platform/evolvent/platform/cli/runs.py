"""`evolvent runs`: every run that was recorded, and those under way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolvent.platform.cli.frame import (
    FAILED,
    AsJson,
    DataDir,
    connect,
    databases,
    examples,
    execute,
    fail,
    group,
    print_json,
    print_rows,
    say,
)
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.storage.run_records import RunRecord

commands = group("runs", "Every run: list, look at, follow, stop.")


def complete_run(incomplete: str) -> list[str]:
    """Return the latest run_ids that begin so, for the shell."""

    async def work() -> list[str]:
        return [run.run_id for run in await _latest(None, limit=50)]

    try:
        return [run_id for run_id in execute(work) if run_id.startswith(incomplete)]
    except Exception:  # noqa: BLE001  # a shell that completes must never show a trace
        return []


TaskId = Annotated[
    str | None, typer.Option("--task", help="Which of several approvals.", show_default="the one that it waits for")
]
Note = Annotated[str | None, typer.Option(help="A word about it; it is recorded.")]
RunId = Annotated[str, typer.Argument(help="Which run.", autocompletion=complete_run)]


@commands.command("list", epilog=examples("evolvent runs list", "evolvent runs list --status failed --json"))
def list_runs(
    status: Annotated[str | None, typer.Option(help="running, suspended, completed, failed or cancelled.")] = None,
    goal: Annotated[str | None, typer.Option(help="Only of this goal.")] = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the latest runs first."""

    async def work() -> list[RunRecord]:
        return await _latest(data_dir, status=status, goal=goal, user_id=user, limit=limit)

    columns = ("run_id", "status", "served_by", "goal", "started_at", "duration_seconds", "cost_usd", "message")
    rows = (_row(run) for run in execute(work))
    print_rows(rows, columns, as_json=as_json, empty="No run is recorded; `evolvent ask 'Hello'` makes one.")


@commands.command(epilog=examples("evolvent runs show 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10"))
def show(run_id: RunId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Draw a run: how it was routed, its tasks, turns and tool calls, with times and costs."""
    from evolvent.platform.cli.run_story import read_story

    story = execute(lambda: read_story(run_id, data_dir))
    if as_json:
        print_json(story.document())
        return
    from evolvent.platform.cli.run_drawing import draw

    draw(story)


@commands.command(epilog=examples("evolvent runs follow 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10"))
def follow(run_id: RunId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show what happened in a run and what happens, until it ends."""
    from evolvent.platform.cli.steps import sentence

    async def work() -> str:
        last = ""
        async with connect(data_dir) as client:
            async for step in client.follow(run_id):
                last = step.type
                print_json({"type": step.type, **step.data}) if as_json else typer.echo(visible(sentence(step)))
        return last

    if execute(work) != "workflow_completed":
        raise typer.Exit(FAILED)


@commands.command(epilog=examples("evolvent runs cancel 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10 --reason 'wrong file'"))
def cancel(
    run_id: RunId,
    reason: Annotated[str | None, typer.Option(help="Why; it is recorded.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Ask that a run stop."""

    async def work() -> None:
        async with connect(data_dir) as client:
            await client.cancel(run_id, reason=reason)

    execute(work)
    say(f"Asked; `evolvent runs show {run_id}` tells when it has stopped.")


@commands.command(
    epilog=examples(
        "evolvent runs resume 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10",
        "evolvent runs resume 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10 --outcome did_not_happen",
    )
)
def resume(
    run_id: RunId,
    deny: Annotated[bool, typer.Option("--deny", help="Say no: what it asks for is not done.")] = False,
    outcome: Annotated[
        str | None, typer.Option(help="Of an effect whose end is unknown: happened, did_not_happen or failed.")
    ] = None,
    note: Note = None,
    data_dir: DataDir = None,
) -> None:
    """Answer what a suspended run waits for, so that it goes on."""
    _decide(run_id, data_dir, approved=not deny, outcome=outcome, note=note)


@commands.command(
    epilog=examples(
        "evolvent runs approve 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10",
        "evolvent runs approve 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10 --note 'checked the amounts'",
    )
)
def approve(run_id: RunId, task: TaskId = None, note: Note = None, data_dir: DataDir = None) -> None:
    """Say yes to what a run asks a person for; it goes on."""
    _decide(run_id, data_dir, approved=True, task_id=task, note=note)


@commands.command(epilog=examples("evolvent runs deny 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10 --note 'too expensive'"))
def deny(run_id: RunId, task: TaskId = None, note: Note = None, data_dir: DataDir = None) -> None:
    """Say no to what a run asks a person for; what it asks for is not done."""
    _decide(run_id, data_dir, approved=False, task_id=task, note=note)


def _decide(run_id: str, data_dir: Path | None, *, approved: bool, **said: Any) -> None:
    outcome = said.get("outcome")
    if outcome not in (None, "happened", "did_not_happen", "failed"):
        fail("evolvent: --outcome is happened, did_not_happen or failed.", 2)

    async def work() -> None:
        run = await _one(run_id, data_dir)
        if run is not None and run.status != "suspended":
            fail(f"evolvent: run {run_id} is {run.status} and waits for nothing; only suspended runs go on.")
        async with connect(data_dir, operator=True) as client:
            await client.decide(run_id, approved=approved, **said)

    execute(work)
    say(f"{'Approved' if approved else 'Denied'}; `evolvent runs follow {run_id}` shows how it goes on.")


def _row(run: RunRecord) -> dict[str, Any]:
    document = run.model_dump(mode="json", exclude={"request", "first_seq", "last_seq", "request_hash"})
    return {**document, "cost_usd": run.cost_microusd / 1e6}


async def _latest(data_dir: Any, **wanted: Any) -> list[RunRecord]:
    from evolvent.storage.runs import RunStore

    opened = await databases(data_dir)
    try:
        return await RunStore(opened.records).latest(**wanted)
    finally:
        await opened.close()


async def _one(run_id: str, data_dir: Any) -> RunRecord | None:
    from evolvent.events.errors import NotFound
    from evolvent.storage.runs import RunStore

    opened = await databases(data_dir)
    try:
        return await RunStore(opened.records).get(run_id)
    except NotFound:
        return None
    finally:
        await opened.close()
