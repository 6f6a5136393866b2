"""The whole of the command line put together, and how it ends."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from evolvent.platform.cli import (
    agents,
    ask,
    automations,
    bench,
    budget,
    clients,
    dead,
    demo,
    doctor,
    failures,
    feedback,
    improve,
    improvements,
    jobs,
    learn,
    patterns,
    reference,
    run_replay,
    running,
    runs,
    schedule,
    status,
    tools,
    unlearn,
    versions,
    workflow_runs,
    workflows,
)
from evolvent.platform.cli.frame import BAD_USAGE, FAILED, INTERRUPTED, say

app = typer.Typer(
    name="evolvent",
    help="Run LLM agents on a NATS bus, with every run journaled.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Begin with `evolvent doctor`, `evolvent up`, and then `evolvent ask 'Hello'` in another terminal.",
)
for part in (running, demo, ask, improve, learn, unlearn, status, doctor, bench, reference):
    part.add_to(app)
workflow_runs.add_to(workflows.commands)
run_replay.add_to(runs.commands)
for part in (runs, workflows, agents, clients, budget, jobs, schedule, patterns, automations, failures, dead, tools):
    app.add_typer(part.commands)
for part in (versions, improvements, feedback):
    app.add_typer(part.commands)


@app.callback()
def _root(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole trace of an error.")] = False,
) -> None:
    context.obj = {"debug": debug}


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given or os.environ.get("EVOLVENT_DEBUG", "") not in ("", "0")
    try:
        code = app(given, standalone_mode=False, prog_name="evolvent")
        sys.stdout.flush()
        if code == INTERRUPTED:
            code = _interrupted()
    except Exception as error:
        if debug:
            raise
        code = _ended(error)
    except KeyboardInterrupt:
        code = _interrupted()
    sys.exit(code if isinstance(code, int) else 0)


def _ended(error: Exception) -> int:
    """Say what went wrong in one sentence; return the exit code."""
    if isinstance(error, typer.Abort):
        return _interrupted()
    if isinstance(error, BrokenPipeError):
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # the reader left: nothing can be flushed to it
        return 0
    show = getattr(error, "show", None)
    if show is not None and hasattr(error, "exit_code"):
        show(sys.stderr)
        return int(error.exit_code)
    from evolvent.events.errors import EvolventError

    if isinstance(error, EvolventError):
        say(f"evolvent: {error}")
        return BAD_USAGE if error.info().code == "config.invalid" else FAILED
    say(f"evolvent: {type(error).__name__}: {error}. This should not happen; run it again with --debug for the trace.")
    return FAILED


def _interrupted() -> int:
    say("evolvent: interrupted.")
    return INTERRUPTED
