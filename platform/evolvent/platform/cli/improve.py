"""`evolvent improve`: say how a run could have been better, and hear what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, connect, examples, execute, print_json, say
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.events.messages.opinions import OpinionRow

_HEAR_SECONDS = 5.0


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(
        epilog=examples(
            "evolvent improve",
            "evolvent improve 'Name the file that you read'",
            "evolvent improve 'That was wrong' --run 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10 --rating 1",
        )
    )(improve)


def improve(
    text: Annotated[str, typer.Argument(help="What should be better.")] = "Make it better",
    run: Annotated[str | None, typer.Option(help="The run; your last one by default.")] = None,
    rating: Annotated[int | None, typer.Option(min=1, max=5, help="From 1, bad, to 5, good.")] = None,
    user: Annotated[str | None, typer.Option(help="Who says it, as a label.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say how a run could have been better. A rating of 1 or 2, or words that say it was wrong, dispute the run."""

    async def work() -> tuple[str, OpinionRow | None]:
        async with connect(data_dir) as client:
            feedback_id = await client.improve(text, run_id=run, rating=rating, user_id=user)
            return feedback_id, await client.hear_of(feedback_id, timeout_seconds=_HEAR_SECONDS)

    feedback_id, found = execute(work)
    if as_json:
        print_json(found.model_dump(mode="json") if found else {"feedback_id": feedback_id, "status": "sent"})
    elif found is None:
        say(f"Stored as {feedback_id}; `evolvent feedback show {feedback_id}` tells what comes of it.")
    else:
        about = f"run {found.run_id}" if found.run_id != "_" else "no run, because none of yours is known"
        typer.echo(visible(f"Stored as {found.feedback_id}, about {about}."))
        typer.echo(visible(f"{found.status}: {found.detail}" if found.detail else found.status))
