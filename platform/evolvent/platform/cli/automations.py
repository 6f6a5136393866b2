"""`evolvent automations`: what was learnt, to be read, approved, and taken out of service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, examples, group, print_json, print_rows
from evolvent.platform.cli.learning_calls import ask, automation_rows
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.events.messages.learning_calls import AutomationView, Decision

commands = group("automations", "What was learnt from runs: list, read, approve, take out of service.")
_COLUMNS = (
    "automation_id",
    "name",
    "version",
    "kind",
    "effect",
    "status",
    "served",
    "wrong",
    "tokens_saved",
    "source_runs",
    "reason",
)
_STATUSES = ("proposed", "verified", "shadow", "canary", "live", "disabled", "rolled_back", "retired")


def complete_automation(incomplete: str) -> list[str]:
    """Return the automations whose ids begin so, for the shell."""
    try:
        found = [row["automation_id"] for row in automation_rows(None, limit=1000)]
        return [automation_id for automation_id in found if automation_id.startswith(incomplete)]
    except Exception:  # noqa: BLE001  # a shell that completes must never show a trace
        return []


def complete_status(incomplete: str) -> list[str]:
    """Return the statuses that begin so, for the shell."""
    return [status for status in _STATUSES if status.startswith(incomplete)]


Which = Annotated[
    str, typer.Argument(help="Which automation, as ID or ID@VERSION.", autocompletion=complete_automation)
]
Why = Annotated[str, typer.Option(help="Why; it stands beside the decision.")]


@commands.command("list", epilog=examples("evolvent automations list", "evolvent automations list --status verified"))
def list_automations(
    status: Annotated[
        str | None, typer.Option(help="Only versions in this status.", autocompletion=complete_status)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 200,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the automations, each in its live version or else its newest, and how they do."""
    rows = automation_rows(data_dir, status=status, limit=limit)
    print_rows(rows, _COLUMNS, as_json=as_json, empty="No automation yet; `evolvent patterns list` shows why.")


@commands.command(
    epilog=examples("evolvent automations show auto-0bfc84537801", "evolvent automations show auto-0bfc84537801@2")
)
def show(automation: Which, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show what an automation understands, reads, checks, writes and answers, and which runs it stands on."""
    from evolvent.events.messages.learning_calls import AutomationQuery, AutomationView

    automation_id, version = _named(automation)
    query = AutomationQuery(automation_id=automation_id, version=version)
    found = AutomationView.decode(ask("automation", query, data_dir))
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)


@commands.command(
    epilog=examples(
        "evolvent automations approve auto-0bfc84537801", "evolvent automations approve auto-0bfc84537801@2"
    )
)
def approve(automation: Which, reason: Why = "", as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let an automation serve from now on: the version that is named, else the newest."""
    _decide("approve", automation, reason, data_dir, as_json=as_json)


@commands.command(epilog=examples("evolvent automations disable auto-0bfc84537801 --reason 'The shop has new rules'"))
def disable(automation: Which, reason: Why = "", as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Take an automation out of service; the agent does its work again, until somebody approves it."""
    _decide("disable", automation, reason, data_dir, as_json=as_json)


@commands.command(epilog=examples("evolvent automations rollback auto-0bfc84537801 --reason 'Answers in English only'"))
def rollback(automation: Which, reason: Why = "", as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Take the live version back; the one that served before it serves again, or else the agent."""
    _decide("rollback", automation, reason, data_dir, as_json=as_json)


def _decide(decision: Decision, automation: str, reason: str, data_dir: DataDir, *, as_json: bool) -> None:
    from evolvent.events.messages.learning_calls import AutomationView, DecideAutomation

    automation_id, version = _named(automation)
    asked = DecideAutomation(automation_id=automation_id, decision=decision, version=version, reason=reason)
    row = AutomationView.decode(ask("decide", asked, data_dir, operator=True)).row
    if as_json:
        print_json(row.model_dump(mode="json"))
    else:
        typer.echo(visible(f"{row.automation_id}@{row.version} ({row.name}) is {row.status}: {row.reason}"))


def _named(automation: str) -> tuple[str, int | None]:
    name, _, version = automation.partition("@")
    if version and not version.isdigit():
        raise typer.BadParameter(f"{automation!r} is not ID or ID@VERSION.")
    return name, int(version) if version else None


def _print(found: AutomationView) -> None:
    from evolvent.events.language.learning.automation import Automation
    from evolvent.improvement.automation_words import as_text, sections_of

    row = found.row
    reason = f": {row.reason}" if row.reason else ""
    lines = [
        f"{row.automation_id}@{row.version}  {row.name}",
        f"{row.status} since {row.decided_at}, by {row.decided_by}{reason}",
        f"served {row.served}, wrong {row.wrong}, handed over {row.deoptimized}, tokens saved {row.tokens_saved}",
        "",
        as_text(sections_of(Automation.model_validate(found.document))),
        "",
        "Checked",
        *(f"  {', '.join(f'{name} {value}' for name, value in receipt.items())}" for receipt in found.receipts),
        "",
        "Versions",
        *(f"  {each.version}  {each.status}  {each.created_at}  {each.reason}" for each in found.versions),
    ]
    typer.echo(visible("\n".join(lines)))
