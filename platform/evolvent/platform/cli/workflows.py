"""`evolvent workflows`: the stored workflows and their versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolvent.platform.cli.frame import (
    FAILED,
    AsJson,
    DataDir,
    connect,
    examples,
    execute,
    group,
    print_json,
    print_rows,
    say,
)
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.events.language.workflow_problems import Problem
    from evolvent.events.messages.workflow_calls import Checked, PutReply, VersionRow, WorkflowReply, WorkflowRow

commands = group("workflows", "The stored workflows: list, look at, run, write, plan.")


def complete_workflow(incomplete: str) -> list[str]:
    """Return the workflows whose names begin so, for the shell."""
    try:
        return [row.name for row in _all(None, limit=500, offset=0) if row.name.startswith(incomplete)]
    except Exception:  # noqa: BLE001  # a shell that completes must never show a trace
        return []


Name = Annotated[str, typer.Argument(help="Which workflow, as NAME or NAME@VERSION.", autocompletion=complete_workflow)]
Target = Annotated[str, typer.Argument(help="A file, NAME or NAME@VERSION.", autocompletion=complete_workflow)]


@commands.command("list", epilog=examples("evolvent workflows list", "evolvent workflows list --json"))
def list_workflows(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 200,
    offset: Annotated[int, typer.Option(min=0, help="How many to pass over.")] = 0,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the workflows by name, and how much of each can run side by side."""
    columns = ("name", "version", "tasks", "phases", "parallelism", "time_saved", "title")
    rows: list[dict[str, Any]] = [row.model_dump(mode="json") for row in _all(data_dir, limit=limit, offset=offset)]
    unable = [row["name"] for row in rows if row["missing_tools"]]
    if not as_json:
        rows = [{**row, **{key: f"{row[key]:.0%}" for key in ("parallelism", "time_saved")}} for row in rows]
        rows = [{**row, "name": f"{row['name']} !" if row["missing_tools"] else row["name"]} for row in rows]
    print_rows(rows, columns, as_json=as_json, empty="No workflow yet; `evolvent workflows create -f FILE` stores one.")
    if unable and not as_json:
        typer.echo(
            f"! cannot run here, as tools are missing; `evolvent workflows lint {visible(unable[0])}` says what to do."
        )


