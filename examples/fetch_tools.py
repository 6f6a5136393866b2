"""Tools that fetch records from JSON files in the allowed folders, for the workflows in examples/workflows.

PYTHONPATH=examples EVOLVENT_TOOL_MODULES=fetch_tools EVOLVENT_TOOLS__ALLOWED_FOLDERS='["examples/workflows/data"]' \
    evolvent up
"""

import asyncio
import json
from typing import Any

from evolvent.orchestrator.tools import ToolContext, tool
from evolvent.orchestrator.tools.file_tools import read_file

MOST_BYTES = 192 * 1024


@tool(category="data_processing", effect="read", timeout_seconds=10)
def fetch_records(path: str, *, ctx: ToolContext) -> list[dict[str, Any]]:
    """Fetch all records of a JSON file.

    Args:
        path: The file, within the allowed folders.
        ctx: Set by the platform.
    """
    found = read_file(path, MOST_BYTES, ctx=ctx)
    if found["next_offset"] is not None:
        raise ValueError(f"{path!r} is longer than {MOST_BYTES} bytes; split it.")
    records = json.loads(found["text"])
    if not isinstance(records, list):
        raise ValueError(f"{path!r} holds no list of records.")
    return records


@tool(category="data_processing", effect="read", timeout_seconds=10)
def fetch_account(account_id: str, *, ctx: ToolContext) -> dict[str, Any]:
    """Fetch one account.

    Args:
        account_id: Such as ACC-12345.
        ctx: Set by the platform.
    """
    for account in fetch_records("accounts.json", ctx=ctx):
        if account["account_id"] == account_id:
            return account
    raise ValueError(f"There is no account {account_id!r}; ask for one that exists.")


@tool(category="data_processing", effect="read", timeout_seconds=10)
def fetch_history(account_id: str, *, ctx: ToolContext) -> list[dict[str, Any]]:
    """Fetch what happened with an account, the oldest first.

    Args:
        account_id: Such as ACC-12345.
        ctx: Set by the platform.
    """
    return [entry for entry in fetch_records("history.json", ctx=ctx) if entry["account_id"] == account_id]


@tool(category="network", effect="read", timeout_seconds=10)
async def reach(port: int) -> dict[str, int]:
    """Open a connection to a port of this machine. A refused one is an error of the network, so it is tried again.

    Args:
        port: Which.
    """
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return {"port": port}
