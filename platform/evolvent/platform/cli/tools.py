"""`evolvent tools`: what agents can be offered."""

from __future__ import annotations

from typing import Any

from evolvent.platform.cli.frame import AsJson, DataDir, connect, examples, execute, group, print_rows

commands = group("tools", "What agents can be offered.")


@commands.command("list", epilog=examples("evolvent tools list", "evolvent tools list --json"))
def list_tools(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the tools of the running platform."""

    async def work() -> list[dict[str, Any]]:
        from pydantic_core import from_json

        from evolvent.events import subjects

        async with connect(data_dir, operator=True) as client:
            found = await client.bus.call(subjects.endpoint("orchestrator", "tools"), b"{}")
        listed: list[dict[str, Any]] = from_json(found)["tools"]
        return listed

    print_rows(execute(work), ("name", "category", "access", "effect", "description"), as_json=as_json)


@commands.callback()
def _group() -> None:
    """Keep `tools` a group while it has one command."""
