"""The bank's tools after a change: a transfer may be marked as urgent."""

from __future__ import annotations

from support.learning_bed.bank import tools
from support.learning_bed.bank.tools import (
    block_card,
    close_account,
    get_customer,
    list_accounts,
    list_cards,
    set_daily_limit,
)
from support.learning_bed.database import Record

from evolvent.orchestrator.tools import ToolContext, tool

__all__ = [
    "block_card",
    "close_account",
    "get_customer",
    "list_accounts",
    "list_cards",
    "order_transfer",
    "set_daily_limit",
]


@tool(effect="keyed")
async def order_transfer(
    from_account: str,
    to_iban: str,
    amount: str,
    execute_on: str,
    reference: str = "",
    *,
    is_urgent: bool = False,
    ctx: ToolContext,
) -> Record:
    """Order a transfer, urgent or not."""
    del is_urgent
    return await tools.order_transfer(from_account, to_iban, amount, execute_on, reference, ctx=ctx)
