"""`evolvent patterns`: work that comes again, and why it is or is not an automation."""

from __future__ import annotations

from typing import Annotated

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, examples, group, print_json, print_rows
from evolvent.platform.cli.learning_calls import ask, pattern_rows
from evolvent.platform.visible import visible

commands = group("patterns", "Work that comes again: what was seen, how often, and what was learnt of it.")
_COLUMNS = ("pattern_id", "words", "work", "support", "principals", "disputed", "automation", "status", "why")


def complete_pattern(incomplete: str) -> list[str]:
    """Return the patterns whose ids begin so, for the shell."""
    try:
        return [row["pattern_id"] for row in pattern_rows(None, limit=500) if row["pattern_id"].startswith(incomplete)]
    except Exception:  # noqa: BLE001  # a shell that completes must never show a trace
        return []


@commands.command("list", epilog=examples("evolvent patterns list", "evolvent patterns list --min-support 3 --json"))
def list_patterns(
    min_support: Annotated[int, typer.Option(min=1, help="At least so many successful runs.")] = 1,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List what comes again, most frequent first."""
    rows = pattern_rows(data_dir, min_support=min_support, limit=limit)
    print_rows(rows, _COLUMNS, as_json=as_json, empty="Nothing came again yet; `evolvent learn` looks now.")


@commands.command(epilog=examples("evolvent patterns show 3f0c1b1e8a564a8e", "evolvent patterns show 3f0c --json"))
def show(
    pattern: Annotated[str, typer.Argument(help="Which, by the start of its id.", autocompletion=complete_pattern)],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show one pattern: its words, what was done, its runs, and why it is or is not an automation."""
    from evolvent.events.messages.learning_calls import PatternQuery, PatternView

    found = PatternView.decode(ask("pattern", PatternQuery(pattern_id=pattern), data_dir))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    row = found.pattern
    lines = [
        f"Pattern {row.pattern_id}, goal {found.goal}, agent {found.agent_id or 'any'}",
        f'  asked      "{row.words}"',
        f"  done       {row.work or 'nothing'}   (! writes, * for each thing named)",
        f"  support    {row.support} runs, {row.principals} principals, {row.sessions} sessions; last {row.last_at}",
        f"  agreement  {found.agreement:.0%} of the runs with these words did this",
    ]
    if found.rivals:
        lines.append(f"  same words, other work: {', '.join(found.rivals)}")
    if row.automation:
        lines.append(f"  automation {row.automation}, {row.status}")
    if row.why:
        lines.append(f"  why {'not live' if row.automation else 'no automation'}: {row.why}")
    lines += [f"  run        {run}" for run in found.runs]
    lines += [f"  disputed   {run}" for run in found.disputed_runs]
    typer.echo(visible("\n".join(lines)))
