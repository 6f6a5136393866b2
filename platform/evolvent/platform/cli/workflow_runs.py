"""`evolvent workflows run` and `evolvent workflows plan`: the two that ask a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolvent.platform.cli.ask import publish_only, read_context, see_through
from evolvent.platform.cli.frame import BAD_USAGE, AsJson, DataDir, connect, examples, execute, fail, print_json, say
from evolvent.platform.cli.workflows import Name

if TYPE_CHECKING:
    from evolvent.events.messages.workflow_calls import VersionRow
    from evolvent.platform.client import Ask
    from evolvent.platform.workflow_plans import PlannedWorkflow

Goal = Annotated[str, typer.Option(help="Whose budget it is.")]


def add_to(commands: typer.Typer) -> None:
    """Add this file's commands."""
    commands.command(
        epilog=examples(
            "evolvent workflows run health_check --follow",
            "evolvent workflows run report@2 'For the board' --param region=EU --param top=5",
            'evolvent workflows run missing_data_troubleshooting --context \'{"indexes": ["main"]}\'',
        )
    )(run)
    commands.command(
        epilog=examples(
            "evolvent workflows plan 'Orders fail since this morning; find out why'",
            "evolvent workflows plan 'Check this machine' --budget 0.05 --save machine_check",
            "evolvent workflows plan 'Check this machine' --run",
        )
    )(plan)


def run(
    name: Name,
    message: Annotated[str, typer.Argument(help="What is asked of it.")] = "",
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, as JSON or plain text; repeat.")] = None,
    context: Annotated[str | None, typer.Option(help="Facts for its tasks, as a JSON object.")] = None,
    goal: Goal = "default",
    priority: Annotated[str | None, typer.Option(help="Its queue.", show_default="the workflow's own")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show text and events as they come.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Publish, print the run_id, and go.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Run a workflow and print what comes of it."""
    pinned, usual_priority = _looked_up(name, data_dir)
    request: Ask = {
        "goal": goal,
        "priority": priority or usual_priority,
        "workflow": pinned,
        "parameters": read_parameters(param or []),
        "context": read_context(context),
    }
    if detach:
        publish_only(message, request, as_json=as_json, data_dir=data_dir)
    else:
        see_through(message, request, follow=follow, as_json=as_json, data_dir=data_dir)


def plan(
    problem: Annotated[str, typer.Argument(help="What is to be solved.")],
    run_it: Annotated[bool, typer.Option("--run", help="Store it and run it at once.")] = False,
    save: Annotated[str | None, typer.Option(help="Store it under this name.")] = None,
    budget: Annotated[float | None, typer.Option(help="USD that planning may cost.", show_default="the goal's")] = None,
    repairs: Annotated[int, typer.Option(min=0, max=5, help="How often a wrong plan is sent back.")] = 2,
    goal: Goal = "default",
    follow: Annotated[bool, typer.Option("--follow", help="With --run: show text and events as they come.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Have a workflow planned from a problem text; it is checked before you see it, and not run unless you say so."""
    if budget is not None and budget <= 0:
        fail("evolvent: --budget must be above 0.", BAD_USAGE)

    async def work() -> PlannedWorkflow:
        async with connect(data_dir) as client:
            return await client.plan_workflow(problem, goal=goal, budget_usd=budget, repairs=repairs)

    planned = execute(work)
    if save is not None:
        planned = _named(planned, save)
    stored = _store(planned, problem, data_dir) if save is not None or run_it else None
    _show(planned, stored, as_json=as_json, is_run=run_it)
    if run_it and stored is not None:
        request: Ask = {"goal": goal, "workflow": f"{stored.name}@{stored.version}"}
        see_through(problem, request, follow=follow, as_json=as_json, data_dir=data_dir)


def read_parameters(pairs: list[str]) -> dict[str, Any]:
    """Return NAME=VALUE pairs as parameters; a value that is JSON is taken as that, anything else as text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            fail(f"evolvent: --param is NAME=VALUE, such as top=5, and not {pair!r}.", BAD_USAGE)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _looked_up(target: str, data_dir: Path | None) -> tuple[str, str]:
    """Return NAME@VERSION of what is current now, so that nothing put meanwhile is run, and its priority."""
    from evolvent.platform.cli.workflow_documents import split_name

    name, version = split_name(target)

    async def work() -> tuple[str, str]:
        async with connect(data_dir) as client:
            found = await client.get_workflow(name, version)
            return f"{found.workflow.name}@{found.stored.version}", str(found.workflow.priority)

    return execute(work)


def _named(planned: PlannedWorkflow, name: str) -> PlannedWorkflow:
    from dataclasses import replace

    return replace(planned, workflow=planned.workflow.model_copy(update={"name": name}))


def _store(planned: PlannedWorkflow, problem: str, data_dir: Path | None) -> VersionRow:
    async def work() -> VersionRow:
        async with connect(data_dir, operator=True) as client:
            note = f"planned for: {problem}"[:500]
            done = await client.put_workflow(planned.workflow, note=note, source="automated")
            assert done.stored is not None
            return done.stored

    return execute(work)


def _show(planned: PlannedWorkflow, stored: VersionRow | None, *, as_json: bool, is_run: bool) -> None:
    from evolvent.events.language.plan import plan as plan_of
    from evolvent.events.language.prompt_diet import expected_diet
    from evolvent.platform.cli.workflow_documents import document_of, listed
    from evolvent.platform.cli.workflow_showing import console, diet_line, drawing, plan_document, print_lines

    workflow = planned.workflow
    if as_json:
        print_json(
            {
                "workflow": document_of(workflow),
                "plan": plan_document(plan_of(workflow)),
                "advice": [{"where": a.where, "what": a.what, "remedy": a.remedy} for a in planned.advice],
                "cost_usd": planned.cost_usd,
                "run_ids": list(planned.run_ids),
                "stored": stored.model_dump(mode="json") if stored is not None else None,
            }
        )
        return
    on = console()
    place = f"@{stored.version}" if stored is not None else "  (not stored)"
    print_lines([f"{workflow.name}{place}  {workflow.title}".rstrip(), workflow.description, ""], on)
    print_lines(drawing(workflow, on.width), on)
    print_lines([diet_line(expected_diet(workflow))], on)
    if planned.advice:
        print_lines(["It could be better:", *listed(planned.advice)], on)
    tries = f"{planned.attempts} attempt{'s' if planned.attempts != 1 else ''}"
    say(f"[planned in {tries}, ${planned.cost_usd:.6f}; run {', '.join(planned.run_ids)}]")
    if stored is None:
        say("--save NAME stores it; --run runs it. Planned again, it may come out differently.")
    elif not is_run:
        say(f"`evolvent workflows run {stored.name}` runs it.")
