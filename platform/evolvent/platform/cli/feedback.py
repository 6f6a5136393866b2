"""`evolvent feedback`: what became of what you said."""

from __future__ import annotations

from typing import Annotated

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, connect, examples, execute, group, print_json, print_rows
from evolvent.platform.visible import visible

commands = group("feedback", "What became of what you said about runs.")
_COLUMNS = ("feedback_id", "run_id", "rating", "text", "status", "detail")


@commands.command("list", epilog=examples("evolvent feedback list", "evolvent feedback list --status proposed --json"))
def list_feedback(
    status: Annotated[
        str | None, typer.Option(help="received, noted, suspended, proposing, proposed, applied, declined or failed.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List your feedback, the latest first, and what came of each."""

    async def work() -> list[dict[str, object]]:
        async with connect(data_dir) as client:
            found = await client.list_feedback(status=status, limit=limit)
            return [row.model_dump(mode="json") for row in found]

    print_rows(execute(work), _COLUMNS, as_json=as_json, empty="Nothing yet; `evolvent improve` says something.")


@commands.command(epilog=examples("evolvent feedback show 5f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10"))
def show(
    feedback_id: Annotated[str, typer.Argument(help="Its id, as `evolvent improve` or the list says it.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show feedback of yours and what came of it."""

    async def work() -> dict[str, object]:
        async with connect(data_dir) as client:
            return (await client.show_feedback(feedback_id)).model_dump(mode="json")

    found = execute(work)
    if as_json:
        print_json(found)
    else:
        typer.echo(visible("\n".join(f"{name:14}{value}" for name, value in found.items() if value is not None)))
