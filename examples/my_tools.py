"""Tools of your own. The platform imports this module when the settings name it:

PYTHONPATH=examples EVOLVENT_TOOL_MODULES=my_tools evolvent up
evolvent tools list
"""

import json
import os
from collections import Counter
from pathlib import Path

from evolvent.orchestrator.tools import ReconcileResult, ToolContext, tool

NOTES = Path(os.environ.get("NOTES_FILE", "notes.jsonl"))


@tool(category="analysis", effect="pure", timeout_seconds=5)
async def common_words(text: str, most: int = 5) -> dict[str, int]:
    """Count the most common words of a text.

    Args:
        text: The text.
        most: How many words to return.
    """
    return dict(Counter(text.lower().split()).most_common(most))


@tool(effect="keyed")
async def take_note(text: str, *, ctx: ToolContext) -> dict[str, str]:
    """Write a note down, once, however often a crash makes the platform call this again.

    Args:
        text: The note.
    """
    key = str(ctx.idempotency_key)
    if key not in _notes():
        with NOTES.open("a") as file:
            file.write(json.dumps({"key": key, "text": text, "run_id": ctx.run_id}) + "\n")
    return {"noted": text}


async def was_posted(arguments: dict[str, object], ctx: ToolContext) -> ReconcileResult:
    """Answer what became of a call whose end nobody saw: look into the world, never guess."""
    return ReconcileResult(happened=f"{ctx.run_id}:{ctx.call_id}" in _notes())


@tool(effect="irreversible", reconcile=was_posted)
async def post_once(text: str, *, ctx: ToolContext) -> dict[str, str]:
    """Post a text. It cannot be taken back, and the other side knows no keys.

    Args:
        text: What to post.
    """
    with NOTES.open("a") as file:
        file.write(json.dumps({"key": f"{ctx.run_id}:{ctx.call_id}", "text": text}) + "\n")
    return {"posted": text}


def _notes() -> set[str]:
    return {json.loads(line)["key"] for line in NOTES.read_text().splitlines()} if NOTES.exists() else set()
