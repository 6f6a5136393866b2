"""`evolvent unlearn`: take back what was learnt from some runs."""

from __future__ import annotations

from typing import Annotated

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, examples, print_json
from evolvent.platform.cli.learning_calls import LEARN_SECONDS, ask
from evolvent.platform.visible import visible


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(
        epilog=examples(
            "evolvent unlearn 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10",
            "evolvent unlearn user:mallory",
            "evolvent unlearn tool:read_web",
        )
    )(unlearn)


def unlearn(
    what: Annotated[
        str, typer.Argument(help="A run_id, or user:NAME, principal:NAME, session:NAME, tool:NAME, label:NAME.")
    ],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Take back all that was learnt from these runs, for ever, and learn again from the others."""
    from evolvent.events.messages.version_calls import Unlearn, Unlearnt

    data = ask("unlearn", Unlearn(what=what), data_dir, operator=True, timeout_seconds=LEARN_SECONDS)
    found = Unlearnt.decode(data)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    lines = [
        f"{found.runs} runs are forgotten and never learnt from again; {found.signatures} patterns knew them.",
        f"Taken out of service: {', '.join(found.rolled_back) or 'nothing stood on them'}.",
        *([f"Declined: {', '.join(found.declined)}."] if found.declined else []),
        f"Learnt again from the others: {', '.join(found.learnt_again) or 'nothing'}.",
    ]
    typer.echo(visible("\n".join(lines)))
