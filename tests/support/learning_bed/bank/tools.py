"""The bank's tools."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from support.learning_bed.bank.world import NAME
from support.learning_bed.database import Database, Record, Refused, database_of

from evolvent.orchestrator.tools import ToolContext, tool


@tool(effect="read")
async def get_customer(number: str, *, ctx: ToolContext) -> Record:
    """Get a customer with the payees on file, by customer number."""
    return database_of(ctx, NAME).get("customers", number, "no such customer")


@tool(effect="read")
async def list_accounts(customer: str, *, ctx: ToolContext) -> dict[str, list[Record]]:
    """List a customer's accounts."""
    return {"accounts": database_of(ctx, NAME).where("accounts", customer=customer)}


@tool(effect="read")
async def list_cards(customer: str, *, ctx: ToolContext) -> dict[str, list[Record]]:
    """List a customer's cards."""
    return {"cards": database_of(ctx, NAME).where("cards", customer=customer)}


@tool(effect="keyed")
async def order_transfer(
    from_account: str, to_iban: str, amount: str, execute_on: str, reference: str = "", *, ctx: ToolContext
) -> Record:
    """Order a transfer.

    Args:
        from_account: The id of the account that pays.
        to_iban: Who is paid.
        amount: With a point and two decimals, such as '1250.00'.
        execute_on: The day, as 2026-03-09.
        reference: What the payee reads.
    """
    database = database_of(ctx, NAME)

    def write() -> Record:
        account, value = _open_account(database, from_account), _amount(amount)
        if Decimal(account["balance"]) < value:
            raise Refused("the balance does not cover this")
        _day(execute_on)
        transfer_id = f"tr_{from_account}_{to_iban[-4:]}_{execute_on}_{amount}"
        if database.find("transfers", transfer_id) is not None:
            raise Refused("the same transfer has been ordered already")
        record = {"id": transfer_id, "from": from_account, "to": to_iban, "amount": f"{value:.2f}"}
        record |= {"execute_on": execute_on, "reference": reference, "state": "ordered"}
        database.edit("accounts", from_account)["balance"] = f"{Decimal(account['balance']) - value:.2f}"
        return database.put("transfers", transfer_id, record)

    return _once(database, ctx, write)


@tool(effect="idempotent")
async def set_daily_limit(card_id: str, limit: int, *, ctx: ToolContext) -> Record:
    """Set what a card may spend in a day, in whole euros."""
    database = database_of(ctx, NAME)
    if not 0 <= limit <= 10_000:
        raise Refused("a daily limit is between 0 and 10000")

    def write() -> Record:
        card = _active_card(database, card_id)
        card["daily_limit"] = limit
        return card

    return _once(database, ctx, write)


@tool(effect="keyed")
async def block_card(card_id: str, reason: Literal["lost", "stolen", "damaged"], *, ctx: ToolContext) -> Record:
    """Block a card."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        card = _active_card(database, card_id)
        card.update(state="blocked", blocked=reason)
        return card

    return _once(database, ctx, write)


@tool(effect="irreversible")
async def close_account(account_id: str, *, ctx: ToolContext) -> Record:
    """Close an account for good."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        _open_account(database, account_id)
        account = database.edit("accounts", account_id)
        account["state"] = "closed"
        return account

    return _once(database, ctx, write)


def _open_account(database: Database, account_id: str) -> Record:
    account = database.get("accounts", account_id, "no such account")
    if account["state"] != "open":
        raise Refused(f"the account is {account['state']}")
    return account


def _active_card(database: Database, card_id: str) -> Record:
    if database.get("cards", card_id, "no such card")["state"] != "active":
        raise Refused("the card is not active")
    return database.edit("cards", card_id)


def _amount(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Refused("an amount is written as 1250.00") from None
    if not value.is_finite() or value <= 0 or value != value.quantize(Decimal("0.01")):
        raise Refused("an amount is more than nothing, in cents")
    return value


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("a day is written as 2026-03-09") from None


def _once(database: Database, ctx: ToolContext, write: Any) -> Record:
    result: Record = database.once(ctx.idempotency_key, write)
    return result
