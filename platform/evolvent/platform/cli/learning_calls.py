"""How the commands about learning ask the improvement service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evolvent.platform.cli.frame import DataDir, connect, execute

if TYPE_CHECKING:
    from evolvent.events.envelope import Message

_SECONDS = 20.0
LEARN_SECONDS = 600.0


def ask(
    endpoint: str, message: Message, data_dir: DataDir, *, operator: bool = False, timeout_seconds: float = _SECONDS
) -> bytes:
    """Return what the improvement service answers."""

    async def work() -> bytes:
        from evolvent.events import subjects

        subject = subjects.endpoint("improvement", endpoint)
        async with connect(data_dir, operator=operator) as client:
            return await client.bus.call(subject, message.encode(), timeout_seconds=timeout_seconds)

    return execute(work)


def automation_rows(data_dir: DataDir, *, status: str | None = None, limit: int = 200) -> list[dict[str, Any]]:
    """Return the automations as listings print them."""
    from evolvent.events.messages.learning_calls import AutomationList, AutomationsQuery

    query = AutomationsQuery(status=status, limit=limit)
    found = AutomationList.decode(ask("automations", query, data_dir))
    return [row.model_dump(mode="json") for row in found.automations]


def pattern_rows(data_dir: DataDir, *, min_support: int = 1, limit: int = 50) -> list[dict[str, Any]]:
    """Return the patterns as listings print them."""
    from evolvent.events.messages.learning_calls import PatternList, PatternsQuery

    found = PatternList.decode(ask("patterns", PatternsQuery(min_support=min_support, limit=limit), data_dir))
    return [row.model_dump(mode="json") for row in found.patterns]
