"""A run taken apart: values, clauses, which call belongs to which, and what a signature is."""

from __future__ import annotations

import pytest
from support.learnt_domains import bank, calendar, operations, restart, run

from evolvent.events.language.learning.examples import Clause
from evolvent.events.language.learning.provenance import mask, value_index
from evolvent.events.language.learning.signatures import extract
from evolvent.events.language.learning.tokens import tokenize
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.tools import Effect


def only(trace: Trace) -> Clause:
    found = [clause for clause in extract(trace).clauses if not clause.is_filler]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("#W6067464", "id"),
        ("api-7", "id"),
        ("credit_card_4190576", "id"),
        ("1,200.50", "number"),
        ("omar.anderson@example.com", "email"),
        ("2026-05-20", "date"),
        ("May 20th, 2026", "date"),
        ("20. Mai 2026", "date"),
        ("10:30 am", "time"),
        ("{'color': 'blue', 'sizes': ['a', 'b']}", "record"),
        ('"a quoted, free text"', "quoted"),
        ("https://example.com/a?b=1", "url"),
        ("eu-west", "word"),
        ("T-Shirt", "name"),
    ],
)
def test_a_value_is_one_token(text: str, kind: str) -> None:
    assert [(token.text, token.kind) for token in tokenize(f"for {text} now")][1] == (text, kind)


def test_every_character_but_blanks_is_in_a_token() -> None:
    text = "Don't pay $5.00 (or 6) to 'Bob & co'; see [urgent] {x\n\nÜber 取消 100%!"
    covered = {place for token in tokenize(text) for place in range(token.start, token.end)}
    assert all(place in covered or text[place].isspace() for place in range(len(text)))


def test_sources_of_arguments_are_the_request_before_results_and_nothing_before_a_guess() -> None:
    trace = run(
        1,
        "Cancel the sofa of customer C-55.",
        ("list_orders", {"customer": "C-55"}, {"orders": [{"id": "o99", "item": "sofa"}]}, Effect.READ),
        ("cancel", {"order": "o99", "reason": "whim"}, {"ok": True}, Effect.KEYED),
    )
    index = value_index(trace)
    assert index.source("C-55", 1).origin == "request"
    found = index.source("o99", 1)
    assert (found.origin, found.call, found.path, found.label) == ("result", 0, ("orders", 0, "id"), "tool")
    assert index.source("whim", 1).origin == "nowhere"


def test_values_are_cut_out_of_the_request_and_words_stay() -> None:
    tokens, spans = mask(value_index(restart(1, "api-7", "eu-west")))
    assert [span.value for span in spans] == ["api-7", "eu-west"]
    assert [token.folded for token in tokens if not any(s.start <= tokens.index(token) < s.end for s in spans)] == [
        *("restart", "service", "in", ".", "thanks", "!")
    ]


def test_each_write_goes_to_the_clause_with_its_values() -> None:
    first, second = restart(1, "api-7", "eu-west", closing=""), restart(2, "cart-9", "us-east", closing="")
    both = run(3, f"{first.message} {second.message}")
    both = Trace(**{**{name: getattr(both, name) for name in Trace.__slots__}, "calls": first.calls + second.calls})
    clauses = extract(both).clauses
    assert [clause.example.slots["a"] for clause in clauses] == ["api-7", "cart-9"]
    assert clauses[0].signature == clauses[1].signature == only(first).signature


def test_a_run_whose_write_fits_two_clauses_is_not_used_and_says_why() -> None:
    trace = run(
        1,
        "Check order W100. Ship order W100. Cancel order W100.",
        ("cancel", {"id": "W100"}, {}, Effect.KEYED),
    )
    extraction = extract(trace)
    assert not extraction.clauses
    assert extraction.unused == "cancel could belong to 3 clauses"


def test_failed_calls_repeated_reads_and_thinking_leave_no_trace() -> None:
    plain = restart(1, "api-7", "eu-west")
    noisy_calls = (
        TracedCall("think", {"thought": "hm"}, "", Effect.PURE),
        TracedCall("restart", {"service": "api-7"}, "Error", Effect.IDEMPOTENT, error="tool_error"),
        plain.calls[0],
        *plain.calls,
    )
    noisy = Trace(**{**{name: getattr(plain, name) for name in Trace.__slots__}, "calls": noisy_calls})
    assert only(noisy) == only(plain)


def test_a_read_that_nothing_consumed_only_rides_along() -> None:
    plain = restart(1, "api-7", "eu-west")
    result = {"name": "api-7", "owner": "team-44"}
    calls = (
        TracedCall("get_service", {"name": "api-7"}, result, Effect.READ),
        TracedCall("get_team", {"id": "team-44"}, {"size": 3}, Effect.READ),
        plain.calls[1],
    )
    noisy = only(Trace(**{**{name: getattr(plain, name) for name in Trace.__slots__}, "calls": calls}))
    assert noisy.extras == ("get_team",)
    assert noisy.signature == only(plain).signature


