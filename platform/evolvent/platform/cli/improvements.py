"""`evolvent improvements`: better prompts that were proposed, for a person to apply or decline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, examples, group, print_json, print_rows
from evolvent.platform.cli.learning_calls import ask
from evolvent.platform.cli.versions import named, print_view, version_rows
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.events.messages.version_calls import VersionView

commands = group("improvements", "Better prompts that feedback asked for: list, read, approve, decline.")
_COLUMNS = ("item_id", "version", "parent", "status", "note", "created_at")


def complete_improvement(incomplete: str) -> list[str]:
    """Return the proposals whose names begin so, for the shell."""
    try:
        rows = version_rows(None, kind="agent", status="proposed", limit=1000)
        found = [f"{row['item_id']}@{row['version']}" for row in rows]
        return [name for name in found if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001  # a shell that completes must never show a trace
        return []


Which = Annotated[str, typer.Argument(help="Which, as AGENT@VERSION.", autocompletion=complete_improvement)]
Why = Annotated[str, typer.Option(help="Why; it stands beside the decision.")]


@commands.command("list", epilog=examples("evolvent improvements list", "evolvent improvements list --status applied"))
def list_improvements(
    status: Annotated[str, typer.Option(help="proposed, applied or declined.")] = "proposed",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the proposals that wait for a person, or those that were decided."""
    rows = version_rows(data_dir, kind="agent", status=status, limit=limit)
    print_rows(rows, _COLUMNS, as_json=as_json, empty="Nothing; `evolvent improve 'Be brief'` asks for something.")


@commands.command(epilog=examples("evolvent improvements show clerk@2"))
def show(improvement: Which, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show what a proposal would change, which feedback asked for it, and what making it cost."""
    from evolvent.events.messages.version_calls import VersionQuery, VersionView

    agent_id, version = named(improvement)
    query = VersionQuery(kind="agent", item_id=agent_id, version=version)
    print_view(VersionView.decode(ask("version", query, data_dir, operator=True)), as_json)


@commands.command(epilog=examples("evolvent improvements approve clerk@2"))
def approve(improvement: Which, reason: Why = "", as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let the agent use the proposed prompt from its next run on."""
    _print(_decide("approve", improvement, reason, data_dir), as_json=as_json)


@commands.command(epilog=examples("evolvent improvements decline clerk@2 --reason 'Too wordy'"))
def decline(improvement: Which, reason: Why = "", as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Say that a proposal shall not be used."""
    _print(_decide("decline", improvement, reason, data_dir), as_json=as_json)


def _decide(decision: str, improvement: str, reason: str, data_dir: DataDir) -> VersionView:
    from evolvent.events.messages.version_calls import DecideImprovement, VersionView

    agent_id, version = named(improvement)
    if version is None:
        raise typer.BadParameter(f"{improvement!r} names no version; write AGENT@VERSION.")
    asked = DecideImprovement.model_validate(
        {"agent_id": agent_id, "version": version, "decision": decision, "reason": reason}
    )
    return VersionView.decode(ask("decide_improvement", asked, data_dir, operator=True))


def _print(found: VersionView, *, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    row = found.version
    use = "its next runs use it" if row.in_use else "nobody uses it"
    typer.echo(visible(f"{row.item_id}@{row.version} is {row.status}; {use}."))
