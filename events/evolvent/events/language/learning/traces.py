"""What learning reads of a run: its request, its calls with their results, its answer, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from evolvent.events.language.tools import Effect


@dataclass(frozen=True, slots=True)
class TracedCall:
    """A tool call of a run, in the order of its end. `error` is the code of what went wrong, if anything did."""

    name: str
    arguments: Mapping[str, Any]
    result: Any = None
    effect: Effect = Effect.IRREVERSIBLE
    error: str | None = None
    schema_hash: str = ""
    origin: Literal["tool", "web"] = "tool"
    task_id: str = "answer"


@dataclass(frozen=True, slots=True)
class Trace:
    """A run as learning sees it.

    `outcome` is what somebody said of it: True good, False bad or disputed, None nobody said. `succeeded` says that it
    ended as completed. `scope` is whose it is: goal and agent; nothing is learnt across scopes.
    """

    run_id: str
    message: str
    calls: tuple[TracedCall, ...] = ()
    answer: str | None = None
    succeeded: bool = True
    outcome: bool | None = None
    goal: str = "default"
    agent_id: str = ""
    spec_hash: str = ""
    principal: str = "anonymous"
    user_id: str | None = None
    session_id: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_calls: int = 0
    cost_microusd: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    is_live: bool = True
    """False for runs in replay, shadow or audit mode: they count neither as support nor as served."""

    @property
    def scope(self) -> tuple[str, str]:
        """Whose run it is: (goal, agent_id)."""
        return self.goal, self.agent_id

    @property
    def tokens(self) -> int:
        """What its model calls read and wrote."""
        return self.prompt_tokens + self.completion_tokens
