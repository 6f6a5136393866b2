"""Runs of small made-up domains (operations, bank, calendar, shop), for tests of signatures and matching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evolvent.events.language.learning.matching import MatchIndex, build_index
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.templates import compile_small_talk, compile_template
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.tools import Effect

Call = tuple[str, dict[str, Any], Any, Effect]
SCOPE = ("default", "")


def run(number: int | str, message: str, *calls: Call, answer: str = "Done.", **more: Any) -> Trace:
    return Trace(
        run_id=f"run-{number}",
        message=message,
        calls=tuple(TracedCall(name, arguments, result, effect) for name, arguments, result, effect in calls),
        answer=answer,
        principal=f"person-{number}",
        session_id=f"session-{number}",
        **more,
    )


def restart(
    number: int, service: str, region: str, opening: str = "Restart service", closing: str = " Thanks!"
) -> Trace:
    return run(
        number,
        f"{opening} {service} in {region}.{closing}",
        ("get_service", {"name": service}, {"name": service, "region": region, "state": "up"}, Effect.READ),
        ("restart", {"service": service, "region": region}, {"ok": True}, Effect.IDEMPOTENT),
        answer=f"{service} is restarting.",
    )


def operations() -> list[Trace]:
    services = ["api-7", "billing-12", "auth-3", "cart-9", "mail-2"]
    regions = ["eu-west", "us-east", "eu-west", "ap-south", "us-east"]
    return [restart(number, *pair) for number, pair in enumerate(zip(services, regions, strict=True))]


def transfer(number: int, amount: str, day: str) -> Trace:
    source, target = f"DE{number}0001234", f"DE{number}0009876"
    value = float(amount.replace(",", ""))
    return run(
        f"transfer-{number}",
        f"Transfer {amount} EUR from acc {source} to acc {target} on {day}.",
        ("get_account", {"id": source}, {"id": source, "balance": 5000.5 + number}, Effect.READ),
        ("transfer", {"amount": value, "source": source, "target": target}, {"ok": True}, Effect.KEYED),
    )


def bank() -> list[Trace]:
    amounts = ["120.50", "75", "1,200.00", "33.10"]
    return [transfer(number, amount, f"May {number + 3}") for number, amount in enumerate(amounts)]


def meeting(number: int, people: Sequence[str], title: str) -> Trace:
    *most, last = people
    day, time = f"2026-06-0{number + 1}", f"{9 + number}:30"
    arguments = {"title": title, "attendees": list(people), "date": day, "time": time}
    return run(
        f"meeting-{number}",
        f'Schedule "{title}" with {", ".join(most)} and {last} on {day} at {time}.',
        ("create_event", arguments, {"id": f"ev{number}"}, Effect.KEYED),
    )


def calendar() -> list[Trace]:
    people = [("Anna Berg", "Tom Fox", "Max Ray"), ("Mia Li", "Jo Kim"), ("Sam Roe", "Ann Lee", "Max Ray")]
    return [meeting(number, who, f"Budget review {number}") for number, who in enumerate(people)]


def learnt(traces: Sequence[Trace]) -> SignatureStore:
    store = SignatureStore()
    for trace in traces:
        store.add(trace)
    return store


def index_of(store: SignatureStore, min_runs: int = 3) -> MatchIndex:
    named = [
        name
        for name in store.signatures(SCOPE)
        if store.support(name).runs >= min_runs and store.agreement(name) >= 0.9
    ]
    templates = [compile_template(store.clauses(name)) for name in named]
    return build_index([*templates, *compile_small_talk(store, SCOPE, min_runs)])
