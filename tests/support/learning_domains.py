"""Recorded work of three small domains, drawn at random: operations, a bank, a calendar. None is a shop."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from evolvent.events.language.learning.examples import Example, StepCall
from evolvent.events.language.tools import Effect

Draw = Callable[[random.Random, str], Example]
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "iris", "jade", "koala", "lotus")


def read(step: str, tool: str, arguments: dict[str, Any], result: Any, item: int | None = None) -> StepCall:
    return StepCall(step, tool, arguments, result, Effect.READ, item)


def write(step: str, tool: str, arguments: dict[str, Any], result: Any = "ok", item: int | None = None) -> StepCall:
    return StepCall(step, tool, arguments, result, Effect.KEYED, item)


def operations(draw: random.Random, run_id: str) -> Example:
    """Restart NAME: look the host up in a list, restart it gracefully, tell its region."""
    names = draw.sample(WORDS, 5)
    hosts = [
        {"name": name, "host_id": f"h-{draw.randrange(10**6)}", "region": draw.choice(["eu", "us"]), "locked": False}
        for name in names
    ]
    host = draw.choice(hosts)
    calls = (
        read("hosts", "list_hosts", {}, {"hosts": hosts}),
        write(
            "restart",
            "restart_host",
            {"host_id": host["host_id"], "mode": "graceful"},
            {"job": f"j-{draw.randrange(10**6)}"},
        ),
    )
    job = calls[1].result["job"]
    answer = f"Host {host['name']} in {host['region']} restarts now, job {job}."
    return Example(run_id, {"host": str(host["name"])}, calls, answer, principal=draw.choice(["ann", "bob"]))


def bank(draw: random.Random, run_id: str) -> Example:
    """Transfer AMOUNT from ACCOUNT to PAYEE on DAY: records by name and by key, money, a date in words."""
    customer = f"cu_{draw.randrange(10**6)}"
    accounts = [
        {"nickname": name, "number": f"A{draw.randrange(10**8)}", "owner": customer} for name in draw.sample(WORDS, 3)
    ]
    payees = {f"p{draw.randrange(10**6)}": {"label": name.title()} for name in draw.sample(WORDS, 4)}
    account, payee = draw.choice(accounts), draw.choice(sorted(payees))
    cents = draw.randrange(1_000, 900_000)
    day = date(2026, 1, 1) + timedelta(days=draw.randrange(300))
    arguments = {"source": account["number"], "payee": payee, "amount": cents / 100, "day": day.isoformat()}
    slots = {
        "amount": f"${cents / 100:,.2f}",
        "account": account["nickname"].upper(),
        "payee": payees[payee]["label"],
        "day": f"{day:%B} {day.day}, {day.year}",
    }
    calls = (
        read("me", "whoami", {}, {"customer": customer, "status": "active"}),
        read("accounts", "list_accounts", {"customer": customer}, {"accounts": accounts, "owner": customer}),
        read("payees", "list_payees", {"customer": customer}, payees),
        write("transfer", "transfer", arguments),
    )
    return Example(run_id, slots, calls, None, principal=customer)


def calendar(draw: random.Random, run_id: str) -> Example:
    """Move TITLE to CLOCK and tell NAMES: a record with one field replaced, one read and one write for each guest."""
    title, guests = draw.choice(WORDS), tuple(draw.sample(WORDS, draw.randrange(1, 4)))
    event = {
        "id": f"e{draw.randrange(10**6)}",
        "title": title,
        "start": f"{draw.randrange(8, 12):02}:00",
        "room": draw.choice(WORDS),
    }
    hour = draw.randrange(1, 8)
    moved = {**event, "start": f"{hour + 12}:30"}
    people = [{"name": name, "mail": f"{name}{draw.randrange(99)}@x.example"} for name in guests]
    calls = (
        read("event", "find_event", {"title": title}, event),
        *(read("person", "find_person", {"name": p["name"]}, p, at) for at, p in enumerate(people)),
        write("move", "put_event", {"event": moved}),
        *(write("tell", "notify", {"to": p["mail"], "event_id": event["id"]}, "ok", at) for at, p in enumerate(people)),
    )
    return Example(
        run_id, {"title": title, "clock": f"{hour}:30 pm", "guest": guests}, calls, f"Moved {title} to {hour + 12}:30."
    )


DOMAINS: dict[str, Draw] = {"operations": operations, "bank": bank, "calendar": calendar}


def recorded(domain: str, count: int, seed: int = 0) -> list[Example]:
    """Return so many runs of a domain; the same for the same seed."""
    draw = random.Random(f"{domain}{seed}")
    return [DOMAINS[domain](draw, f"{domain}-{seed}-{number:03}") for number in range(count)]
