"""Matching takes a request only where every word is explained, in one way."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.learnt_domains import SCOPE, bank, calendar, index_of, learnt, operations, restart, run

from evolvent.events.language.learning.matching import Abstained, Match, build_index, match
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.slot_types import learn_slot
from evolvent.events.language.learning.templates import as_json, compile_template, parse_template
from evolvent.events.language.learning.traces import Trace
from evolvent.events.language.tools import Effect

PLAIN = [restart(20 + n, f"svc-{n}", region, closing="") for n, region in enumerate(["eu-west", "us-east"])]
INDEX = index_of(learnt([*operations(), *bank(), *calendar(), *PLAIN]))
KNOWN = [
    "Restart service web-5 in eu-west. Thanks!",
    "Restart service web-5 in us-east.",
    "Transfer 99.99 EUR from acc DE50001234 to acc DE50009876 on June 14.",
    'Schedule "Sync, then cancel all" with Bob Ray and Zoe Hart on 2026-07-01 at 14:00.',
    "Restart service web-5 in eu-west. Restart service db-11 in us-east. Thanks!",
]
WORDS = [
    "not",
    "never",
    "unless",
    "only",
    "if",
    "cancel",
    "delete",
    "Restart",
    "and",
    "or",
    "Thanks",
    "service",
    "tomorrow",
]


def read(message: str) -> Match | Abstained:
    return match(INDEX, message, SCOPE)


@pytest.mark.parametrize("message", KNOWN)
def test_known_requests_with_new_values_match(message: str) -> None:
    assert isinstance(read(message), Match)


def test_slots_hold_what_was_said() -> None:
    found = read(KNOWN[3])
    assert isinstance(found, Match)
    assert dict(found.parts[0].slots) == {
        "a": "Sync, then cancel all",
        "b": ("Bob Ray", "Zoe Hart"),
        "c": "2026-07-01",
        "d": "14:00",
    }


@pytest.mark.parametrize(
    "message",
    [
        "Do not restart service web-5 in eu-west.",
        "Restart service web-5 in eu-west if it is down.",
        "Restart service web-5 in eu-west, but only after six.",
        "Restart service web-5 in eu-north.",
        "Restart service web-5 in eu-west. Delete it.",
        "Restart service web-5 in eu-west. Restart service web-5 in eu-west.",
        "Restart service web-5",
        "Should I restart service web-5 in eu-west?",
        "Transfer 99.99 USD from acc DE50001234 to acc DE50009876 on June 14.",
        "Transfer all EUR from acc DE50001234 to acc DE50009876 on June 14.",
        "Transfer 99.99 EUR from acc DE50001234 to acc DE50009876 on tomorrow.",
        'Schedule "x" with Bob Ray or Zoe Hart on 2026-07-01 at 14:00.',
        'Schedule "x" with Bob Ray and Never Mind on 2026-07-01 at 14:00.',
        'Schedule "x" with Bob Ray and Restart Service on 2026-07-01 at 14:00.',
        "Thanks!",
        "",
        "Restart service web-5 in eu-west. " * 400,
    ],
)
def test_doubtful_requests_are_left_to_the_agent_with_a_reason(message: str) -> None:
    found = read(message)
    assert isinstance(found, Abstained)
    assert found.reason


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(KNOWN),
    st.integers(0, 30),
    st.one_of(st.sampled_from(WORDS), st.from_regex(r"[a-z]{2,9}", fullmatch=True)),
)
def test_a_request_with_one_more_word_is_never_taken(message: str, place: int, word: str) -> None:
    words = message.split(" ")
    words.insert(place % (len(words) + 1), word)
    changed = " ".join(words)
    assume(word != "Thanks")  # small talk of its own, known here
    assume('"' not in message or changed.split('"')[1] == message.split('"')[1])
    assert isinstance(read(changed), Abstained)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([word for known in KNOWN for word in known.split(" ")] + WORDS), max_size=14))
def test_what_matches_is_explained_word_by_word(words: list[str]) -> None:
    message = " ".join(words)
    found = read(message)
    if isinstance(found, Match):
        stems = {"restart", "transfer", "schedule"}
        starts = sum(word.lower() in stems for word in message.replace(".", " ").split())
        assert len(found.parts) == starts
        for part in found.parts:
            for value in part.slots.values():
                for text in [value] if isinstance(value, str) else value:
                    assert text in message


def test_nothing_is_known_in_another_scope() -> None:
    assert match(INDEX, KNOWN[0], ("other", "")) == Abstained("nothing is learnt for this goal and agent")


def case(number: int, verb: str, tool: str) -> Trace:
    return run(number, f"My case is C-{number}0. Please {verb} it.", (tool, {"id": f"C-{number}0"}, {}, Effect.KEYED))


def test_small_talk_that_told_what_to_do_is_needed() -> None:
    traces = [case(10 + n, "close", "close") for n in range(4)] + [case(20 + n, "refund", "refund") for n in range(4)]
    store = learnt(traces)
    index = index_of(store)
    found = match(index, "My case is C-990. Please close it.", SCOPE)
    assert isinstance(found, Match)
    assert store[found.parts[0].template_id].tools == ("close",)
    for message in (
        "My case is C-990.",
        "My case is C-990. Please refund it. Please close it.",
        "My case is C-990. Thanks.",
    ):
        assert isinstance(match(index, message, SCOPE), Abstained)


def verified(number: int, more: str = "", *, is_known: bool = True) -> Trace:
    who = ("find_user", {"email": f"p{number}@example.com"}, {"user": f"user-{number}"}, Effect.READ)
    account = {"id": f"AC-{number}", "owner": f"user-{number}"}
    read = ("get_account", {"id": f"AC-{number}"}, account, Effect.READ)
    close = ("close_account", {"id": f"AC-{number}"}, {"ok": True}, Effect.KEYED)
    opening = f"My email is p{number}@example.com. " if is_known else ""
    calls = (who, read, close) if is_known else (read, close)
    return run(number, f"{opening}Close account AC-{number}.{more}", *calls)


def test_what_was_never_asked_for_alone_is_not_served_alone() -> None:
    store = learnt([verified(number) for number in range(100, 105)])
    index = index_of(store)
    assert isinstance(match(index, "My email is new@example.com. Close account AC-999.", SCOPE), Match)
    for message in (
        "Close account AC-999.",
        "My email is new@example.com.",
        "Close account AC-999. Close account AC-998.",
    ):
        found = match(index, message, SCOPE)
        assert isinstance(found, Abstained)
        assert "never asked for without" in found.reason or found.reason == "nothing is asked for"


def test_runs_that_asked_for_it_alone_lift_the_need_and_one_does_not() -> None:
    traces = [verified(number) for number in range(100, 105)]
    index = index_of(learnt([*traces, verified(200, is_known=False)]))
    assert isinstance(match(index, "Close account AC-999.", SCOPE), Abstained)
    index = index_of(learnt([*traces, *[verified(number, is_known=False) for number in range(200, 205)]]))
    assert isinstance(match(index, "Close account AC-999.", SCOPE), Match)


def test_conditions_are_never_small_talk_however_often_they_were_said() -> None:
    traces = [restart(30 + n, f"api-{n}", "eu-west", closing=" Only if it is down.") for n in range(9)]
    index = index_of(learnt([*traces, *operations()]))
    assert isinstance(match(index, "Restart service api-7 in eu-west. Only if it is down.", SCOPE), Abstained)


def test_small_talk_is_learnt_from_three_runs_only() -> None:
    traces = [restart(30 + n, f"api-{n}", "eu-west", closing=" Have a nice day!") for n in range(3)]
    message = "Restart service web-5 in eu-west. Have a nice day!"
    assert isinstance(match(index_of(learnt([*operations(), *traces[:2]])), message, SCOPE), Abstained)
    assert isinstance(match(index_of(learnt([*operations(), *traces])), message, SCOPE), Abstained | Match)
    both = [*traces, *(replace(trace, run_id=f"x{trace.run_id}") for trace in PLAIN)]
    assert isinstance(match(index_of(learnt(both)), message, SCOPE), Match)


def test_words_that_mean_two_things_are_not_read() -> None:
    first = compile_template(learnt(operations()).clauses(learnt(operations()).signatures()[0]))
    twin = replace(first, template_id="twin", required=(), known=first.known)
    index = build_index([replace(first, required=()), twin])
    assert match(index, "Restart service web-5 in eu-west", SCOPE) == Abstained(
        "the request can be read in more than one way"
    )


def test_a_template_survives_json_and_holds_no_names() -> None:
    store: SignatureStore = learnt(calendar())
    template = compile_template(store.clauses(store.signatures()[0]))
    text = json.dumps(as_json(template))
    assert parse_template(json.loads(text)) == template
    assert not any(name in text.casefold() for name in ("anna", "berg", "budget"))
    assert len(text) <= 2048


@pytest.mark.parametrize(
    ("seen", "taken", "refused"),
    [
        (["#W100", "#W205"], ["#W999"], ["W999", "#W9999", "#X100"]),
        (["19031", "77209"], ["02134"], ["1903", "190311"]),
        (["12", "7"], ["450"], ["4.5", "-3"]),
        (["1.50", "20"], ["1,000.25"], ["-3"]),
        (["paypal_11", "gift_card_22"], ["paypal_99", "gift_card_33"], ["bank_99", "paypal_999"]),
        (["no longer needed", "by mistake"], ["by mistake"], ["by accident"]),
        (["Water Bottle", "Lamp"], ["Garden Hose"], ["hose", "Not Needed", "Lamp and"]),
        (["api-7", "mail-12", "checkout"], ["web-3", "checkout"], ["billing", "web-123"]),
        (["JFK", "SEA"], ["LAX"], ["London", "NOT"]),
        (["same"], ["same"], ["other"]),
    ],
)
def test_slots_take_what_looks_like_what_they_held(seen: list[str], taken: list[str], refused: list[str]) -> None:
    runs = [run(f"{n}", f"Take x {value} y.", ("take", {"v": value}, {}, Effect.KEYED)) for n, value in enumerate(seen)]
    store = learnt(runs)
    index = index_of(store, min_runs=1)
    assert learn_slot(seen) == learn_slot(reversed(seen))
    assert all(isinstance(match(index, f"Take x {value} y.", SCOPE), Match) for value in taken)
    assert not [value for value in refused if isinstance(match(index, f"Take x {value} y.", SCOPE), Match)]
