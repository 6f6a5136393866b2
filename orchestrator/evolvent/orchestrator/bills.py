"""What a model turn cost. Pure.

A turn that was sent and whose bill is not known is charged at its lease. A turn that is proven unsent, or that the
provider refused before working on it, costs nothing.
"""

from __future__ import annotations

from typing import Final

from evolvent.events.language.conversation import Usage
from evolvent.events.messages.calls import TurnReply
from evolvent.events.messages.runs import LeaseInfo, Price

_UNBILLED: Final = frozenset({"model.rate_limited", "model.refused", "model.access_denied", "model.quota_exhausted"})


def cost_microusd(usage: Usage, price: Price | None, held: int) -> int:
    """Return what a turn cost in micro-dollars, rounded up; its lease where price or usage is not known."""
    if price is None or usage.estimated:
        return held
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    cached_price = price.input if price.cached_input is None else price.cached_input
    cost = (usage.prompt_tokens - cached) * price.input + cached * cached_price
    cost += usage.completion_tokens * price.output
    return -int(-cost // 1)


def bill_of(reply: TurnReply, lease: LeaseInfo) -> int:
    """Return what a turn is charged."""
    if reply.reply is not None:
        return cost_microusd(reply.reply.usage, lease.price, lease.held_microusd)
    if not reply.sent or (reply.error is not None and reply.error.code in _UNBILLED):
        return 0
    return lease.held_microusd
