"""The built-in workflows on the examples' platform: side by side against one by one, and what their agents are told.

`evolvent bench builtin_workflows`. Tokens are those that the model server bills for the first prompt of each task,
against one agent's prompt that holds the instructions of all tasks: of the same workflow, and of all built-in ones,
which is what one agent for everything would be told. Each of these prompts is sent in a real run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evolvent.events.language.plan import plan
from evolvent.events.language.workflow import ExecutionMode
from evolvent.events.messages.runs import TurnRecord
from evolvent.orchestrator.workflows.builtin_documents import builtin_documents, monolithic_instructions
from evolvent.platform.client import Client
from evolvent.platform.run_follower import read_journal

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from start import platform  # the examples are no package

PROBLEM = "Why is no firewall data of the last two hours found?"
CONTEXT: dict[str, Any] = {
    "earliest_time": "-2h",
    "latest_time": "now",
    "indexes": ["firewall"],
    "sourcetypes": [],
}


async def turns_of(client: Client, message: str, **ask: Any) -> tuple[list[TurnRecord], float]:
    """Run a request and return its first turns, one a task, and how many seconds it took."""
    answer = await client.ask(message, context=CONTEXT, **ask)
    entries = await read_journal(client.bus, answer.run_id)
    turns = [turn for _, event in entries for turn in event.turns if turn.turn == 0 and turn.reply is not None]
    return turns, answer.duration_seconds


def tokens(turns: Sequence[TurnRecord]) -> float:
    """Return the mean of what was billed for the prompts."""
    return statistics.fmean(turn.reply.usage.prompt_tokens for turn in turns if turn.reply is not None)


async def measure(rounds: int) -> list[dict[str, Any]]:
    """Return one line for each thing that was measured."""
    documents = builtin_documents()
    found: list[dict[str, Any]] = []
    async with platform() as place:
        client = place.client
        everything = tokens((await turns_of(client, f"{monolithic_instructions(documents)}\n\n{PROBLEM}"))[0])
        for name, document in documents.items():
            own = tokens((await turns_of(client, f"{monolithic_instructions({name: document})}\n\n{PROBLEM}"))[0])
            turns, _ = await turns_of(client, PROBLEM, workflow=name)
            told = tokens(turns)
            line = {"kind": "diet", "workflow": name, "tasks": len(document["tasks"]), "tokens_a_task": round(told)}
            line |= {"tokens_own_monolith": round(own), "spared_of_own": round(1 - told / own, 4)}
            found.append({**line, "tokens_monolith": round(everything), "spared": round(1 - told / everything, 4)})
        found.append(await _modes(client, rounds))
    return found


async def _modes(client: Client, rounds: int) -> dict[str, Any]:
    workflow = (await client.get_workflow("missing_data_troubleshooting")).workflow
    seconds: dict[ExecutionMode, list[float]] = {ExecutionMode.SEQUENTIAL: [], ExecutionMode.PARALLEL: []}
    for _ in range(rounds):
        for mode, took in seconds.items():
            one = workflow.model_copy(update={"name": f"missing_data_{mode}", "mode": mode, "intents": ()})
            took.append((await turns_of(client, PROBLEM, workflow=await client.stored_name(one)))[1])
    slow, fast = (statistics.median(took) for took in seconds.values())
    parallel = workflow.model_copy(update={"mode": ExecutionMode.PARALLEL})
    line = {"kind": "modes", "workflow": workflow.name, "predicted_time_saved": round(plan(parallel).time_saved, 4)}
    return {
        **line,
        "sequential_s": round(slow, 3),
        "parallel_s": round(fast, 3),
        "time_saved": round(1 - fast / slow, 4),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print JSON Lines."""
    parser = argparse.ArgumentParser(prog="evolvent bench builtin_workflows", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each mode")
    for line in asyncio.run(measure(parser.parse_args(arguments).rounds)):
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