def test_lists_of_any_length_have_one_signature() -> None:
    clauses = [only(trace) for trace in calendar()]
    assert {clause.skeleton for clause in clauses} == {'schedule "{a}" with ( {b} , )+ on {c} at {d}'}
    assert len({clause.signature for clause in clauses}) == 1
    assert clauses[1].example.slots["b"] == ("Mia Li", "Jo Kim")


def test_things_done_for_each_of_a_list_share_a_step() -> None:
    calls = [("restart", {"service": name}, {"ok": True}, Effect.IDEMPOTENT) for name in ("api-7", "cart-9", "auth-1")]
    clause = only(run(1, "Restart api-7, cart-9 and auth-1 now.", *calls))
    assert clause.skeleton == "restart ( {a} , )+ now"
    assert [(call.step, call.item) for call in clause.example.calls] == [("restart_each", at) for at in range(3)]


def test_a_value_that_a_write_has_from_another_sentence_joins_the_two() -> None:
    trace = run(
        1,
        "I am customer C-105. Cancel my sofa from IKEA, please.",
        ("cancel", {"customer": "C-105", "item": "sofa", "shop": "IKEA"}, {}, Effect.KEYED),
    )
    assert only(trace).skeleton == "i am customer {a} . cancel my {b} from {c} , please"


def test_what_a_read_introduced_is_context_of_the_other_sentence() -> None:
    trace = run(
        1,
        "I am customer C-105. Cancel my sofa, please.",
        ("list_orders", {"customer": "C-105"}, {"orders": [{"id": "o99", "item": "sofa"}]}, Effect.READ),
        ("cancel", {"order": "o99"}, {}, Effect.KEYED),
    )
    who, what = extract(trace).clauses
    assert (who.skeleton, who.introduces, who.shape) == ("i am customer {a}", ("list_orders",), "list_orders")
    assert (what.skeleton, what.shape) == ("cancel my {a} , please", "cancel!")
    assert [call.step for call in what.example.context] == ["list_orders"]


def test_a_question_is_a_clause_with_reads_and_its_answer() -> None:
    read = ("get_account", {"id": "AC-1001"}, {"balance": 1000.5}, Effect.READ)
    clause = only(run(1, "What is the balance of AC-1001? Thanks!", read, answer="It is 1000.5."))
    assert (clause.skeleton, clause.shape, clause.example.answer) == (
        "what is the balance of {a} ?",
        "get_account",
        "It is 1000.5.",
    )


def test_words_of_results_do_not_cut_out_what_to_do() -> None:
    trace = run(
        1,
        "Open a ticket for host db-44.",
        ("find_host", {"name": "db-44"}, {"hosts": [{"name": "db-44", "action": "Open", "id": "h-981"}]}, Effect.READ),
        ("create", {"host": "h-981"}, {"status": "open"}, Effect.KEYED),
    )
    assert only(trace).skeleton == "open a ticket for host {a}"


def test_where_a_values_twin_was_seen_is_labelled() -> None:
    web = TracedCall("browse", {"q": "x"}, {"found": "SKU-777"}, Effect.READ, origin="web")
    order = TracedCall("order", {"sku": "SKU-777"}, {"ok": True}, Effect.KEYED)
    trace = Trace("r", "Order SKU-777 for me.", (web, order))
    assert only(trace).labels == {"a": "web"}


def test_signatures_differ_by_scope_and_by_schema() -> None:
    trace = operations()[0]
    fields = {name: getattr(trace, name) for name in Trace.__slots__}
    elsewhere = Trace(**{**fields, "goal": "other"})
    changed = tuple(
        TracedCall(call.name, call.arguments, call.result, call.effect, schema_hash="v2") for call in trace.calls
    )
    newer = Trace(**{**fields, "calls": changed})
    assert len({only(each).signature for each in (trace, elsewhere, newer)}) == 3


def test_amounts_dates_and_accounts_are_slots() -> None:
    assert {only(trace).skeleton for trace in bank()} == {"transfer {a} from acc {b} to acc {c} on {d}"}


def test_text_without_blanks_has_values_too() -> None:
    trace = run(1, "注文1000をキャンセルしてください。", ("cancel", {"id": "1000"}, {}, Effect.KEYED))
    assert only(trace).skeleton == "注 文 {a} " + " ".join("をキャンセルしてください")
    assert value_index(trace).source("1000", 0).origin == "request"
