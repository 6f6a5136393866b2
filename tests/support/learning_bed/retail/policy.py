"""What a careful agent of the shop does for each thing that can be asked for, by the shop's policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from support.learning_bed.database import Record
from support.learning_bed.grammar import Values, ask


def identify(asker: Values) -> Any:
    if asker["email"]:
        found = yield from ask("find_user_id_by_email", email=asker["email"])
    else:
        named = {"first_name": asker["first"], "last_name": asker["last"], "zip": asker["zip"]}
        found = yield from ask("find_user_id_by_name_zip", **named)
    return None if found is None else {"user_id": found, "orders": {}, "products": {}}


def _order(values: Values, found: Values, status: str) -> Any:
    """The order, read once in a run, if it may be changed."""
    order_id = values["order_id"]
    if order_id not in found["orders"]:
        found["orders"][order_id] = yield from ask("get_order_details", order_id=order_id)
    order = found["orders"][order_id]
    if order is None or order["user_id"] != found["user_id"] or order["status"] != status:
        return None
    return order


def cancel(values: Values, found: Values) -> Any:
    order_id = values["order_id"]
    if (yield from _order(values, found, "pending")) is None:
        return f"I cannot cancel order {order_id}."
    done = yield from ask("cancel_pending_order", order_id=order_id, reason=values["reason"])
    return f"Order {order_id} is cancelled." if done else f"Order {order_id} could not be cancelled."


def give_back(values: Values, found: Values) -> Any:
    order_id = values["order_id"]
    order = yield from _order(values, found, "delivered")
    item_ids = _named(order, values["items"]) if order else None
    if item_ids is None:
        return f"I cannot return that from order {order_id}."
    done = yield from ask(
        "return_delivered_order_items", order_id=order_id, item_ids=item_ids, payment_method_id=values["method"]
    )
    return f"The return for order {order_id} is requested." if done else f"Order {order_id} could not be returned."


def readdress(values: Values, found: Values) -> Any:
    order_id = values["order_id"]
    if (yield from _order(values, found, "pending")) is None:
        return f"I cannot change order {order_id}."
    address = {name: value for name, value in values["address"].items() if name != "order_id"}
    done = yield from ask("modify_pending_order_address", order_id=order_id, **address)
    return f"The address of order {order_id} is changed." if done else f"Order {order_id} could not be changed."


def repay(values: Values, found: Values) -> Any:
    order_id = values["order_id"]
    if (yield from _order(values, found, "pending")) is None:
        return f"I cannot change order {order_id}."
    done = yield from ask("modify_pending_order_payment", order_id=order_id, payment_method_id=values["method"])
    return f"The payment of order {order_id} is changed." if done else f"Order {order_id} could not be changed."


def swap(status: str, tool: str) -> Any:
    def steps(values: Values, found: Values) -> Any:
        order_id = values["order_id"]
        order = yield from _order(values, found, status)
        if order is None:
            return f"I cannot change order {order_id}."
        pairs: list[tuple[Record, Record]] = []
        products = found["products"]
        for name, old, new in values["swaps"]:
            item = _item(order, name, old, taken=[item for item, _ in pairs])
            if item is None:
                return f"There is no such {name} in order {order_id}."
            product_id = item["product_id"]
            if product_id not in products:
                products[product_id] = yield from ask("get_product_details", product_id=product_id)
            variant = _variant(products[product_id], {**old, **new})
            if variant is None:
                return f"There is no such {name} now."
            pairs.append((item, variant))
        done = yield from ask(
            tool,
            order_id=order_id,
            item_ids=[item["item_id"] for item, _ in pairs],
            new_item_ids=[variant["item_id"] for _, variant in pairs],
            payment_method_id=values["method"],
        )
        return f"The items of order {order_id} are changed." if done else f"Order {order_id} could not be changed."

    return steps


def _named(order: Record, wanted: Sequence[tuple[str, Mapping[str, str] | None]]) -> list[str] | None:
    """The items of these names, each once; None where one is not there."""
    left = list(order["items"])
    item_ids = []
    for name, options in wanted:
        item = next((i for i in left if i["name"] == name and options in (None, i["options"])), None)
        if item is None:
            return None
        left.remove(item)
        item_ids.append(item["item_id"])
    return item_ids


def _item(order: Record, name: str, options: Mapping[str, str], *, taken: list[Record]) -> Record | None:
    fitting = (item for item in order["items"] if item["name"] == name and item["options"] == options)
    return next((item for item in fitting if not any(item is each for each in taken)), None)


def _variant(product: Record | None, options: Mapping[str, str]) -> Record | None:
    variants = product["variants"].values() if product else ()
    return next((variant for variant in variants if variant["options"] == options), None)
