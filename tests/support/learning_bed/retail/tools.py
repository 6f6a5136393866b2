"""The 16 tools of the retail shop, written from their schemas and the shop's policy."""

from __future__ import annotations

import ast
import operator
from typing import Any, Literal

from support.learning_bed.database import Database, Record, Refused, database_of
from support.learning_bed.retail.rules import (
    address_of,
    method_of,
    only_user,
    order_in,
    pay,
    payment,
    price_difference,
    require_items,
    swaps_of,
    top_up,
)
from support.learning_bed.retail.world import NAME

from evolvent.orchestrator.tools import ToolContext, tool

_SIGNS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


@tool(effect="pure")
async def calculate(expression: str) -> str:
    """Calculate the result of a mathematical expression.

    Args:
        expression: Numbers, + - * /, parentheses and spaces, such as '2 + 2'.
    """
    try:
        return str(round(_value(ast.parse(expression, mode="eval").body), 2))
    except (SyntaxError, TypeError, KeyError, ZeroDivisionError):
        raise Refused("invalid expression") from None


@tool(effect="pure")
async def think(thought: str) -> str:
    """Think about something. It obtains nothing and changes nothing."""
    del thought
    return ""


@tool(effect="irreversible")
async def transfer_to_human_agents(summary: str, *, ctx: ToolContext) -> str:
    """Transfer the user to a human agent, with a summary of the user's issue."""
    database = database_of(ctx, NAME)
    return str(database.once(ctx.idempotency_key, lambda: f"Transfer successful: {len(summary)} characters"))


@tool(effect="read")
async def find_user_id_by_email(email: str, *, ctx: ToolContext) -> str:
    """Find user id by email.

    Args:
        email: The email of the user, such as 'something@example.com'.
    """
    return only_user(database_of(ctx, NAME), email=email)


@tool(effect="read")
async def find_user_id_by_name_zip(first_name: str, last_name: str, zip: str, *, ctx: ToolContext) -> str:
    """Find user id by first name, last name, and zip code.

    Args:
        first_name: The first name of the customer, such as 'John'.
        last_name: The last name of the customer, such as 'Doe'.
        zip: The zip code of the customer, such as '12345'.
    """
    named = {"name__first_name": first_name, "name__last_name": last_name, "address__zip": zip}
    return only_user(database_of(ctx, NAME), **named)


@tool(effect="read")
async def get_user_details(user_id: str, *, ctx: ToolContext) -> Record:
    """Get the details of a user, including their orders."""
    return database_of(ctx, NAME).get("users", user_id, "user not found")


@tool(effect="read")
async def get_order_details(order_id: str, *, ctx: ToolContext) -> Record:
    """Get the status and details of an order.

    Args:
        order_id: The order id, such as '#W0000000'.
    """
    return database_of(ctx, NAME).get("orders", order_id, "order not found")


@tool(effect="read")
async def get_product_details(product_id: str, *, ctx: ToolContext) -> Record:
    """Get the inventory details of a product."""
    return database_of(ctx, NAME).get("products", product_id, "product not found")


@tool(effect="read")
async def list_all_product_types(*, ctx: ToolContext) -> dict[str, str]:
    """List the name and product id of all product types."""
    products = database_of(ctx, NAME).base.tables["products"].values()
    return dict(sorted((product["name"], product["product_id"]) for product in products))


@tool(effect="keyed")
async def cancel_pending_order(
    order_id: str, reason: Literal["no longer needed", "ordered by mistake"], *, ctx: ToolContext
) -> Record:
    """Cancel a pending order.

    Args:
        order_id: The order id, such as '#W0000000'.
        reason: Why it is cancelled.
    """
    database = database_of(ctx, NAME)

    def write() -> Record:
        order_in(database, order_id, "pending", "non-pending order cannot be cancelled")
        order = database.edit("orders", order_id)
        refunds = []
        for paid in order["payment_history"]:
            method = paid["payment_method_id"]
            refunds.append(payment("refund", paid["amount"], method))
            top_up(database, order["user_id"], method, paid["amount"])
        order.update(status="cancelled", cancel_reason=reason)
        order["payment_history"].extend(refunds)
        return order

    return _once(database, ctx, write)


