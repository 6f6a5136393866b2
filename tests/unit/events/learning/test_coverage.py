"""Phrasings of one kind, who asks, rare branches, values that nothing looks at, and reads made ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.learner import LearningRules, Proposal, propose_all
from evolvent.events.language.learning.library import Library, Served
from evolvent.events.language.learning.matching import Abstained
from evolvent.events.language.learning.prefetching import learn_chains, prefetch
from evolvent.events.language.learning.programs import NORMALS
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.templates import compile_small_talk
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.tools import Effect

SCOPE = ("default", "clerk")
NOW = datetime(2026, 3, 2, tzinfo=UTC)
RULES = LearningRules(window=timedelta(days=30))
TEAMS = ("atlas", "dune", "ember")


def opening(number: int, words: str) -> tuple[str, TracedCall, dict[str, Any]]:
    who = {"handle": f"dev{number}", "name": f"{'ABCDEFGH'[number % 8]}nna Vogel", "team": TEAMS[number % 3]}
    call = TracedCall("whois", {"handle": who["handle"]}, who, Effect.READ)
    return words.format(**who), call, who


def run(number: int, clause: str, *, words: str = "This is {handle} ({name}).", tier: str | None = None) -> Trace:
    text, first, who = opening(number, words)
    service = {
        "id": f"svc-{number:04d}",
        "name": f"{('search', 'media', 'ledger', 'login')[number % 4]}-{'abcdefghij'[number % 10]}pi",
        "team": who["team"],
        "tier": tier or ("standard" if number % 2 else "critical"),
    }
    mode = "immediate" if service["tier"] == "standard" else "rolling"
    calls = (
        first,
        TracedCall("find_service", {"name": service["name"]}, service, Effect.READ),
        TracedCall("restart", {"service_id": service["id"], "mode": mode}, {"state": "restarting"}, Effect.KEYED),
    )
    return Trace(
        run_id=f"run-{number:04d}",
        message=f"{text} {clause.format(service=service['name'])}",
        calls=calls,
        answer=f"{service['name']} is restarting.",
        agent_id="clerk",
        principal=f"user-{number}",
        session_id=f"session-{number}",
        ended_at=NOW,
    )


def taught(*traces: Trace) -> tuple[Library, dict[str, Automation]]:
    store = SignatureStore()
    for trace in traces:
        store.add(trace)
    found = propose_all(store, store.signatures(), RULES, now=NOW + timedelta(hours=1))
    learnt = {name: each.automation for name, each in found.items() if isinstance(each, Proposal)}
    return Library.of(learnt.values(), compile_small_talk(store, SCOPE)), learnt


MANY = [run(number, "Restart {service}.") for number in range(16)]


def test_a_rare_branch_is_learnt_from_the_word_that_tells_it_apart() -> None:
    _, learnt = taught(*MANY)
    (restart,) = [each for each in learnt.values() if each.name == "restart"]
    mode = next(step for step in restart.steps if step.tool == "restart").bindings["mode"]
    assert mode.op == "branch"
    assert {case.values for case in mode.cases} == {("critical",), ("standard",)}


def test_a_new_phrasing_is_served_after_two_runs_and_not_after_one() -> None:
    request = "This is dev90 (Zoe Hofer). Could you kick pricing-api?"
    one, _ = taught(*MANY, run(50, "Could you kick {service}?"))
    assert isinstance(one.serve(request, SCOPE), Abstained)
    two, _ = taught(*MANY, run(50, "Could you kick {service}?"), run(51, "Could you kick {service}?"))
    assert isinstance(two.serve(request, SCOPE), Served)


def test_a_phrasing_that_does_something_else_joins_no_kind() -> None:
    gentle = [run(number, "Restart {service} at once.", tier="critical") for number in (60, 62)]
    swapped = [
        Trace(**{**{f: getattr(each, f) for f in each.__slots__}, "calls": (*each.calls[:2], other(each.calls[2]))})
        for each in gentle
    ]
    library, _ = taught(*MANY, *swapped)
    assert isinstance(library.serve("This is dev90 (Zoe Hofer). Restart pricing-api at once.", SCOPE), Abstained)


def other(call: TracedCall) -> TracedCall:
    return TracedCall(call.name, {**call.arguments, "mode": "immediate"}, call.result, call.effect)


def test_who_asks_is_tied_to_the_record_in_every_phrasing_of_the_opening() -> None:
    mixed = [run(number, "Restart {service}.", words="{name} here, handle {handle}.") for number in range(20, 24)]
    library, learnt = taught(*MANY, *mixed)
    (restart,) = [each for each in learnt.values() if each.name == "restart"]
    assert restart.context == ("whois",)
    guards = [guard.model_dump() for guard in restart.guards if guard.check == "equal"]
    assert any({g["left"].get("step"), g["right"].get("step")} == {"@", "find_service"} for g in guards)
    assert isinstance(library.serve("Zoe Hofer here, handle dev90. Restart pricing-api.", SCOPE), Served)
    for message in ("Restart pricing-api.", "This is dev90 (Zoe Hofer).", "Do not restart pricing-api."):
        assert isinstance(library.serve(message, SCOPE), Abstained), message


@pytest.mark.parametrize(
    "clause",
    [
        "Restart pricing-api tomorrow.",
        "Restart pricing-api unless it is busy.",
        "Restart not pricing-api.",
        "Restart pricing-api and search-api.",
        "Never restart pricing-api.",
    ],
)
def test_an_open_slot_swallows_no_word_that_changes_what_is_asked(clause: str) -> None:
    library, _ = taught(*MANY)
    assert isinstance(library.serve("This is dev90 (Zoe Hofer). Restart pricing-api.", SCOPE), Served)
    assert isinstance(library.serve(f"This is dev90 (Zoe Hofer). {clause}", SCOPE), Abstained)


def closing(number: int) -> Trace:
    calls = (
        TracedCall("get_account", {"id": f"AC-{number}"}, {"owner": f"u{number}"}, Effect.READ),
        TracedCall("close", {"id": f"AC-{number}"}, {"ok": True}, Effect.KEYED),
    )
    name = f"{'ABCDEFGH'[number % 8]}nna {'XYZ'[number % 3]}immer"
    return Trace(
        run_id=f"close-{number}",
        message=f"Close account AC-{number} of {name}.",
        calls=calls,
        answer="Closed.",
        agent_id="clerk",
        principal=f"user-{number}",
        session_id=f"session-{number}",
        ended_at=NOW,
    )


def test_a_write_beside_a_name_that_nothing_looks_at_is_served_only_where_the_policy_allows_it() -> None:
    library, _ = taught(*[closing(number) for number in range(100, 106)])
    refused = library.serve("Close account AC-777 of Bea Xaver.", SCOPE)
    assert isinstance(refused, Abstained)
    assert refused.code == "unconfirmed"
    assert isinstance(library.serve("Close account AC-777 of Bea Xaver.", SCOPE, may_ignore=True), Served)


def test_learning_again_changes_nothing_and_costs_nothing() -> None:
    store = SignatureStore()
    for trace in MANY:
        store.add(trace)
    memory: dict[str, Any] = {}
    first = propose_all(store, store.signatures(), RULES, now=NOW, memory=memory)
    for trace in MANY:
        store.add(trace)
    assert not store.take_dirty() or not propose_all(store, store.signatures(), RULES, now=NOW, memory=memory)
    again = propose_all(store, store.signatures(), RULES, now=NOW)
    assert {k: v.automation.content_hash for k, v in first.items() if isinstance(v, Proposal)} == {
        k: v.automation.content_hash for k, v in again.items() if isinstance(v, Proposal)
    }


@pytest.mark.parametrize(
    ("normal", "text", "value"),
    [
        ("decimal", "1.250,00 €", "1250.00"),
        ("decimal", "EUR 1,250.5", "1250.50"),
        ("decimal", "twelve", None),
        ("currency", "€12", "EUR"),
        ("minutes", "one hour", 60),
        ("minutes", "2h", 120),
        ("minutes", "30 seconds", None),
        ("days", "2 weeks", 14),
        ("number", "six", 6),
        ("date", "9th of March 2026", "2026-03-09"),
    ],
)
def test_amounts_and_durations_are_read_as_people_write_them(normal: str, text: str, value: object) -> None:
    assert NORMALS[normal](text) == value


def test_reads_that_always_followed_an_id_are_made_ahead_and_writes_never() -> None:
    chains = learn_chains(MANY, SCOPE)
    workflow = prefetch(chains, "Something odd happened, says dev77, what now?")
    assert workflow is not None
    assert [task.tool for task in workflow.tasks] == ["whois", None]
    assert workflow.tasks[-1].is_primed
    assert prefetch(chains, "Hello there!") is None
    assert {link.tool for link in chains.links} <= {"whois", "find_service"}
