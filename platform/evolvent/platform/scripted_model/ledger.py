"""The server's own book of what it was asked: the other side of every bill, for tests to compare with."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class LedgerCall:
    """One request. It is entered when it is read; `answered` turns true when all of its answer was written."""

    at: float
    model: str
    prompt_tokens: int
    completion_tokens: int
    first_user_hash: str
    rule: str
    turn: int
    streamed: bool
    billed: bool
    """False for refusals (429, 500): providers bill nothing for them, and everything for the rest."""
    fault: str | None = None
    answered: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """Append-only; the totals count every call, the list keeps the latest.

    Args:
        kept: How many calls stay in the list.
    """

    def __init__(self, *, kept: int = 10_000) -> None:
        self._calls: deque[LedgerCall] = deque(maxlen=kept)
        self._answered = 0
        self._requests = 0
        self._by_model: dict[str, dict[str, int]] = {}

    @property
    def calls(self) -> tuple[LedgerCall, ...]:
        """The latest calls, oldest first."""
        return tuple(self._calls)

    @property
    def requests(self) -> int:
        """How many requests came in."""
        return self._requests

    @property
    def answered(self) -> int:
        """How many were answered to the end."""
        return self._answered

    def enter(self, call: LedgerCall) -> None:
        """Write a request down."""
        self._calls.append(call)
        self._requests += 1
        sums = self._by_model.setdefault(call.model, {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0})
        if call.billed:
            sums["calls"] += 1
            sums["prompt_tokens"] += call.prompt_tokens
            sums["completion_tokens"] += call.completion_tokens

    def answer(self, call: LedgerCall) -> None:
        """Note that all of a call's answer was written."""
        call.answered = True
        self._answered += 1

    def totals(self) -> dict[str, Any]:
        """Return the sums: all requests, those answered, and what is billed by model."""
        return {
            "requests": self._requests,
            "answered": self._answered,
            "billed": {model: dict(sums) for model, sums in self._by_model.items()},
        }

    def as_json(self, *, last: int = 1000) -> dict[str, Any]:
        """Return the totals and the latest calls."""
        return {"totals": self.totals(), "calls": [asdict(call) for call in list(self._calls)[-last:]]}