@tool(effect="keyed")
async def modify_pending_order_address(
    order_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,
    *,
    ctx: ToolContext,
) -> Record:
    """Modify the shipping address of a pending order."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        order_in(database, order_id, "pending", "non-pending order cannot be modified")
        order = database.edit("orders", order_id)
        order["address"] = address_of(address1, address2, city, state, country, zip)
        return order

    return _once(database, ctx, write)


@tool(effect="keyed")
async def modify_user_address(
    user_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,
    *,
    ctx: ToolContext,
) -> Record:
    """Modify the default address of a user."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        database.get("users", user_id, "user not found")
        user = database.edit("users", user_id)
        user["address"] = address_of(address1, address2, city, state, country, zip)
        return user

    return _once(database, ctx, write)


@tool(effect="keyed")
async def modify_pending_order_payment(order_id: str, payment_method_id: str, *, ctx: ToolContext) -> Record:
    """Modify the payment method of a pending order."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        order = order_in(database, order_id, "pending", "non-pending order cannot be modified")
        history = order["payment_history"]
        if len(history) != 1 or history[0]["transaction_type"] != "payment":
            raise Refused("there should be exactly one payment for a pending order")
        old, amount = history[0]["payment_method_id"], history[0]["amount"]
        if old == payment_method_id:
            raise Refused("the new payment method should be different from the current one")
        pay(database, order["user_id"], payment_method_id, amount, "pay for the order", is_drawn=True)
        order = database.edit("orders", order_id)
        order["payment_history"] += [payment("payment", amount, payment_method_id), payment("refund", amount, old)]
        top_up(database, order["user_id"], old, amount)
        return order

    return _once(database, ctx, write)


@tool(effect="keyed")
async def modify_pending_order_items(
    order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str, *, ctx: ToolContext
) -> Record:
    """Modify items in a pending order to new items of the same product type.

    Args:
        order_id: The order id, such as '#W0000000'.
        item_ids: The items to be modified.
        new_item_ids: What they become, in the same places and of the same products.
        payment_method_id: What pays or receives the difference of the prices.
    """
    database = database_of(ctx, NAME)

    def write() -> Record:
        order = order_in(database, order_id, "pending", "non-pending order cannot be modified")
        swaps = swaps_of(database, order, item_ids, new_item_ids)
        due = price_difference(swaps)
        pay(database, order["user_id"], payment_method_id, due, "pay for the new item", is_drawn=True)
        order = database.edit("orders", order_id)
        order["payment_history"].append(payment("payment" if due > 0 else "refund", abs(due), payment_method_id))
        for old_id, new_id in zip(item_ids, new_item_ids, strict=True):
            item = next(item for item in order["items"] if item["item_id"] == old_id)
            new = database.get("products", item["product_id"], "product not found")["variants"][new_id]
            item.update(item_id=new_id, price=new["price"], options=dict(new["options"]))
        order["status"] = "pending (item modified)"
        return order

    return _once(database, ctx, write)


@tool(effect="keyed")
async def return_delivered_order_items(
    order_id: str, item_ids: list[str], payment_method_id: str, *, ctx: ToolContext
) -> Record:
    """Return some items of a delivered order."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        order = order_in(database, order_id, "delivered", "non-delivered order cannot be returned")
        method_of(database, order["user_id"], payment_method_id)
        paid_by = order["payment_history"][0]["payment_method_id"]
        if "gift_card" not in payment_method_id and payment_method_id != paid_by:
            raise Refused("payment method should be either the original payment method or a gift card")
        require_items(order, item_ids)
        order = database.edit("orders", order_id)
        order.update(status="return requested", return_items=sorted(item_ids))
        order["return_payment_method_id"] = payment_method_id
        return order

    return _once(database, ctx, write)


@tool(effect="keyed")
async def exchange_delivered_order_items(
    order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str, *, ctx: ToolContext
) -> Record:
    """Exchange items in a delivered order to new items of the same product type."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        order = order_in(database, order_id, "delivered", "non-delivered order cannot be exchanged")
        swaps = swaps_of(database, order, item_ids, new_item_ids)
        due = round(price_difference(swaps), 2)
        pay(database, order["user_id"], payment_method_id, due, "pay for the price difference", is_drawn=False)
        order = database.edit("orders", order_id)
        order.update(status="exchange requested", exchange_items=sorted(item_ids))
        order["exchange_new_items"] = sorted(new_item_ids)
        order.update(exchange_payment_method_id=payment_method_id, exchange_price_difference=due)
        return order

    return _once(database, ctx, write)


def _once(database: Database, ctx: ToolContext, write: Any) -> Record:
    result: Record = database.once(ctx.idempotency_key, write)
    return result


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.BinOp(left=left, op=sign, right=right):
            return float(_SIGNS[type(sign)](_value(left), _value(right)))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case _:
            raise TypeError
