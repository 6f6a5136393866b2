"""Who may call what, and how often. Pure decisions over tables that the registry owns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.tools import Access, ToolSpec

_MOST_BUCKETS = 10_000


def offered_tools(
    specs: Iterable[ToolSpec], agent: AgentSpec, *, granted: frozenset[str], in_goal: frozenset[str] | None
) -> tuple[ToolSpec, ...]:
    """Return what an agent is offered, by name.

    Public tools and granted ones, narrowed by the agent's spec and by its goal. A spec can only narrow: naming a
    restricted tool in it is no grant, for specs may be written by models.

    Args:
        specs: Every tool there is.
        agent: Whose offer this is.
        granted: The restricted tools that an operator granted to this agent.
        in_goal: The tools that may be used for the goal; None where nobody narrowed it.
    """
    chosen = [
        spec
        for spec in specs
        if (spec.access is Access.PUBLIC or (spec.access is Access.RESTRICTED and spec.name in granted))
        and (agent.tools is None or spec.name in agent.tools)
        and (in_goal is None or spec.name in in_goal)
    ]
    return tuple(sorted(chosen, key=lambda spec: spec.name))


class RateLimits:
    """Token buckets, one for each agent and tool: a minute's worth at once, then one each time that it has refilled."""

    def __init__(self, per_minute: int | None, by_tool: Mapping[str, int]) -> None:
        self._per_minute = per_minute
        self._by_tool = dict(by_tool)
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def seconds_to_wait(self, agent_id: str, tool: str, now: float) -> float:
        """Take a token, or say how long it takes until there is one.

        Args:
            agent_id: Who calls.
            tool: What it calls.
            now: Monotonic seconds.
        """
        limit = self._by_tool.get(tool, self._per_minute)
        if limit is None:
            return 0.0
        key = (agent_id, tool)
        tokens, at = self._buckets.get(key, (float(limit), now))
        tokens = min(float(limit), tokens + max(0.0, now - at) * limit / 60)
        if tokens < 1:
            return (1 - tokens) * 60 / limit
        if key not in self._buckets and len(self._buckets) >= _MOST_BUCKETS:
            self._forget_full_ones(now)
        self._buckets[key] = (tokens - 1, now)
        return 0.0

    def _forget_full_ones(self, now: float) -> None:
        """A bucket that nobody took from for a minute is full again, and so says nothing."""
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if now - bucket[1] < 60}
