"""`evolvent runs replay`: a recorded run again, or what an automation would have done in it. No effects, no cost."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolvent.platform.cli.frame import FAILED, AsJson, DataDir, databases, examples, execute, print_json
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.events.language.learning.automation import Automation
    from evolvent.events.language.learning.rehearsal import Effected, Rehearsal
    from evolvent.events.language.replay import Replay
    from evolvent.platform.cli.run_story import Story

_PINNED = re.compile(r"(.+)@([0-9]{1,9})")
_LONGEST = 2_000


def add_to(commands: typer.Typer) -> None:
    """Add this file's command to those of `evolvent runs`."""
    commands.command(
        epilog=examples(
            "evolvent runs replay 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10",
            "evolvent runs replay 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10 --with auto-1f2e3d4c5b6a@2 --diff",
        )
    )(replay)


def replay(
    run_id: Annotated[str, typer.Argument(help="Which run.")],
    candidates: Annotated[
        list[str] | None,
        typer.Option("--with", help="An automation, ID or ID@VERSION, to carry out instead; may be given again."),
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show every difference in full.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Run a run again from its journal: recorded answers and results, no effects, no cost. 0: the same, 1: not."""
    from evolvent.platform.cli.run_story import read_story

    story = execute(lambda: read_story(run_id, data_dir))
    if candidates:
        found = execute(lambda: _automations(candidates, data_dir))
        _rehearse(story, found, diff=diff, as_json=as_json)
    else:
        _again(story, diff=diff, as_json=as_json)


def _again(story: Story, *, diff: bool, as_json: bool) -> None:
    from evolvent.events.language.replay import replay as run_again

    again = run_again(story.run_id, story.entries, {})
    verdict = "same" if again.is_identical else "undecided" if again.undecided else "different"
    if as_json:
        events = [
            {
                "sequence": each.sequence,
                "type": each.type,
                "recorded_hash": each.recorded_hash,
                "replayed_hash": each.replayed_hash,
                "difference": {name: list(pair) for name, pair in each.difference.items()},
            }
            for each in again.events
        ]
        print_json({"run_id": story.run_id, "verdict": verdict, "undecided": again.undecided, "events": events})
    else:
        _tell(_replayed(again, diff=diff))
    _end(verdict)


def _replayed(again: Replay, *, diff: bool) -> Iterator[str]:
    for each in again.events:
        yield f"{'=' if each.is_same else '!'} {each.sequence:>6}  {each.type:<20} {each.recorded_hash[:16]}"
        if not each.is_same:
            yield f"          {'':<18} {each.replayed_hash[:16]}  differs in {', '.join(each.difference)}"
            if diff:
                for name, (before, after) in each.difference.items():
                    yield from _lines(before, after, name)
    if again.undecided:
        yield f"Not decidable: {again.undecided}."
    elif again.is_identical:
        yield f"The same: {len(again.events)} events, every hash identical."
    else:
        count = sum(1 for each in again.events if not each.is_same)
        yield f"Different: {count} of {len(again.events)} events" + ("." if diff else "; --diff shows what differs.")


async def _automations(wanted: Sequence[str], data_dir: Path | None) -> list[Automation]:
    from evolvent.events.clock import SystemClock
    from evolvent.storage.automations import AutomationStore

    opened = await databases(data_dir)
    try:
        store = AutomationStore(opened.definitions, SystemClock())
        found = []
        for each in wanted:
            pinned = _PINNED.fullmatch(each)
            stored = await store.get(pinned[1] if pinned else each, int(pinned[2]) if pinned else None)
            found.append(stored.automation)
        return found
    finally:
        await opened.close()


def _rehearse(story: Story, automations: list[Automation], *, diff: bool, as_json: bool) -> None:
    from evolvent.events.language.learning.rehearsal import rehearse

    found = rehearse(story.run_id, story.entries, automations)
    if as_json:
        print_json(
            {
                "run_id": story.run_id,
                "with": list(found.automations),
                "verdict": found.verdict,
                "reason": found.reason,
                **{name: [_call(each) for each in getattr(found, name)] for name in _CALLS},
                "recorded_answer": found.recorded_answer,
                "answer": found.answer,
                "tokens_recorded": found.tokens_recorded,
            }
        )
    else:
        _tell(_rehearsed(found, diff=diff))
    _end(found.verdict)


_CALLS = ("recorded", "rehearsed", "missing", "added")
_TITLES = {"same": "The same", "different": "Different", "undecided": "Not decidable"}


def _rehearsed(found: Rehearsal, *, diff: bool) -> Iterator[str]:
    kept = [each for each in found.recorded if each not in found.missing]
    for mark, calls in ((" ", kept), ("-", found.missing), ("+", found.added)):
        for call in calls:
            yield f"{mark} {call.tool}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})"
    if not (found.recorded or found.rehearsed):
        yield "  (nothing is written)"
    if found.answer is not None and found.answer != found.recorded_answer:
        yield from (
            _lines(found.recorded_answer, found.answer, "answer") if diff else ("! the answers are worded apart",)
        )
    yield f"{_TITLES[found.verdict]}: {found.reason}"
    if found.verdict == "same":
        yield f"The run took {found.tokens_recorded} tokens; {', '.join(found.automations)} would have done it."


def _lines(before: Any, after: Any, name: str) -> Iterator[str]:
    yield from difflib.unified_diff(
        _text(before), _text(after), f"{name}, recorded", f"{name}, again", lineterm="", n=1
    )


def _text(value: Any) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False, default=str)
    return text[:_LONGEST].splitlines()


def _call(call: Effected) -> dict[str, Any]:
    return {"tool": call.tool, "arguments": dict(call.arguments)}


def _tell(lines: Iterator[str]) -> None:
    for line in lines:
        typer.echo(visible(line))


def _end(verdict: str) -> None:
    if verdict != "same":
        raise typer.Exit(FAILED)
