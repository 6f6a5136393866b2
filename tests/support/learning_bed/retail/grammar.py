"""The grammar of requests to the shop: drawn over its records, and read back from text."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Sequence
from typing import Any

from support.learning_bed.database import Base, Record
from support.learning_bed.grammar import Clause, Drawn, Grammar, Intent, Plan, Values
from support.learning_bed.retail import policy

TRAITS = tuple(
    re.findall(
        r"\w+",
        "busy cautious confident creative curious dependent direct flexible happy impatient independent insecure "
        "logical messy optimistic organized outgoing patient pessimistic polite relaxing rigid sad shy",
    )
)
REASONS = ("no longer needed", "ordered by mistake")
_OPENING = re.compile(
    r"Your name is (?P<first>\S+) (?P<last>\S+) and your "
    r"(?:zip code is (?P<zip>\d{5})|email is (?P<email>\S+))\. You are [a-z, ]+\. "
)
_CLAUSE = re.compile(
    r"Cancel order (?P<cancel>#W\d+) because (?P<reason>[a-z ]+)\. "
    r"|Return (?P<back>#W\d+) via (?P<refund>\w+): (?P<items>(?:[^;#{]+(?: \{[^}]*\})?; )+)"
    r"|For (?P<moved>#W\d+), change address to (?P<address>\{[^}]*\}) \(same as (?P<like>#W\d+)\)\. "
    r"|For (?P<paid>#W\d+), change payment to (?P<payment>\w+)\. "
    r"|For (?P<order>#W\d+), (?P<verb>modify|exchange) "
    r"(?P<swaps>(?:[^;{#]+ \{[^}]*\} to \{[^}]*\}; )+)via (?P<via>\w+)\. "
)
_SWAP = re.compile(r"(?P<name>[^;{#]+) (?P<old>\{[^}]*\}) to (?P<new>\{[^}]*\}); ")
_ITEM = re.compile(r"(?P<name>[^;{]+?)(?: (?P<options>\{[^}]*\}))?; ")


def _of_status(draw: random.Random, base: Base, asker: Values, status: str) -> Record | None:
    orders = [base.tables["orders"][name] for name in base.tables["users"][asker["id"]]["orders"]]
    fitting = [order for order in orders if order["status"] == status]
    return draw.choice(fitting) if fitting else None


def _a_method(draw: random.Random, base: Base, asker: Values) -> str:
    methods: list[str] = sorted(base.tables["users"][asker["id"]]["payment_methods"])
    return draw.choice(methods)


def _draw_cancel(draw: random.Random, base: Base, asker: Values) -> Drawn | None:
    order = _of_status(draw, base, asker, "pending")
    return None if order is None else Drawn({"order_id": order["order_id"], "reason": draw.choice(REASONS)})


def _draw_return(draw: random.Random, base: Base, asker: Values) -> Drawn | None:
    order = _of_status(draw, base, asker, "delivered")
    if order is None:
        return None
    items = draw.sample(order["items"], draw.randint(1, min(3, len(order["items"]))))
    names = [item["name"] for item in order["items"]]
    wanted = tuple((i["name"], i["options"] if names.count(i["name"]) > 1 else None) for i in items)
    method = draw.choice([order["payment_history"][0]["payment_method_id"], _a_method(draw, base, asker)])
    text = " ".join(f"{name} {options};" if options else f"{name};" for name, options in wanted)
    values = {"order_id": order["order_id"], "method": method, "items": wanted}
    return Drawn(values, {"items": text, "item": wanted[0][0]})


def _draw_swap(status: str) -> Any:
    def drawn(draw: random.Random, base: Base, asker: Values) -> Drawn | None:
        order = _of_status(draw, base, asker, status)
        if order is None:
            return None
        swaps = []
        for item in draw.sample(order["items"], draw.randint(1, min(3, len(order["items"])))):
            variants = base.tables["products"][item["product_id"]]["variants"].values()
            free = [variant["options"] for variant in variants if variant["available"]]
            if not free:
                return None
            chosen, old = draw.choice(free), item["options"]
            swaps.append((item["name"], old, {name: v for name, v in chosen.items() if old[name] != v}))
        text = " ".join(f"{name} {old} to {new};" for name, old, new in swaps)
        values = {"order_id": order["order_id"], "method": _a_method(draw, base, asker), "swaps": tuple(swaps)}
        return Drawn(values, {"swaps": text, "item": swaps[0][0]})

    return drawn


def _draw_address(draw: random.Random, base: Base, asker: Values) -> Drawn | None:
    order = _of_status(draw, base, asker, "pending")
    others = [name for name in base.tables["users"][asker["id"]]["orders"] if order and name != order["order_id"]]
    if order is None or not others:
        return None
    like = draw.choice(others)
    address = {"order_id": order["order_id"], **base.tables["orders"][like]["address"]}
    return Drawn({"order_id": order["order_id"], "address": address}, {"address": str(address), "like": like})


def _draw_payment(draw: random.Random, base: Base, asker: Values) -> Drawn | None:
    order = _of_status(draw, base, asker, "pending")
    return None if order is None else Drawn({"order_id": order["order_id"], "method": _a_method(draw, base, asker)})


CANCEL = Intent("cancel", ("Cancel order {order_id} because {reason}.",), _draw_cancel, policy.cancel, "order_id")
RETURN = Intent(
    "return", ("Return {order_id} via {method}: {items}",), _draw_return, policy.give_back, "order_id", "item"
)
ADDRESS = Intent(
    "address",
    ("For {order_id}, change address to {address} (same as {like}).",),
    _draw_address,
    policy.readdress,
    "order_id",
)
PAYMENT = Intent("payment", ("For {order_id}, change payment to {method}.",), _draw_payment, policy.repay, "order_id")
MODIFY = Intent(
    "modify",
    ("For {order_id}, modify {swaps} via {method}.",),
    _draw_swap("pending"),
    policy.swap("pending", "modify_pending_order_items"),
    "order_id",
    "item",
)
EXCHANGE = Intent(
    "exchange",
    ("For {order_id}, exchange {swaps} via {method}.",),
    _draw_swap("delivered"),
    policy.swap("delivered", "exchange_delivered_order_items"),
    "order_id",
    "item",
)


class _ShopGrammar(Grammar):
    """Openings differ by how people name themselves and how they are."""

    def opening(self, draw: random.Random, asker: Values) -> str:
        """The first words of a request."""
        traits = ", ".join(draw.sample(TRAITS, draw.randint(2, 5)))
        who = f"email is {asker['email']}" if asker["email"] else f"zip code is {asker['zip']}"
        return f"Your name is {asker['name']} and your {who}. You are {traits}."


def _askers(base: Base) -> Sequence[Values]:
    """Everybody, once by e-mail address and, where that finds one person only, once by name and zip code."""
    found: list[Values] = []
    for user_id, user in base.tables["users"].items():
        first, last, code = user["name"]["first_name"], user["name"]["last_name"], user["address"]["zip"]
        who = {"id": user_id, "name": f"{first} {last}", "first": first, "last": last}
        found.append({**who, "email": user["email"], "zip": None})
        named = {"name__first_name": first, "name__last_name": last, "address__zip": code}
        if len(base.keys_where("users", named)) == 1:
            found.append({**who, "email": None, "zip": code})
    return found


GRAMMAR = _ShopGrammar(
    intents=(CANCEL, CANCEL, RETURN, RETURN, MODIFY, MODIFY, EXCHANGE, EXCHANGE, ADDRESS, PAYMENT),
    askers=_askers,
    openings=(),
    closings=("",),
    identify=policy.identify,
    most_clauses=3,
    may_repeat=True,
    end=" ",
)


def plan_of(text: str, user_id: str) -> Plan:
    """Read a request of this grammar into its plan."""
    opening = _OPENING.match(text)
    if opening is None:
        raise ValueError(f"no request of this grammar: {text!r}")
    asker = {"id": user_id, "name": f"{opening['first']} {opening['last']}", **opening.groupdict()}
    at, clauses = opening.end(), []
    while at < len(text):
        found = _CLAUSE.match(text, at)
        if found is None:
            raise ValueError(f"no clause of this grammar: {text[at:]!r}")
        clauses.append(_clause(found))
        at = found.end()
    return Plan(asker, opening[0].rstrip(), tuple(clauses), end=" ")


def _clause(found: re.Match[str]) -> Clause:
    groups = found.groupdict()
    if groups["cancel"]:
        return _made(CANCEL, {"order_id": groups["cancel"], "reason": groups["reason"]}, found[0])
    if groups["back"]:
        items = tuple(
            (item["name"], ast.literal_eval(item["options"]) if item["options"] else None)
            for item in _ITEM.finditer(groups["items"])
        )
        values = {"order_id": groups["back"], "method": groups["refund"], "items": items}
        return _made(RETURN, values, found[0], item=items[0][0])
    if groups["moved"]:
        address = ast.literal_eval(groups["address"])
        return _made(ADDRESS, {"order_id": groups["moved"], "address": address}, found[0])
    if groups["paid"]:
        return _made(PAYMENT, {"order_id": groups["paid"], "method": groups["payment"]}, found[0])
    swaps = tuple(
        (swap["name"], ast.literal_eval(swap["old"]), ast.literal_eval(swap["new"]))
        for swap in _SWAP.finditer(groups["swaps"])
    )
    values = {"order_id": groups["order"], "method": groups["via"], "swaps": swaps}
    return _made(MODIFY if groups["verb"] == "modify" else EXCHANGE, values, found[0], item=swaps[0][0])


def _made(intent: Intent, values: Values, text: str, *, item: str = "") -> Clause:
    return Clause(intent, values, text.rstrip(), {"order_id": values["order_id"], "item": item})