@commands.command(
    epilog=examples("evolvent workflows show health_check", "evolvent workflows show health_check@1 --yaml")
)
def show(
    name: Name,
    only_yaml: Annotated[bool, typer.Option("--yaml", help="Print the document alone, as for a file.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Draw a workflow: phases, critical path, estimated and observed times, and what its prompts are spared."""
    from evolvent.platform.cli.workflow_documents import as_yaml, document_of
    from evolvent.platform.cli.workflow_showing import description, print_workflow

    found = _get(name, data_dir)
    if as_json:
        print_json(description(found))
    elif only_yaml:
        typer.echo(visible(as_yaml(document_of(found.workflow))), nl=False)
    else:
        print_workflow(found)


@commands.command(epilog=examples("evolvent workflows create -f report.yaml --note 'ask for the region too'"))
def create(
    file: Annotated[Path, typer.Option("--file", "-f", help="A YAML or JSON file.")],
    note: Annotated[str, typer.Option(help="Why; it stands in the list of versions.")] = "",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Store a workflow from a file; a name that is there already gets a new version. Runs keep the one they have."""
    from evolvent.events.messages.workflow_calls import PutReply, PutWorkflow
    from evolvent.platform.cli.workflow_documents import read_file

    document = read_file(file)

    async def work() -> PutReply:
        async with connect(data_dir, operator=True) as client:
            call = PutWorkflow(document=document, note=note)
            return PutReply.decode(await client.call_orchestrator("put_workflow", call))

    done = execute(work)
    if as_json:
        print_json(done.model_dump(mode="json"))
    else:
        _tell_put(str(file), done)
    if done.stored is None:
        raise typer.Exit(FAILED)


@commands.command(epilog=examples("evolvent workflows versions report", "evolvent workflows versions report --json"))
def versions(name: Name, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the versions of a workflow, oldest first."""

    async def work() -> list[VersionRow]:
        async with connect(data_dir) as client:
            return await client.workflow_versions(name)

    columns = ("version", "workflow_hash", "source", "parent_version", "created_by", "created_at", "note")
    print_rows((row.model_dump(mode="json") for row in execute(work)), columns, as_json=as_json)


@commands.command(
    epilog=examples("evolvent workflows diff report@1 report@2", "evolvent workflows diff report report.yaml")
)
def diff(
    a: Target,
    b: Target,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show how two workflows, or two versions of one, differ as YAML. Ends with 0 either way."""
    from evolvent.platform.cli.workflow_documents import in_our_words, read_target, unified_diff

    async def work() -> tuple[dict[str, Any], dict[str, Any]]:
        async with connect(data_dir) as client:
            return await read_target(client, a), await read_target(client, b)

    first, second = execute(work)
    lines = unified_diff(in_our_words(first), in_our_words(second), (a, b))
    if as_json:
        print_json({"a": a, "b": b, "same": not lines, "diff": lines})
        return
    for line in lines:
        typer.secho(visible(line), fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1]))
    if not lines:
        say(f"{a} and {b} are the same.")


@commands.command(epilog=examples("evolvent workflows rollback report", "evolvent workflows rollback report --to 3"))
def rollback(
    name: Name,
    to: Annotated[int | None, typer.Option(min=1, help="Which version.", show_default="the one before")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make an older version current again, as a new one. Runs keep the version that they began with."""

    async def work() -> VersionRow:
        async with connect(data_dir, operator=True) as client:
            return await client.roll_back_workflow(name, to=to)

    stored = execute(work)
    if as_json:
        print_json(stored.model_dump(mode="json"))
        return
    typer.echo(f"{stored.name} is now at version {stored.version}: {stored.note or 'nothing had to change'}.")


@commands.command(epilog=examples("evolvent workflows lint report.yaml", "evolvent workflows lint health_check"))
def lint(target: Target, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Say what keeps a workflow from running here, and what could be better. Ends with 1 if it cannot run."""
    from evolvent.platform.cli.workflow_documents import read_target

    async def work() -> Checked:
        async with connect(data_dir) as client:
            return await client.check_workflow(await read_target(client, target))

    found = execute(work)
    if as_json:
        for kind, rows in (("problem", found.problems), ("advice", found.advice)):
            for row in rows:
                print_json({"kind": kind, **row.model_dump(mode="json")})
    else:
        _print_found(target, [r.problem() for r in found.problems], [r.problem() for r in found.advice])
    if found.problems:
        raise typer.Exit(FAILED)


def _print_found(target: str, problems: list[Problem], advice: list[Problem]) -> None:
    from evolvent.platform.cli.workflow_documents import listed

    for count, lines, what in (
        (len(problems), listed(problems), "cannot run"),
        (len(advice), listed(advice), "could be better"),
    ):
        if count:
            typer.echo(visible(f"{target} {what}, for {count} reason{'s' if count > 1 else ''}:"))
            typer.echo(visible("\n".join(lines)))
    if not problems and not advice:
        typer.echo(visible(f"{target} can run, and there is nothing to say against it."))


def _tell_put(file: str, done: PutReply) -> None:
    from evolvent.platform.cli.workflow_documents import listed

    advice = [row.problem() for row in done.advice]
    if done.stored is None:
        found = listed([row.problem() for row in done.problems])
        say("\n".join([f"evolvent: {file} cannot run and was not stored; correct all of this:", *found]))
        return
    stored = done.stored
    what = "is stored as" if done.is_new else "was there already as"
    typer.echo(visible(f"{stored.name} {what} version {stored.version} ({stored.workflow_hash[:12]})."))
    if advice:
        say("\n".join(["It could be better:", *listed(advice)]))


def _all(data_dir: Path | None, *, limit: int, offset: int) -> list[WorkflowRow]:
    async def work() -> list[WorkflowRow]:
        async with connect(data_dir) as client:
            return await client.list_available_workflows(limit=limit, offset=offset)

    return execute(work)


def _get(target: str, data_dir: Path | None) -> WorkflowReply:
    from evolvent.platform.cli.workflow_documents import split_name

    name, version = split_name(target)

    async def work() -> WorkflowReply:
        async with connect(data_dir) as client:
            return await client.get_workflow(name, version)

    return execute(work)
