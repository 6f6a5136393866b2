"""Requests of bank customers: transfers, limits, blocked cards, and what an account holds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from support.learning_bed import wording
from support.learning_bed.agent import ScriptedAgent
from support.learning_bed.bank import tools, world
from support.learning_bed.database import Base, Record
from support.learning_bed.grammar import Drawn, Grammar, Intent, Values, ask
from support.learning_bed.world import World

SYSTEM_PROMPT = (
    "You serve customers of a bank. Look the customer up by number. Pay only from the customer's own open accounts, "
    "only to payees on file or between own accounts, and only what the balance covers. Write amounts as 1250.00 and "
    "days as 2026-03-09. Change only the customer's own active cards, found by their last four digits."
)
REFERENCES = ("rent", "invoice", "thanks", "deposit", "lessons", "repair", "membership")
_REASONS = {"lost": "was lost", "stolen": "was stolen", "damaged": "is damaged"}


def the_world(seed: int = 0, drift: str | None = None) -> World:
    """The bank."""
    return World.of(world.NAME, world.base(seed, drift), tools, SYSTEM_PROMPT)


def _identify(asker: Values) -> Any:
    return (yield from ask("get_customer", number=asker["id"]))


def _account(found: Values, label: str) -> Any:
    listed = yield from ask("list_accounts", customer=found["number"])
    accounts = listed["accounts"] if listed else []
    return next((a for a in accounts if a["label"] == label and a["state"] == "open"), None), accounts


def _covers(account: Record, amount: str) -> bool:
    return _cents(account["balance"]) >= _cents(amount)


def _cents(amount: str) -> int:
    return int(amount.replace(".", ""))


def _transfer(values: Values, found: Values) -> Any:
    account, _ = yield from _account(found, values["label"])
    payee = next((payee for payee in found["payees"] if payee["alias"] == values["alias"]), None)
    if account is None or payee is None or not _covers(account, values["amount"]):
        return f"I cannot transfer {values['amount']} to your {values['alias']}."
    done = yield from ask(
        "order_transfer",
        from_account=account["id"],
        to_iban=payee["iban"],
        amount=values["amount"],
        execute_on=values["day"],
        reference=values["reference"],
    )
    return f"{values['amount']} will go to your {values['alias']} on {values['day']}." if done else "That did not work."


def _move(values: Values, found: Values) -> Any:
    account, accounts = yield from _account(found, values["label"])
    other = next((each for each in accounts if each["label"] == values["other"]), None)
    if account is None or other is None or not _covers(account, values["amount"]):
        return f"I cannot move {values['amount']} out of {values['label']}."
    done = yield from ask(
        "order_transfer",
        from_account=account["id"],
        to_iban=other["iban"],
        amount=values["amount"],
        execute_on=values["day"],
    )
    return (
        f"{values['amount']} will be moved to {values['other']} on {values['day']}." if done else "That did not work."
    )


def _card(values: Values, found: Values) -> Any:
    listed = yield from ask("list_cards", customer=found["number"])
    cards = listed["cards"] if listed else []
    return next((card for card in cards if card["last4"] == values["last4"] and card["state"] == "active"), None)


def _limit(values: Values, found: Values) -> Any:
    card = yield from _card(values, found)
    if card is None:
        return f"I see no active card of yours ending in {values['last4']}."
    yield from ask("set_daily_limit", card_id=card["id"], limit=values["limit"])
    return f"The card ending in {values['last4']} may spend {values['limit']} euros a day."


def _block(values: Values, found: Values) -> Any:
    card = yield from _card(values, found)
    if card is None:
        return f"I see no active card of yours ending in {values['last4']}."
    yield from ask("block_card", card_id=card["id"], reason=values["reason"])
    return f"The card ending in {values['last4']} is blocked."


def _balance(values: Values, found: Values) -> Any:
    _, accounts = yield from _account(found, values["label"])
    account = next((each for each in accounts if each["label"] == values["label"]), None)
    if account is None:
        return f"You have no {values['label']} account."
    return f"Your {account['label']} account {account['iban']} holds {account['balance']} {account['currency']}."


def _accounts_of(base: Base, asker: Values) -> list[Record]:
    return [base.tables["accounts"][key] for key in base.keys_where("accounts", {"customer": asker["id"]})]


def _draw_transfer(draw: random.Random, base: Base, asker: Values) -> Drawn:
    account, payee = draw.choice(_accounts_of(base, asker)), draw.choice(asker["payees"])
    cents, on = _draw_cents(draw, account), wording.later(draw)
    values = {"label": account["label"], "alias": payee["alias"], "amount": f"{cents // 100}.{cents % 100:02d}"}
    values |= {"day": on.isoformat(), "reference": f"{draw.choice(REFERENCES)} {draw.randint(100, 999)}"}
    return Drawn(values, {"amount": wording.amount(cents, draw), "day": wording.day(on, draw)})


def _draw_move(draw: random.Random, base: Base, asker: Values) -> Drawn:
    account, other = draw.sample(_accounts_of(base, asker), 2)
    cents, on = _draw_cents(draw, account), wording.later(draw)
    values = {"label": account["label"], "other": other["label"], "amount": f"{cents // 100}.{cents % 100:02d}"}
    texts = {"amount": wording.amount(cents, draw), "day": wording.day(on, draw)}
    return Drawn({**values, "day": on.isoformat()}, texts)


def _draw_cents(draw: random.Random, account: Record) -> int:
    most = _cents(account["balance"])
    cents = draw.randint(100, max(101, most))
    return cents - cents % 100 if draw.random() < 0.5 else cents


def _draw_card(draw: random.Random, base: Base, asker: Values) -> Record:
    return base.tables["cards"][draw.choice(base.keys_where("cards", {"customer": asker["id"]}))]


def _draw_limit(draw: random.Random, base: Base, asker: Values) -> Drawn | None:
    card, limit = _draw_card(draw, base, asker), draw.randrange(100, 5000, 50)
    if card["daily_limit"] == limit:
        return None
    text = draw.choice((f"{limit}", f"{limit:,}", f"{limit} euros", f"€{limit}"))
    return Drawn({"last4": card["last4"], "limit": limit}, {"limit": text})


def _draw_block(draw: random.Random, base: Base, asker: Values) -> Drawn:
    card, reason = _draw_card(draw, base, asker), draw.choice(sorted(_REASONS))
    return Drawn({"last4": card["last4"], "reason": reason}, {"what": _REASONS[reason]})


def _draw_balance(draw: random.Random, base: Base, asker: Values) -> Drawn:
    return Drawn({"label": draw.choice(_accounts_of(base, asker))["label"]})


def _askers(base: Base) -> Sequence[Values]:
    return [{"id": number, **customer} for number, customer in base.tables["customers"].items()]


INTENTS = (
    Intent(
        "transfer",
        (
            "Transfer {amount} from my {label} account to my {alias} on {day}, reference {reference}.",
            "Send my {alias} {amount} out of {label} on {day} with the reference {reference}.",
            "On {day}, pay {amount} to my {alias} from the {label} account; reference: {reference}.",
        ),
        _draw_transfer,
        _transfer,
        "alias",
    ),
    Intent(
        "move",
        (
            "Move {amount} from {label} to {other} on {day}.",
            "I want {amount} taken from {label} and put on {other} on {day}.",
        ),
        _draw_move,
        _move,
        "other",
    ),
    Intent(
        "limit",
        (
            "Set the daily limit of my card ending in {last4} to {limit}.",
            "My card {last4} should be able to spend {limit} a day.",
        ),
        _draw_limit,
        _limit,
        "last4",
    ),
    Intent(
        "block",
        ("My card ending in {last4} {what}, block it.", "Block the card {last4}, it {what}."),
        _draw_block,
        _block,
        "last4",
    ),
    Intent(
        "balance",
        ("What is on my {label} account?", "How much money is in {label}?", "The balance of {label}, please."),
        _draw_balance,
        _balance,
        "label",
        is_question=True,
    ),
)
GRAMMAR = Grammar(
    intents=INTENTS,
    askers=_askers,
    openings=("Customer {id}, {name}.", "Good morning, {name} here with number {id}.", "My number is {id}."),
    closings=("", "", "Kind regards.", "Many thanks in advance."),
    identify=_identify,
)


def careful_agent() -> ScriptedAgent:
    """The agent that follows the policy."""
    return ScriptedAgent(GRAMMAR.script)
