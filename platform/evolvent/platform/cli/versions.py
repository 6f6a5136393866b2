"""`evolvent versions`: what changed in workflows, agents and automations, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, examples, group, print_json, print_rows
from evolvent.platform.cli.learning_calls import ask
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.events.messages.version_calls import VersionKind, VersionView

commands = group("versions", "Every version of workflows, agents and automations: list, read, compare, go back.")
_KINDS = ("workflow", "agent", "automation")
_COLUMNS = ("kind", "item_id", "version", "parent", "status", "in_use", "source", "by", "note", "created_at")


def complete_kind(incomplete: str) -> list[str]:
    """Return the kinds that begin so, for the shell."""
    return [kind for kind in _KINDS if kind.startswith(incomplete)]


def complete_item(context: typer.Context, incomplete: str) -> list[str]:
    """Return the things of the kind that was named whose ids begin so, for the shell."""
    try:
        rows = version_rows(None, kind=context.params.get("kind"), limit=1000)
        return sorted({row["item_id"] for row in rows if row["item_id"].startswith(incomplete)})
    except Exception:  # noqa: BLE001  # a shell that completes must never show a trace
        return []


Kind = Annotated[str, typer.Argument(help="workflow, agent or automation.", autocompletion=complete_kind)]
Item = Annotated[str, typer.Argument(help="Its name or id.", autocompletion=complete_item)]


@commands.command("list", epilog=examples("evolvent versions list", "evolvent versions list agent clerk"))
def list_versions(
    kind: Annotated[
        str | None, typer.Argument(help="Only workflow, agent or automation.", autocompletion=complete_kind)
    ] = None,
    item: Annotated[str | None, typer.Argument(help="Only this one.", autocompletion=complete_item)] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List versions, the latest first: what each follows, who made it, and which one is in use."""
    rows = version_rows(data_dir, kind=_known(kind) if kind else None, item=item, limit=limit)
    print_rows(rows, _COLUMNS, as_json=as_json)


@commands.command(
    epilog=examples("evolvent versions show agent clerk", "evolvent versions show automation auto-0bfc84537801@2")
)
def show(kind: Kind, item: Item, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show a version, ID or ID@VERSION: what it changed, and everything that was checked and decided of it."""
    from evolvent.events.messages.version_calls import VersionQuery

    item_id, version = named(item)
    print_view(_view("version", VersionQuery(kind=_known(kind), item_id=item_id, version=version), data_dir), as_json)


@commands.command(epilog=examples("evolvent versions diff workflow triage 1 3"))
def diff(
    kind: Kind,
    item: Item,
    before: Annotated[int, typer.Argument(min=1, help="One version.")],
    after: Annotated[int, typer.Argument(min=1, help="Another.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what is different between two versions, as a unified diff of YAML."""
    from evolvent.events.messages.version_calls import VersionDiff, VersionDiffQuery

    query = VersionDiffQuery(kind=_known(kind), item_id=item, before=before, after=after)
    found = VersionDiff.decode(ask("version_diff", query, data_dir, operator=True))
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        typer.echo(visible(found.diff or "Both are the same."))


@commands.command(epilog=examples("evolvent versions rollback agent clerk --to 2"))
def rollback(
    kind: Kind,
    item: Item,
    to: Annotated[int, typer.Option(min=1, help="The version to go back to.")],
    reason: Annotated[str, typer.Option(help="Why; it stands beside the decision.")] = "",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let new runs begin with a version of before; runs under way keep theirs."""
    from evolvent.events.messages.version_calls import RollBackVersion

    asked = RollBackVersion(kind=_known(kind), item_id=item, to=to, reason=reason)
    found = _view("roll_back", asked, data_dir)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        row = found.version
        typer.echo(visible(f"New runs begin with {row.kind} {row.item_id}@{row.version}, which is version {to}."))


def version_rows(
    data_dir: DataDir, *, kind: str | None = None, item: str | None = None, status: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Return versions as listings print them."""
    from evolvent.events.messages.version_calls import VersionList, VersionsQuery

    query = VersionsQuery(kind=cast("VersionKind | None", kind), item_id=item, status=status, limit=limit)
    found = VersionList.decode(ask("versions", query, data_dir, operator=True))
    return [row.model_dump(mode="json") for row in found.versions]


def named(item: str) -> tuple[str, int | None]:
    """Return (id, version) of ID or ID@VERSION."""
    name, _, version = item.partition("@")
    if version and not version.isdigit():
        raise typer.BadParameter(f"{item!r} is not ID or ID@VERSION.")
    return name, int(version) if version else None


def print_view(found: VersionView, as_json: bool) -> None:  # what every command has as its flag
    """Print a version with its changes and receipts."""
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    row = found.version
    follows = f", after version {row.parent}" if row.parent else ""
    lines = [
        f"{row.kind} {row.item_id}@{row.version}{', in use' if row.in_use else ''}",
        f"made {row.created_at} by {row.by} ({row.source}){follows}",
        *([row.note] if row.note else []),
        "",
        found.changes.rstrip() or "It is the first.",
        "",
        *(f"{each.at}  {each.status}  by {each.by}  {each.reason}  {_words(each.evidence)}" for each in found.receipts),
    ]
    typer.echo(visible("\n".join(line.rstrip() for line in lines)))


def _words(evidence: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in evidence.items() if value)


def _view(endpoint: str, query: Any, data_dir: DataDir) -> VersionView:
    from evolvent.events.messages.version_calls import VersionView

    return VersionView.decode(ask(endpoint, query, data_dir, operator=True))


def _known(kind: str) -> VersionKind:
    if kind not in _KINDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(_KINDS)}.")
    return cast("VersionKind", kind)
