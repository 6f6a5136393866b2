"""The bank's records: customers with payees, accounts, cards, and the transfers they order."""

from __future__ import annotations

import random

from support.learning_bed import wording
from support.learning_bed.database import Base, Record

NAME = "bank"
DRIFTS = ("accounts_frozen", "new_ibans")
LABELS = ("everyday", "savings", "household", "travel", "tax")
_PAYEES = ("landlord", "gym", "sister", "dentist", "electrician", "music school", "garage", "choir")
_COUNTRIES = ("DE", "NL", "FR", "AT", "ES")


def base(seed: int = 0, drift: str | None = None) -> Base:
    """The records for a seed, or those after a drift.

    accounts_frozen: a third of the accounts may pay nothing out any more.
    new_ibans: every payee has moved to another bank.
    """
    draw = random.Random(f"{NAME}:{seed}")
    customers: dict[str, Record] = {}
    accounts: dict[str, Record] = {}
    cards: dict[str, Record] = {}
    for at, name in enumerate(wording.names(draw, 150)):
        number = f"C-{40000 + at * 37 + draw.randrange(37)}"
        payees = [{"alias": alias, "iban": _iban(draw)} for alias in draw.sample(_PAYEES, draw.randint(3, 5))]
        customers[number] = {"number": number, "name": name, "segment": draw.choice(("retail", "private"))}
        customers[number]["payees"] = payees
        for label in draw.sample(LABELS, draw.randint(2, 4)):
            account = _account(draw, number, label, len(accounts))
            accounts[account["id"]] = account
        digits: set[str] = set()
        while len(digits) < 3:
            digits.add(f"{draw.randrange(10000):04d}")
        for last4 in sorted(digits):
            card = {"id": f"card_{len(cards):05d}{draw.randrange(1000):03d}", "customer": number, "last4": last4}
            cards[card["id"]] = {**card, "state": "active", "daily_limit": draw.choice((500, 800, 1500)), "blocked": ""}
    fresh = random.Random(f"{NAME}:{seed}:{drift}")
    for at, account in enumerate(accounts.values()):
        if drift == "accounts_frozen" and at % 3 == 0:
            account["state"] = "frozen"
    for customer in customers.values():
        for payee in customer["payees"]:
            if drift == "new_ibans":
                payee["iban"] = _iban(fresh)
    if drift not in (None, *DRIFTS):
        raise ValueError(f"bank knows no drift {drift!r}; there are {', '.join(DRIFTS)}")
    tables = {"customers": customers, "accounts": accounts, "cards": cards, "transfers": {}}
    return Base(tables, drift=drift)


def _account(draw: random.Random, customer: str, label: str, number: int) -> Record:
    return {
        "id": f"acc_{number:05d}{draw.randrange(1000):03d}",
        "customer": customer,
        "label": label,
        "iban": _iban(draw),
        "balance": f"{draw.randint(50, 9000)}.{draw.randrange(100):02d}",
        "currency": "EUR",
        "state": "open",
    }


def _iban(draw: random.Random) -> str:
    return f"{draw.choice(_COUNTRIES)}{draw.randint(10, 99)}{draw.randrange(10**16):016d}"
