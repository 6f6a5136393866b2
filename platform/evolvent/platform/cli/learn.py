"""`evolvent learn`: learn from what finished, now."""

from __future__ import annotations

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, examples, print_json, say
from evolvent.platform.cli.learning_calls import LEARN_SECONDS, ask


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog=examples("evolvent learn", "evolvent learn --json"))(learn)


def learn(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Learn from all runs that finished since the last time, and say what came of it. It happens by schedule, too."""
    from evolvent.events.messages.calls import Empty
    from evolvent.events.messages.learning_calls import LearnReply
    from evolvent.improvement.learning import added_up, in_words

    total = LearnReply()
    while True:
        data = ask("learn", Empty(), data_dir, operator=True, timeout_seconds=LEARN_SECONDS)
        step = LearnReply.decode(data)
        total = added_up(total, step)
        if not step.more:
            break
        say(f"{total.runs} runs read ...")
    if as_json:
        print_json(total.model_dump(mode="json"))
        return
    if total.is_off:
        typer.echo("Learning is switched off; EVOLVENT_LEARNING__ENABLED=true switches it on.")
        return
    typer.echo(f"{in_words(total)}.")
    for signature, reason in total.refused.items():
        typer.echo(f"  not learnt: {signature[:16]}: {reason}")
