"""What the shop's tools check and book alike: who somebody is, what an order allows, what a payment method can do."""

from __future__ import annotations

from support.learning_bed.database import Database, Record, Refused


def only_user(database: Database, **fields: str) -> str:
    """The id of the user with these fields."""
    # Who a user is does not change in a run, so that the base's index answers; the first of several, as the shop does.
    keys = database.base.keys_where("users", fields)
    if not keys:
        raise Refused("user not found")
    return keys[0]


def order_in(database: Database, order_id: str, status: str, otherwise: str) -> Record:
    """The order, if it has this status; else a refusal that says `otherwise`."""
    order = database.get("orders", order_id, "order not found")
    if order["status"] != status:
        raise Refused(otherwise)
    return order


def method_of(database: Database, user_id: str, method_id: str) -> Record:
    """A user's payment method."""
    found: Record | None = database.get("users", user_id, "user not found")["payment_methods"].get(method_id)
    if found is None:
        raise Refused("payment method not found")
    return found


def pay(database: Database, user_id: str, method_id: str, amount: float, purpose: str, *, is_drawn: bool) -> None:
    """Check that a method can pay, and draw the amount from a gift card where it is due now."""
    method = method_of(database, user_id, method_id)
    if method["source"] == "gift_card":
        if method["balance"] < amount:
            raise Refused(f"insufficient gift card balance to {purpose}")
        if is_drawn:
            top_up(database, user_id, method_id, -amount)


def top_up(database: Database, user_id: str, method_id: str, amount: float) -> None:
    """Add an amount to a gift card; other methods take their time and leave no trace here."""
    if "gift_card" in method_id:
        card = database.edit("users", user_id)["payment_methods"][method_id]
        card["balance"] = round(card["balance"] + amount, 2)


def payment(kind: str, amount: float, method_id: str) -> Record:
    """An entry of the payment history."""
    return {"transaction_type": kind, "amount": amount, "payment_method_id": method_id}


def require_items(order: Record, item_ids: list[str]) -> None:
    """Refuse items that the order does not hold."""
    held = [item["item_id"] for item in order["items"]]
    for item_id in item_ids:
        if item_ids.count(item_id) > held.count(item_id):
            raise Refused("some item not found")


def swaps_of(database: Database, order: Record, old_ids: list[str], new_ids: list[str]) -> list[tuple[Record, Record]]:
    """Pair the items with what they become."""
    require_items(order, old_ids)
    if len(old_ids) != len(new_ids):
        raise Refused("the number of items to be exchanged should match")
    swaps = []
    for old_id, new_id in zip(old_ids, new_ids, strict=True):
        old = next(item for item in order["items"] if item["item_id"] == old_id)
        variants = database.get("products", old["product_id"], "product not found")["variants"]
        if not variants.get(new_id, {}).get("available"):
            raise Refused(f"new item {new_id} not found or available")
        swaps.append((old, variants[new_id]))
    return swaps


def price_difference(swaps: list[tuple[Record, Record]]) -> float:
    """What the new items cost more."""
    # The shop's own records carry the sum as binary fractions leave it; only exchanges are rounded there.
    due = 0.0
    for old, new in swaps:
        due += new["price"] - old["price"]
    return due


def address_of(address1: str, address2: str, city: str, state: str, country: str, code: str) -> Record:
    """An address as records hold it."""
    return {
        "address1": address1,
        "address2": address2,
        "city": city,
        "state": state,
        "country": country,
        "zip": code,
    }
