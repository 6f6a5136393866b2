"""`evolvent improve`: say how a run could have been better."""

from __future__ import annotations

from typing import Annotated

import typer

from evolvent.platform.cli.frame import DataDir, connect, examples, execute, say


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(
        epilog=examples(
            "evolvent improve 'Name the file that you read'",
            "evolvent improve 'Too long' --run 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10 --rating 2",
        )
    )(improve)


def improve(
    text: Annotated[str, typer.Argument(help="What should be better.")],
    run: Annotated[str | None, typer.Option(help="The run; your last one by default.")] = None,
    rating: Annotated[int | None, typer.Option(min=1, max=5, help="From 1, bad, to 5, good.")] = None,
    user: Annotated[str | None, typer.Option(help="Who says it, as a label.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Say how a run could have been better."""

    async def work() -> None:
        async with connect(data_dir) as client:
            await client.improve(text, run_id=run, rating=rating, user_id=user)

    execute(work)
    say(f"Stored. It is about {'run ' + run if run else 'your last run'}.")
