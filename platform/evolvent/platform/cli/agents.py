"""`evolvent agents`: the stored specialists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, connect, examples, execute, fail, group, print_json, print_rows
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.events.language.agents import AgentSpec
    from evolvent.events.messages.calls import AgentList

commands = group("agents", "The stored specialists: list, look at, spawn, retire.")
_CALL_SECONDS = 10.0


def complete_agent(incomplete: str) -> list[str]:
    """Return the agents whose names begin so, for the shell."""
    try:
        return [row.agent_id for row in _list(None, limit=1000).agents if row.agent_id.startswith(incomplete)]
    except Exception:  # noqa: BLE001  # a shell that completes must never show a trace
        return []


AgentId = Annotated[str, typer.Argument(help="Which agent.", autocompletion=complete_agent)]


@commands.command("list", epilog=examples("evolvent agents list", "evolvent agents list --goal research --json"))
def list_agents(
    goal: Annotated[str | None, typer.Option(help="Only of this goal.")] = None,
    status: Annotated[str | None, typer.Option(help="active or retired.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="How many to pass over.")] = 0,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the agents by name."""
    found = _list(data_dir, goal=goal, status=status, limit=limit, offset=offset)
    columns = ("agent_id", "specialty", "goal", "model", "status", "created_at")
    rows = (row.model_dump(mode="json") for row in found.agents)
    print_rows(rows, columns, as_json=as_json, empty="No agent yet; the first request makes one.")


@commands.command(epilog=examples("evolvent agents show researcher_1a2b3c4d"))
def show(agent_id: AgentId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show an agent's whole spec."""
    from evolvent.events.messages.calls import AgentQuery

    _print_spec(_spec_call("agent", AgentQuery(agent_id=agent_id).encode(), data_dir), as_json=as_json)


@commands.command(
    epilog=examples(
        "evolvent agents spawn 'log analyst'",
        'evolvent agents spawn reviewer --goal code --context \'{"language": "Go"}\'',
    )
)
def spawn(
    specialty: Annotated[str, typer.Argument(help="What it is good at, in one or two words.")],
    goal: Annotated[str, typer.Option(help="Whose budget it counts against.")] = "default",
    context: Annotated[str, typer.Option(help="What it should know, as a JSON object.")] = "{}",
    tool: Annotated[list[str] | None, typer.Option(help="A tool that it is offered; repeat for more.")] = None,
    model: Annotated[str | None, typer.Option(help="The model that it speaks through.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a specialist and store it."""
    from evolvent.events.messages.calls import SpawnAgent

    try:
        facts = json.loads(context)
    except ValueError as error:
        fail(f"evolvent: --context is not JSON: {error}.", 2)
    fields = {"specialty": specialty, "context": facts, "goal": goal, "tools": tool or None, "model": model}
    call = SpawnAgent.decode(json.dumps(fields).encode())
    _print_spec(_spec_call("spawn", call.encode(), data_dir), as_json=as_json)


@commands.command(epilog=examples("evolvent agents register -f agents.yaml"))
def register(
    file: Annotated[Path, typer.Option("--file", "-f", help="A YAML or JSON file with `agents:`.", dir_okay=False)],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Store the agents of a file: id, type, capabilities, max_tasks, config. Once more, they become new versions."""
    import yaml

    from evolvent.events.errors import EvolventError
    from evolvent.orchestrator.agents.registration import registrations

    try:
        wanted = registrations(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, EvolventError) as error:
        fail(f"evolvent: {file} cannot be used: {error}", 2)
    stored = [_spec_call("register", ask.encode(), data_dir) for ask in wanted]
    rows = (spec.model_dump(mode="json") for spec in stored)
    columns = ("agent_id", "specialty", "goal", "model", "max_concurrent_tasks")
    print_rows(rows, columns, as_json=as_json, empty="No agent.")


@commands.command(epilog=examples("evolvent agents retire researcher_1a2b3c4d --reason 'not used'"))
def retire(
    agent_id: AgentId,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Let an agent take no more work. Its runs and its spec stay recorded."""
    from evolvent.events.messages.calls import AgentQuery

    _call("retire", AgentQuery(agent_id=agent_id, reason=reason).encode(), data_dir)
    typer.echo(f"{agent_id} is retired.")


def _list(data_dir: DataDir, **wanted: object) -> AgentList:
    from evolvent.events.messages.calls import AgentList, AgentsQuery

    return AgentList.decode(_call("agents", AgentsQuery.model_validate(wanted).encode(), data_dir))


def _spec_call(endpoint: str, body: bytes, data_dir: DataDir) -> AgentSpec:
    from evolvent.events.messages.calls import AgentReply

    return AgentReply.decode(_call(endpoint, body, data_dir)).spec


def _call(endpoint: str, body: bytes, data_dir: DataDir) -> bytes:
    from evolvent.events import subjects

    async def work() -> bytes:
        async with connect(data_dir, operator=True) as client:
            return await client.bus.call(subjects.endpoint("loader", endpoint), body, timeout_seconds=_CALL_SECONDS)

    return execute(work)


def _print_spec(spec: AgentSpec, *, as_json: bool) -> None:
    document = {**spec.model_dump(mode="json"), "spec_hash": spec.spec_hash}
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        typer.echo(visible(f"{name}: {value}"))
