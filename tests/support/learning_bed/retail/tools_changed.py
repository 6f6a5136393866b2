"""The shop's tools after a change: cancelling takes a note now."""

from __future__ import annotations

from typing import Literal

from support.learning_bed.database import Record
from support.learning_bed.retail import tools
from support.learning_bed.retail.tools import (
    calculate,
    exchange_delivered_order_items,
    find_user_id_by_email,
    find_user_id_by_name_zip,
    get_order_details,
    get_product_details,
    get_user_details,
    list_all_product_types,
    modify_pending_order_address,
    modify_pending_order_items,
    modify_pending_order_payment,
    modify_user_address,
    return_delivered_order_items,
    think,
    transfer_to_human_agents,
)

from evolvent.orchestrator.tools import ToolContext, tool

__all__ = [
    "calculate",
    "cancel_pending_order",
    "exchange_delivered_order_items",
    "find_user_id_by_email",
    "find_user_id_by_name_zip",
    "get_order_details",
    "get_product_details",
    "get_user_details",
    "list_all_product_types",
    "modify_pending_order_address",
    "modify_pending_order_items",
    "modify_pending_order_payment",
    "modify_user_address",
    "return_delivered_order_items",
    "think",
    "transfer_to_human_agents",
]


@tool(effect="keyed")
async def cancel_pending_order(
    order_id: str, reason: Literal["no longer needed", "ordered by mistake"], note: str = "", *, ctx: ToolContext
) -> Record:
    """Cancel a pending order, with a note for the warehouse."""
    del note
    return await tools.cancel_pending_order(order_id, reason, ctx=ctx)
